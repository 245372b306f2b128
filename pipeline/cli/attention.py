"""What waits for somebody, as `milestones status` shows it: requests and erasures that were set
aside, corrections that a source contradicts, sources that brought nothing, verbs that policy does
not list.

Where nothing waits, nothing is loaded to find that out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from pipeline.cli.screen import warn
from pipeline.errors import PolicyError
from pipeline.raw import register
from pipeline.raw.register import State
from pipeline.storage.layout import Layout


def show(home: Path) -> None:
    """Print it; what cannot be read is said, too."""
    layout = Layout(home.absolute())
    for part in (_sources, _verbs, _requests, _erasures, _conflicts):
        try:
            for line in part(layout):
                warn(line)
        except PolicyError as error:
            warn(str(error))


def _newest(layout: Layout) -> dt.date | None:
    """The newest delivery that was accepted."""
    known = reversed(register.known(layout))
    return next((day for day in known if register.accepted(register.steps(layout, day))), None)


def _sources(layout: Layout) -> Iterator[str]:
    if day := _newest(layout):
        steps = register.steps(layout, day)
        admitted = [one for one in steps if one.state is State.ADMITTED]
        if admitted and admitted[-1].reason:
            yield f"the delivery of {day}: {admitted[-1].reason}"


def _verbs(layout: Layout) -> Iterator[str]:
    day = _newest(layout)
    names = register.to_be_decided(layout.canonical / str(day)) if day else {}
    if names:
        listed = ", ".join(f"{name} ({n:,})" for name, n in names.items())
        yield (
            f"the delivery of {day}: statements with verbs that are not listed under `verbs` in "
            f"data_map.yaml were only counted: {listed}"
        )


def _requests(layout: Layout) -> Iterator[str]:
    if any((layout.vault / "requests").glob("*")):
        from pipeline.subjects import request_register

        for one in request_register.every(layout):
            if one.state is request_register.State.WAITING:
                yield f"request {one.name} waits: {one.history[-1].note}"


def _erasures(layout: Layout) -> Iterator[str]:
    if any(layout.erasures.glob("*")):
        from pipeline.retained import job

        for name, reason in job.set_aside(layout).items():
            yield f"erasure {name} is set aside: {reason}"


def _conflicts(layout: Layout) -> Iterator[str]:
    if any(layout.rectified.glob("*/*")):
        from pipeline.context import context_from_settings
        from pipeline.requests import fulfil

        for name in fulfil.conflicts(context_from_settings(layout.root)):
            yield f"{name}: the source has since sent another value, which is current again"

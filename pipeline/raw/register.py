"""The register of deliveries: what became of each one, when and why.

received → admitted → accepted, or refused, or withdrawn. A delivery is received when its content is
fixed and read, admitted when the checks of its own rows have passed, and accepted when a run has
published it. A delivery that is delivered anew is a correction: its new content goes the same way,
and until it is accepted the content that was accepted before stays in use.

store/deliveries/<date>.jsonl has a line for every step; lines are only ever added. The content of a
delivery lies in one of these folders:

store/canonical/<date>/   accepted; and, during a run, what the run is for
store/set_aside/<date>/   refused, withdrawn, or left by a run that did not publish
store/replaced/<date>/    what was accepted, while a correction of it is tried

`settle` puts every delivery where its state says, whatever was interrupted. So whoever reads the
canonical store (pipeline/storage/relations.py) reads what is accepted.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.errors import PolicyError
from pipeline.raw.days import day_of
from pipeline.storage.files import fsync, replace_text
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.storage.manifest import published_deliveries


class State(StrEnum):
    RECEIVED = "received"
    ADMITTED = "admitted"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    ALLOWED = "allowed"  # content that was refused for its size, or withdrawn, may be tried again


@dataclass(frozen=True)
class Step:
    """One line of the register.

    Attributes:
        at: aware ISO instant.
        reason: rules, counts and sources; neither a value nor the name of a file.
        version: of the content as it was read, `version_of`; None if it was not read.
        sha256: of the delivered files; None if they could not be read.
        run: the run date for which it was read.
        by: who decided, for what people decide.
    """

    at: str
    state: State
    reason: str = ""
    version: str | None = None
    sha256: str | None = None
    run: str | None = None
    by: str | None = None


def path(layout: Layout, delivery: dt.date) -> Path:
    return layout.register / f"{delivery}.jsonl"


def record(folder: Path) -> Path:
    """The file that records what a delivery's folder in the store was read from."""
    return folder / "delivery.json"


def version_of(folder: Path) -> str | None:
    """Names the content of a delivery's folder in the store; None if there is none."""
    file = record(folder)
    return file_sha256(file) if file.exists() else None


def rows_of(folder: Path) -> dict[str, int]:
    """Source to the rows that were read of it, of a delivery's folder in the store."""
    file = record(folder)
    stored = json.loads(file.read_text("utf-8")) if file.exists() else {}
    rows: dict[str, int] = stored.get("rows", {})
    return rows


def to_be_decided(folder: Path) -> dict[str, int]:
    """What of a delivery's folder in the store was only counted, because the data map does not list
    it: name to records."""
    file = record(folder)
    stored = json.loads(file.read_text("utf-8")) if file.exists() else {}
    names: dict[str, int] = stored.get("to_be_decided", {})
    return names


def steps(layout: Layout, delivery: dt.date) -> list[Step]:
    """All that has happened to a delivery, oldest first.

    A delivery that the store held before there was a register was accepted.
    """
    file = path(layout, delivery)
    if file.exists():
        lines = map(json.loads, file.read_text("utf-8").splitlines())
        return [Step(**{**line, "state": State(line["state"])}) for line in lines]
    held = record(layout.canonical / str(delivery))
    if not held.exists():
        return []
    at = dt.datetime.fromtimestamp(held.stat().st_mtime, dt.UTC).isoformat(timespec="seconds")
    return [Step(at, State.ACCEPTED, "before there was a register", file_sha256(held))]


def note(
    layout: Layout,
    delivery: dt.date,
    state: State,
    reason: str = "",
    *,
    version: str | None = None,
    sha256: str | None = None,
    run: dt.date | None = None,
    by: str | None = None,
) -> None:
    """Add a step to the register; it is on the disk when this returns."""
    at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    made = Step(at, state, reason, version, sha256, str(run) if run else None, by)
    lines = [json.dumps(asdict(one)) for one in (*steps(layout, delivery), made)]
    replace_text(path(layout, delivery), "\n".join(lines) + "\n")


def accepted(found: list[Step]) -> Step | None:
    """The step by which the content in use was accepted; None if there is none in use."""
    for one in reversed(found):
        if one.state in (State.ACCEPTED, State.WITHDRAWN):
            return one if one.state is State.ACCEPTED else None
    return None


def withdrawn(layout: Layout) -> list[dt.date]:
    """Days of the deliveries that were in use and were withdrawn, and are not in use again."""
    return [day for day in known(layout) if _went(steps(layout, day))]


def _went(found: list[Step]) -> bool:
    return accepted(found) is None and any(one.state is State.WITHDRAWN for one in found)


def latest(found: list[Step]) -> Step | None:
    """The last step that changed the state."""
    return next((one for one in reversed(found) if one.state is not State.ALLOWED), None)


def allowed(found: list[Step], sha256: str) -> bool:
    """Did somebody allow this very content since it was last refused or withdrawn?"""
    about = [one for one in found if one.sha256 == sha256 and one.state in _DECIDED]
    return bool(about) and about[-1].state is State.ALLOWED


_DECIDED = (State.ALLOWED, State.WITHDRAWN)


def is_withdrawn(found: list[Step], sha256: str) -> bool:
    """Was this very content withdrawn, and not allowed since?"""
    about = [one for one in found if one.sha256 == sha256 and one.state in _DECIDED]
    return bool(about) and about[-1].state is State.WITHDRAWN


def has_gone(layout: Layout, delivery: dt.date, version: str) -> bool:
    """Is a content that was in use withdrawn by now, or replaced by another? What is merely lost
    (`lost`) is not."""
    here = version_of(layout.canonical / str(delivery))
    if here is not None:
        return here != version
    found = steps(layout, delivery)
    return bool(found) and accepted(found) is None


def turned_down(found: list[Step]) -> str | None:
    """The content that was read last and is refused or withdrawn; None if that is not so."""
    last = latest(found)
    if last is None or last.state not in (State.REFUSED, State.WITHDRAWN):
        return None
    return next((one.sha256 for one in reversed(found) if one.sha256), None)


def known(layout: Layout) -> list[dt.date]:
    """Days of all deliveries that the register or the store knows."""
    names = [file.stem for file in layout.register.glob("*.jsonl")]
    names += [file.parent.name for file in layout.canonical.glob("*/delivery.json")]
    return sorted({day for name in names if (day := day_of(name))})


def of_run(layout: Layout, run: dt.date) -> list[dt.date]:
    """Deliveries that were read for a run and not accepted so far."""
    return [day for day in known(layout) if _is_for(steps(layout, day), run)]


def _is_for(found: list[Step], run: dt.date | None) -> bool:
    last = latest(found)
    reading = last is not None and last.state in (State.RECEIVED, State.ADMITTED)
    return last is not None and reading and last.run == str(run)


def is_ingested(layout: Layout, delivery: dt.date) -> bool:
    """Does the canonical store hold the delivery?"""
    return record(layout.canonical / str(delivery)).exists()


def lost(layout: Layout) -> list[dt.date]:
    """Accepted deliveries whose content is not in the store: an older backup was restored."""
    return [
        day
        for day in known(layout)
        if accepted(steps(layout, day)) is not None and not is_ingested(layout, day)
    ]


def require_content(layout: Layout) -> None:
    """Stop before tables are published without a delivery that is in use.

    Raises:
        PolicyError: naming these deliveries and the way out.
    """
    if days := lost(layout):
        raise PolicyError(
            f"the store has lost the deliveries of {', '.join(map(str, days))}: ingest them again "
            f"(`milestones backfill --from {days[0]} --to {days[-1]}`), restore a backup that has "
            "them, or accept the loss (`milestones recover`)"
        )


def is_done_with(layout: Layout, delivery: dt.date) -> bool:
    """May the delivered files be removed when they are past retention? Those of a delivery that
    was accepted, or refused or withdrawn; no run has read the others."""
    found = steps(layout, delivery)
    last = latest(found)
    return accepted(found) is not None or (
        last is not None and last.state in (State.REFUSED, State.WITHDRAWN)
    )


def settle(layout: Layout, run: dt.date | None = None) -> None:
    """Put the content of every delivery where its state says; the caller holds the lock.

    What a run published is accepted, even if the run was killed right after; what no run has
    published is set aside, and the content that it should have replaced is put back.

    Args:
        run: keep what was read for the run of this date.
    """
    published = published_deliveries(layout)
    for day in known(layout):
        _accept_published(layout, day, published.get(str(day)))
        _place(layout, day, run)


def _accept_published(layout: Layout, day: dt.date, version: str | None) -> None:
    last = latest(steps(layout, day))
    waiting = last is not None and last.state in (State.RECEIVED, State.ADMITTED)
    if last is not None and waiting and last.version == version:
        note(layout, day, State.ACCEPTED, version=version, sha256=last.sha256)


def _place(layout: Layout, day: dt.date, run: dt.date | None) -> None:
    found = steps(layout, day)
    used = accepted(found)
    here, before = layout.canonical / str(day), layout.replaced / str(day)
    version = version_of(here)
    if version is not None and used is not None and version == used.version:
        shutil.rmtree(before, ignore_errors=True)
        return
    if version is not None and run is not None and _is_for(found, run):
        return
    if version is not None:
        _move(here, layout.set_aside / str(day))
    if used is not None and version_of(before) == used.version:
        _move(before, here)
    else:
        shutil.rmtree(before, ignore_errors=True)


def _move(one: Path, to: Path) -> None:
    """Move a folder, in place of what was there; a crash leaves one of the two there."""
    shutil.rmtree(to, ignore_errors=True)
    to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.rename(one, to)
    fsync(to.parent)
    fsync(one.parent)


def make_room(layout: Layout, delivery: dt.date) -> None:
    """Keep the accepted content of a delivery aside while other content is tried in its place."""
    here, found = layout.canonical / str(delivery), steps(layout, delivery)
    used, version = accepted(found), version_of(here)
    if used is not None and version == used.version:
        if not path(layout, delivery).exists():
            # From here on its version tells it from the new content.
            note(layout, delivery, State.ACCEPTED, used.reason, version=version)
        _move(here, layout.replaced / str(delivery))


def refuse(layout: Layout, days: Iterable[dt.date], reason: str) -> None:
    """Refuse what was read and not accepted; the caller holds the lock."""
    for day in days:
        last = latest(steps(layout, day))
        version, sha256 = (last.version, last.sha256) if last else (None, None)
        note(layout, day, State.REFUSED, reason, version=version, sha256=sha256)
    settle(layout)


def admit(layout: Layout, delivery: dt.date, but: str = "") -> None:
    """The checks of a delivery's own rows have passed.

    Args:
        but: what somebody should look at all the same.
    """
    last = latest(steps(layout, delivery))
    if last is not None and last.state is State.RECEIVED:
        note(
            layout,
            delivery,
            State.ADMITTED,
            but,
            version=last.version,
            sha256=last.sha256,
            run=dt.date.fromisoformat(last.run) if last.run else None,
        )


def withdraw(layout: Layout, delivery: dt.date, reason: str, by: str) -> None:
    """Use an accepted delivery no longer; the caller holds the lock.

    Raises:
        PolicyError: it is not in use.
    """
    used = accepted(steps(layout, delivery))
    if used is None:
        raise PolicyError(f"the delivery of {delivery} is not accepted, so it is in no table")
    note(
        layout,
        delivery,
        State.WITHDRAWN,
        reason,
        version=used.version,
        sha256=used.sha256,
        by=by,
    )
    settle(layout)


def restored(layout: Layout, backup: Layout) -> None:
    """Accept what a backup has brought back, except what was withdrawn; the caller holds the lock.
    The content that was accepted since is not in the store any more."""
    for file in backup.register.glob("*.jsonl"):
        if not (layout.register / file.name).exists():
            replace_text(layout.register / file.name, file.read_text("utf-8"))
    for file in layout.canonical.glob("*/delivery.json"):
        day, version = day_of(file.parent.name), file_sha256(file)
        if day is None:
            continue
        last = next((one for one in reversed(steps(layout, day)) if one.version == version), None)
        withdrawn = last is not None and last.state is State.WITHDRAWN
        if not withdrawn and accepted(steps(layout, day)) != last:
            note(layout, day, State.ACCEPTED, "restored from a backup", version=version)
    settle(layout)

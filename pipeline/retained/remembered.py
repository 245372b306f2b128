"""Is everything on record that must never be forgotten? Nothing is published or erased otherwise.

A lost publication history publishes closed months anew, with other figures; a lost tombstone brings
an erased person back; a lost hold erases what it keeps. What is there is compared with what was
announced at each change, what the current release says of its time, and what the last receipt says.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.access import courses
from pipeline.errors import PolicyError
from pipeline.published import publication_history, row_history
from pipeline.retained import receipts
from pipeline.storage import cases
from pipeline.storage.layout import Layout
from pipeline.storage.manifest import MANIFEST, manifest

HISTORY = "publication history"
WAY_OUT = (
    "Restore a backup that has it (`milestones restore FOLDER` adds it to what is there), or see "
    "`milestones recover`."
)


def require_remembered(layout: Layout) -> None:
    """Stop before anything is published or erased on the strength of what was forgotten.

    Raises:
        PolicyError: naming what is missing, how much of it, and the way out.
    """
    if lost := missing(layout):
        raise PolicyError(
            f"missing from the data folder: {'; '.join(lost)}. Nothing is published or erased. "
            f"{WAY_OUT}"
        )


def missing(layout: Layout) -> list[str]:
    """What is known to have been on record and is not, in words."""
    have = cases.numbers(layout)
    found = [
        f"vault/{name} ({times - have.get(name, 0)} of {times} changes)"
        for name, times in sorted(expected_cases(layout).items())
        if have.get(name, 0) < times
    ]
    last = expected_decisions(layout)
    undecided = last - courses.number(layout)
    return (
        found
        + [f"{HISTORY} ({one})" for one in [*lost_figures(layout), *lost_rows(layout)]]
        + [
            f"governance/{courses.FILE} (the last {n} of {last} decisions)"
            for n in [undecided]
            if n > 0
        ]
    )


def lost_figures(layout: Layout) -> list[str]:
    """What of the publication history of figures is missing, in words."""
    says = _release(layout).get("history")
    return publication_history.missing(layout, says) if says else []


def lost_rows(layout: Layout) -> list[str]:
    """What of the history of analysts' rows is missing, in words."""
    says = _release(layout).get("row_history")
    return row_history.missing(layout, says) if says else []


def expected_decisions(layout: Layout) -> int:
    """The number of the last decision about courses that the release knows."""
    return int(_release(layout).get("courses", 0))


def expected_cases(layout: Layout) -> cases.Numbers:
    """How often each register has changed at least."""
    says = [cases.announced(layout), _release(layout).get("cases", {}), _receipt(layout)]
    return {name: max(one.get(name, 0) for one in says) for name in set().union(*says)}


def _release(layout: Layout) -> dict[str, Any]:
    return manifest(layout) if (layout.current / MANIFEST).exists() else {}


def _receipt(layout: Layout) -> cases.Numbers:
    """What the last receipt says of the registers."""
    for path in receipts.newest_first(layout)[:1]:
        found: cases.Numbers = json.loads(path.read_text("utf-8")).get("cases", {})
        return found
    return {}

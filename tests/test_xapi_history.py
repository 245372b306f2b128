"""What several xAPI statements come to: sessions of cmi5, and statements that are voided."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.policy.data_map import DataMap
from pipeline.raw.deliveries import ingest
from pipeline.storage.layout import Layout
from tests.test_order_of_deliveries import classified
from tests.test_xapi import ADL, said

RUN_DATE = dt.date(2026, 11, 1)
CMI5 = "https://w3id.org/xapi/cmi5/context/"
CATEGORY = {"category": [{"id": f"{CMI5}categories/cmi5"}]}
MOVE_ON = {"category": [*CATEGORY["category"], {"id": f"{CMI5}categories/moveon"}]}
BY_THE_LMS = "https://w3id.org/xapi/adl/verbs/"
RESULTS = {
    "passed": {"success": True, "score": {"scaled": 0.9}},
    "failed": {"success": False, "score": {"scaled": 0.2}},
    "completed": {"completion": True, "duration": "PT10M"},
    "waived": {"success": True, "completion": True},
    "terminated": {"duration": "PT10M"},
}
# The verbs of a registration of one assignable unit, in the order of time, and its state. What is
# in parentheses is "cmi5 allowed", and not cmi5's own.
SESSIONS = {
    "launched": "in_progress",
    "launched initialized": "in_progress",
    "launched initialized terminated": "in_progress",
    "launched initialized completed terminated": "completed",
    "launched initialized completed passed terminated": "passed",
    "launched initialized passed completed terminated": "passed",
    "launched initialized completed failed terminated": "failed",
    "launched initialized failed terminated launched initialized passed terminated": "passed",
    "launched initialized passed terminated launched initialized failed terminated": "passed",
    "launched initialized abandoned": "withdrawn",
    "launched initialized completed abandoned": "completed",
    "launched initialized abandoned launched initialized": "in_progress",
    "launched initialized abandoned launched initialized completed terminated": "completed",
    "waived": "waived",
    "launched initialized failed terminated waived": "waived",
    "launched initialized (completed) (failed) (passed) terminated": "in_progress",
    "launched initialized (failed) passed terminated": "passed",
}


def delivered(layout: Layout, data_map: DataMap, said: list[dict[str, Any]], day: int = 0) -> None:
    run_date = RUN_DATE + dt.timedelta(days=day)
    folder = Path(layout.landing) / str(run_date)
    folder.mkdir(parents=True)
    (folder / "xapi.ndjson").write_text("\n".join(map(json.dumps, said)), "utf-8")
    ingest(layout, data_map, run_date)


def session(registration: str, verbs: str) -> list[dict[str, Any]]:
    """The statements of a registration, as a learner's assignable unit and the LMS send them."""
    return [
        said(
            f"{BY_THE_LMS if word in ('abandoned', 'waived') else ADL}{word.strip('()')}",
            number,
            id=f"{registration}-{number}",
            result=RESULTS.get(word.strip("()"), {}),
            context={
                "registration": registration,
                "contextActivities": {}
                if word.startswith("(")
                else (MOVE_ON if word in RESULTS else CATEGORY),
                "extensions": {f"{CMI5}extensions/sessionid": "s1"},
            },
        )
        for number, word in enumerate(verbs.split())
    ]


def test_a_session_of_cmi5_comes_to_one_state(tmp_path: Path, data_map: DataMap) -> None:
    """One record for each registration, whichever statements it takes."""
    layout = Layout(tmp_path)
    every = [
        one | {"object": {"id": f"https://lms.acme.example/au/{number}"}}
        for number, verbs in enumerate(SESSIONS)
        for one in session(f"r{number}", verbs)
    ]
    delivered(layout, data_map, every[::-1])
    codes = [f"https://lms.acme.example/au/{number}" for number in range(len(SESSIONS))]
    found = classified(layout)
    assert len(found) == len(SESSIONS)
    states = {row["course_code"]: row["status"] for row in found}
    assert {v: states[code] for v, code in zip(SESSIONS, codes, strict=True)} == SESSIONS


def void(number: int, of: str, **more: Any) -> dict[str, Any]:
    target = {"objectType": "StatementRef", "id": of}
    actor = {"objectType": "Group", "member": [{"mbox": "mailto:admin@acme.example"}]}
    return said(f"{ADL}voided", number, object=target, actor=actor, **more)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_voiding_holds_in_any_order_and_cannot_be_voided(
    tmp_path: Path, data_map: DataMap, order: tuple[int, ...]
) -> None:
    """A voiding statement counts wherever it stands, and voiding it changes nothing. Identifiers
    are UUIDs, of which upper and lower case are the same."""
    layout = Layout(tmp_path)
    course = {"id": "https://lms.acme.example/c/2"}
    one, voids = said(number=1), void(2, said(number=1)["id"].lower())
    parts = [[one, said(number=4, object=course)], [voids], [void(3, voids["id"])]]
    for day, part in enumerate(order):
        delivered(layout, data_map, parts[part], day)
    assert [row["course_code"] for row in classified(layout)] == [course["id"]]


def test_a_voided_revision_gives_way_to_the_one_before(tmp_path: Path, data_map: DataMap) -> None:
    layout = Layout(tmp_path)
    wrong = said(f"{ADL}passed", 2)
    delivered(layout, data_map, [said(f"{ADL}failed", 1), wrong, void(3, wrong["id"])])
    assert Counter(row["status"] for row in classified(layout)) == {"failed": 1}

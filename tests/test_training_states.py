"""One row per report and course: hand-written histories, and what a manager reads of each.

The rule is `training_state` in data_map.yaml. Kinds of fault: a state that depends on the order in
which records came, an old completion that hides an open assignment, an open assignment that hides
a completion, and a day that is over in one calendar and not in another.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from pipeline.policy.data_map import DataMap, TrainingState
from pipeline.policy.retention import load_retention
from pipeline.pseudonymized.models import states_model
from pipeline.pseudonymized.training_states import calendar
from pipeline.storage.engine import engine
from pipeline.storage.layout import PROJECT
from pipeline.storage.schema import CLASSIFIED
from pipeline.storage.sql import Sql, literal

NOON = dt.datetime(2026, 6, 15, 12, tzinfo=dt.UTC)
Row = dict[str, Any]
State = tuple[str | None, str]


def row(status: str, assigned: str | None = None, event: str | None = None, **more: Any) -> Row:
    """A classified record of one person's course; what matters is said by the test."""
    usual = {
        "person": "emp:1",
        "manager": "emp:9",
        "course_code": "SEC-101",
        "region": "EU",
    }
    return {**usual, "status": status, "assigned_on": assigned, "event_on": event, **more}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with engine(tmp_path_factory.mktemp("states")) as found:
        yield found


@pytest.fixture
def judge(connection: duckdb.DuckDBPyConnection, data_map: DataMap) -> Any:
    """Person and course to state, outcome, manager, of some rows in the given order."""
    rules = load_retention(PROJECT / "retention_rules.yaml")
    names = ", ".join(f"{name} {kind}" for name, kind in CLASSIFIED.items())

    def judged(
        rows: list[Row], recurring: dict[str, str] | None = None, as_of: dt.datetime = NOON
    ) -> dict[tuple[str, str], tuple[str | None, str, str]]:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE histories ({names})")
        for number, one in enumerate(rows):
            key = f"00000000-0000-0000-0000-{one.get('number', number):012d}"
            given = {"record_key": key, **{k: v for k, v in one.items() if k != "number"}}
            values = ", ".join(map(literal, given.values()))
            connection.execute(f"INSERT INTO histories ({', '.join(given)}) VALUES ({values})")
        policy = data_map.model_copy(
            update={"training_state": TrainingState(recurring=recurring or {})}
        )
        model = states_model(Sql("histories"), calendar(policy, rules, as_of))
        found = connection.sql(
            f"SELECT h.person, h.course_code, s.state, s.outcome, s.manager FROM ({model}) s "
            "JOIN histories h USING (record_key)"
        ).fetchall()
        assert len(found) == len({one[:2] for one in found}), "a report's course is there twice"
        return {(person, course): rest for person, course, *rest in found}  # type: ignore[misc]

    return judged


HISTORIES: dict[str, tuple[list[Row], State]] = {
    "assigned, no more": ([row("not_started", "2026-05-01")], ("not_started", "none")),
    "begun": (
        [row("in_progress", "2026-05-01", started_on="2026-05-02", due_on="2026-07-01")],
        ("in_progress", "none"),
    ),
    "begun, without a due date": ([row("in_progress", "2026-05-01")], ("in_progress", "none")),
    "due today: the day is not over": (
        [row("not_started", "2026-05-01", due_on="2026-06-15")],
        ("not_started", "none"),
    ),
    "due yesterday": (
        [row("in_progress", "2026-05-01", due_on="2026-06-14")],
        ("overdue", "none"),
    ),
    "late completion": (
        [row("completed", "2026-05-01", "2026-06-10", due_on="2026-05-31")],
        ("complete", "none"),
    ),
    "passed": ([row("passed", "2026-05-01", "2026-05-09")], ("complete", "passed")),
    "waived": ([row("waived", "2026-05-01", due_on="2026-05-02")], ("complete", "none")),
    "failed, not due yet": (
        [row("failed", "2026-05-01", "2026-05-09", due_on="2026-07-01")],
        ("in_progress", "failed"),
    ),
    "failed, and the due day is over": (
        [row("failed", "2026-05-01", "2026-05-09", due_on="2026-06-01")],
        ("overdue", "failed"),
    ),
    "retake after failure": (
        [row("failed", "2026-05-01", "2026-05-09"), row("passed", "2026-05-01", "2026-05-20")],
        ("complete", "passed"),
    ),
    "an attempt after passing": (
        [row("passed", None, "2026-05-09"), row("failed", None, "2026-05-20")],
        ("complete", "passed"),
    ),
    "course completed, its exam failed": (
        [row("completed", "2026-05-01", "2026-05-08"), row("failed", None, "2026-05-09")],
        ("complete", "failed"),
    ),
    "re-assignment after completion": (
        [row("passed", "2025-08-01", "2025-08-20"), row("not_started", "2026-05-01")],
        ("not_started", "none"),
    ),
    "re-assignment after completion, overdue": (
        [
            row("passed", "2025-08-01", "2025-08-20", due_on="2025-09-01"),
            row("in_progress", "2026-05-01", due_on="2026-06-01"),
        ],
        ("overdue", "none"),
    ),
    "re-assignment after failure": (
        [row("failed", "2025-08-01", "2025-08-20"), row("in_progress", "2026-05-01")],
        ("in_progress", "none"),
    ),
    "an old assignment left open, the latest complete": (
        [
            row("in_progress", "2025-08-01", due_on="2025-09-01"),
            row("completed", "2026-05-01", "2026-05-03"),
        ],
        ("complete", "none"),
    ),
    "the old assignment completed after the new one": (
        [row("completed", "2025-08-01", "2026-05-20"), row("not_started", "2026-05-01")],
        ("complete", "none"),
    ),
    "re-assigned on the very day of completion: that was for the old one": (
        [row("completed", "2025-08-01", "2026-05-01"), row("not_started", "2026-05-01")],
        ("not_started", "none"),
    ),
    "assigned and completed on the same day, in two systems": (
        [row("not_started", "2026-05-01"), row("completed", None, "2026-05-01", source="xapi")],
        ("complete", "none"),
    ),
    "another system's completion, before the assignment": (
        [row("not_started", "2026-05-01"), row("completed", None, "2026-04-30", source="xapi")],
        ("not_started", "none"),
    ),
    "another system's completion, after the assignment": (
        [
            row("in_progress", "2026-05-01", due_on="2026-06-01"),
            row("passed", None, "2026-05-30", source="xapi"),
        ],
        ("complete", "passed"),
    ),
    "two systems, the later due day": (
        [
            row("in_progress", "2026-05-01", due_on="2026-06-01"),
            row("in_progress", "2026-05-01", due_on="2026-07-01", source="other"),
        ],
        ("in_progress", "none"),
    ),
    "an assignment of a day to come does not hold yet": (
        [row("completed", "2026-05-01", "2026-05-03"), row("not_started", "2026-09-01")],
        ("complete", "none"),
    ),
    "only an assignment of a day to come": (
        [row("not_started", "2026-09-01", due_on="2026-10-01")],
        ("not_started", "none"),
    ),
    "withdrawn": ([row("withdrawn", "2026-05-01", "2026-05-20")], (None, "none")),
    "withdrawn, and its due day is over": (
        [row("withdrawn", "2026-05-01", "2026-05-20", due_on="2026-06-01")],
        (None, "none"),
    ),
    "withdrawn in one system, begun before in another": (
        [
            row("in_progress", "2026-05-01", due_on="2026-06-01", started_on="2026-05-02"),
            row("withdrawn", None, "2026-05-20", source="xapi"),
        ],
        (None, "none"),
    ),
    "begun and withdrawn on the same day": (
        [row("in_progress", None, "2026-05-20"), row("withdrawn", None, "2026-05-20")],
        (None, "none"),
    ),
    "withdrawn, then begun again": (
        [row("withdrawn", None, "2026-05-20"), row("in_progress", None, "2026-05-21")],
        ("in_progress", "none"),
    ),
    "withdrawn, then assigned again": (
        [row("withdrawn", "2026-03-01", "2026-05-20"), row("not_started", "2026-05-20")],
        ("not_started", "none"),
    ),
    "the latest assignment withdrawn, completed before": (
        [row("passed", "2025-08-01", "2025-08-20"), row("withdrawn", "2026-05-01", "2026-05-20")],
        ("complete", "passed"),
    ),
    "the latest assignment withdrawn, left open before": (
        [
            row("in_progress", "2025-08-01", due_on="2025-09-01"),
            row("withdrawn", "2026-05-01", "2026-05-20"),
        ],
        (None, "none"),
    ),
    "no date at all": ([row("in_progress")], ("in_progress", "none")),
    "a completion of no known day, and an assignment": (
        [row("completed"), row("not_started", "2026-05-01")],
        ("not_started", "none"),
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_has_one_state_in_whichever_order_it_came(judge: Any, name: str) -> None:
    rows, (state, outcome) = HISTORIES[name]
    numbered = [{**one, "number": number} for number, one in enumerate(rows)]
    for order in itertools.permutations(numbered):
        assert judge(list(order)) == {("emp:1", "SEC-101"): [state, outcome, "emp:9"]}
    # Which record has the smaller key is as much a matter of chance.
    turned = [{**one, "number": len(rows) - number} for number, one in enumerate(rows)]
    assert judge(turned) == {("emp:1", "SEC-101"): [state, outcome, "emp:9"]}


YEARLY = {"sec-*": "P1Y"}
OLD = row("passed", "2025-06-01", "2025-06-14")


@pytest.mark.parametrize(
    ("rows", "recurring", "state"),
    [
        ([OLD], {}, ("complete", "passed")),
        ([OLD], YEARLY, ("overdue", "none")),
        ([OLD], {"OTHER-*": "P1Y"}, ("complete", "passed")),
        # The last day of a validity counts in full.
        ([row("passed", "2025-06-01", "2025-06-15")], YEARLY, ("complete", "passed")),
        ([OLD], {"SEC-101": "P2Y"}, ("complete", "passed")),
        ([OLD], {"SEC-*": "P2Y", "SEC-101": "P1Y"}, ("overdue", "none")),
        # Only what came after it counts: a failure before passing is over and done with.
        ([row("failed", "2025-06-01", "2025-06-10"), OLD], YEARLY, ("overdue", "none")),
        ([OLD, row("failed", None, "2026-06-10")], YEARLY, ("overdue", "failed")),
        ([OLD, row("in_progress", None, "2026-06-10")], YEARLY, ("overdue", "none")),
        # Renewed before or after it expired, with a new assignment or without one.
        ([OLD, row("completed", None, "2026-05-20")], YEARLY, ("complete", "none")),
        ([OLD, row("passed", "2026-05-01", "2026-06-15")], YEARLY, ("complete", "passed")),
        # The renewal was assigned: the latest assignment holds, and its due day.
        (
            [OLD, row("not_started", "2026-05-15", due_on="2026-06-30")],
            YEARLY,
            ("not_started", "none"),
        ),
        ([OLD, row("not_started", "2026-05-15", due_on="2026-06-14")], YEARLY, ("overdue", "none")),
        ([OLD, row("withdrawn", "2026-05-15", "2026-05-16")], YEARLY, (None, "none")),
        ([OLD, row("waived", "2026-05-15", "2026-05-16")], YEARLY, ("complete", "none")),
    ],
)
def test_a_recurring_training_counts_from_its_last_expiry(
    judge: Any, rows: list[Row], recurring: dict[str, str], state: State
) -> None:
    for order in itertools.permutations(rows):
        assert judge(list(order), recurring) == {("emp:1", "SEC-101"): [*state, "emp:9"]}


@pytest.mark.parametrize(
    ("region", "hour", "state"),
    [
        # 14 June is over in Singapore (UTC+8) at four in the afternoon, and in Los Angeles not
        # before seven on the next morning.
        ("APAC", 15, "in_progress"),
        ("APAC", 16, "overdue"),
        ("EU", 21, "in_progress"),
        ("EU", 22, "overdue"),
        ("US", 23, "in_progress"),
        ("unknown", 22, "overdue"),
        (None, 21, "in_progress"),
    ],
)
def test_a_due_day_ends_in_the_calendar_of_the_region(
    judge: Any, region: str | None, hour: int, state: str
) -> None:
    given = [row("in_progress", "2026-05-01", due_on="2026-06-14", region=region)]
    as_of = dt.datetime(2026, 6, 14, hour, tzinfo=dt.UTC)
    ((found, *_),) = judge(given, as_of=as_of).values()
    assert found == state
    # So does the validity of a completion, of which that day was the last.
    old = [row("completed", "2025-06-01", "2025-06-14", region=region)]
    ((found, *_),) = judge(old, YEARLY, as_of).values()
    assert (found == "overdue") is (state == "overdue")


def test_people_and_courses_are_judged_apart(judge: Any) -> None:
    rows = [
        row("completed", "2026-05-01", "2026-05-02"),
        row("in_progress", "2026-05-01", course_code="SEC-102"),
        row("not_started", "2026-05-01", person="emp:2", manager="emp:8"),
    ]
    assert {key: one[0] for key, one in judge(rows).items()} == {
        ("emp:1", "SEC-101"): "complete",
        ("emp:1", "SEC-102"): "in_progress",
        ("emp:2", "SEC-101"): "not_started",
    }


def test_a_report_in_two_teams_over_time_is_in_the_last_one_only(judge: Any) -> None:
    """Without a roster each record names the manager of its own time."""
    rows = [
        row("completed", "2026-01-01", "2026-01-09", manager="emp:7"),
        row("completed", "2026-02-01", "2026-02-02", manager="emp:7", course_code="SEC-102"),
        row("in_progress", "2026-05-01", manager="emp:9"),
    ]
    for order in itertools.permutations(rows):
        assert {one[2] for one in judge(list(order)).values()} == {"emp:9"}


@pytest.mark.parametrize(
    "recurring", [{"*": "P1Y"}, {"SEC-*": "P0D"}, {"SEC-*": "yearly"}, {"": "P1Y"}]
)
def test_what_no_validity_can_be_is_refused(recurring: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"recurring"):
        TrainingState(recurring=recurring)

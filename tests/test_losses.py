"""What is lost counts, by file and source; a delivery that brings too little changes nothing."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from expectations import canonical, losses
from expectations.suite import SuiteResult
from pipeline.cli import attention
from pipeline.policy.data_map import DataMap
from pipeline.raw import landing, quarantine, register, row_lines
from pipeline.raw.deliveries import ingest
from pipeline.raw.forms.readable import Table
from pipeline.raw.readers.tabular import MAX_LINE
from pipeline.raw.register import State
from pipeline.storage.layout import Layout
from pipeline.subjects import tombstones
from tests.company import (
    EMAIL,
    HISTORY,
    number,
    person,
    record,
    statement,
    write_csv,
    write_delivery,
)
from tests.estate import context
from tests.fixtures import RUN_DATE

DAY = dt.timedelta(days=1)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def checked(layout: Layout, data_map: DataMap, run_date: object = RUN_DATE) -> SuiteResult:
    ingest(layout, data_map, run_date)  # type: ignore[arg-type]
    return canonical.validate(layout, data_map, run_date)  # type: ignore[arg-type]


def folder(layout: Layout, at: int = 0) -> Path:
    return Path(layout.landing) / str(RUN_DATE + at * DAY)


def accept(layout: Layout, at: int = 0) -> None:
    day = RUN_DATE + at * DAY
    version = register.version_of(layout.canonical / str(day))
    register.note(layout, day, State.ACCEPTED, version=version)


def _mixed(path: Path) -> None:
    """One row of UTF-8, and below it rows of another encoding: of neither is the file."""
    head, first, *rest = path.read_text("utf-8").splitlines(keepends=True)
    path.write_bytes((head + first).encode() + "".join(rest).encode("cp1252"))


def _no_text(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"\xff": 1}\n' * 8)


def _short_lines(path: Path) -> None:
    path.write_text(path.read_text("utf-8").replace(",HQ,", ","), "utf-8")


LOST: dict[str, tuple[str, Callable[[Path], None]]] = {
    "another encoding": ("two_learning_history.csv", _mixed),
    "bytes that are no text": ("xapi.ndjson", _no_text),
    "a column short": ("two_learning_history.csv", _short_lines),
    "a roster of another encoding": ("roster.csv", _mixed),
}


@pytest.mark.parametrize("kind", LOST)
def test_a_file_that_loses_most_fails_however_many_others_are_right(
    layout: Layout, data_map: DataMap, kind: str
) -> None:
    name, spoil = LOST[kind]
    rows = [record(p, Location="HQ") for p in range(60)]
    write_delivery(folder(layout), rows, [person(p) for p in range(60)], [statement(1)])
    write_csv(
        folder(layout) / "two_learning_history.csv",
        [record(p, Location="HQ", Department="Köln") for p in range(8)],
        HISTORY,
    )
    write_csv(
        folder(layout) / "roster.csv",
        [person(p, Department="Köln") for p in range(8)],
        list(person(0)),
    )
    spoil(folder(layout) / name)
    found = checked(layout, data_map)
    assert {"quarantine.not_most", "lines.readable"} <= set(found.broken)
    said = "; ".join(found.details)
    assert name in said
    assert "milestones quarantine" in said
    assert "Person" not in said


def test_a_few_bad_lines_are_set_aside(layout: Layout, data_map: DataMap) -> None:
    path = write_delivery(folder(layout), [record(p) for p in range(60)]) / "learning_history.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[7] = lines[7].replace(b"Person", b"P\xff")
    path.write_bytes(b"".join(lines))
    assert checked(layout, data_map).passed


def _with_faults(path: Path) -> dict[int, str]:
    """Rows that break a rule, some behind a title that goes over two lines; line to rule."""
    rows = [record(p) for p in range(40)]
    rows[2]["Course Title"] = 'Two\nlines, "quoted"'
    faults = {1: ("Score", "many"), 3: ("Status", "lost"), 39: ("Status", "gone")}
    for at, (column, value) in faults.items():
        rows[at][column] = value
    write_delivery(path, rows)
    rules = {"Score": "score:not_a_number", "Status": "status:unknown"}
    # The header is line 1, and the third row has two.
    return {at + 2 + (at > 2): rules[column] for at, (column, _) in faults.items()}


def _as_before(path: Path) -> None:
    """Commas and UTF-8."""


def _with_semicolons(path: Path) -> None:
    with path.open(newline="") as of:
        rows = list(csv.reader(of))
    with path.open("w", newline="", encoding="utf-16") as of:
        csv.writer(of, delimiter=";").writerows(rows)


@pytest.mark.parametrize("written", [_as_before, _with_semicolons])
def test_rows_that_are_set_aside_are_found_on_their_lines(
    layout: Layout, data_map: DataMap, written: Callable[[Path], None]
) -> None:
    """However the file is written; of a delivery that was replaced meanwhile no line is said."""
    at = _with_faults(folder(layout))
    path = folder(layout) / "learning_history.csv"
    written(path)
    ingest(layout, data_map, RUN_DATE)
    shown = {rule: lines for rule, _, _, lines in quarantine.counts(layout, data_map, RUN_DATE)}
    for rule in set(at.values()):
        assert shown[rule] == ", ".join(str(line) for line in at if at[line] == rule)
    path.write_bytes(path.read_bytes() + path.read_bytes()[-1:])
    assert not any(lines for *_, lines in quarantine.counts(layout, data_map, RUN_DATE))
    landing.remove(layout, RUN_DATE)
    assert not any(lines for *_, lines in quarantine.counts(layout, data_map, RUN_DATE))


def test_a_quote_that_nothing_closes_hides_lines_and_stops_nothing(tmp_path: Path) -> None:
    """Python's reader takes the rest of the file for one value, and gives up where that is too
    long; the lines above it are found, and the verdict stands."""
    path = tmp_path / "any.csv"
    path.write_text('a,b\n1,2\n"3,4\n' + "5,6\n" * (MAX_LINE // 3))
    wanted = {'{"a":"1","b":"2"}', '{"a":"5","b":"6"}', ""}
    found = dict(row_lines._of_text(path, Table(("a", "b")), wanted))
    assert found == {'{"a":"1","b":"2"}': 2}


def test_statements_that_are_set_aside_are_found_on_their_lines(
    layout: Layout, data_map: DataMap
) -> None:
    far = statement(2, result={"score": {"scaled": 7}})
    write_delivery(folder(layout), [record(1)], statements=[statement(1), far, statement(3)])
    ingest(layout, data_map, RUN_DATE)
    (found,) = quarantine.counts(layout, data_map, RUN_DATE)
    assert found == ("score:out_of_scale", "xapi.ndjson", 1, "2")


def test_a_failure_says_the_rule_the_file_and_the_lines(layout: Layout, data_map: DataMap) -> None:
    rows = [record(p, **({"Status": "lost"} if p > 4 else {})) for p in range(60)]
    write_delivery(folder(layout), rows)
    said = "; ".join(checked(layout, data_map).details)
    assert "status:unknown: 55 of learning_history.csv (lines " in said
    numbers = said.split("(lines ")[1].split(")")[0].split(", ")
    assert len(set(numbers)) == 5
    assert all(7 <= int(one) <= 61 for one in numbers)


@pytest.mark.parametrize(("people", "passes"), [(0, False), (9, False), (10, True), (40, True)])
def test_a_full_export_is_compared_with_the_accepted_ones(
    layout: Layout, data_map: DataMap, people: int, passes: bool
) -> None:
    """An incremental one is not: a day without news is no fault."""
    for at in range(2):
        write_delivery(
            folder(layout, at), [record(p) for p in range(30)], [person(p) for p in range(20)]
        )
        assert checked(layout, data_map, RUN_DATE + at * DAY).passed
        accept(layout, at)
    write_delivery(folder(layout, 2), [])
    write_csv(folder(layout, 2) / "hr_roster.csv", map(person, range(people)), list(person(0)))
    found = checked(layout, data_map, RUN_DATE + 2 * DAY)
    assert found.passed is passes, found.details
    if not passes:
        day = RUN_DATE + 2 * DAY
        last = register.latest(register.steps(layout, day))
        assert last is not None
        register.note(layout, day, State.ALLOWED, "we sold a part", sha256=last.sha256)
        assert checked(layout, data_map, day).passed, "this very content was allowed"


def test_a_correction_does_not_take_back_most_of_what_was_accepted(
    layout: Layout, data_map: DataMap
) -> None:
    write_delivery(folder(layout), [record(p) for p in range(30)], (), [statement(1)])
    assert checked(layout, data_map).passed
    accept(layout)
    write_delivery(folder(layout), [record(p) for p in range(10)], (), [statement(1)])
    assert set(checked(layout, data_map).broken) == {"volume.not_less"}
    register.refuse(layout, [RUN_DATE], "volume")
    (folder(layout) / "xapi.ndjson").unlink()
    write_delivery(folder(layout), [record(p) for p in range(30)])
    assert "xapi" in "; ".join(checked(layout, data_map).details), "a file that is gone"


def test_rows_of_erased_people_are_no_loss(layout: Layout, data_map: DataMap) -> None:
    """They are refused after reading, in a correction as in a full export of a small company."""
    statements = [statement(p) for p in range(2)]
    write_delivery(folder(layout), map(record, range(4)), map(person, range(4)), statements)
    assert checked(layout, data_map).passed
    accept(layout)
    gone = [*(f"emp:{number(p)}" for p in range(3)), f"mbox:mailto:{EMAIL}"]
    tombstones.add(context(layout.root), gone, RUN_DATE)
    rows = [record(p, Score="40") for p in range(4)]
    write_delivery(folder(layout), rows, map(person, range(4)), statements[:1])
    assert checked(layout, data_map).passed


def test_a_source_that_does_not_come_is_said_and_stops_nothing(
    layout: Layout, data_map: DataMap
) -> None:
    """If the last deliveries all had it; a source that comes now and then has no such day."""
    rules = data_map.deliveries
    for at in range(3):
        write_delivery(folder(layout, at), [record()], [person(0)] if at else [], [statement(at)])
        assert checked(layout, data_map, RUN_DATE + at * DAY).passed
        assert losses.absent(layout, rules, RUN_DATE + at * DAY) == []
        accept(layout, at)
    write_csv(folder(layout, 3) / "hr_roster.csv", [person(0)], list(person(0)))
    assert checked(layout, data_map, RUN_DATE + 3 * DAY).passed
    assert losses.absent(layout, rules, RUN_DATE + 3 * DAY) == [
        "no file of corporate, of which the last 3 deliveries had 1 rows",
        "no file of xapi, of which the last 3 deliveries had 1 rows",
    ]
    register.admit(layout, RUN_DATE + 3 * DAY, "no file of corporate")
    accept(layout, 3)
    assert list(attention._sources(layout)) == [
        f"the delivery of {RUN_DATE + 3 * DAY}: no file of corporate"
    ]

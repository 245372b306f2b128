"""Re-delivered, late and corrected deliveries: the store is a function of the set of deliveries."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.classified.classify import write_classified
from pipeline.errors import PolicyError
from pipeline.policy.data_map import load_data_map
from pipeline.policy.retention import load_retention
from pipeline.raw.deliveries import admitted, ingest
from pipeline.storage.engine import engine
from pipeline.storage.layout import PROJECT, Layout
from tests import soak
from tests.company import record, statement, write_delivery
from tests.estate import context

MAP = load_data_map(PROJECT / "data_map.yaml")
RULES = load_retention(PROJECT / "retention_rules.yaml")
FIRST = dt.date(2026, 11, 1)
STATUSES = ["Not Started", "In Progress", "Completed", "Failed"]
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from(STATUSES)), max_size=8
)


def classified(layout: Layout) -> list[dict[str, Any]]:
    out = layout.root / "classified"
    shutil.rmtree(out, ignore_errors=True)
    with engine(layout.work) as connection:
        write_classified(connection, context(layout.root), out)
    found = [pl.read_parquet(path) for path in out.glob("*/*.parquet")]
    if not found:
        return []
    return pl.concat(found).sort("person", "course_code", "record_type", "assigned_on").to_dicts()


def land(layout: Layout, day: int, rows: list[tuple[int, int, str]]) -> dt.date:
    date = FIRST + dt.timedelta(days=day)
    write_delivery(
        Path(layout.landing) / str(date),
        [record(p, Course_Code=f"C-{c}", Status=status) for p, c, status in rows],
    )
    return date


@settings(max_examples=soak.times(8, 200))
@given(deliveries=st.lists(ROWS, min_size=1, max_size=4), data=st.data())
def test_order_and_repetition_of_deliveries_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory,
    deliveries: list[list[tuple[int, int, str]]],
    data: st.DataObject,
) -> None:
    """The last delivery's word holds, in whatever order and however often they were read."""
    layout = Layout(tmp_path_factory.mktemp("deliveries"))
    dates = [land(layout, day, rows) for day, rows in enumerate(deliveries)]
    order = data.draw(st.lists(st.sampled_from(dates), max_size=6)) + data.draw(
        st.permutations(dates)
    )
    for date in order:
        ingest(layout, MAP, date)
    found = {
        (str(row["person"]), str(row["course_code"])): row["status"] for row in classified(layout)
    }
    expected: dict[tuple[str, str], set[str]] = {}
    for rows in deliveries:
        this_run: dict[tuple[str, str], set[str]] = {}
        for person, course, status in rows:
            key = (f"emp:{7_700_001 + person}", f"C-{course}")
            this_run.setdefault(key, set()).add(status.lower().replace(" ", "_"))
        expected |= this_run
    assert set(found) == set(expected)
    assert all(found[key] in expected[key] for key in found)
    assert len(classified(layout)) == len(expected)


@settings(max_examples=soak.times(5, 60))
@given(order=st.permutations(range(6)))
def test_rows_alike_in_all_that_ranks_them_do_not_depend_on_their_place(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    rows = [
        record(
            0,
            Attempts=str(n % 3),
            Comments="-" * (n % 2),
            Country="DE" if n < 3 else "FR",
            Started_Date=f"2026-10-0{1 + n % 2}",
            Due_Date=f"2026-10-2{n % 3}",
        )
        for n in range(6)
    ]
    found = []
    for shuffled in ([rows[n] for n in order], rows):
        layout = Layout(tmp_path_factory.mktemp("ties"))
        write_delivery(Path(layout.landing) / str(FIRST), shuffled)
        ingest(layout, MAP, FIRST)
        found += classified(layout)
    one, other = found
    assert one == other
    assert (one["attempts"], one["has_comment"]) == (2, True)


def test_a_late_delivery_does_not_undo_a_newer_one(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    newer = land(layout, 1, [(0, 0, "Completed")])
    ingest(layout, MAP, newer)
    ingest(layout, MAP, land(layout, 0, [(0, 0, "In Progress")]))
    assert [row["status"] for row in classified(layout)] == ["completed"]


def test_a_voided_statement_is_taken_out(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    void = statement(
        1,
        id="v",
        verb={"id": "http://adlnet.gov/expapi/verbs/voided"},
        object={"objectType": "StatementRef", "id": statement(0)["id"]},
        result={},
    )
    folder = Path(layout.landing) / str(FIRST)
    write_delivery(folder, [], (), [statement(0), statement(2), void])
    ingest(layout, MAP, FIRST)
    assert [row["person"] for row in classified(layout)] == [f"mbox:mailto:{record(2)['Email']}"]


def test_aliases_resolve_through_the_roster(tmp_path: Path) -> None:
    import hashlib

    from tests.company import person

    layout = Layout(tmp_path)
    sha = hashlib.sha1(f"mailto:{record(1)['Email']}".encode()).hexdigest()
    actors = [
        statement(0, actor={"mbox": f"mailto:{record(0)['Email'].upper()}"}),
        statement(1, actor={"mbox_sha1sum": sha}),
        statement(
            2, actor={"account": {"homePage": "https://lms.corp.example", "name": "7700003"}}
        ),
        statement(3, actor={"mbox": "mailto:shared@corp.example"}),
    ]
    people = [person(p) for p in range(3)] + [
        person(p, Email="shared@corp.example") for p in (4, 5)
    ]
    write_delivery(Path(layout.landing) / str(FIRST), [], people, actors)
    ingest(layout, MAP, FIRST)
    assert sorted(str(row["person"]) for row in classified(layout)) == [
        "emp:7700001",
        "emp:7700002",
        "emp:7700003",
        "mbox:mailto:shared@corp.example",
    ]


def test_a_delivery_replaced_while_it_is_read_does_not_count(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    date = land(layout, 0, [(0, 0, "Completed")])
    file = Path(layout.landing) / str(date) / "learning_history.csv"

    def read_while_it_is_replaced() -> None:
        with admitted(layout, MAP, date):
            beside = file.with_suffix(".new")
            beside.write_bytes(file.read_bytes())
            os.replace(beside, file)

    with pytest.raises(PolicyError, match="changed while it was read"):
        read_while_it_is_replaced()


def test_a_failed_reading_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    date = land(layout, 0, [(0, 0, "Completed")])
    ingest(layout, MAP, date)
    before = {p: p.stat().st_ino for p in layout.canonical.rglob("*")}
    (Path(layout.landing) / str(date) / "unknown.bin").touch()
    with pytest.raises(PolicyError):
        ingest(layout, MAP, date)
    assert {p: p.stat().st_ino for p in layout.canonical.rglob("*")} == before
    assert not [p for p in layout.work.iterdir() if p.name != "spill"]

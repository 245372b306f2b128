"""Corrections at somebody's request, and the deliveries that their record is of.

The kind of fault: the wrong rows are erased from the deliveries, and what is left no longer knows
which deliveries those were. So a record stayed published, corrected, after every delivery with it
had been withdrawn or replaced.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipeline.classified.steps import classify
from pipeline.context import Context
from pipeline.published.reconciliation import _store_counts
from pipeline.raw import register
from pipeline.raw.deliveries import ingest
from pipeline.raw.register import State
from pipeline.requests import fulfil
from pipeline.retained import backup
from pipeline.storage.engine import count, engine
from pipeline.storage.relations import classified, subquery
from pipeline.subjects import request_register, tombstones
from pipeline.subjects.request_register import Kind
from tests.company import NUMBER, company, record, write_delivery
from tests.estate import NOW, context
from tests.fixtures import RUN_DATE

PERSON, COURSE = f"emp:{NUMBER}", "SQL-220"
LATER = RUN_DATE + dt.timedelta(days=1)
WITH_IT = [record(1), record(0, Course_Code=COURSE)]
WITHOUT_IT = WITH_IT[:1]
WITH_ANOTHER = [record(1), record(0, Course_Code=COURSE, Status="Failed")]


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("MILESTONES_ACTOR", "dora")
    return context(tmp_path / "home")


def deliver(stand: Context, day: dt.date, rows: list[dict[str, str]]) -> None:
    """A delivery that is accepted."""
    layout = stand.layout
    _, people, _ = company()
    write_delivery(Path(layout.landing) / str(day), rows, people)
    with layout.locked():
        register.settle(layout)
    ingest(layout, stand.data_map, day)
    version = register.version_of(layout.canonical / str(day))
    register.note(layout, day, State.ACCEPTED, version=version)
    classify(stand, NOW)


def withdraw(stand: Context, day: dt.date) -> None:
    with stand.layout.locked():
        register.withdraw(stand.layout, day, "wrong export", "eddy")
    classify(stand, NOW)


def correct(stand: Context, status: str) -> None:
    request = request_register.receive(
        stand.layout,
        Kind.RECTIFICATION,
        PERSON,
        NOW.date(),
        {"course_code": COURSE, "status": status},
    )
    request_register.verify_identity(stand.layout, request.name, "HR desk")
    fulfil.fulfil(stand, request.name, NOW)
    classify(stand, NOW)


def status(stand: Context) -> list[str]:
    """How the training stands; every stored row is counted."""
    layout = stand.layout
    with engine(layout.work) as connection:
        counts = _store_counts(connection, layout)
        kept = count(connection, f"SELECT count(*) FROM {classified(layout)}")
        assert counts["received"] == counts["quarantined"] + counts["superseded"] + kept
        mine = subquery(f"FROM {classified(layout)} WHERE person = '{PERSON}'")
        found = connection.execute(f"SELECT status FROM {mine} WHERE course_code = '{COURSE}'")
        return [str(one) for (one,) in found.fetchall()]


def test_a_corrected_record_goes_with_its_delivery_and_comes_back_corrected(
    stand: Context,
) -> None:
    deliver(stand, RUN_DATE, WITHOUT_IT)
    deliver(stand, LATER, WITH_IT)
    correct(stand, "waived")
    assert status(stand) == ["waived"]
    correct(stand, "withdrawn")
    assert status(stand) == ["withdrawn"]
    withdraw(stand, LATER)
    assert status(stand) == []
    deliver(stand, LATER, WITH_IT)
    assert status(stand) == ["withdrawn"]


def test_it_stays_as_long_as_one_delivery_has_it(stand: Context) -> None:
    deliver(stand, RUN_DATE, WITH_IT)
    deliver(stand, LATER, WITH_IT)
    correct(stand, "waived")
    withdraw(stand, LATER)
    assert status(stand) == ["waived"]
    withdraw(stand, RUN_DATE)
    assert status(stand) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [(WITHOUT_IT, []), (WITH_IT, ["waived"]), (WITH_ANOTHER, ["waived"])],
    ids=["without it", "as before", "with another value"],
)
def test_a_delivery_is_replaced(
    stand: Context, content: list[dict[str, str]], expected: list[str]
) -> None:
    """Only a later delivery overtakes a correction."""
    deliver(stand, RUN_DATE, WITHOUT_IT)
    deliver(stand, LATER, WITH_IT)
    correct(stand, "waived")
    deliver(stand, LATER, content)
    assert status(stand) == expected


def test_a_restored_backup_leaves_what_a_correction_stands_on(stand: Context) -> None:
    """Also where quarantined rows lose what was delivered, since somebody was erased meanwhile."""
    deliver(stand, RUN_DATE, WITHOUT_IT)
    deliver(stand, LATER, WITH_IT)
    made = backup.make(stand, NOW)
    correct(stand, "waived")
    tombstones.add(stand, ["emp:9999999"], NOW.date())
    backup.restore(stand, made)
    classify(stand, NOW)
    assert status(stand) == ["waived"]
    withdraw(stand, LATER)
    assert status(stand) == []
    deliver(stand, LATER + dt.timedelta(days=1), WITH_ANOTHER)
    assert status(stand) == ["failed"], "the source has said something else since"


def test_what_an_older_version_corrected_stays(stand: Context) -> None:
    """It does not say of which deliveries it was."""
    deliver(stand, RUN_DATE, WITHOUT_IT)
    deliver(stand, LATER, WITH_IT)
    correct(stand, "waived")
    (file,) = stand.layout.rectified.glob("*/*.parquet")
    with duckdb.connect() as c:
        row = c.sql(f"SELECT * REPLACE (split_part(raw, ' ', 1) AS raw) FROM '{file}'").pl()
        assert row["raw"].str.len_chars().to_list() == [32]
        c.sql(f"COPY (FROM row) TO '{file}'")
    assert isinstance(row, pl.DataFrame)
    withdraw(stand, LATER)
    assert status(stand) == ["waived"]

"""The whole job over generated records, holds and days, against the rules worked out by hand."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.classified import population
from pipeline.retained import job
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from pipeline.subjects import legal_holds
from tests import soak
from tests.company import HISTORY, number, record, write_csv
from tests.estate import accept, context, hold

pytestmark = pytest.mark.usefixtures("plainly")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bare")


DAYS = st.dates(dt.date(2023, 6, 1), dt.date(2026, 11, 24))
ROWS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, 3),
        st.sampled_from(["Course", "Exam", "Message"]),
        DAYS,
        st.sampled_from(["DE", "GB", "US"]),
    ),
    min_size=1,
    max_size=20,
)
SCOPES = st.lists(
    st.one_of(
        st.builds(lambda p: {"people": (f"emp:{number(p)}",)}, st.integers(0, 5)),
        st.builds(lambda c: {"courses": (f"C-{c}",)}, st.integers(0, 3)),
    ),
    max_size=2,
)


@settings(max_examples=soak.times(8, 400))
@given(deliveries=st.lists(ROWS, min_size=1, max_size=3), scopes=SCOPES, day=DAYS)
def test_the_whole_job_erases_what_is_due_and_nothing_else(
    bare: Path, deliveries: list[Any], scopes: list[Any], day: dt.date
) -> None:
    """From the delivered files to the files on disk, against the rules worked out by hand."""
    shutil.rmtree(bare)
    stand = context(bare)
    now = dt.datetime.combine(day, dt.time(12), dt.UTC) + dt.timedelta(days=120)
    rows, dates = list[dict[str, str]](), list[dt.date]()
    for n, delivery in enumerate(deliveries):
        delivered = [
            record(
                p,
                Course_Code=f"C-{c}",
                Item_Type=kind,
                Country=country,
                Due_Date="",
                Assigned_Date=str(done),
                Started_Date=str(done),
                Completed_Date=str(done),
            )
            for p, c, kind, done, country in delivery
        ]
        date = dt.date(2026, 11, 25) + dt.timedelta(days=n)
        write_csv(
            Path(Layout(bare).landing) / str(date) / "learning_history.csv", delivered, HISTORY
        )
        dates.append(date)
        rows += delivered
    accept(stand, *dates, now=now)
    for n, scope in enumerate(scopes):
        legal_holds.place(
            stand.layout,
            hold(**{**scope, "name": f"case-{n}"} | {"review_by": dt.date(2040, 1, 1)}),
        )
    job.retain(stand, now)
    with engine(stand.layout.work) as connection:
        kept_up = counts_of(connection, stand.layout)
        population.forget(stand.layout)
        assert kept_up == counts_of(connection, stand.layout)

    def kept(row: dict[str, str]) -> bool:
        done = dt.date.fromisoformat(row["Completed Date"])
        country, kind = row["Country"], row["Item Type"]
        years = {"Course": 3, "Exam": 2 if country == "GB" else 1}.get(kind)
        if years:
            try:
                last = done.replace(year=done.year + years)
            except ValueError:
                last = dt.date(done.year + years, 2, 28)
        else:
            last = done + dt.timedelta(days=60 if country == "DE" else 90)
        return last >= now.date() or any(
            f"emp:{row['Employee ID']}" in scope.get("people", ())
            or row["Course Code"] in scope.get("courses", ())
            for scope in scopes
        )

    def key(row: dict[str, str]) -> tuple[str, ...]:
        return row["Employee ID"], row["Course Code"], row["Item Type"], row["Assigned Date"]

    kinds = {
        "milestone_flag": "Course",
        "assessment_record": "Exam",
        "communications_log": "Message",
    }
    with duckdb.connect() as c:
        found = c.execute(
            "SELECT DISTINCT learner_id[5:], course_code, record_type, occurrence FROM "
            f"read_parquet('{bare}/store/canonical/*/*/records-corporate-0.parquet')"
        ).fetchall()
    assert {(a, b, kinds[t], o) for a, b, t, o in found} == {
        key(row) for row in rows if kept(newest(rows, row))
    }


def counts_of(connection: duckdb.DuckDBPyConnection, layout: Layout) -> list[list[Any]]:
    """The population counts as stored, or as the rows have them where none are stored."""
    population.load(connection, layout)
    return [
        connection.execute(f"FROM {table} ORDER BY ALL").fetchall()
        for table in (population.PEOPLE, population.TITLES)
    ]


def newest(rows: list[dict[str, str]], row: dict[str, str]) -> dict[str, str]:
    """The revision that holds: of a key, the one that the latest delivery has."""
    same = [
        one
        for one in rows
        if all(
            one[k] == row[k] for k in ("Employee ID", "Course Code", "Item Type", "Assigned Date")
        )
    ]
    return same[-1]

"""An address that was an erased person's, and is somebody else's since.

The kind of fault: a tombstone that knows no time refuses the records of whoever has the address
next, be it the same person under a new number, without a word; or one that gives way brings back
what was erased.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from assets import lineage
from pipeline.classified.steps import refuse_returned
from pipeline.context import Context
from pipeline.raw import register
from pipeline.raw.deliveries import ingest
from pipeline.raw.register import State
from pipeline.retained import index
from pipeline.subjects import tombstones
from tests.company import EMAIL, person, record, statement, write_delivery
from tests.estate import NOW, context
from tests.fixtures import RUN_DATE, Estate, errors
from tests.test_requests import PERSON

DAY = dt.timedelta(days=1)
ERASED_ON = RUN_DATE - 10 * DAY
HASHED = f"sha1:{hashlib.sha1(f'mailto:{EMAIL}'.encode()).hexdigest()}"
ACTORS = {
    f"mbox:mailto:{EMAIL}": {"mbox": f"mailto:{EMAIL}"},
    HASHED: {"mbox_sha1sum": HASHED.removeprefix("sha1:")},
}


@pytest.fixture
def stand(tmp_path: Path) -> Context:
    """Somebody was erased, who alone had an address."""
    made = context(tmp_path / "home")
    tombstones.add(made, [PERSON, *ACTORS], ERASED_ON)
    return made


def deliver(stand: Context, day: dt.date, roster: list[dict[str, str]]) -> set[tuple[str, str]]:
    """Statements of three days under the address, in both forms; whose are kept, and their day."""
    days = (ERASED_ON - DAY, ERASED_ON + DAY, RUN_DATE)
    said = [
        statement(at, actor=actor, timestamp=f"{on}T12:00:00Z")
        for at, (on, actor) in enumerate((on, actor) for on in days for actor in ACTORS.values())
    ]
    write_delivery(Path(stand.layout.landing) / str(day), [record(5)], roster, said)
    ingest(stand.layout, stand.data_map, day)
    return kept(stand, day)


def kept(stand: Context, day: dt.date) -> set[tuple[str, str]]:
    """The statements of a delivery that the store holds: whose, and of which day."""
    with duckdb.connect() as c:
        found = c.execute(
            "SELECT learner_id, event_at::DATE::VARCHAR "
            f"FROM read_parquet('{stand.layout.canonical}/{day}/*/records-*.parquet', "
            "union_by_name=true) WHERE source = 'xapi'"
        ).fetchall()
    return set(found)


def test_what_comes_after_it_was_given_on_is_kept_and_nothing_before(stand: Context) -> None:
    """In the delivery whose roster says so, and in those that follow."""
    expected = {(actor, str(RUN_DATE)) for actor in ACTORS}
    assert deliver(stand, RUN_DATE, [person(9, Email=EMAIL)]) == expected
    assert deliver(stand, RUN_DATE + DAY, [person(2)]) == expected


def test_so_it_is_of_an_address_that_the_person_got_after_the_erasure(tmp_path: Path) -> None:
    """What counts is when rosters list it, not when they are read."""
    stand = context(tmp_path / "home")
    tombstones.add(stand, [PERSON], ERASED_ON)
    assert deliver(stand, ERASED_ON + DAY, [person(0)]) == set()
    assert deliver(stand, RUN_DATE, [person(9, Email=EMAIL)]) == {
        (actor, str(RUN_DATE)) for actor in ACTORS
    }


@pytest.mark.parametrize("next_is", ["a run", "a deletion"])
def test_it_is_nobodys_again_once_the_roster_that_gave_it_on_is_withdrawn(
    stand: Context, instance: dg.DagsterInstance, next_is: str
) -> None:
    """What was let in by then leaves the store before anything is classified, whoever is next."""
    layout, later = stand.layout, RUN_DATE + DAY
    estate = Estate(layout.root, instance)
    deliver(stand, RUN_DATE, [person(9, Email=EMAIL)])
    assert deliver(stand, later, [person(2)])
    for day in (RUN_DATE, later):
        version = register.version_of(layout.canonical / str(day))
        register.note(layout, day, State.ACCEPTED, version=version)
    assert refuse_returned(stand) == 0
    if next_is == "a deletion":
        classified = estate.run(later, [lineage.CLASSIFIED])
        assert classified.success, errors(classified)
    register.withdraw(layout, RUN_DATE, "wrong export", "eddy")
    if next_is == "a deletion":
        index.refresh(stand, NOW)
    else:
        register.settle(layout)
        classified = estate.run(later, [lineage.CLASSIFIED])
        assert classified.success, errors(classified)
    assert kept(stand, later) == set()
    assert refuse_returned(stand) == 0


@pytest.mark.parametrize(
    ("day", "roster"),
    [
        (RUN_DATE, [person(2)]),  # nobody has it
        (RUN_DATE, [person(0)]),  # the erased person, still on the roster
        (RUN_DATE, [person(0), person(9, Email=EMAIL)]),  # both have it, so whose is a record?
        (ERASED_ON - 90 * DAY, [person(9, Email=EMAIL)]),  # another one had it long before
    ],
    ids=["nobody", "the same", "both", "before"],
)
def test_otherwise_it_is_refused_for_good(
    stand: Context, day: dt.date, roster: list[dict[str, str]]
) -> None:
    assert deliver(stand, day, roster) == set()
    assert deliver(stand, RUN_DATE + DAY, roster) == set()


def test_a_manager_by_address_is_one_of_their_days_only(stand: Context) -> None:
    """A row that names the erased person as manager keeps no trace of it; one of later days keeps
    the manager of then."""
    rows = [
        record(3, Course_Code=code, Manager_ID=EMAIL, Completed_Date=str(on), Assigned_Date=str(on))
        for code, on in (("OLD-1", ERASED_ON - DAY), ("NEW-1", RUN_DATE))
    ]
    write_delivery(Path(stand.layout.landing) / str(RUN_DATE), rows, [person(9, Email=EMAIL)])
    ingest(stand.layout, stand.data_map, RUN_DATE)
    with duckdb.connect() as c:
        found = dict(
            c.execute(
                f"SELECT course_code, manager_id FROM read_parquet('{stand.layout.canonical}/"
                f"{RUN_DATE}/*/records-*.parquet', union_by_name=true)"
            ).fetchall()
        )
    assert found == {"OLD-1": None, "NEW-1": f"mbox:mailto:{EMAIL}"}

"""Analysts' rows of a period are published once: whatever comes later changes nothing, and what
leaves, leaves by whole classes. Only an erasure takes a single person's row."""

from __future__ import annotations

import datetime as dt
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from pipeline.context import Context
from pipeline.policy.fields import Audience
from pipeline.published import row_history
from pipeline.published.reconciliation import LATE
from pipeline.raw import register
from pipeline.requests import fulfil
from pipeline.retained import backup, job, recover
from pipeline.retained.remembered import missing
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from pipeline.storage.relations import pseudonymized
from pipeline.subjects import restrictions
from tests import soak
from tests.company import company, number, person, record, write_delivery
from tests.estate import NOW, as_of, decide
from tests.fixtures import RUN_DATE, Estate, errors
from tests.opened import everything, relation

pytestmark = pytest.mark.usefixtures("plainly")
LATER = RUN_DATE + dt.timedelta(days=1)
Rows = Counter[tuple[object, ...]]


def shown(home: Path) -> Rows:
    """The released rows of the analysts' table."""
    path = home / "releases" / "current" / "analytics.duckdb"
    with duckdb.connect(str(path), read_only=True) as c:
        return Counter(c.execute("FROM analytics_milestones").fetchall())


def counted(estate: Estate, run_date: dt.date) -> dict[str, int]:
    path = estate.layout.reconciliation / f"{run_date}.json"
    (found,) = (
        one for one in json.loads(path.read_text()) if one["table"] == "analytics_milestones"
    )
    assert found["balanced"]
    return {**found["suppressed"], "published": found["published"]}


def inner(home: Path) -> str:
    """Everything that the history has, opened with the key alone."""
    return "".join(everything(home, path) for path in row_history.files(Layout(home)))


def test_what_comes_later_changes_no_published_row(published: Estate) -> None:
    """Late records, corrections, people who join, and a new key."""
    before = shown(published.home)
    assert before.total() == 19
    published.context.ring.rotate(LATER)
    begun = {"Assigned_Date": "2026-09-01", "Started_Date": "2026-09-02", "Completed_Date": ""}
    rows, people, statements = company()
    rows += [record(p, **begun, Status="In Progress", Score="") for p in range(30, 36)]
    for one in rows[19:25]:  # in September, as it turns out
        one |= {"Completed Date": "2026-09-20", "Status": "Completed", "Score": "50"}
    write_delivery(
        published.delivery(LATER), rows, [*people, *map(person, range(30, 36))], statements
    )
    result = published.run(LATER)
    assert result.success, errors(result)
    assert shown(published.home) == before
    assert counted(published, LATER)[LATE] == 6
    assert counted(published, LATER)["published"] == 19
    # The history is not in any release, and names nobody in the clear.
    assert not [p for p in published.home.rglob("releases/**/*") if "row_history" in p.name]
    raw = b"".join(p.read_bytes() for p in row_history.files(published.layout))
    assert f"emp:{number(0)}" in inner(published.home)
    assert number(0).encode() not in raw


def _object(stand: Context) -> None:
    restrictions.restrict(stand.layout, f"emp:{number(4)}", [Audience.ANALYTICS], "objected")


LEAVING: dict[str, Callable[[Context], object]] = {
    "objection": _object,
    "course found sensitive": lambda stand: decide(stand, "SEC-101", category="health"),
}


@pytest.mark.parametrize("why", LEAVING)
def test_classes_leave_as_a_whole(published: Estate, why: str) -> None:
    stand = published.context
    LEAVING[why](stand)
    with engine(stand.layout.work) as connection:
        history = row_history.stored(connection, stand, row_history.files(stand.layout))
        live = row_history.live_classes(connection, stand, history)
        assert connection.sql(f"FROM {live}").fetchall() == []
        assert row_history.outdated(connection, stand)


def test_one_objection_takes_the_class_and_its_end_brings_it_back(published: Estate) -> None:
    before, stand = shown(published.home), published.context
    _object(stand)
    with as_of(NOW):
        fulfil.lift(stand, f"emp:{number(5)}", restrictions.OBJECTED, NOW)  # refreshes
        assert shown(published.home).total() == 0
        fulfil.lift(stand, f"emp:{number(4)}", restrictions.OBJECTED, NOW)
    assert shown(published.home) == before


def test_the_earliest_window_in_a_class_takes_it_all(published: Estate) -> None:
    """The day before, nothing is due; then one record's window is over, and the class is erased."""
    stand, cut = published.context, dt.datetime(2028, 9, 2, 12, tzinfo=dt.UTC)
    with engine(stand.layout.work) as connection:
        assert row_history.past_retention(connection, stand, cut) == {}
        (query,) = row_history.past_retention(
            connection, stand, cut + dt.timedelta(days=1)
        ).values()
        assert connection.sql(query).fetchall() == []


def test_an_erasure_takes_one_row_and_leaves_no_trace(published: Estate, tmp_path: Path) -> None:
    """Neither in the history nor in a backup, nor by restoring one of before from elsewhere."""
    stand, layout, who = published.context, published.layout, f"emp:{number(14)}"
    made = backup.make(stand, NOW)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(made, elsewhere)
    before = shown(published.home)
    with as_of(NOW):
        job.erase_person(stand, who, None, NOW)
    assert (before - shown(published.home)).total() == 1
    assert (shown(published.home) - before).total() == 0
    (copy,) = backup.copies(layout)
    for one in (layout, copy):
        with duckdb.connect() as c:
            (path,) = row_history.files(one)
            found = c.execute(f"SELECT DISTINCT person FROM {relation(c, published.home, path)}")
            assert len(found.fetchall()) == 18
    assert who not in inner(published.home)
    # A backup that nobody could reach brings the rows back, and not the person.
    shutil.rmtree(layout.row_history)
    assert any("rows" in one for one in missing(layout))
    shutil.rmtree(copy.root)
    assert any("rows" in one for one in recover.recover(stand))
    backup.restore(stand, elsewhere)
    assert who not in inner(published.home)
    assert f"emp:{number(13)}" in inner(published.home)
    # What was lost since that backup is gone for good, and is said to be.
    recover.accept(stand, "the disk failed")
    assert missing(layout) == []


def test_a_class_that_an_erasure_leaves_too_small_leaves_with_it(published: Estate) -> None:
    stand, layout = published.context, published.layout
    gone = [f"emp:{number(at)}" for at in range(15)]
    with engine(layout.work) as connection:
        row_history.rewrite(connection, layout, row_history.without(connection, layout, gone))
        history = row_history.stored(connection, stand, row_history.files(layout))
        assert len(connection.sql(f"FROM {history}").fetchall()) == 4
        live = row_history.live_classes(connection, stand, history)
        assert connection.sql(f"FROM {live}").fetchall() == []


def test_a_shorter_period_publishes_nothing_for_a_second_time(published: Estate) -> None:
    """After a change of policy, months of a quarter that is published are not published again."""
    stand, layout = published.context, published.layout
    rows = pseudonymized(layout, Audience.ANALYTICS)
    rule = stand.disclosure.classes["analytics_milestones"]
    with engine(layout.work) as connection:

        def due(period: str) -> list[dt.date]:
            changed = rule.model_copy(update={"period": period})
            return row_history.periods_to_publish(connection, layout, rows, changed)

        assert due("quarter") == due("year") == []
        assert due("month") == [dt.date(2026, 10, 1)]
        shutil.rmtree(layout.row_history)
        assert due("month") == [dt.date(2026, 9, 1), dt.date(2026, 10, 1)]


COURSES = ("SEC-101", "SQL-220", "GDP-1")
CLASS = slice(0, 7)  # the columns that distinguish classes, which come first


def _delivery(folder: Path, chance: random.Random, until: dt.date, everybody: list[int]) -> None:
    """Everybody there is by now, in teams of eight, and what they did in the half year before: some
    of it late, some of it otherwise than it was delivered before."""
    rows = []
    for p in everybody:
        own = {
            "Department": ("Sales", "Legal", "Ops")[p // 8 % 3],
            "Manager_ID": number(900 + p // 8),
            "Country": "DE" if p % 5 else "US",
        }
        for course in COURSES:
            done = until - dt.timedelta(days=chance.randrange(180))
            status = chance.choice(("Completed", "Completed", "Failed", "In Progress"))
            times = {
                "Assigned_Date": str(done - dt.timedelta(days=5)),
                "Started_Date": "",
                "Completed_Date": "" if status == "In Progress" else str(done),
                "Score": "",
            }
            rows.append(record(p, Course_Code=course, Status=status, **times, **own))
    write_delivery(folder, rows)


def _whole(before: Rows, after: Rows) -> bool:
    """Did rows come and go by whole classes of at least k only?"""
    for one, other in ((before, after), (after, before)):
        left = {row[CLASS] for row in other}
        for key, n in Counter(row[CLASS] for row in (one - other).elements()).items():
            if key in left or n < 5:
                return False
    return True


@pytest.mark.more
def test_no_two_releases_differ_by_fewer_than_k(estate: Estate) -> None:
    """People join and leave, records come late, are corrected and withdrawn, somebody objects, and
    somebody is erased: the last is the one step that takes single rows."""
    chance = random.Random(int(soak.rng(25).integers(2**31)))
    run_dates = [dt.date(2026, 4, 9), dt.date(2026, 5, 20), dt.date(2026, 7, 9)][soak.times(1, 0) :]
    run_dates += [dt.date(2026, 7, 10) + dt.timedelta(days=4 * n) for n in range(soak.times(0, 27))]
    everybody, before, steps, erased = list(range(72)), Rows(), 0, set[int]()
    for run_date in run_dates:
        moment = dt.datetime.combine(run_date, dt.time(12), dt.UTC)
        everybody = sorted({*chance.sample(everybody, len(everybody) - 4), *range(72 + steps)})
        _delivery(estate.delivery(run_date), chance, run_date, everybody)
        with as_of(moment):
            result = estate.run(run_date)
            assert result.success, errors(result)
            after = shown(estate.home)
            assert _whole(before, after), run_date
            before, steps = after, steps + 1
            if steps % 5 == 4:
                with estate.layout.locked():
                    register.settle(estate.layout)
                    register.withdraw(estate.layout, run_dates[steps - 2], "wrong tenant", "eddy")
            one = chance.choice([person for person in everybody if person not in erased])
            stand, somebody = estate.context, f"emp:{number(one)}"
            if steps % 2:
                restrictions.restrict(stand.layout, somebody, [Audience.ANALYTICS], "objected")
                fulfil.lift(stand, somebody, restrictions.RESTRICTED, moment)  # publishes
                after = shown(estate.home)
                assert _whole(before, after)
            else:
                job.erase_person(stand, somebody, None, moment)
                erased.add(one)
                after = shown(estate.home)
                gone = before - after
                assert not after - before
                # The rows of one person; a class that is too small without them is gone.
                ended = {row[CLASS] for row in gone} - {row[CLASS] for row in after}
                assert sum(row[CLASS] not in ended for row in gone.elements()) <= len(COURSES) * 2
            before = after
    assert before

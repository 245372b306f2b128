"""One random history of a company: what can happen in it, each time done to the pipeline and to the
simple picture of it (tests/world.py), and the comparison of both.
"""

from __future__ import annotations

import datetime as dt
import multiprocessing
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl
import pytest

from assets import lineage
from assets.common import RUN_OF
from assets.resources import Store
from expectations import suite as suites
from pipeline.classified import run_snapshot
from pipeline.cli import people
from pipeline.errors import BadInput, PolicyError
from pipeline.raw import landing, register
from pipeline.requests import fulfil
from pipeline.retained import backup, index, job, storage_key
from pipeline.storage import encryption
from pipeline.storage.layout import Layout
from pipeline.subjects import legal_holds, request_register
from pipeline.subjects.request_register import Kind, State
from tests import plain
from tests.company import HISTORY, write_csv
from tests.estate import as_of
from tests.fixtures import Estate
from tests.kill_points import die_at
from tests.opened import relation
from tests.world import (
    DAY,
    KEY,
    LEAD,
    Correction,
    Corrections,
    Employee,
    World,
    as_sent,
    ended,
    expected,
    history,
    known,
    rows_of_history,
)

COLUMNS = ["number", "manager", "course", "day", "status"]
MOST_CHANGES = 400  # of names, that a run makes
# Processes to be killed: started by one that has loaded everything and never ran anything.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])


def published(home: Path) -> pl.DataFrame:
    """The detail as released, with the numbers behind the pseudonyms: COLUMNS."""
    layout = Layout(home)
    with duckdb.connect() as c:
        detail = relation(c, home, layout.current / "hr_legal_detail.parquet")
        vault = relation(c, home, home / "vault" / "identities-hr_legal.parquet")
        found = c.sql(f"""
            SELECT regexp_replace(l.person, '^(emp:|mbox:mailto:)', '') AS number,
              regexp_replace(m.person, '^emp:', '') AS manager, d.course_code AS course,
              d.event_on AS day, d.status
            FROM {detail} AS d JOIN {vault} AS l ON d.learner_ref = l.ref
            LEFT JOIN {vault} AS m ON d.manager_ref = m.ref""").pl()
    return found.select(COLUMNS).sort(COLUMNS)


def between_keys(home: Path) -> bool:
    """Has a run written new pseudonyms to the vault that it did not publish?"""
    layout = Layout(home)
    with duckdb.connect() as c:
        detail = relation(c, home, layout.current / "hr_legal_detail.parquet")
        vault = relation(c, home, home / "vault" / "identities-hr_legal.parquet")
        tags = "SELECT DISTINCT split_part(learner_ref, '_', 1)"
        in_vault = "SELECT split_part(ref, '_', 1)"
        return bool(c.sql(f"{tags} FROM {detail} EXCEPT {in_vault} FROM {vault}").fetchall())


def stored(home: Path) -> pl.DataFrame:
    """Number, kind and day of every stored record of learning history."""
    with duckdb.connect() as c:
        return c.sql(f"""
            SELECT DISTINCT substr(learner_id, 5) AS number, course_code AS course,
              if(record_type = 'communications_log', 'Message', 'Course') AS kind, event_on AS day
            FROM read_parquet('{home}/store/canonical/*/*/records-*.parquet',
              union_by_name=true, hive_partitioning=false)
            WHERE source = 'corporate' AND problem IS NULL""").pl()


@dataclass
class Story:
    """What was done so far, in order, is printed where a comparison fails."""

    estate: Estate
    world: World
    erased: set[str] = field(default_factory=set)
    restricted: set[str] = field(default_factory=set)
    held: dict[str, str] = field(default_factory=dict)  # number to the name of the hold
    corrections: Corrections = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    until: dt.date = dt.date.min  # what is past its window by then is in no table
    said: str = ""

    @property
    def now(self) -> dt.datetime:
        return dt.datetime.combine(self.world.day, dt.time(12), dt.UTC)

    @property
    def layout(self) -> Layout:
        return self.estate.layout

    def run(self, day: dt.date) -> bool:
        with as_of(self.now):
            result = self.estate.run(day)
        self.said = result.errors + str(result.failed_checks)
        if result.success:
            self.published_by_now()
        return result.success

    def must_run(self, day: dt.date) -> None:
        assert self.run(day), (self.done, day, self.said)

    def ingest(self, days: list[dt.date], run: dt.date) -> None:
        """What `milestones backfill` does before its one run."""
        for day in days:
            with as_of(self.now):
                store, tags = Store(home=str(self.estate.home)), {RUN_OF: str(run)}
                ran = plain.run(store, day, [lineage.CANONICAL], tags)
            assert ran.success, (self.done, day, ran.errors, ran.failed_checks)

    def published_by_now(self) -> None:
        self.until = max(self.until, self.world.day + LEAD * DAY)

    def expected(self) -> pl.DataFrame:
        world = self.world
        made = expected(world.archive, self.erased, self.until, self.restricted, self.corrections)
        return made.sort(COLUMNS)

    def differences(self) -> list[pl.DataFrame]:
        """Rows that should be published and are not, and the other way round."""
        want, found = self.expected(), published(self.estate.home)
        counted = [
            one.group_by(COLUMNS).len().with_columns(pl.col("len").cast(pl.Int64))
            for one in (want, found)
        ]
        odd = [
            one.join(other, on=[*COLUMNS, "len"], how="anti", nulls_equal=True)
            for one, other in (counted, counted[::-1])
        ]
        return odd if any(map(len, odd)) else []

    def check(self) -> None:
        odd = self.differences()
        # A refused run leaves its rows behind: what is published next is made anew, as of then.
        by_now = run_snapshot.read(self.layout).until.date()
        if odd and self.until < by_now <= self.world.day + LEAD * DAY:
            self.until = by_now
            odd = self.differences()
        assert not odd, f"{self.done}\n{self.erased}\n{odd[0]}\n{odd[1]}"

    def do(self, name: str) -> None:
        self.done.append(f"{self.world.day} {name}")
        OPERATIONS[name](self)
        self.check()

    def next_day(self) -> Path:
        world = self.world
        world.day += DAY * int(world.rng.integers(1, 4))
        world.learn()
        changes = (world.hire, world.leave, world.come_back, world.rehire, world.marry, world.move)
        for change in changes:
            if world.rng.random() < 0.4:
                change()
        return self.estate.delivery(world.day)

    def some_day(self, last: int | None = None) -> dt.date:
        """One of the deliveries in use, or of the last ones."""
        days = self.world.accepted()[-last:] if last else self.world.accepted()
        return days[int(self.world.rng.integers(0, len(days)))]

    def somebody(self) -> Employee | None:
        """Somebody whom a delivery in use names, and who has not been erased."""
        world = self.world
        found = [
            one
            for one in world.people.values()
            if str(one.number) not in self.erased and known(world.archive, one.number)
        ]
        return found[int(world.rng.integers(0, len(found)))] if found else None

    def ask(self, kind: Kind, one: Employee, text: str, **details: str) -> None:
        """A request of somebody, by whatever they call themselves, from receipt to answer."""
        number = f"emp:{one.number}"
        (who,) = people.confirmed(self.estate.context, text, [number], True)
        request = request_register.receive(self.layout, kind, who, self.world.day, dict(details))
        request_register.verify_identity(self.layout, request.name, "dora")
        fulfil.fulfil(self.estate.context, request.name, self.now)

    def spelled(self, one: Employee) -> str:
        """How somebody calls themselves: by number, as a spreadsheet has it, or by address."""
        ways = (f"emp:{one.number}", str(one.number), f"{one.number}.0", self.address(one))
        return ways[int(self.world.rng.integers(0, len(ways)))]

    def address(self, one: Employee) -> str:
        """An address that the delivered rosters have for somebody; in other letters."""
        for file in sorted(self.world.archive.glob("*/hr_roster.csv"), reverse=True):
            for row in as_sent(file):
                if row["Employee ID"] == str(one.number):
                    return row["Email"].upper()
        return str(one.number)


def deliver(story: Story) -> None:
    folder = story.next_day()
    story.world.write(folder)
    story.world.accept(story.world.day, folder)
    story.must_run(story.world.day)


def late(story: Story) -> None:
    """Yesterday's delivery comes after today's."""
    yesterday = story.next_day()
    late_day = story.world.day
    aside = story.estate.home.parent / "late"
    story.world.write(aside)
    deliver(story)
    aside.rename(yesterday)
    story.world.accept(late_day, yesterday)
    story.must_run(late_day)


def half(story: Story) -> None:
    """A file is still being copied: nothing is read of it before it is there."""
    folder = story.next_day()
    story.world.write(folder)
    file = folder / "learning_history.csv"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(story.world.rng.integers(1, len(whole)))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILESTONES_STABLE_SECONDS", "60")
        patch.setattr(landing.time, "sleep", lambda _: file.write_bytes(whole))
        assert not story.run(story.world.day), story.done
    story.check()
    story.world.accept(story.world.day, folder)
    story.must_run(story.world.day)


def half_taken(story: Story) -> None:
    """The first half looked whole, since it ended with a line; the rest is a correction."""
    folder = story.next_day()
    story.world.write(folder)
    file = folder / "learning_history.csv"
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    file.write_bytes(b"".join(lines[: max(2, len(lines) // 2)]))
    aside = shutil.copytree(folder, story.estate.home.parent / "half")
    if story.run(story.world.day):
        story.world.accept(story.world.day, aside)
    shutil.rmtree(aside)
    story.check()
    file.write_bytes(whole)
    story.world.accept(story.world.day, folder)
    story.must_run(story.world.day)


def correct(story: Story) -> None:
    """A day is delivered again, with another status for one row."""
    world, day = story.world, story.some_day()
    rows = as_sent(world.archive / str(day) / "learning_history.csv")
    at = int(world.rng.integers(0, len(rows)))
    rows[at]["Status"] = "Failed" if rows[at]["Status"] != "Failed" else "Passed"
    folder = story.estate.delivery(day)
    if not folder.exists():
        return
    write_csv(folder / "learning_history.csv", rows, HISTORY)
    world.accept(day, folder)
    story.must_run(day)


def refused(story: Story) -> None:
    """A column that nobody knows: nothing of the delivery is used, now or later."""
    folder = story.next_day()
    story.world.write(folder)
    rows = [row | {"Salary": "1"} for row in as_sent(folder / "learning_history.csv")]
    write_csv(folder / "learning_history.csv", rows, [*HISTORY, "Salary"])
    assert not story.run(story.world.day), story.done


def unreadable(story: Story) -> None:
    """Most of it breaks rules: a blocking check refuses it, and so do later runs."""
    folder = story.next_day()
    story.world.write(folder)
    rows = [row | {"Status": "?"} for row in as_sent(folder / "learning_history.csv")]
    write_csv(folder / "learning_history.csv", rows, HISTORY)
    assert not story.run(story.world.day), story.done


def emptied(story: Story) -> None:
    """The folder of a day that was accepted is emptied and run once more."""
    day = story.some_day()
    folder = story.estate.delivery(day)
    if folder.exists():
        aside = folder.rename(story.estate.home.parent / "emptied")
        folder.mkdir()
        assert not story.run(day), story.done
        folder.rmdir()
        aside.rename(folder)


def withdraw(story: Story) -> None:
    """A delivery of the last days is in use no longer."""
    if len(story.world.accepted()) < 3:
        return
    day = story.some_day(5)
    with story.layout.locked():
        register.settle(story.layout)
        register.withdraw(story.layout, day, "wrong tenant", "eddy")
    story.world.withdraw(day)
    index.publish(story.estate.context, story.now)
    story.published_by_now()


def allow(story: Story) -> None:
    """What was withdrawn is refused when it is run again, until somebody allows it."""
    for day, content in list(story.world.withdrawn.items())[-1:]:
        if not story.estate.delivery(day).exists():
            return
        assert not story.run(day), story.done
        story.check()
        sha256 = register.turned_down(register.steps(story.layout, day))
        register.note(
            story.layout, day, register.State.ALLOWED, "right after all", sha256=sha256, by="eddy"
        )
        del story.world.withdrawn[day]
        story.world.accept(day, content)
        story.must_run(day)


def erase(story: Story) -> None:
    """Somebody asks for erasure; the exports go on to contain them."""
    one = story.somebody()
    if one is None or one.manager is None:
        return
    number = str(one.number)
    text = story.spelled(one)
    if number in story.held:
        with pytest.raises(PolicyError, match="hold"):
            story.ask(Kind.ERASURE, one, text)
        return
    addresses = _only_theirs(story.world, number)
    story.ask(Kind.ERASURE, one, text)
    story.erased |= {number, *addresses}
    story.restricted.discard(number)
    assert number not in set(stored(story.estate.home)["number"])


def _only_theirs(world: World, number: str) -> set[str]:
    """Addresses that delivered rosters have for nobody but one employee."""
    rows = [row for file in world.archive.glob("*/hr_roster.csv") for row in as_sent(file)]
    theirs = {row["Email"] for row in rows if row["Employee ID"] == number}
    return theirs - {row["Email"] for row in rows if row["Employee ID"] != number}


def restrict(story: Story) -> None:
    """Records of somebody are kept and not used, at once."""
    if one := story.somebody():
        story.ask(Kind.RESTRICTION, one, story.spelled(one))
        story.restricted.add(str(one.number))


def lift_restriction(story: Story) -> None:
    for number in sorted(story.restricted)[:1]:
        fulfil.lift(story.estate.context, f"emp:{number}", "restricted", story.now)
        story.restricted.remove(number)


def access(story: Story) -> None:
    """An answer, which changes nothing."""
    if one := story.somebody():
        story.ask(Kind.ACCESS, one, story.spelled(one))


def rectify(story: Story) -> None:
    """The status of somebody's record is corrected; exports go on to have the wrong one."""
    one = story.somebody()
    if one is None or str(one.number) in story.erased | story.restricted:
        return
    rows = history(story.world.archive, story.corrections)
    mine = rows.filter(pl.col("number") == str(one.number), ~ended(story.world.day))
    if mine.is_empty():
        return
    row = mine.row(int(story.world.rng.integers(0, len(mine))), named=True)
    right = "waived" if row["status"] != "waived" else "withdrawn"
    kind = "communications_log" if row["kind"] == "Message" else "milestone_flag"
    story.ask(
        Kind.RECTIFICATION,
        one,
        story.spelled(one),
        course_code=row["course"],
        record_type=kind,
        occurrence=row["assigned"],
        status=right,
    )
    key = tuple(row[name] for name in KEY)
    before = story.corrections.get(key)
    kept = before is not None and before.right == row["status"]
    wrong = before.wrong if before and kept else row["status"]
    of_record = pl.all_horizontal(pl.col(k) == v for k, v in zip(KEY, key, strict=True))
    since = rows_of_history(story.world.archive).filter(of_record)["delivered"].max()
    story.corrections[key] = Correction(wrong, right, max(str(since), before.since if kept else ""))
    story.must_run(story.world.accepted()[-1])


def mistaken(story: Story) -> None:
    """Requests by a mistyped name or for nobody: an answer, and in nobody's way."""
    before = len(request_register.every(story.layout))
    nobody = ("Persn Jbaaaab", "9999999", "emp:9999999", "nobody@corp.example", "Person A")
    for text in nobody:
        with pytest.raises(BadInput):
            people.confirmed(story.estate.context, text, None, True)
    assert len(request_register.every(story.layout)) == before
    made = request_register.receive(story.layout, Kind.ERASURE, "emp:9999999", story.world.day, {})
    request_register.verify_identity(story.layout, made.name, "dora")
    with pytest.raises(BadInput):
        fulfil.fulfil(story.estate.context, made.name, story.now)
    assert request_register.read(story.layout, made.name).state is State.WAITING
    if story.world.rng.random() < 0.5:
        fulfil.close(story.estate.context, request_register.withdraw(story.layout, made.name))


def hold(story: Story) -> None:
    """What somebody's hold keeps outlives its window."""
    if one := story.somebody():
        name = f"case-{secrets.token_hex(4)}"
        (who,) = people.confirmed(
            story.estate.context, story.spelled(one), [f"emp:{one.number}"], True
        )
        legal_holds.place(
            story.layout,
            legal_holds.Hold(
                name=name,
                reason="claim",
                owner="legal",
                placed_on=story.world.day,
                review_by=dt.date(2036, 1, 1),
                people=(who,),
            ),
        )
        story.held[str(one.number)] = name


def lift_hold(story: Story) -> None:
    for number in sorted(story.held)[:1]:
        holds = [one for one in legal_holds.live(story.layout) if f"emp:{number}" in one.people]
        for one in holds:
            legal_holds.lift(story.layout, one.name, story.world.day)
        del story.held[number]


def retention(story: Story) -> None:
    """Nothing past its window stays, but what a hold or a restriction keeps; that stays."""
    before = stored(story.estate.home)
    job.retain(story.estate.context, story.now)
    story.until = max(story.until, story.world.day)
    kept = pl.col("number").is_in(list(story.held | dict.fromkeys(story.restricted, "")))
    want = before.filter(kept | ~ended(story.world.day)).sort(before.columns)
    found = stored(story.estate.home).sort(before.columns)
    assert found.equals(want), (story.done, found, want)


def restore(story: Story) -> None:
    """A backup is restored, and the deliveries since are run again."""
    made = backup.make(story.estate.context, story.now)
    then = shutil.copytree(story.world.archive, story.estate.home.parent / "then")
    for name in story.world.rng.choice(list(BETWEEN), 2):
        story.done.append(f"  {name}")
        OPERATIONS[str(name)](story)
        story.check()
    backup.restore(story.estate.context, made)
    for day in story.world.accepted():
        if (then / str(day)).exists():
            story.world.accept(day, then / str(day))
            if story.estate.delivery(day).exists():
                shutil.rmtree(story.estate.delivery(day))
                shutil.copytree(then / str(day), story.estate.delivery(day))
    shutil.rmtree(then)
    if lost := register.lost(story.layout):
        story.ingest(lost[:-1], run=lost[-1])
        story.must_run(lost[-1])
    story.must_run(story.world.accepted()[-1])


def rotate(story: Story) -> None:
    """Other pseudonyms from the next run on, of the same people."""
    story.estate.context.ring.rotate(story.world.day)


def other_storage_key(story: Story) -> None:
    storage_key.change(story.layout, encryption.StorageKey.read(secrets.token_hex(32)))


def killed(story: Story) -> None:
    """A run is killed: what is published is that of before or of after, and once more it runs."""
    before = story.expected()
    folder = story.next_day()
    story.world.write(folder)
    point = int(story.world.rng.integers(0, MOST_CHANGES))
    process = FORKS.Process(
        target=_run_until, args=(story.estate.home, story.world.day, story.now, point)
    )
    process.start()
    process.join()
    assert process.exitcode in (0, -9), story.done
    found = published(story.estate.home)
    story.world.accept(story.world.day, folder)
    # Between two keys nothing can be read, which whoever reads is told (tests/test_door.py).
    if not between_keys(story.estate.home) and not found.equals(before):
        story.published_by_now()
        story.check()
    story.must_run(story.world.day)


def killed_retention(story: Story) -> None:
    point = int(story.world.rng.integers(0, MOST_CHANGES // 4))
    process = FORKS.Process(target=_retain_until, args=(story.estate.home, story.now, point))
    process.start()
    process.join()
    assert process.exitcode in (0, -9), story.done
    retention(story)


def _run_until(home: Path, day: dt.date, moment: dt.datetime, point: int) -> None:
    suites.judge = plain.quick
    with as_of(moment):
        die_at(lambda: _must(plain.run(Store(home=str(home)), day)), point)


def _must(ran: plain.Ran) -> None:
    assert ran.success, (ran.errors, ran.failed_checks)


def _retain_until(home: Path, moment: dt.datetime, point: int) -> None:
    die_at(lambda: job.retain(Store(home=str(home)).context, moment), point)


OPERATIONS: dict[str, Callable[[Story], None]] = {
    one.__name__: one
    for one in (
        deliver,
        late,
        half,
        half_taken,
        correct,
        refused,
        unreadable,
        emptied,
        withdraw,
        allow,
        erase,
        restrict,
        lift_restriction,
        access,
        rectify,
        mistaken,
        hold,
        lift_hold,
        retention,
        restore,
        rotate,
        other_storage_key,
        killed,
        killed_retention,
    )
}
# What happens between a backup and its restore.
BETWEEN = ("deliver", "withdraw", "allow", "correct", "restrict", "rectify", "hold")

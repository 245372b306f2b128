"""Random histories of a company, each state compared with the delivered files.

The kind of fault: whatever order people, deliveries, requests and mishaps come in, what is
published afterwards is what the accepted files say, and nothing is stuck.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipeline.errors import BadInput
from pipeline.retained import backup, job
from pipeline.storage.layout import Layout
from tests import soak
from tests.company import HISTORY, write_csv
from tests.conftest import Estate
from tests.estate import as_of
from tests.opened import relation
from tests.world import DAY, LEAD, World, as_sent, expected, known

FIRST = dt.date(2025, 3, 3)  # five hundred steps later it is still before today
COLUMNS = ["number", "manager", "course", "day", "status"]


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


@dataclass
class Story:
    """One history: what was done so far, in order, is printed where a comparison fails."""

    estate: Estate
    world: World
    erased: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    until: dt.date = FIRST  # what is past its window by then is in no table
    said: str = ""

    @property
    def now(self) -> dt.datetime:
        return dt.datetime.combine(self.world.day, dt.time(12), dt.UTC)

    def run(self, day: dt.date) -> bool:
        with as_of(self.now):
            result = self.estate.run(day)
        self.said = result.errors + str(result.failed_checks)
        if result.success:
            self.until = max(self.until, self.world.day + LEAD * DAY)
        return result.success

    def check(self) -> None:
        want = expected(self.world.archive, self.erased, self.until).sort(COLUMNS)
        found = published(self.estate.home)
        odd = [
            f.join(o, on=COLUMNS, how="anti", nulls_equal=True)
            for f, o in ((want, found), (found, want))
        ]
        assert not any(map(len, odd)), f"{self.done}\n{self.erased}\n{odd[0]}\n{odd[1]}"
        assert len(want) == len(found), self.done

    def do(self, name: str) -> None:
        self.done.append(f"{self.world.day} {name}")
        OPERATIONS[name](self)
        self.check()

    def next_day(self) -> Path:
        world = self.world
        world.day += DAY * int(world.rng.integers(1, 4))
        world.learn()
        for change in (world.hire, world.leave, world.come_back, world.marry, world.move):
            if world.rng.random() < 0.4:
                change()
        return self.estate.drop(world.day)


def deliver(story: Story) -> None:
    folder = story.next_day()
    story.world.write(folder)
    story.world.accept(story.world.day, folder)
    assert story.run(story.world.day), (story.done, story.said)


def late(story: Story) -> None:
    """Yesterday's delivery comes after today's."""
    yesterday = story.next_day()
    late_day = story.world.day
    aside = story.estate.home.parent / "late"
    story.world.write(aside)
    deliver(story)
    aside.rename(yesterday)
    story.world.accept(late_day, yesterday)
    assert story.run(late_day), (story.done, story.said)


def correct(story: Story) -> None:
    """A day is delivered again, with another status for one row."""
    world = story.world
    day = world.accepted()[int(world.rng.integers(0, len(world.accepted())))]
    rows = as_sent(world.archive / str(day) / "learning_history.csv")
    at = int(world.rng.integers(0, len(rows)))
    rows[at]["Status"] = "Failed" if rows[at]["Status"] != "Failed" else "Passed"
    folder = story.estate.drop(day)
    if not folder.exists():
        return
    write_csv(folder / "learning_history.csv", rows, HISTORY)
    world.accept(day, folder)
    assert story.run(day), (story.done, story.said)


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


def erase(story: Story) -> None:
    """Somebody who has left is erased; the exports go on to contain them."""
    world = story.world
    (one,) = world.pick()
    if one.manager is None:
        return
    try:
        job.erase_person(story.estate.context, f"emp:{one.number}", None, story.now)
    except BadInput:
        # Erased before, or hired since the last delivery that was accepted.
        named = known(world.archive, one.number)
        assert str(one.number) in story.erased or not named, story.done
        return
    story.erased |= {str(one.number), one.address}


def retention(story: Story) -> None:
    job.retain(story.estate.context, story.now)
    story.until = max(story.until, story.world.day)


def restore(story: Story) -> None:
    """A backup is restored, and the deliveries since are run again."""
    made = backup.make(story.estate.context, story.now)
    deliver(story)
    backup.restore(story.estate.context, made)
    assert story.run(story.world.day), (story.done, story.said)


OPERATIONS: dict[str, Callable[[Story], None]] = {
    one.__name__: one
    for one in (deliver, late, correct, refused, unreadable, erase, retention, restore)
}


@pytest.mark.more
@pytest.mark.long
def test_what_is_published_is_what_the_accepted_files_say(estate: Estate, tmp_path: Path) -> None:
    world = World(soak.rng(), tmp_path / "archive", FIRST)
    world.archive.mkdir()
    world.hire(3)
    world.hire(14)
    story = Story(estate, world)
    story.do("deliver")
    names = list(OPERATIONS)
    every = [str(one) for one in world.rng.permutation(names)]
    for name in [*every, *world.rng.choice(names, soak.times(0, 500))]:
        story.do(str(name))

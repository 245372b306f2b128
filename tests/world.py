"""A company that goes on: people come, move and leave, deliveries go right and wrong; and what the
store must then hold, worked out from the delivered files alone.

The expectation (`expected`) shares no code with the product: it reads the files that were
accepted, as they were delivered, with a few lines of Polars.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from tests.company import HISTORY, write_csv

ROSTER = ["Employee ID", "Full Name", "Email", "Manager ID", "Department", "Country"]
COURSES = ("SEC-101", "GDP-1", "SQL-220", "LAW-2")
MESSAGES_LAST = 60  # days; the works agreement in retention_rules.yaml, EU
LEAD = 2  # days; publication_lead
COURSE = "https://lms.example/phishing"
DAY = dt.timedelta(days=1)
STATUS = {
    "Completed": "completed",
    "In Progress": "in_progress",
    "Failed": "failed",
    "Passed": "passed",
}


def name_of(number: int) -> str:
    """A name without the number, which whoever is taken on again keeps under another one."""
    return f"Person {''.join('abcdefghij'[int(digit)] for digit in str(number)).title()}"


@dataclass(frozen=True)
class Employee:
    number: int
    address: str
    manager: int | None
    department: str
    name: str
    employed: bool = True
    number_since: int | None = None  # whom the company took on again, under this number


@dataclass(frozen=True)
class Event:
    """What one person did: a row of history in each delivery from its day on."""

    number: int
    course: str
    kind: str
    assigned: dt.date
    done: dt.date
    status: str


@dataclass(frozen=True)
class Statement:
    """One statement; sent once, under the address of its day."""

    identifier: str
    address: str
    course: str
    at: dt.date


@dataclass
class World:
    """The company as it is today, and what happened so far."""

    rng: np.random.Generator
    archive: Path  # the deliveries in use, as they were delivered
    day: dt.date
    people: dict[int, Employee] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    withdrawn: dict[dt.date, Path] = field(default_factory=dict)
    next_number: int = 9_100_001
    next_statement: int = 1

    def pick(self, number: int = 1) -> list[Employee]:
        """Some of those who work there, at random."""
        there = [one for one in self.people.values() if one.employed]
        at = self.rng.permutation(len(there))[:number]
        return [there[int(n)] for n in at]

    def hire(self, number: int = 1) -> None:
        managers = [one.number for one in self.people.values() if one.manager is None]
        for _ in range(number):
            who = self.next_number
            self.next_number += 1
            manager = int(self.rng.choice(managers)) if len(managers) >= 2 else None
            department = str(self.rng.choice(["Sales", "Ops"]))
            self.people[who] = Employee(
                who, f"p{who}@corp.example", manager, department, name_of(who)
            )

    def leave(self) -> None:
        for one in self.pick():
            if one.manager is not None:
                self.people[one.number] = replace(one, employed=False)

    def gone(self) -> list[Employee]:
        """Those who have left, and have no newer number."""
        found = self.people.values()
        return [one for one in found if not one.employed and one.number_since is None]

    def come_back(self) -> None:
        for one in self.gone()[:1]:
            self.people[one.number] = replace(one, employed=True)

    def rehire(self) -> None:
        """Somebody who had left comes back under a new number, with name and address as before."""
        for one in self.gone()[1:2]:
            who = self.next_number
            self.next_number += 1
            self.people[one.number] = replace(one, number_since=who)
            self.people[who] = replace(one, number=who, employed=True)

    def marry(self) -> None:
        """Somebody's address changes."""
        for one in self.pick():
            address = f"p{one.number}.{self.day:%y%m%d}@corp.example"
            self.people[one.number] = replace(one, address=address)

    def move(self) -> None:
        """Somebody gets another manager."""
        managers = [one.number for one in self.people.values() if one.manager is None]
        for one in self.pick():
            if one.manager is not None:
                self.people[one.number] = replace(one, manager=int(self.rng.choice(managers)))

    def learn(self, most: int = 8) -> None:
        """Some events and statements of the last days."""
        for one in self.pick(int(self.rng.integers(1, most))):
            done = self.day - DAY * int(self.rng.integers(0, 5))
            course, kind = (
                str(self.rng.choice(COURSES)),
                str(self.rng.choice(["Course", "Message"])),
            )
            status = str(self.rng.choice(list(STATUS)))
            self.events.append(
                Event(one.number, str(course), str(kind), done - 9 * DAY, done, status)
            )
        for one in self.pick(int(self.rng.integers(0, 3))):
            identifier = f"00000000-0000-4000-8000-{self.next_statement:012d}"
            self.next_statement += 1
            self.statements.append(
                Statement(identifier, one.address, "https://lms.example/x", self.day)
            )

    def write(self, folder: Path) -> None:
        """The delivery of today: everything so far, as full exports do it; of statements the last
        ones."""
        events = {(e.number, e.course, e.kind, e.assigned): e for e in self.events}
        write_csv(folder / "learning_history.csv", map(self._row, events.values()), HISTORY)
        there = [self._roster(one) for one in self.people.values() if one.employed]
        write_csv(folder / "hr_roster.csv", there, ROSTER)
        sent = [_statement(one) for one in self.statements[-8:]]
        if sent:
            lines = "".join(json.dumps(one) + "\n" for one in sent)
            (folder / "xapi.ndjson").write_text(lines, "utf-8")

    def _row(self, event: Event) -> dict[str, str]:
        return dict.fromkeys(HISTORY, "") | {
            "Employee ID": str(event.number),
            "Full Name": name_of(event.number),
            "Country": "DE",
            "Item Type": event.kind,
            "Course Code": event.course,
            "Course Title": f"About {event.course}",
            "Assigned Date": str(event.assigned),
            "Completed Date": str(event.done),
            "Status": event.status,
        }

    def _roster(self, one: Employee) -> dict[str, str]:
        return {
            "Employee ID": str(one.number),
            "Full Name": one.name,
            "Email": one.address,
            "Manager ID": str(one.manager or ""),
            "Department": one.department,
            "Country": "DE",
        }

    def accept(self, day: dt.date, folder: Path) -> None:
        """Remember what was accepted for a day, as it was delivered."""
        shutil.rmtree(self.archive / str(day), ignore_errors=True)
        shutil.copytree(folder, self.archive / str(day))

    def withdraw(self, day: dt.date) -> None:
        """It is in use no longer; what it contained is kept in case it is allowed again."""
        self.withdrawn[day] = self.archive.parent / "withdrawn" / str(day)
        shutil.rmtree(self.withdrawn[day], ignore_errors=True)
        shutil.move(self.archive / str(day), self.withdrawn[day])

    def accepted(self) -> list[dt.date]:
        return sorted(dt.date.fromisoformat(one.name) for one in self.archive.iterdir())


def _statement(one: Statement) -> dict[str, object]:
    return {
        "id": one.identifier,
        "timestamp": f"{one.at}T12:00:00+02:00",
        "actor": {"mbox": f"mailto:{one.address}"},
        "verb": {"id": "http://adlnet.gov/expapi/verbs/passed"},
        "object": {"id": one.course, "definition": {"name": {"en": "Spot the phish"}}},
        "context": {"registration": one.identifier},
    }


def _texts(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, infer_schema=False)


def rosters(archive: Path) -> pl.DataFrame:
    """Every roster row: number, address, manager, delivered."""
    files = sorted(archive.glob("*/hr_roster.csv"))
    return pl.concat(
        [
            _texts(path).select(
                pl.col("Employee ID").alias("number"),
                pl.col("Email").alias("address"),
                pl.col("Manager ID").alias("manager"),
                pl.lit(dt.date.fromisoformat(path.parent.name)).alias("delivered"),
            )
            for path in files
        ]
    )


KEY = ["number", "course", "kind", "assigned"]
Corrections = dict[tuple[str, ...], "Correction"]


@dataclass(frozen=True)
class Correction:
    """A status that was corrected at somebody's request: it holds until a later delivery than
    those of its time says something else than what was wrong.

    Attributes:
        since: the newest delivery of the record at that time.
    """

    wrong: str
    right: str
    since: str


def rows_of_history(archive: Path) -> pl.DataFrame:
    """Every row of learning history, oldest first."""
    files = sorted(archive.glob("*/learning_history.csv"))
    rows = pl.concat(
        [
            _texts(path).select(
                pl.col("Employee ID").alias("number"),
                pl.col("Course Code").alias("course"),
                pl.col("Item Type").alias("kind"),
                pl.col("Assigned Date").alias("assigned"),
                pl.col("Completed Date").str.to_date().alias("day"),
                pl.col("Status").replace_strict(STATUS).alias("status"),
                pl.lit(path.parent.name).alias("delivered"),
            )
            for path in files
        ]
    )
    return rows.sort("delivered", maintain_order=True)


def history(archive: Path, corrections: Corrections) -> pl.DataFrame:
    """The current row of every enrolment: that of the latest delivery which holds it, as far as
    nobody has corrected it since."""
    rows = rows_of_history(archive)
    current = rows.unique(KEY, keep="last", maintain_order=True)
    for key, one in corrections.items():
        mine = pl.all_horizontal(pl.col(k) == v for k, v in zip(KEY, key, strict=True))
        later = rows.filter(mine, pl.col("delivered") > one.since, pl.col("status") != one.wrong)
        if later.is_empty():
            status = pl.when(mine).then(pl.lit(one.right)).otherwise("status")
            current = current.with_columns(status.alias("status"))
    return current


def statements(archive: Path, roster: pl.DataFrame) -> pl.DataFrame:
    """Every statement once, with the number of whoever had the address on its day; without those
    of which nobody can say whose they are."""
    found = {}
    for path in sorted(archive.glob("*/xapi.ndjson")):
        for line in path.read_text("utf-8").splitlines():
            one = json.loads(line)
            found[one["id"]] = (
                one["actor"]["mbox"].removeprefix("mailto:"),
                one["object"]["id"],
                dt.date.fromisoformat(one["timestamp"][:10]),
            )
    whose = holders(roster)
    meant = [(_holder(whose, *one), one) for one in found.values()]
    shape = {"number": pl.String, "course": pl.String, "day": pl.Date}
    rows = [(number, course, day) for number, (_, course, day) in meant if number]
    return pl.DataFrame(rows, shape, orient="row").select(
        "number",
        "course",
        pl.lit("Statement").alias("kind"),
        "day",
        pl.lit("passed").alias("status"),
    )


# Address to its holders, and for each the days of their roster rows: with it, and with another.
Holders = dict[str, dict[str, tuple[list[dt.date], list[dt.date]]]]


def holders(roster: pl.DataFrame) -> Holders:
    found: Holders = {}
    of: dict[str, list[tuple[dt.date, str]]] = {}
    for number, address, day in roster.select("number", "address", "delivered").iter_rows():
        of.setdefault(number, []).append((day, address))
    for number, rows in of.items():
        for address in {address for _, address in rows}:
            days = ([d for d, a in rows if a == address], [d for d, a in rows if a != address])
            found.setdefault(address, {})[number] = days
    return found


def _holder(whose: Holders, address: str, _: str, day: dt.date) -> str | None:
    """Who is meant by an address on a day; the address itself if nobody ever had it, nobody (None)
    if that cannot be said.

    In this company an address passes on only from somebody who has left, once, and nobody's
    address comes back.
    """
    had = whose.get(address, {})
    if len(had) < 2:
        return next(iter(had), address)
    begun = sorted((min(days), number) for number, (days, _) in had.items())
    holder = [number for first, number in begun if first <= day][-1:] or [begun[0][1]]
    gave_up = [other for other in had[holder[0]][1] if other > max(had[holder[0]][0])]
    return None if gave_up and day >= min(gave_up) else holder[0]


def expected(
    archive: Path,
    erased: set[str],
    until: dt.date,
    restricted: set[str] | None = None,
    corrections: Corrections | None = None,
) -> pl.DataFrame:
    """What is published in detail: number, manager, course, day, status, one row a record.

    Args:
        archive: the deliveries in use.
        erased: numbers and addresses of people who have been erased.
        until: what is past its window by then is in no table.
        restricted: numbers of people whose records are not used.
    """
    roster = rosters(archive)
    columns = ["number", "course", "kind", "day", "status"]
    rows = pl.concat(
        [history(archive, corrections or {}).select(columns), statements(archive, roster)]
    )
    last = roster.sort("delivered").unique("number", keep="last").select("number", "manager")
    unused = list(erased | (restricted or set()))
    return (
        rows.filter(~ended(until), ~pl.col("number").is_in(unused))
        .join(last, on="number", how="left")
        .with_columns(
            pl.when(~pl.col("manager").is_in(list(erased))).then("manager").alias("manager")
        )
        .select("number", "manager", "course", "day", "status")
    )


def ended(until: dt.date) -> pl.Expr:
    """Is a record past its window?"""
    return (pl.col("kind") == "Message") & (pl.col("day") + MESSAGES_LAST * DAY < until)


def as_sent(path: Path) -> list[dict[str, str]]:
    """The rows of a delivered file."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def known(archive: Path, number: int) -> bool:
    """Does an accepted roster or history name this employee?"""
    return any(str(number) in path.read_text("utf-8") for path in archive.glob("*/*.csv"))

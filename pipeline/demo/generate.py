"""A realistic, seeded demo: a company's landing folder, with the defects that real exports have.

Team sizes follow a Zipf law, so that some teams stay under k; names carry accents and other
scripts; comments hold planted identifiers; a later delivery brings late and corrected records; a
small share of rows breaks a rule. All of it is a function of the seed and the sizes.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipeline.policy.data_map import DeliveryRules
from pipeline.raw import landing
from pipeline.storage.layout import Layout

FIRST = [
    "Zoë",
    "José",
    "Łukasz",
    "Søren",
    "Aoife",
    "Nguyễn",
    "Олена",
    "美咲",
    "Fatima",
    "Björn",
    "Chloé",
    "Ivo",
    "Grace",
    "Deniz",
    "Priya",
    "Tomás",
    "Maja",
    "Owen",
]
LAST = [
    "Müller",
    "García",
    "Nowak",
    "Ó Briain",
    "Østergård",
    "Trần",
    "Шевченко",
    "佐藤",
    "El Amrani",
    "Lindqvist",
    "Dubois",
    "Rossi",
    "Okafor",
    "Yılmaz",
    "Sharma",
    "Silva",
    "Kovač",
]
DEPARTMENTS = ["Sales", "Engineering", "Support", "Finance", "Logistics", "Legal", "Research"]
COUNTRIES = ["DE", "FR", "PL", "GB", "US", "IN", "JP"]
COURSES = [
    ("SEC-101", "Information security basics", "Course"),
    ("GDP-100", "Data protection for everyone", "Course"),
    ("COC-200", "Code of conduct", "Course"),
    ("NEG-310", "Negotiation in practice", "Curriculum"),
    ("SQL-220", "SQL for analysts, final exam", "Exam"),
    ("FRK-150", "Forklift licence test", "Exam"),
    ("MNT-001", "Message from your mentor", "Message"),
    ("HLT-404", "Living with burnout", "Course"),
    ("UNI-007", "Shop steward induction", "Course"),
    ("WB-100", "Raising a concern", "Course"),
]
STATUSES = ["Completed", "In Progress", "Not Started", "Passed", "Failed", "Waived"]


@dataclass(frozen=True)
class Size:
    """How much to make: people, and records in the first delivery."""

    people: int = 600
    records: int = 20_000


def roster(rng: np.random.Generator, size: Size) -> pl.DataFrame:
    """The HR roster; every person's manager follows a Zipf law over the first people."""
    n = size.people
    number = np.arange(n)
    managers = max(3, n // 12)
    manager = (rng.zipf(1.4, n) - 1) % managers
    first, last = rng.integers(0, len(FIRST), n), rng.integers(0, len(LAST), n)
    return pl.DataFrame(
        {
            "Employee ID": 100_000 + number * 7,
            "Full Name": np.array(FIRST)[first] + " " + np.array(LAST)[last],
            "Email": [f"p{i}.x@corp.example" for i in number.tolist()],
            "Manager ID": 100_000 + manager * 7,
            "Department": np.array(DEPARTMENTS)[np.minimum(rng.zipf(1.6, n) - 1, 6)],
            "Country": np.array(COUNTRIES)[rng.integers(0, len(COUNTRIES), n)],
        }
    ).cast(pl.String)


def history(
    rng: np.random.Generator, people: pl.DataFrame, n: int, day: dt.date, oldest: int = 300
) -> pl.DataFrame:
    """`n` rows of learning history that end before `day`, assigned 30 to `oldest` days earlier."""
    who = people[rng.integers(0, people.height, n)]
    course = rng.integers(0, len(COURSES), n)
    code, title, kind = (np.array([c[i] for c in COURSES])[course] for i in range(3))
    status = np.array(STATUSES)[rng.choice(6, n, p=[0.5, 0.14, 0.1, 0.16, 0.07, 0.03])]
    status = np.where(kind == "Exam", np.where(status == "Failed", "Failed", "Passed"), status)
    assigned = rng.integers(30, oldest, n)
    took = rng.gamma(2.0, 9.0, n).astype(int)
    done = np.isin(status, ["Completed", "Passed", "Failed"])
    scored = done & (rng.random(n) < 0.6)
    frame = pl.DataFrame(
        {
            "Course Code": code,
            "Course Title": title,
            "Item Type": kind,
            "Status": status,
            "_assigned": assigned,
            "_took": took,
            "_done": done,
            "_scored": scored,
            "_score": np.clip(rng.normal(72, 18, n), 0, 100).round(1),
            "_zone": rng.integers(0, 3, n),
            "_talks": rng.random(n) < 0.08,
            "Attempts": rng.integers(1, 4, n),
        }
    )
    start = pl.lit(day) - pl.duration(days=pl.col("_assigned"))
    end = start + pl.duration(days=pl.min_horizontal("_took", pl.col("_assigned") - 1))
    instant = end.cast(pl.Datetime) + pl.duration(hours=9)
    zoned = (
        pl.when(pl.col("_zone") == 0)
        .then(instant.dt.to_string("%Y-%m-%dT%H:%M:%SZ"))
        .when(pl.col("_zone") == 1)
        .then(instant.dt.to_string("%Y-%m-%dT%H:%M:%S+05:30"))
        .otherwise(end.dt.to_string("%Y-%m-%d"))
    )
    planted = pl.format("please ring {} ({}) about this", "Full Name", "Email")
    return pl.concat([who, frame], how="horizontal").select(
        "Employee ID",
        "Full Name",
        "Email",
        "Manager ID",
        "Department",
        pl.lit("HQ").alias("Location"),
        "Country",
        "Item Type",
        "Course Code",
        "Course Title",
        start.dt.to_string("%Y-%m-%d").alias("Assigned Date"),
        start.dt.to_string("%Y-%m-%d").alias("Started Date"),
        pl.when("_done").then(zoned).alias("Completed Date"),
        (start + pl.duration(days=30)).dt.to_string("%Y-%m-%d").alias("Due Date"),
        "Status",
        pl.when("_scored").then(pl.col("_score").cast(pl.String)).alias("Score"),
        pl.when("_scored").then(pl.lit("100")).alias("Max Score"),
        pl.col("Attempts").cast(pl.String),
        pl.when("_talks").then(planted).alias("Comments"),
    )


def with_defects(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows, of which about one in two hundred has a defect of one of four kinds."""
    chosen = rng.random(rows.height) < 0.005
    defect = pl.Series("_defect", np.where(chosen, rng.integers(1, 5, rows.height), 0))
    broken = {
        1: ("Score", "n/a"),
        2: ("Assigned Date", "1899-12-30"),
        3: ("Status", "???"),
        4: ("Employee ID", None),
    }
    return rows.with_columns(
        pl.when(defect == kind).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for kind, (name, value) in broken.items()
    )


def statements(rng: np.random.Generator, people: pl.DataFrame, n: int, day: dt.date) -> str:
    """`n` xAPI statements as NDJSON; few and nested, so written by the json module."""
    verbs = ["initialized", "completed", "passed", "failed"]
    who = people["Email"].gather(rng.integers(0, people.height, n)).to_list()
    lines = []
    for number, (email, verb) in enumerate(zip(who, rng.choice(verbs, n).tolist(), strict=True)):
        moment = dt.datetime.combine(day, dt.time(8), dt.UTC) - dt.timedelta(hours=number % 900)
        statement: dict[str, object] = {
            "id": f"00000000-0000-4000-8000-{number:012d}",
            "timestamp": moment.isoformat(),
            "actor": {"objectType": "Agent", "mbox": f"mailto:{email}"},
            "verb": {"id": f"http://adlnet.gov/expapi/verbs/{verb}"},
            "object": {
                "id": "https://lms.corp.example/activity/micro-phishing",
                "definition": {"name": {"en": "Spot the phish"}},
            },
            "context": {"registration": "r1"},
        }
        if verb in ("passed", "failed"):
            statement["result"] = {"score": {"scaled": 0.9 if verb == "passed" else 0.3}}
        lines.append(json.dumps(statement))
    return "\n".join(lines) + "\n"


def generate(
    layout: Layout, day: dt.date, size: Size, seed: int, progress: Callable[[str], None]
) -> list[dt.date]:
    """Write two deliveries into the landing folder, for the day before `day` and for `day`.

    The second re-delivers a tenth of the first's rows unchanged, and corrects another tenth.

    Returns:
        The deliveries' dates, in order.
    """
    rng = np.random.default_rng(seed)
    before = day - dt.timedelta(days=1)
    progress(f"roster of {size.people} people")
    people = roster(rng, size)
    progress(f"learning history of {size.records} records")
    first = history(rng, people, size.records, before)
    share = size.records // 10
    again = first.head(share)
    corrected = first.slice(share, share).with_columns(
        pl.when(pl.col("Status") == "In Progress")
        .then(pl.lit("Completed"))
        .otherwise(pl.col("Status"))
        .alias("Status")
    )
    late = history(rng, people, share, before)
    deliveries = {
        before: with_defects(rng, first),
        day: with_defects(rng, pl.concat([again, corrected, late])),
    }
    for date, rows in deliveries.items():
        progress(f"delivery of {date}")
        with landing.writing(layout, date, "hr_roster.csv") as stream:
            people.write_csv(stream)
        with landing.writing(layout, date, "learning_history.csv") as stream:
            rows.write_csv(stream)
        with landing.writing(layout, date, "xapi.ndjson") as stream:
            stream.write(statements(rng, people, max(50, size.records // 20), date).encode())
        # Last of all: the delivery is complete.
        with landing.writing(layout, date, DeliveryRules().marker):
            pass
    return [before, day]

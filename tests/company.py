"""A small company whose every figure can be worked out by hand, as files of a delivery."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

# Planted in fields that must never come out; each is easy to search for.
NAME = "Quentin Zzyzx"
EMAIL = "quentin.zzyzx@corp.example"
NUMBER = "7700001"
TEXT = "please ring Quentin about his burnout"

HISTORY = [
    "Employee ID",
    "Full Name",
    "Email",
    "Manager ID",
    "Department",
    "Location",
    "Country",
    "Item Type",
    "Course Code",
    "Course Title",
    "Assigned Date",
    "Started Date",
    "Completed Date",
    "Due Date",
    "Status",
    "Score",
    "Max Score",
    "Attempts",
    "Comments",
]
ROSTER = ["Employee ID", "Full Name", "Email", "Manager ID", "Department", "Country"]


def number(person: int) -> str:
    return str(7_700_001 + person)


def record(person: int = 0, **changes: str) -> dict[str, str]:
    """One row of learning history; `changes` by column, with _ for a blank in its name."""
    row = {
        "Employee ID": number(person),
        "Full Name": NAME if person == 0 else f"Person {person}",
        "Email": EMAIL if person == 0 else f"person{person}@corp.example",
        "Manager ID": number(900),
        "Department": "Sales",
        "Location": "HQ",
        "Country": "DE",
        "Item Type": "Course",
        "Course Code": "SEC-101",
        "Course Title": "Security basics",
        "Assigned Date": "2026-10-01",
        "Started Date": "2026-10-01",
        "Completed Date": "2026-10-11",
        "Due Date": "2026-10-31",
        "Status": "Completed",
        "Score": "45",
        "Max Score": "50",
        "Attempts": "1",
        "Comments": "",
    }
    return row | {name.replace("_", " "): value for name, value in changes.items()}


def person(at: int, **changes: str) -> dict[str, str]:
    """One row of the roster."""
    row = {column: record(at)[column] for column in ROSTER}
    return row | {name.replace("_", " "): value for name, value in changes.items()}


def statement(at: int = 0, **changes: object) -> dict[str, object]:
    """One xAPI statement by a person of the roster."""
    return {
        "id": f"00000000-0000-4000-8000-{at:012d}",
        "timestamp": "2026-10-12T10:00:00+02:00",
        "actor": {"mbox": f"mailto:{record(at)['Email']}"},
        "verb": {"id": "http://adlnet.gov/expapi/verbs/passed"},
        "object": {
            "id": "https://lms.example/phishing",
            "definition": {"name": {"en": "Spot the phish"}},
        },
        "result": {"score": {"scaled": 0.9}},
    } | changes


def write_csv(path: Path, rows: Iterable[Mapping[str, str]], columns: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_delivery(
    folder: Path,
    rows: Iterable[Mapping[str, str]],
    people: Iterable[Mapping[str, str]] = (),
    statements: Iterable[Mapping[str, object]] = (),
) -> Path:
    """Write one delivery: learning history, and roster and statements if there are any."""
    write_csv(folder / "learning_history.csv", rows, HISTORY)
    people, statements = list(people), list(statements)
    if people:
        write_csv(folder / "hr_roster.csv", people, ROSTER)
    if statements:
        lines = "".join(json.dumps(one) + "\n" for one in statements)
        (folder / "xapi.ndjson").write_text(lines, "utf-8")
    return folder


def company() -> tuple[list[dict[str, str]], list[dict[str, str]], list[dict[str, object]]]:
    """History, roster and statements.

    Sales has twelve people under manager 900, Legal three (under k) under 901 and Ops four under
    902, so that neither of the small ones is what is left of a total. Everyone took SEC-101 twice
    over (two assignments), person 0 with a comment; person 1 also took a course on
    burnout, a message came to person 2, and one row has a broken score.
    """
    sales, legal, ops = range(12), range(12, 15), range(15, 19)
    people = [person(p) for p in sales]
    people += [person(p, Department="Legal", Manager_ID=number(901)) for p in legal]
    people += [person(p, Department="Ops", Manager_ID=number(902)) for p in ops]
    people += [person(p, Manager_ID="") for p in (900, 901, 902)]
    rows = [record(p) for p in (*sales, *legal, *ops)]
    begun = {"Assigned_Date": "2026-09-01", "Started_Date": "2026-09-02", "Completed_Date": ""}
    rows += [record(p, **begun, Status="In Progress", Score="") for p in (*sales, *legal, *ops)]
    rows[0]["Comments"] = TEXT
    rows.append(record(1, Course_Code="HLT-404", Course_Title="Living with burnout"))
    rows.append(record(2, Course_Code="MNT-001", Course_Title="Mentor", Item_Type="Message"))
    rows.append(record(3, Course_Code="SQL-220", Score="n/a"))
    return rows, people, [statement(p) for p in range(6)]

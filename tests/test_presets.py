"""Presets: every one reads a delivery in its layout, a data map's own keys come before its, and it
cannot change without signatures."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from pipeline.access.approval import copy_of
from pipeline.errors import BadInput
from pipeline.governance.preview import changed_keys
from pipeline.policy import preset
from pipeline.policy.data_map import DataMap, load_data_map
from pipeline.policy.version import FILES, version
from pipeline.raw.deliveries import ingest
from pipeline.storage.layout import PROJECT, Layout
from tests.company import statement, write_csv
from tests.estate import sign_policy

DAY = dt.date(2026, 11, 1)
OWN = """
read_from: a report of our own
read_on: 2026-11-28
source:
  description: our own report
  reader: corporate
  files: "*own*.csv"
  fields:
    Who: {name: learner_id, class: direct_identifier, risk: high, treatment: drop, audiences: []}
"""
# One row of each preset's report: what differs from an empty column, and what the row is read as.
ROWS: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "adobe-learner-transcript": (
        "learner_transcript.csv",
        {
            "Name": "Quentin Zzyzx",
            "email": "Quentin.Zzyzx@corp.example",
            "LP/Certification/Course": "Security basics",
            "Training ID": "course:101",
            "Enrollment Date (Europe/Berlin TimeZone)": "2026-10-01",
            "Completion Date (Europe/Berlin TimeZone)": "2026-10-11 09:30:00",
            "Deadline (Europe/Berlin TimeZone)": "2026-10-31",
            "Status": "Completed",
            "Quiz Score": "45",
            "Quiz_score_max": "50",
            "Attempts Taken": "2",
            "Comment": "well done",
        },
        {"status": "completed", "score": 90.0, "attempts": 2, "has_comment": True},
    ),
    "learndash-courses": (
        "learndash_reports_user_courses_1.csv",
        {
            "user_id": "17",
            "name": "Quentin Zzyzx",
            "email": "quentin.zzyzx@corp.example",
            "course_id": "101",
            "course_title": "Security basics",
            "course_completed": "YES",
            "course_completed_on": "2026-10-11",
        },
        {"status": "completed", "course_code": "101", "event_on": dt.date(2026, 10, 11)},
    ),
    "openedx-business-progress": (
        "progress_v3.csv",
        {
            "user_email": "quentin.zzyzx@corp.example",
            "course_key": "edX+DemoX",
            "course_title": "Security basics",
            "enrollment_date": "2026-10-01",
            "progress_status": "Failed",
            "current_grade": "0.45",
            "user_country_code": "de",
        },
        {"status": "failed", "score": None, "country": "DE", "event_on": dt.date(2026, 10, 1)},
    ),
}
ZONE = {"zone": "Europe/Berlin"}
# A file of each preset's statements, and its milestones' verbs by status.
STATEMENTS = {
    "moodle-logstore-xapi": (
        "moodle_statements.ndjson",
        {"not_started": 1, "in_progress": 7, "completed": 2, "withdrawn": 1},
    ),
    "openedx-xapi": (
        "openedx-tracking.json",
        {"not_started": 1, "passed": 1, "failed": 1, "withdrawn": 1},
    ),
}


@cache
def content() -> dict[str, Any]:
    text = (PROJECT / "data_map.yaml").read_text("utf-8")
    loaded: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return loaded


def with_source(**keys: object) -> DataMap:
    sources = {"theirs": keys, **content()["sources"]}
    return DataMap.model_validate(content() | {"sources": sources})


def folder(tmp_path: Path, name: str, source: str, own: str | None = None) -> Path:
    """Policy files with one source more, in YAML, and a preset of one's own."""
    path = tmp_path / name
    (path / preset.FOLDER).mkdir(parents=True)
    for file in FILES:
        (path / file).write_bytes((PROJECT / file).read_bytes())
    text = (path / "data_map.yaml").read_text("utf-8")
    (path / "data_map.yaml").write_text(text.replace("sources:\n", f"sources:\n{source}", 1))
    if own is not None:
        (path / preset.FOLDER / "own.yaml").write_text(own, "utf-8")
    return path


@pytest.mark.parametrize("name", preset.shipped())
def test_a_preset_cites_what_it_was_read_from(name: str) -> None:
    found = preset.parsed(name, preset.shipped()[name])
    assert len(found.read_from) > 40
    assert found.read_on >= dt.date(2026, 11, 28)
    assert found.dated is None or found.dated <= found.read_on


@pytest.mark.parametrize("name", ROWS)
def test_a_preset_reads_its_layout(tmp_path: Path, name: str) -> None:
    file, given, meant = ROWS[name]
    data_map = with_source(preset=name, **ZONE)
    columns = list(data_map.sources["theirs"].fields)
    layout = Layout(tmp_path)
    write_csv(Path(layout.landing) / str(DAY) / file, [dict.fromkeys(columns, "") | given], columns)
    ingest(layout, data_map, DAY)
    (path,) = layout.canonical.glob("*/*/records-theirs-*[0-9].parquet")
    (row,) = pl.read_parquet(path).to_dicts()
    assert row["problem"] is None
    assert row["learner_id"] == "mbox:mailto:quentin.zzyzx@corp.example"
    assert row["course_title"] == "Security basics"
    assert {key: row[key] for key in meant} == meant


def test_every_preset_is_read_in_a_test() -> None:
    assert {*ROWS, *STATEMENTS} == set(preset.shipped())


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_preset_of_statements_knows_what_every_verb_means(tmp_path: Path, name: str) -> None:
    file, meant = STATEMENTS[name]
    data_map = with_source(preset=name)
    verbs = data_map.sources["theirs"].verbs
    layout = Layout(tmp_path)
    path = Path(layout.landing) / str(DAY) / file
    path.parent.mkdir(parents=True)
    lines = [statement(at, verb={"id": verb}) for at, verb in enumerate(verbs)]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), "utf-8")
    ingest(layout, data_map, DAY)
    (stored,) = layout.canonical.glob("*/*/records-theirs-*[0-9].parquet")
    rows = pl.read_parquet(stored)
    assert rows["problem"].null_count() == rows.height
    wanted = [one.status for one in verbs.values() if one.status and not one.needs_result]
    assert sorted(rows["status"]) == sorted(wanted)
    assert Counter(wanted) == meant


def test_own_keys_come_before_the_presets() -> None:
    theirs = with_source(
        preset="learndash-courses",
        files="*our-report*.csv",
        statuses={"started": "in_progress", "no": None},
        fields={
            "steps_total": None,
            "branch": content()["sources"]["corporate"]["fields"]["Country"],
        },
    ).sources["theirs"]
    assert theirs.files == "*our-report*.csv"
    assert theirs.statuses == {"yes": "completed", "started": "in_progress"}
    assert theirs.fields["branch"].name == "country"
    assert "steps_total" not in theirs.fields
    assert theirs.fields["email"].name == "learner_id"


@pytest.mark.parametrize(
    ("source", "own", "said"),
    [
        ("  x: {preset: nowhere}\n", None, "no preset `nowhere`"),
        # The version finds presets in the text, so that one which it would miss is refused.
        ('  x: {"pres\\x65t": own}\n', OWN, "no preset `own`"),
        ("  x: {? preset : own}\n", OWN, "no preset `own`"),
        ("  x: {preset: own}\n", OWN.replace("read_on", "read"), "wrong or missing key: read"),
        ("  x: {preset: own}\n", "read_from: [", "not valid YAML"),
        ("  x: {preset: own, fields: {Who: {name: learner_id}}}\n", OWN, "class"),
    ],
)
def test_a_wrong_preset_is_refused_by_its_name(
    tmp_path: Path, source: str, own: str | None, said: str
) -> None:
    path = folder(tmp_path, "policy", source, own)
    with pytest.raises(BadInput, match=r"data_map\.yaml") as refused:
        load_data_map(path / "data_map.yaml")
    assert said in str(refused.value)


def test_a_preset_of_ones_own_comes_before_a_shipped_one(tmp_path: Path) -> None:
    path = folder(tmp_path, "policy", "  x: {preset: learndash-courses}\n")
    (path / preset.FOLDER / "learndash-courses.yaml").write_text(OWN, "utf-8")
    assert list(load_data_map(path / "data_map.yaml").sources["x"].fields) == ["Who"]


def test_a_changed_preset_is_another_version_of_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unused = folder(tmp_path, "unused", "", OWN)
    assert version(unused) == version(PROJECT), "a preset that is not used is no policy"
    used = folder(tmp_path, "used", "  x: {preset: own}\n", OWN)
    before = version(used)
    (used / preset.FOLDER / "own.yaml").write_text(OWN.replace("our own", "their"), "utf-8")
    assert version(used) != before
    shipped = folder(tmp_path, "shipped", "  x: {preset: learndash-courses}\n")
    before = version(shipped)
    newer = {name: text + "\n" for name, text in preset.shipped().items()}
    monkeypatch.setattr(preset, "shipped", lambda: newer)
    assert version(shipped) != before, "an upgrade that changes a preset needs signatures"


def test_what_a_preset_changes_is_shown(tmp_path: Path) -> None:
    old = folder(tmp_path, "old", "  x: {preset: own}\n", OWN)
    new = folder(tmp_path, "new", "  x: {preset: own}\n", OWN.replace("high", "low"))
    assert changed_keys(old, new) == ("presets/own.yaml.source.fields.Who.risk: high → low",)


def test_what_was_signed_holds_the_presets(tmp_path: Path) -> None:
    source = "  x: {preset: own}\n  y: {preset: learndash-courses}\n"
    path = folder(tmp_path, "policy", source, OWN)
    sign_policy(tmp_path, path)
    signed = copy_of(Layout(tmp_path), version(path))
    assert signed is not None
    assert version(signed) == version(path)
    assert {one.name for one in (signed / preset.FOLDER).iterdir()} == {
        "own.yaml",
        "learndash-courses.yaml",
    }

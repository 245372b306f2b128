"""Every reader to the canonical schema, on files as the systems write them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import polars as pl
import pytest

from pipeline.policy.data_map import DataMap
from pipeline.raw.deliveries import ingest
from pipeline.storage.layout import Layout
from tests.company import HISTORY, record, write_csv, write_delivery

RUN_DATE = dt.date(2026, 11, 1)


def canonical(layout: Layout) -> pl.DataFrame:
    files = [p for p in layout.canonical.glob("*/*/records-*.parquet") if "rejects" not in p.name]
    return pl.concat([pl.read_parquet(file) for file in files])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def read(layout: Layout, data_map: DataMap) -> pl.DataFrame:
    ingest(layout, data_map, RUN_DATE)
    return canonical(layout)


def folder(layout: Layout) -> Path:
    path = Path(layout.landing) / str(RUN_DATE)
    path.mkdir(parents=True, exist_ok=True)
    return path


def test_corporate_row(layout: Layout, data_map: DataMap) -> None:
    write_delivery(folder(layout), [record(0, Completed_Date="2026-10-11T09:30:00+05:30")])
    (row,) = read(layout, data_map).to_dicts()
    assert row["learner_id"] == "emp:7700001"
    assert row["manager_id"] == "emp:7700901"
    assert row["record_type"] == "milestone_flag"
    assert row["status"] == "completed"
    assert row["score"] == pytest.approx(90)
    assert row["event_at"] == dt.datetime(2026, 10, 11, 4)
    assert row["event_zone"] == "+05:30"
    # A date is a date, wherever the company is.
    assert (row["assigned_on"], row["assigned_at"]) == (dt.date(2026, 10, 1), None)
    assert row["problem"] is row["raw"] is row["file"] is None


@pytest.mark.parametrize(
    ("written", "zone"),
    [
        ("2026-10-11T09:30:00Z", "Z"),
        ("2026-10-11T09:30:00.125-03:00", "-03:00"),
        ("2026-10-11T09:30+0530", "+0530"),
        ("2026-10-11T09:30:00", None),
        ("2026-10-11 09:30:00+02:00", None),  # not ISO 8601's T
        ("2026-10-11", None),
    ],
)
def test_zone_is_published_as_written(
    layout: Layout, data_map: DataMap, written: str, zone: str | None
) -> None:
    write_delivery(folder(layout), [record(0, Completed_Date=written)])
    (row,) = read(layout, data_map).to_dicts()
    assert (row["event_zone"], row["problem"]) == (zone, None)


def test_quarantined_row_keeps_every_delivered_value(layout: Layout, data_map: DataMap) -> None:
    given = record(3, Score="n/a", Status="Completed", Department=" Sales ")
    write_delivery(folder(layout), [given])
    (row,) = read(layout, data_map).to_dicts()
    assert row["problem"] == "score:not_a_number"
    assert row["file"] == "learning_history.csv"
    output = json.loads(row["raw"])
    assert {name: output[name] or "" for name in HISTORY} == given


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"Employee_ID": ""}, "learner_id:missing"),
        ({"Employee_ID": "   "}, "learner_id:missing"),
        ({"Course_Code": ""}, "course_code:missing"),
        ({"Course_Code": "a@b.example"}, "course_code:looks_like_an_identifier"),
        ({"Status": "???"}, "status:unknown"),
        ({"Item_Type": "Seance"}, "record_type:unknown"),
        ({"Score": "51"}, "score:out_of_scale"),
        ({"Score": "-1"}, "score:out_of_scale"),
        ({"Attempts": "5000"}, "attempts:out_of_range"),
        ({"Completed_Date": "2026-13-45"}, "event_at:not_a_date"),
        ({"Completed_Date": "2031-01-01"}, "event_at:in_the_future"),
    ],
)
def test_every_rule_has_its_quarantine(
    layout: Layout, data_map: DataMap, change: dict[str, str], problem: str
) -> None:
    write_delivery(folder(layout), [record(0, **change)])
    assert read(layout, data_map)["problem"].to_list() == [problem]


def test_other_vendors_are_a_matter_of_the_map(layout: Layout, data_map: DataMap) -> None:
    row = {
        "User ID": "7700001",
        "Supervisor ID": "7700901",
        "Organization": "Sales",
        "Item ID": "SEC-101",
        "Item Title": "Security",
        "Item Type": "EXAM",
        "Completion Date": "10/11/2026",
        "Completion Status": "Pass",
        "Grade": "90",
    }
    write_csv(folder(layout) / "successfactors_learning.csv", [row], list(row))
    (read_row,) = read(layout, data_map).to_dicts()
    assert read_row["source"] == "successfactors"
    assert (read_row["event_on"], read_row["event_at"]) == (dt.date(2026, 10, 11), None)
    assert (read_row["status"], read_row["record_type"]) == ("passed", "assessment_record")
    assert read_row["score"] == pytest.approx(90)


ACTORS = {
    "mbox:mailto:a@corp.example": {"mbox": "mailto:A@corp.example"},
    "sha1:" + "a" * 40: {"mbox_sha1sum": "A" * 40},
    "openid:https://id.example/a": {"openid": "https://id.example/a"},
    "acct:https://hr.example#77": {"account": {"homePage": "https://hr.example", "name": "77"}},
}


def xapi(verb: str = "passed", **more: object) -> dict[str, object]:
    return {
        "id": "1",
        "timestamp": "2026-10-12T10:00:00+02:00",
        "actor": {"mbox": "mailto:a@corp.example"},
        "verb": {"id": f"http://adlnet.gov/expapi/verbs/{verb}"},
        "object": {"id": "https://lms.example/c"},
    } | more


@pytest.mark.parametrize("array", [True, False])
@pytest.mark.parametrize("learner", ACTORS)
def test_xapi_actors(layout: Layout, data_map: DataMap, learner: str, array: bool) -> None:
    one = json.dumps(xapi(actor=ACTORS[learner]))
    (folder(layout) / "xapi.json").write_text(f"[{one}]" if array else one + "\n")
    (row,) = read(layout, data_map).to_dicts()
    assert row["learner_id"] == learner
    assert row["problem"] is None
    assert row["event_at"] == dt.datetime(2026, 10, 12, 8)
    assert row["event_zone"] == "+02:00"


@pytest.mark.parametrize(
    ("verb", "result", "status", "score"),
    [
        ("passed", {"score": {"scaled": 0.9}}, "passed", 90),
        ("passed", {"score": {"raw": 15, "min": 10, "max": 20}}, "passed", 50),
        ("passed", {"score": {"raw": 15}}, "passed", 15),
        ("completed", {"success": False}, "failed", None),
        ("completed", {"success": True}, "passed", None),
        ("completed", {}, "completed", None),
        ("satisfied", {}, "completed", None),
        ("waived", {}, "waived", None),
        ("abandoned", {}, "withdrawn", None),
        ("initialized", {}, "in_progress", None),
    ],
)
def test_xapi_results(
    layout: Layout,
    data_map: DataMap,
    verb: str,
    result: dict[str, object],
    status: str,
    score: float | None,
) -> None:
    (folder(layout) / "xapi.ndjson").write_text(json.dumps(xapi(verb, result=result)) + "\n")
    (row,) = read(layout, data_map).to_dicts()
    assert (row["status"], row["score"]) == (status, score)


def test_canonical_parquet(layout: Layout, data_map: DataMap) -> None:
    frame = pl.DataFrame(
        {
            "record_type": "assessment_record",
            "learner_id": ["emp:1", "naked"],
            "course_code": "C",
            "status": "passed",
            "event_at": dt.datetime(2026, 10, 1, tzinfo=dt.UTC),
            "score": 4.0,
            "score_max": 5,
        }
    )
    frame.write_parquet(folder(layout) / "canonical.parquet")
    first, second = read(layout, data_map).sort("learner_id").to_dicts()
    assert (first["score"], first["problem"]) == (80, None)
    assert first["event_at"] == dt.datetime(2026, 10, 1)
    assert second["problem"] == "learner_id:no_namespace"


def test_region_folders(layout: Layout, data_map: DataMap) -> None:
    for region in ("EU", "US"):
        write_delivery(folder(layout) / region, [record(0)])
    assert sorted(read(layout, data_map)["region"].to_list()) == ["EU", "US"]
    assert {p.name for p in (layout.canonical / str(RUN_DATE)).iterdir() if p.is_dir()} == {
        "EU",
        "US",
    }


def test_an_url_is_as_good_as_a_folder(tmp_path: Path, data_map: DataMap) -> None:
    import fsspec

    local = write_delivery(tmp_path / "local", [record(0)])
    memory = fsspec.filesystem("memory")
    memory.put(str(local / "learning_history.csv"), f"/deliveries/{RUN_DATE}/learning_history.csv")
    layout = Layout(tmp_path / "home", "memory://deliveries")
    assert read(layout, data_map)["learner_id"].to_list() == ["emp:7700001"]
    assert not [path for path in layout.work.rglob("*") if path.is_file()]

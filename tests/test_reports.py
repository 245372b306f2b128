"""What differs from report to report is policy: forms of dates and scores, marks for no value,
constants, names in two columns, one column a course."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from pydantic import ValidationError

from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import Source
from pipeline.policy.form import Form
from pipeline.raw.deliveries import ingest
from pipeline.raw.readers.base import MalformedFile
from pipeline.raw.readers.canonical import scaled
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from pipeline.storage.sql import tuples
from tests.company import person, record, write_csv

DAY = dt.date(2026, 11, 1)
COURSES = ("SEC-101", "HLT 404")


def with_source(data_map: DataMap, name: str = "corporate", **changes: Any) -> DataMap:
    """The data map with other keys of a source, validated as one that is read from its file."""
    source = data_map.sources[name].model_dump(by_alias=True) | changes
    sources = {**data_map.sources, name: Source.model_validate(source)}
    return data_map.model_copy(update={"sources": sources})


def fields_of(data_map: DataMap, name: str = "corporate") -> dict[str, Any]:
    return dict(data_map.sources[name].model_dump(by_alias=True)["fields"])


def read(home: Path, data_map: DataMap, rows: list[dict[str, str]], name: str) -> pl.DataFrame:
    layout = Layout(home)
    write_csv(Path(layout.landing) / str(DAY) / name, rows, list(rows[0]))
    ingest(layout, data_map, DAY)
    (found,) = [p for p in layout.canonical.glob("*/*/*.parquet") if ".rejects." not in p.name]
    return pl.read_parquet(found)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with engine(tmp_path_factory.mktemp("scores")) as opened:
        yield opened


GRADES = {"a": 95.0, "b+": 88.0, "1": 100.0}


@pytest.mark.parametrize(
    ("decimal", "score", "scale", "percent"),
    [
        (".", "45", "50", 90),
        (".", "85%", None, 85),
        (".", "85,5 %", "50", 85.5),
        (".", "17/20", None, 85),
        (".", "8.5 / 10", "50", 85),
        (".", "85,5", None, 85.5),
        (".", "1,000", "2,000", 50),
        (".", "85,500", None, 85_500),  # out of scale: set aside, and not guessed
        (".", "A", None, 95),
        (".", "b+", "50", 88),
        (".", "1", None, 100),
        (".", "C", None, None),
        (".", "17/0", None, None),
        (".", "31/10/2026", None, None),
        (".", "#DIV/0!", None, None),
        (".", "45", "0", None),
        (",", "85,5", None, 85.5),
        (",", "1.000,5", "2.001", 50),
        (",", "85.5", None, 85.5),
        (",", "17,5/20", None, 87.5),
        (",", "1,2,3", None, None),
    ],
)
def test_scores_in_every_form(
    connection: duckdb.DuckDBPyConnection,
    decimal: str,
    score: str,
    scale: str | None,
    percent: float | None,
) -> None:
    rows = f"(VALUES {tuples([(score, scale)])}) AS v (score, scale)"
    query = f"SELECT {scaled('score', 'scale::VARCHAR', decimal, GRADES)} FROM {rows}"
    ((found,),) = connection.sql(query).fetchall()
    assert found == (None if percent is None else pytest.approx(percent, rel=1e-3))


def test_several_forms_of_dates_in_one_source(tmp_path: Path, data_map: DataMap) -> None:
    texts = [
        "31.10.2026",
        "10/31/2026 3:15 PM",
        "2026-10-31",
        "46326",
        "46326.25",
        "1.10.26",
        "31.13.2026",
    ]
    dates = ["%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y %I:%M %p", "excel"]
    rows = [record(at, Completed_Date=text) for at, text in enumerate(texts)]
    found = read(
        tmp_path, with_source(data_map, form={"dates": dates}), rows, "learning_history.csv"
    ).sort("learner_id")
    last = dt.date(2026, 10, 31)
    assert found["event_on"].to_list() == [last] * 5 + [dt.date(2026, 10, 1)] * 2
    assert [at and at.hour for at in found["event_at"]] == [None, 14, None, None, 5, None, None]
    assert found["problem"].to_list()[-1] == "event_at:not_a_date"


def test_marks_for_no_value(tmp_path: Path, data_map: DataMap) -> None:
    given = {"Score": "N/A", "Started_Date": "-", "Department": "null", "Attempts": "(Null)"}
    form = {"nulls": ["-", "n/a", "NULL", "(null)"]}
    rows = [record(0, **given), record(1, Score="-1")]
    found = read(tmp_path, with_source(data_map, form=form), rows, "learning_history.csv")
    columns = ("problem", "score", "started_on", "department", "attempts")
    first, second = found.sort("learner_id").select(columns).rows()
    assert first == (None,) * 5
    assert second[0] == "score:out_of_scale"


def test_constants_stand_for_missing_columns(tmp_path: Path, data_map: DataMap) -> None:
    """An export of completions only, of one country; a column that is there comes first."""
    changed = with_source(data_map, constants={"status": "Completed", "country": "at"})
    rows = [{c: v for c, v in record(0).items() if c not in ("Status", "Country")}]
    found = read(tmp_path / "without", changed, rows, "learning_history.csv")
    assert found.select("status", "country", "problem").rows() == [("completed", "AT", None)]
    found = read(tmp_path / "with", changed, [record(0, Status="Failed")], "learning_history.csv")
    assert found.select("status", "country").rows() == [("failed", "DE")]


def test_a_name_in_two_columns(tmp_path: Path, data_map: DataMap) -> None:
    fields = fields_of(data_map, "roster")
    name = fields.pop("Full Name")
    fields |= {"First": {**name, "name": "first_name"}, "Last": {**name, "name": "last_name"}}
    changed = with_source(data_map, "roster", fields=fields)
    row = {c: v for c, v in person(0).items() if c != "Full Name"}
    rows = [row | {"First": "Quentin", "Last": " Zzyzx "}, row | {"First": "", "Last": "Zzyzx"}]
    found = read(tmp_path, changed, rows, "hr_roster.csv")
    assert sorted(found["name"]) == ["Quentin Zzyzx", "Zzyzx"]
    with pytest.raises(MalformedFile, match='missing column "Last"'):
        read(tmp_path / "half", changed, [row | {"First": "Quentin"}], "hr_roster.csv")


def test_a_column_for_every_course(tmp_path: Path, data_map: DataMap) -> None:
    fields = {c: f for c, f in fields_of(data_map).items() if c in ("Employee ID", "Manager ID")}
    fields["Course * done"] = fields_of(data_map)["Completed Date"]
    changed = with_source(
        data_map, fields=fields, wide=["Course * done"], constants={"status": "completed"}
    )
    row = {"Employee ID": "7700001", "Manager ID": "7700900"}
    done = {f"course {course}  DONE": "2026-10-11" for course in COURSES}
    rows = [row | done, row | {"Employee ID": "7700002"} | dict.fromkeys(done, "")]
    rows.append(row | {"Employee ID": "7700003"} | dict.fromkeys(done, "soon"))
    found = read(tmp_path, changed, rows, "learning_history.csv").sort("learner_id", "course_code")
    assert found.select("learner_id", "course_code", "event_on", "problem").rows() == [
        ("emp:7700001", "HLT 404", dt.date(2026, 10, 11), None),
        ("emp:7700001", "SEC-101", dt.date(2026, 10, 11), None),
        ("emp:7700003", "HLT 404", None, "event_at:not_a_date"),
        ("emp:7700003", "SEC-101", None, "event_at:not_a_date"),
    ]


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("constants", {"learner_id": "1"}, "allowed are country"),
        ("wide", ["*"], "not under fields"),
        ("wide", ["Course: *"], "not under fields"),
        ("grades", {"A": 101}, "100"),
        ("date_format", "%d.%m.%Y", "form.dates"),
        ("form", {"delimiter": "a"}, "a letter, a digit"),
        ("form", {"delimiter": "\n"}, "ASCII characters that are no quotes"),
        ("form", {"encoding": "base64"}, "names of Python"),
        ("form", {"encoding": "unicode_escape"}, "names of Python"),
        ("form", {"quote": "“"}, "allowed are"),
        ("form", {"dates": ["dd.mm.yyyy"]}, "allowed are `excel` and what strptime reads"),
        ("form", {"dates": ["%d/%m/%Y", "%m/%d/%Y"]}, "read one text as two dates"),
        ("form", {"decimal": "'"}, "allowed are"),
        ("form", {"header_line": 0}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_key_says_what_is_allowed(
    data_map: DataMap, key: str, value: object, allowed: str
) -> None:
    with pytest.raises(ValidationError, match=allowed):
        with_source(data_map, **{key: value})


def test_nothing_admits_any_column(data_map: DataMap) -> None:
    fields = fields_of(data_map) | {" * ": fields_of(data_map)["Score"]}
    with pytest.raises(ValidationError, match="would admit any column"):
        with_source(data_map, fields=fields, wide=[" * "])


def test_forms_of_dates_that_differ_in_their_marks_go_together() -> None:
    assert len(Form(dates=("%d.%m.%Y", "%d.%m.%Y %H:%M", "%m/%d/%Y", "excel")).dates) == 4

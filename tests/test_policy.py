"""The policy files: what is not listed stops the run, and what is listed is enforced."""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from pipeline.errors import PolicyError
from pipeline.policy.data_map import DataMap, load_data_map
from pipeline.policy.fields import Audience
from pipeline.pseudonymized.models import check_against, columns_from_canonical, made_from
from pipeline.raw.deliveries import ingest
from pipeline.raw.readers.base import MalformedFile
from pipeline.raw.readers.registry import READERS
from pipeline.storage.layout import PROJECT, Layout
from tests import plain
from tests.company import EMAIL, HISTORY, NAME, NUMBER, company, record, statement, write_delivery
from tests.estate import decide_courses, sign_policy
from tests.fixtures import RUN_DATE as DELIVERED
from tests.fixtures import Estate, errors

RUN_DATE = dt.date(2026, 11, 1)
LETTERS = [chr(97 + n) for n in range(20)]


def raw_map() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((PROJECT / "data_map.yaml").read_text(), yaml.CSafeLoader)
    return loaded


def test_an_unlisted_column_stops_the_run_before_anything_is_written(estate: Estate) -> None:
    write_delivery(estate.delivery(), *company())
    path = estate.delivery() / "learning_history.csv"
    pl.read_csv(path, infer_schema=False).with_columns(Salary=pl.lit("1")).write_csv(path)
    sign_policy(estate.home)
    decide_courses(estate.context)
    before = {p for p in estate.home.rglob("*") if p.is_file()}
    result = estate.run()
    assert not result.success
    output = errors(result)
    assert "learning_history.csv" in output
    assert "'Salary'" in output
    assert "sources.corporate.fields" in output
    # What became of the delivery is on record, and nothing of what was in it.
    written = {p for p in estate.home.rglob("*") if p.is_file()} - before
    assert written == {estate.layout.register / f"{DELIVERED}.jsonl"}
    assert not [v for v in (NAME, EMAIL, NUMBER) for p in written if v in p.read_text()]


@pytest.mark.parametrize("path", ["context.salary", "result.score.x", "actor.x", "x"])
def test_an_unlisted_json_path_stops_the_run(tmp_path: Path, data_map: DataMap, path: str) -> None:
    one: Any = statement()
    at = one
    *parents, leaf = path.split(".")
    for parent in parents:
        at = at.setdefault(parent, {})
    at[leaf] = 1
    layout = Layout(tmp_path)
    write_delivery(Path(layout.landing) / str(RUN_DATE), [record()], (), [statement(1), one])
    with pytest.raises(PolicyError, match=path.replace(".", r"\.")):
        ingest(layout, data_map, RUN_DATE)
    assert not layout.canonical.exists()


def test_a_file_no_source_claims_stops_the_run(tmp_path: Path, data_map: DataMap) -> None:
    layout = Layout(tmp_path)
    folder = write_delivery(Path(layout.landing) / str(RUN_DATE), [record()])
    (folder / "salaries.xlsx").write_bytes(b"x")
    with pytest.raises(PolicyError, match=r"salaries\.xlsx"):
        ingest(layout, data_map, RUN_DATE)
    assert not layout.canonical.exists()


def test_a_folder_that_is_no_region_stops_the_run(tmp_path: Path, data_map: DataMap) -> None:
    layout = Layout(tmp_path)
    write_delivery(Path(layout.landing) / str(RUN_DATE) / "Atlantis", [record()])
    with pytest.raises(PolicyError, match="no region"):
        ingest(layout, data_map, RUN_DATE)


LONG = "Abschlussdatum der Pflichtunterweisung (letzte Wiederholung, gemäß § 12 ArbSchG)"
NAMES = [
    LONG,
    "Größe/Umfang",
    "Is it done?",
    "ISO 27001",
    "Note {1–6}",
    *(f"c {n}" for n in range(9)),
]


def refused(folder: Path, data_map: DataMap, name: str, text: str) -> str:
    """Why a delivery of one file is not admitted."""
    layout = Layout(folder)
    file = Path(layout.landing) / str(RUN_DATE) / name
    file.parent.mkdir(parents=True)
    file.write_text(text, "utf-8")
    with pytest.raises((PolicyError, MalformedFile)) as refusal:
        ingest(layout, data_map, RUN_DATE)
    return str(refusal.value)


@pytest.mark.parametrize("known", [[], HISTORY])
@pytest.mark.parametrize("row", [["x"] * 40, ["2026-10-01"] * 40])
def test_every_unlisted_column_is_named_in_full(
    tmp_path: Path, data_map: DataMap, known: list[str], row: list[str]
) -> None:
    names = [*known, *NAMES]
    text = "".join(
        ",".join(f'"{one}"' for one in line[: len(names)]) + "\n" for line in (names, row)
    )
    says = refused(tmp_path, data_map, "learning_history.csv", text)
    assert f"{len(NAMES)} column(s)" in says
    assert all(repr(name) in says for name in NAMES)


@pytest.mark.parametrize(
    "rows",
    [
        ["7700001,Zzyzx,Sales", "7700002,Person,Sales"],
        ["Zzyzx,Sales,2026-10-11", "Person,Legal,2026-10-12"],
        ["Zzyzx,quentin.zzyzx@corp.example,85%", "Person,person1@corp.example,"],
        ["Zzyzx,Sales,Completed", "Person,Legal,Failed", "Person,Ops,Completed"],
        ["Zzyzx,E-0417,DE", "Person,E-0418,FR"],
        ["Zzyzx,11.10.2026 15:04,DE"],
        ["Zzyzx,Zzyzx,7700001", "Person,Person,7700002"],
        ["Zzyzx,,7700001", "Person,,7700002"],
    ],
)
@pytest.mark.parametrize("name", ["learning_history.csv", "hr_roster.csv", "courses.csv"])
def test_no_value_of_a_file_without_a_header_is_shown_as_a_name(
    tmp_path: Path, data_map: DataMap, name: str, rows: list[str]
) -> None:
    says = refused(tmp_path, data_map, name, "\n".join(rows) + "\n")
    assert "no header" in says
    assert name in says
    shown = set(re.split(r"[\s,]+", says.replace(name, "")))
    values = {cell for row in rows for cell in row.split(",")}
    assert not shown & values - {""}


def test_keys_of_json_that_are_somebodys_are_shown_as_the_map_can_list_them(
    tmp_path: Path, data_map: DataMap
) -> None:
    iri = "https://w3id.example/xapi/ext/{seen}"
    keys = {iri: 1, f"{iri}/{NUMBER}": 1, f"{iri}/{EMAIL}": 1, EMAIL: 2, NUMBER: 3, NAME: 4}
    one = json.dumps(statement() | {"context": {"more": keys | dict.fromkeys(LETTERS, 0)}})
    says = refused(tmp_path, data_map, "xapi.json", f"[{one}]")
    for shown in (f'"{iri}"', f'"{iri}/*"', "*", *LETTERS):
        assert f"'context.more.{shown}'" in says
    assert not [value for value in (EMAIL.split("@")[0], NUMBER, NAME) if value in says]


def test_names_of_files_are_shown_in_full_on_one_line(tmp_path: Path, data_map: DataMap) -> None:
    name = f"Übersicht 2026\n[{LONG}].dat"
    says = refused(tmp_path, data_map, name.replace("/", "-"), "x")
    assert name.replace("\n", "\\n") in says


def test_every_file_that_is_not_admitted_is_named(tmp_path: Path, data_map: DataMap) -> None:
    write_delivery(Path(Layout(tmp_path).landing) / str(RUN_DATE), [record()])
    (Path(Layout(tmp_path).landing) / str(RUN_DATE) / "first.dat").write_text("x")
    (Path(Layout(tmp_path).landing) / str(RUN_DATE) / "hr_roster.csv").write_text("Salary\n1\n")
    with pytest.raises(PolicyError) as refusal:
        ingest(Layout(tmp_path), data_map, RUN_DATE)
    assert "first.dat" in str(refusal.value)
    assert "'Salary'" in str(refusal.value)


def test_every_source_has_a_reader(data_map: DataMap) -> None:
    assert {source.reader for source in data_map.sources.values()} <= set(READERS)


@pytest.mark.parametrize("purpose", Audience)
def test_columns_keep_to_the_map(data_map: DataMap, purpose: Audience) -> None:
    check_against(data_map, purpose)


@pytest.mark.parametrize("purpose", Audience)
def test_a_stricter_map_stops_the_run(data_map: DataMap, purpose: Audience) -> None:
    """Every column falls when the map withdraws its field from the purpose."""
    columns = columns_from_canonical(purpose, data_map).values()
    for field in {field for column in columns for field in made_from(column)}:
        given = raw_map()
        given["published"] = {
            t: spec for t, spec in given["published"].items() if spec["audience"] != purpose
        }
        for source in given["sources"].values():
            for spec in source["fields"].values():
                if spec["name"] == field:
                    for key in ("audiences", "exact_for"):
                        spec[key] = [p for p in spec.get(key, []) if p != purpose]
        with pytest.raises(PolicyError, match=purpose.value):
            check_against(DataMap.model_validate(given), purpose)


def test_an_exact_field_must_be_allowed_as_exact(data_map: DataMap) -> None:
    given = raw_map()
    for source in given["sources"].values():
        for spec in source["fields"].values():
            if spec["name"] == "score":
                spec.pop("exact_for")
    with pytest.raises(PolicyError, match=r"hr_legal\.score.*generalize"):
        check_against(DataMap.model_validate(given), Audience.HR_LEGAL)


def _break(given: dict[str, Any], kind: str) -> None:
    corporate = given["sources"]["corporate"]["fields"]
    if kind == "identifier kept":
        corporate["Employee ID"]["treatment"] = "keep"
    elif kind == "free text kept":
        corporate["Comments"]["treatment"] = "keep"
    elif kind == "dropped with purposes":
        corporate["Email"]["audiences"] = ["manager"]
    elif kind == "unknown class":
        corporate["Email"]["class"] = "harmless"
    elif kind == "unknown key":
        corporate["Email"]["note"] = "x"
    elif kind == "aggregate without k":
        del given["published"]["coaching_team"]["k"]
    elif kind == "k of one":
        given["published"]["coaching_team"]["k"] = 1
    elif kind == "column of a withheld field":
        given["published"]["manager_extract"]["columns"].append("score")
    elif kind == "undescribed column":
        given["published"]["manager_extract"]["columns"].append("mood")
    elif kind == "broken pattern":
        given["course_sensitivity"]["patterns"]["health"] = "("
    elif kind == "exact but kept":
        corporate["Status"]["exact_for"] = ["hr_legal"]


@pytest.mark.parametrize(
    "kind",
    [
        "identifier kept",
        "free text kept",
        "dropped with purposes",
        "unknown class",
        "unknown key",
        "aggregate without k",
        "k of one",
        "column of a withheld field",
        "undescribed column",
        "broken pattern",
        "exact but kept",
    ],
)
def test_a_contradictory_map_is_refused(tmp_path: Path, kind: str) -> None:
    given = copy.deepcopy(raw_map())
    _break(given, kind)
    path = tmp_path / "data_map.yaml"
    path.write_text(yaml.dump(given, Dumper=yaml.CSafeDumper))
    with pytest.raises(PolicyError, match=r"data_map\.yaml"):
        load_data_map(path)


SENSITIVE = [
    "Living with burnout",
    "Mental health first aid",
    "Shop steward induction",
    "Betriebsrat Grundlagen",
    "Disability inclusion for colleagues",
    "Speak up!",
    "Whistleblowing line",
    "Return to work",
]


def test_sensitive_courses_are_known_by_code_and_by_pattern(estate: Estate) -> None:
    rows = [
        record(p, Course_Code=f"X-{n}", Course_Title=title)
        for n, title in enumerate(SENSITIVE)
        for p in range(6)
    ]
    rows += [record(p, Course_Code="WB-100", Course_Title="Ethics") for p in range(6)]
    rows += [record(p, Course_Code="OK-1", Course_Title="Spreadsheets") for p in range(6)]
    write_delivery(estate.delivery(), rows)
    assert estate.run(DELIVERED, plain.STORES).success
    found = pl.read_parquet(
        estate.layout.classified / "period=*" / "*.parquet", hive_partitioning=False
    )
    ordinary = found.filter(pl.col("sensitivity").is_null())["course_code"].unique().to_list()
    assert ordinary == ["OK-1"]


def test_a_title_or_department_that_names_somebody_is_withheld(estate: Estate) -> None:
    rows, people, statements = company()
    for row in rows[:12]:
        row["Course Title"] = f"Coaching with {NAME}"
    for someone in people[:12]:
        someone["Department"] = f"Office of {NAME}"
    write_delivery(estate.delivery(), rows, people, statements)
    result = estate.run(DELIVERED, plain.STORES)
    assert result.success, errors(result)
    found = pl.read_parquet(
        estate.layout.classified / "period=*" / "*.parquet", hive_partitioning=False
    )
    assert NAME not in str(found.select("course_title", "department").rows())

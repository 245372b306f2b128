"""Broken input gives a quarantine or a clear error, never a crash with a value in it."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pipeline.policy.data_map import DataMap
from pipeline.raw.deliveries import ingest
from pipeline.raw.readers.base import MalformedFile
from pipeline.storage.layout import Layout
from tests.company import HISTORY, NAME, record, statement, write_delivery
from tests.fixtures import Estate, errors

RUN_DATE = dt.date(2026, 11, 1)


def history(folder: Path, rows: int = 1) -> Path:
    write_delivery(folder, [record(p) for p in range(rows)])
    return folder / "learning_history.csv"


def _duplicated_header(folder: Path) -> None:
    path = history(folder)
    path.write_text(path.read_text().replace("Location", "Country", 1))


def _empty(folder: Path) -> None:
    history(folder).write_bytes(b"")


def _no_header(folder: Path) -> None:
    path = history(folder)
    path.write_text(path.read_text().split("\n", 1)[1])


def _undecodable_header(folder: Path) -> None:
    path = history(folder)
    path.write_bytes(path.read_bytes().replace(b"Location", b"Stra\xa7e"))


def _truncated_array(folder: Path) -> None:
    folder.mkdir(parents=True)
    text = json.dumps([statement(p) | {"actor": {"name": NAME}} for p in range(3)])
    (folder / "xapi.json").write_text(text[:-40])


def _not_parquet(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "canonical.parquet").write_text(NAME)


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "duplicated header": (_duplicated_header, "duplicated column Country"),
    "empty file": (_empty, "empty file"),
    "no header": (_no_header, "no header"),
    "header in Mac Roman": (_undecodable_header, "Set form.encoding"),
    "truncated JSON array": (_truncated_array, "not a valid JSON array"),
    "not Parquet": (_not_parquet, "not a Parquet file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_file_is_refused_by_name_and_rule(estate: Estate, kind: str) -> None:
    make, rule = REFUSED[kind]
    make(estate.delivery())
    result = estate.run_in_dagster()
    assert not result.success
    output = errors(result)
    assert next(iter(estate.delivery().iterdir())).name in output
    assert re.search(rule, output), output
    assert not [value for value in (NAME, "7700001", "Sales") if value in output]
    assert not estate.layout.canonical.exists()
    assert not [e for e in estate.instance.all_logs(result.run_id) if NAME in e.to_json()]


def stored(layout: Layout, data_map: DataMap) -> tuple[pl.DataFrame, pl.DataFrame]:
    ingest(layout, data_map, RUN_DATE)
    (records,) = layout.canonical.glob("*/*/records-*[0-9].parquet")
    (rejects,) = layout.canonical.glob("*/*/records-*.rejects.parquet")
    return pl.read_parquet(records), pl.read_parquet(rejects)


def test_bad_lines_are_set_aside_with_their_number(tmp_path: Path, data_map: DataMap) -> None:
    layout = Layout(tmp_path)
    path = history(Path(layout.landing) / str(RUN_DATE), 5)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"Person", b"Per\xff\xfeson")  # line 3: not UTF-8
    lines[4] = lines[4].replace(b",HQ,", b",")  # line 5: a field short
    path.write_bytes(b"".join(lines))
    records, rejects = stored(layout, data_map)
    assert records.height == 3
    assert sorted(rejects["line"].to_list()) == [3, 5]
    assert set(rejects["file"]) == {"learning_history.csv"}
    assert rejects["raw"].null_count() == 0


def test_ten_megabytes_in_a_field(tmp_path: Path, data_map: DataMap) -> None:
    layout = Layout(tmp_path)
    write_delivery(
        Path(layout.landing) / str(RUN_DATE), [record(0, Comments="x" * 10_000_000), record(1)]
    )
    records, rejects = stored(layout, data_map)
    assert records["learner_id"].to_list() == ["emp:7700002"]
    assert rejects.height == 1


def test_truncated_ndjson_loses_its_last_line_only(tmp_path: Path, data_map: DataMap) -> None:
    layout = Layout(tmp_path)
    folder = Path(layout.landing) / str(RUN_DATE)
    folder.mkdir(parents=True)
    text = "".join(json.dumps(statement(p)) + "\n" for p in range(3))
    (folder / "xapi.ndjson").write_text(text[:-30])
    records, _ = stored(layout, data_map)
    assert records["problem"].to_list().count(None) == 2
    assert records["problem"].drop_nulls().to_list() == ["line:not_a_json_object"]


def test_mixed_zones_and_an_old_date(tmp_path: Path, data_map: DataMap) -> None:
    layout = Layout(tmp_path)
    times = ["2026-10-11T09:00:00Z", "2026-10-11T09:00:00+05:30", "2026-10-11", "1899-12-30"]
    write_delivery(
        Path(layout.landing) / str(RUN_DATE),
        [record(p, Completed_Date=time) for p, time in enumerate(times)],
    )
    records, _ = stored(layout, data_map)
    found = records.sort("learner_id")
    assert found["problem"].to_list() == [None, None, None, "event_at:too_early"]
    assert found["event_at"].to_list()[:3] == [
        dt.datetime(2026, 10, 11, 9),
        dt.datetime(2026, 10, 11, 3, 30),
        None,
    ]
    # What has an offset gets its date where the learner is.
    assert found["event_on"].to_list()[:3] == [None, None, dt.date(2026, 10, 11)]


def test_a_file_with_nothing_but_its_header(estate: Estate) -> None:
    write_delivery(estate.delivery(), [])
    assert (estate.delivery() / "learning_history.csv").read_text().strip() == ",".join(HISTORY)
    result = estate.run()
    assert result.success, errors(result)


def test_a_missing_column_names_itself(tmp_path: Path, data_map: DataMap) -> None:
    layout = Layout(tmp_path)
    path = history(Path(layout.landing) / str(RUN_DATE))
    frame = pl.read_csv(path, infer_schema=False).drop("Status")
    frame.write_csv(path)
    with pytest.raises(MalformedFile, match='missing column "Status"'):
        ingest(layout, data_map, RUN_DATE)
    assert not layout.canonical.exists()

"""The Open University Learning Analytics Dataset through the same job."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipeline.policy.data_map import DataMap
from pipeline.raw.deliveries import ingest
from pipeline.raw.readers.base import MalformedFile
from pipeline.storage.layout import PROJECT, Layout
from tests.estate import as_of
from tests.fixtures import RUN_DATE, Estate, errors

JUNE = dt.date(2015, 6, 30)
REAL = PROJECT.parent / "shared" / "data" / "oulad"
SMALL = {
    "courses": "code_module,code_presentation,module_presentation_length\nAAA,2013J,268\n",
    "assessments": "code_module,code_presentation,id_assessment,assessment_type,date,weight\n"
    "AAA,2013J,1752,TMA,19,10\n",
    "studentInfo": "code_module,code_presentation,id_student,gender,region,highest_education,"
    "imd_band,age_band,num_of_prev_attempts,studied_credits,disability,final_result\n"
    "AAA,2013J,1001,M,Scotland,HE Qualification,?,55<=,0,240,Y,Pass\n"
    "AAA,2013J,1002,F,Scotland,HE Qualification,20-30%,35-55,1,60,N,Withdrawn\n",
    "studentRegistration": "code_module,code_presentation,id_student,date_registration,"
    "date_unregistration\nAAA,2013J,1001,-20,\nAAA,2013J,1002,-5,12\n",
    "studentAssessment": "id_assessment,id_student,date_submitted,is_banked,score\n"
    "1752,1001,18,0,78\n1752,1002,10,0,?\n1752,1001,18,0,oops\n",
}


def write_small(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, text in SMALL.items():
        (folder / f"{name}.csv").write_text(text)


def test_days_results_and_missing_marks(tmp_path: Path, data_map: DataMap) -> None:
    layout = Layout(tmp_path)
    write_small(Path(layout.landing) / str(RUN_DATE))
    ingest(layout, data_map, RUN_DATE)
    (file,) = layout.canonical.glob("*/*/records-oulad-[0-9].parquet")
    rows = pl.read_parquet(file).sort("record_type", "learner_id", "score").to_dicts()
    output = [
        (r["learner_id"], r["course_code"], r["status"], r["score"], r["event_on"])
        for r in rows
        if not r["problem"]
    ]
    start = dt.date(2013, 10, 1)
    day = dt.timedelta(days=1)
    assert output == [
        ("ou:1001", "AAA-2013J/1752", "passed", 78, start + 18 * day),
        ("ou:1002", "AAA-2013J/1752", "completed", None, start + 10 * day),
        ("ou:1001", "AAA-2013J", "passed", None, start + 268 * day),
        ("ou:1002", "AAA-2013J", "withdrawn", None, start + 12 * day),
    ]
    assert [r["problem"] for r in rows if r["problem"]] == ["score:not_a_number"]
    # Gender, age, deprivation and disability are not on the way at all.
    assert not {"55<=", "20-30%", "HE Qualification"} & {str(v) for r in rows for v in r.values()}


def test_all_five_files_are_needed(tmp_path: Path, data_map: DataMap) -> None:
    layout = Layout(tmp_path)
    folder = Path(layout.landing) / str(RUN_DATE)
    write_small(folder)
    (folder / "courses.csv").unlink()
    with pytest.raises(MalformedFile, match=r"courses\.csv"):
        ingest(layout, data_map, RUN_DATE)


@pytest.mark.skipif(not REAL.is_dir(), reason="the Open University files are not at hand")
def test_the_real_data_reconciles_and_counts_right(estate: Estate) -> None:
    estate.delivery().mkdir(parents=True)
    for file in REAL.glob("*.csv"):
        shutil.copy(file, estate.delivery())
    # By today it is all past its window.
    with as_of(dt.datetime(2015, 1, 1, tzinfo=dt.UTC)):
        result = estate.run()
    assert result.success, errors(result)
    read = {f.stem: pl.read_csv(f, null_values=["?", ""]) for f in REAL.glob("*.csv")}
    records = read["studentInfo"].height + read["studentAssessment"].height
    for row in json.loads((estate.layout.reconciliation / f"{RUN_DATE}.json").read_text()):
        assert row["balanced"]
        assert row["received"] == records
    # One module's figures, worked out from the source files by another library: who stayed, or left
    # in the very month in which the module ended, is published for that month.
    of = {"code_module": "BBB", "code_presentation": "2014J"}
    left = pl.lit(dt.date(2014, 10, 1)) + pl.duration(days="date_unregistration")
    last = (
        read["studentInfo"]
        .filter(**of)
        .join(read["studentRegistration"].filter(**of), on="id_student")
        .filter(
            (pl.col("final_result") != "Withdrawn")
            | left.is_between(dt.date(2015, 6, 1), JUNE)
            | pl.col("date_unregistration").is_null()
        )
    )
    people = last["id_student"].n_unique()
    rate = last["final_result"].is_in(["Pass", "Distinction"]).mean()
    with duckdb.connect(str(estate.layout.current / "coaching.duckdb"), read_only=True) as c:
        found = c.execute(
            "SELECT learners, records, completion_rate FROM coaching_course "
            "WHERE course_code = 'BBB-2014J' "
            "AND period = DATE '2015-06-01'"
        ).fetchall()
    assert found == [(people, last.height, pytest.approx(rate))]
    _analysts_keep_their_use(estate, read)


def _analysts_keep_their_use(estate: Estate, read: dict[str, pl.DataFrame]) -> None:
    """Most rows keep course, region and department, and how courses end is what the files say."""
    with duckdb.connect(str(estate.layout.current / "analytics.duckdb"), read_only=True) as c:
        rows = c.sql("FROM analytics_milestones").pl()
    assert (rows["detail"] == "full").mean() >= 0.95
    # Of the records one is suppressed; and hardly anybody is alone with a result.
    assert rows["tries"].null_count() / rows.height <= 0.001
    passed = pl.col("status").is_in(["passed", "completed", "waived"])
    output = (
        rows.filter(record_type="milestone_flag")
        .group_by("course_code")
        .agg(passed.mean().alias("published"))
    )
    raw = (
        read["studentInfo"]
        .group_by(course_code=pl.concat_str("code_module", "code_presentation", separator="-"))
        .agg(
            pl.col("final_result").is_in(["Pass", "Distinction"]).mean().alias("raw"),
            pl.len().alias("people"),
        )
        .filter(pl.col("people") >= 50)
    )
    both = raw.join(output, on="course_code")
    assert both.height == raw.height > 10
    assert (both["published"] - both["raw"]).abs().max() <= 0.05

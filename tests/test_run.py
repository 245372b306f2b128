"""The whole run on a company whose figures are worked out by hand."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from pipeline.keys.ring import PSEUDONYM
from pipeline.policy.data_map import DataMap
from pipeline.storage.sql import Sql
from tests.company import EMAIL, NAME, NUMBER, TEXT, company, record, write_delivery
from tests.fixtures import RUN_DATE, Estate, errors, failed_checks
from tests.opened import released

Ask = Callable[[str], list[tuple[object, ...]]]


OCTOBER = dt.date(2026, 10, 1)


def test_coaching_figures_are_those_of_the_company(tables: Ask) -> None:
    # In October twelve in Sales did SEC-101 (45/50 = 90 %, ten days, in time), six of them passed
    # the phishing course by xAPI; Legal's three and Ops' four stay out, each and together known
    # only as what is left of the company.
    (row,) = tables("FROM coaching_db.coaching_department")
    period, department, learners, records, completed, on_time, days = row
    assert (period, department, learners, records) == (OCTOBER, "Sales", 12, 12 + 6)
    assert completed == pytest.approx(1)
    assert on_time == pytest.approx(1)
    assert days == pytest.approx(10)
    (row,) = tables("FROM coaching_db.coaching_period")
    assert row[:3] == (OCTOBER, 19, 19 + 6)
    assert row[6:] == pytest.approx((0, 0, 1, 0))
    output = tables(
        "SELECT category, course_code, learners FROM coaching_db.coaching_course ORDER BY 2"
    )
    assert output == [("security", "SEC-101", 19), ("security", "https://lms.example/phishing", 6)]
    assert tables("SELECT category, learners FROM coaching_db.coaching_category") == [
        ("security", 19)
    ]
    output = tables(
        "SELECT department, course_code, learners FROM coaching_db.coaching_team_course ORDER BY 2"
    )
    assert output == [("Sales", "SEC-101", 12), ("Sales", "https://lms.example/phishing", 6)]


def test_a_month_in_which_nobody_finished_is_not_published(tables: Ask) -> None:
    # In September everybody began a course and nobody completed it.
    assert tables("SELECT DISTINCT period FROM coaching_db.coaching_period") == [(OCTOBER,)]


def test_a_team_under_k_is_not_published(tables: Ask) -> None:
    assert tables("SELECT learners FROM coaching_db.coaching_team") == [(12,)]


def test_k_counts_people_and_not_rows(estate: Estate) -> None:
    rows = [record(p % 4, Assigned_Date=f"2026-0{1 + p % 9}-01") for p in range(36)]
    write_delivery(estate.delivery(), rows)
    assert estate.run().success
    import duckdb

    with duckdb.connect(str(estate.layout.current / "coaching.duckdb"), read_only=True) as c:
        for table in ("coaching_team", "coaching_course", "coaching_period"):
            assert c.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)], table


def test_manager_extract_is_minimal(tables: Ask) -> None:
    rows = tables("FROM manager_extract_db.manager_extract")
    assert {row[2] for row in rows} == {"SEC-101", "https://lms.example/phishing"}
    # Who began in September and completed in October is complete, in one row.
    assert {row[3] for row in rows} == {"complete"}
    assert {row[4] for row in rows} == {"none", "passed"}
    assert len({row[0] for row in rows}) == 3
    assert len({row[1:3] for row in rows}) == len(rows)


def test_purposes_cannot_be_joined(tables: Ask) -> None:
    seen = [
        {row[0] for row in tables(f"SELECT learner_ref FROM {name}_db.{name}")}
        for name in ("manager_extract", "hr_legal_detail")
    ]
    assert all(len(refs) == 19 for refs in seen)
    assert not seen[0] & seen[1]
    # Analysts' rows have no pseudonym at all.
    (row,) = tables("FROM analytics_db.analytics_milestones LIMIT 1")
    assert not [value for value in row if re.search(PSEUDONYM, str(value))]


def test_rows_leave_in_the_order_of_their_pseudonyms(tables: Ask) -> None:
    refs = [str(row[0]) for row in tables("FROM manager_extract_db.manager_extract")]
    assert refs == sorted(refs)
    # Analysts' rows, which have none, are in the order of what they show.
    rows = [tuple(map(str, row)) for row in tables("FROM analytics_db.analytics_milestones")]
    assert rows == sorted(rows)
    # The detail has its dates anyway and lies by month.
    output = tables(
        "SELECT strftime(coalesce(event_on, started_on, assigned_on), '%Y-%m'), learner_ref "
        "FROM hr_legal_detail_db.hr_legal_detail"
    )
    assert output == sorted(output)  # type: ignore[type-var]


def test_sensitive_course_reaches_hr_only(tables: Ask) -> None:
    output = tables(
        "SELECT course_code, sensitivity FROM hr_legal_detail_db.hr_legal_detail "
        "WHERE sensitivity IS NOT NULL"
    )
    assert output == [("HLT-404", "health")]
    for table in ("analytics_db.analytics_milestones", "manager_extract_db.manager_extract"):
        assert tables(f"SELECT count(*) FROM {table} WHERE course_code = 'HLT-404'") == [(0,)]


def test_every_count_reconciles(finished_run: Estate, data_map: DataMap) -> None:
    output = json.loads((finished_run.layout.reconciliation / f"{RUN_DATE}.json").read_text())
    of_records = [name for name, spec in data_map.published.items() if not spec.dimension]
    assert [row["table"] for row in output] == of_records
    for row in output:
        assert row["balanced"]
        assert row["received"] == len(company()[0]) + len(company()[2]) == 47
        assert row["quarantined"] == 1
        assert row["received"] == (
            row["quarantined"]
            + row["superseded"]
            + sum(row["suppressed"].values())
            + row["published"]
        )


def test_no_planted_value_is_published_or_said(
    dagster_company: tuple[Estate, dg.ExecuteInProcessResult], data_map: DataMap
) -> None:
    run_date, result = dagster_company
    # By itself: its digits can stand in a hash or in the fraction of a second.
    number = re.compile(rf"(?<![0-9a-f.]){NUMBER}(?![0-9a-f])")
    planted = (NAME, EMAIL, TEXT, "Zzyzx", "burnout about")
    with released(run_date.home) as c:
        for table, spec in data_map.published.items():
            text = str(c.execute(f"FROM {spec.database}_db.{table}").fetchall())
            assert not [p for p in planted if p in text], table
            assert not number.search(text), table
    events = run_date.instance.all_logs(result.run_id)
    output = "\n".join(event.to_json() for event in events)
    assert not [p for p in planted if p in output]
    assert not number.search(output)
    # Nor is it in anything else that Dagster stores of a run, such as what its steps print.
    stored = [p for p in Path(run_date.instance.root_directory).rglob("*") if p.is_file()]
    assert stored
    for path in stored:
        assert not [p for p in planted if p.encode() in path.read_bytes()]
    texts = [p for p in run_date.layout.releases.rglob("*.*") if p.suffix in (".json", ".html")]
    assert {path.name for path in texts} >= {"release.json", "risk.html", "risk.json"}
    for path in texts:
        assert not [p for p in planted if p in path.read_text()]
        assert not number.search(path.read_text())


def test_the_same_delivery_twice_changes_nothing(published: Estate, tables: Ask) -> None:
    before = tables("FROM hr_legal_detail_db.hr_legal_detail ORDER BY ALL")
    assert published.run().success
    with released(published.home) as c:
        assert (
            c.execute("FROM hr_legal_detail_db.hr_legal_detail ORDER BY ALL").fetchall() == before
        )


def test_a_correction_supersedes_and_counts_once(published: Estate) -> None:
    later = RUN_DATE + dt.timedelta(days=1)
    write_delivery(published.delivery(later), [record(0, Status="Failed", Score="10"), record(1)])
    assert published.run(later).success
    with released(published.home) as c:
        found = c.execute(
            "SELECT status, count(*) FROM hr_legal_detail_db.hr_legal_detail "
            "WHERE assigned_on > DATE '2026-09-15' AND course_code = 'SEC-101' "
            "GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert found == [("completed", 18), ("failed", 1)]


def test_a_broken_export_is_not_published(published: Estate) -> None:
    before = (published.layout.current / "release.json").read_text()
    write_delivery(published.delivery(), [record(p, Score="n/a") for p in range(9)] + [record(9)])
    result = published.run()
    assert not result.success
    assert failed_checks(result) == ["raw/milestones canonical_schema"]
    assert (published.layout.current / "release.json").read_text() == before
    assert "n/a" not in errors(result)


def test_records_that_do_not_reconcile_stop_the_release(
    published: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.classified import classify

    whole = classify.current_model
    monkeypatch.setattr(
        classify,
        "current_model",
        lambda *given: Sql(f"SELECT * FROM ({whole(*given)}) WHERE learner_id <> 'emp:{NUMBER}'"),
    )
    before = (published.layout.current / "release.json").read_text()
    result = published.run()
    assert not result.success
    assert "do not reconcile" in errors(result)
    assert (published.layout.current / "release.json").read_text() == before

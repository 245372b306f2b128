"""The risk report: its numbers by hand, its page without a value."""

from __future__ import annotations

import json

import dagster as dg
import polars as pl

from pipeline.published import equivalence_classes, risk_report
from pipeline.published.risk import BAND_NAMES, CLASS_COLUMNS, Risk
from tests.command import milestones
from tests.estate import context
from tests.fixtures import Estate
from tests.test_classes import RULE


def numbers(estate: Estate) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(
        (estate.layout.current / risk_report.NUMBERS).read_text()
    )
    return found


def test_coaching_numbers_by_hand(finished_run: Estate) -> None:
    output = {str(row["table"]): row for row in numbers(finished_run)["aggregates"]}
    # October is published: SEC-101 of 19 people and the phishing course of 6 of them, 25 records.
    assert (output["coaching_period"]["figures"], output["coaching_period"]["k"]) == (1, 19)
    # Sales is published with 12 people: 18 of the 25 records, and who is in neither small team.
    assert output["coaching_team"]["k"] == 12
    assert output["coaching_team"]["covered"] == 18 / 25
    # Of the finest cells the six who took the phishing course are the smallest.
    assert output["coaching_team_course"]["k"] == 6
    # September was not published: 19 of the 44 records of both months stayed out.
    assert output["coaching_period"]["suppressed"] == 19 / 44


def test_analytics_numbers_by_hand(finished_run: Estate) -> None:
    (output,) = numbers(finished_run)["classes"]
    # Of the third quarter, the only one that is over, everybody has one course that is open. Sales
    # are twelve of one team. The others are seven, and the manager of four of them would know how
    # the other three stand: so all are one class, of no department and no region.
    assert (output["rows"], output["people"], output["classes"]) == (19, 19, 1)
    assert (output["k"], output["prosecutor"]) == (19, 1 / 19)
    assert output["by_detail"] == dict.fromkeys(equivalence_classes.loss_of(RULE), 0) | {
        "region": 19
    }
    assert output["by_size"] == dict.fromkeys(BAND_NAMES, 0) | {"10–19": 19}
    assert output["suppressed"] == 0
    # Two of three quasi-identifiers are lost.
    assert output["loss"] == 2 / 3
    assert output["marketer"] == output["journalist"] == 1 / 19


def test_the_ui_has_the_numbers(dagster_company: tuple[Estate, dg.ExecuteInProcessResult]) -> None:
    (event,) = [
        e
        for e in dagster_company[1].get_asset_materialization_events()
        if e.asset_key == dg.AssetKey(["published", "release"])
    ]
    output = event.materialization.metadata
    assert output["analytics_milestones/k"].value == 19
    assert isinstance(output["coaching risk"], dg.TableMetadataValue)


def test_the_command_prints_it(published: Estate) -> None:
    done = milestones(published.home, "risk")
    assert done.returncode == 0, done.stderr
    assert "coaching_team_course" in done.stdout
    assert "prosecutor" in done.stdout


def test_a_release_of_nothing_has_a_report(finished_run: Estate) -> None:
    figures = {"figures": 0, "k": None, "l": None, "covered": None, "suppressed": None}
    counts = dict.fromkeys(CLASS_COLUMNS, 0.0) | {"rows": 0, "people": 0, "k": None, "l": None}
    table = "analytics_milestones"
    nothing = Risk(
        aggregates=pl.DataFrame([{"table": "coaching_period", **figures}]),
        classes=pl.DataFrame([counts | {"table": table, "classes": 0}]),
        by_detail=pl.DataFrame({"table": [table], "detail": ["full"], "rows": [0]}),
        by_size=pl.DataFrame({"table": [table], "people": ["5–9"], "rows": [0]}),
    )
    page = risk_report.page(nothing, context(finished_run.home).disclosure, "2026-11-08")
    assert "None" not in page
    assert page.count("<svg") == 3

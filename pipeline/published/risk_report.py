"""The risk report as one page for the privacy officer: self-contained, numbers only."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from pipeline.policy.disclosure import DisclosureRules
from pipeline.published import PACKAGE
from pipeline.published.reports.plots import ENGLISH, bars
from pipeline.published.risk import Risk

PAGE, NUMBERS = "risk.html", "risk.json"


def _plots(risk: Risk) -> dict[str, Markup]:
    """The charts: of the coaching tables, and of row-level rows by detail and class size."""
    covered = bars(
        risk.aggregates["table"].to_list(),
        risk.aggregates["covered"].fill_null(0.0).to_list(),
        "share of the company's records",
        shares=True,
        about="Records covered per table",
    )
    if risk.classes.is_empty():
        return {"covered": covered}
    return {
        "covered": covered,
        "details": _rows_by(risk.by_detail, "detail", "Rows by detail"),
        "sizes": _rows_by(risk.by_size, "people", "Rows by people in their class"),
    }


def _rows_by(frame: pl.DataFrame, name: str, about: str) -> Markup:
    """A chart of rows by the values of a column."""
    rows = frame["rows"].cast(pl.Float64).to_list()
    return bars(frame[name].to_list(), rows, "rows", shares=False, about=about)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["percent"] = ENGLISH.share
    return environment.from_string((files(PACKAGE) / "report.html").read_text("utf-8"))


def numbers(risk: Risk) -> dict[str, list[dict[str, Any]]]:
    """The report as JSON: `aggregates` and `classes`, a list of tables each; a table in classes has
    its rows by_detail and by_size as well."""
    return {
        "aggregates": risk.aggregates.to_dicts(),
        "classes": [
            {
                **one,
                "by_detail": _by(risk.by_detail, one["table"], "detail"),
                "by_size": _by(risk.by_size, one["table"], "people"),
            }
            for one in risk.classes.to_dicts()
        ],
    }


def _by(frame: pl.DataFrame, table: str, name: str) -> dict[str, int]:
    """One table's rows by the values of a column."""
    return dict(frame.filter(pl.col("table") == table).select(name, "rows").iter_rows())


def page(risk: Risk, rules: DisclosureRules, partition: str) -> str:
    """The report as HTML."""
    one = next(risk.classes.iter_rows(named=True), None)
    return _template().render(
        aggregates=risk.aggregates.to_dicts(),
        one=one,
        partition=partition,
        rules=rules,
        plots=_plots(risk),
        rule=rules.classes[one["table"]] if one else None,
    )


def write(risk: Risk, rules: DisclosureRules, partition: str, folder: Path) -> None:
    """Put page and numbers into the folder of a staged release, with which they are published."""
    (folder / PAGE).write_text(page(risk, rules, partition), "utf-8")
    (folder / NUMBERS).write_text(json.dumps(numbers(risk), indent=1), "utf-8")

"""The risk report as one page that a privacy officer reads: self-contained, numbers only."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, Template
from markupsafe import Markup

from pipeline.policy.disclosure import DisclosureRules
from pipeline.published.reports.plots import bars, percent
from pipeline.published.risk import ClassRisk, Risk

PAGE, NUMBERS = "risk.html", "risk.json"


def _plots(risk: Risk, one: ClassRisk | None) -> dict[str, Markup]:
    plots = {
        "told": bars(
            [table.table for table in risk.aggregates],
            [table.told or 0.0 for table in risk.aggregates],
            "share of the company's records", shares=True, about="Records told per table",
        )
    }  # fmt: skip
    if one:
        for name, counts, about in (("sizes", one.by_size, "Rows by people of their class"),
                                    ("details", one.by_detail, "Rows by detail")):  # fmt: skip
            values = [float(n) for n in counts.values()]
            plots[name] = bars(list(counts), values, "rows", shares=False, about=about)
    return plots


@cache
def _template() -> Template:
    environment = Environment(autoescape=True)
    environment.filters["percent"] = percent
    return environment.from_string((files("pipeline.published") / "report.html").read_text("utf-8"))


def page(risk: Risk, rules: DisclosureRules, partition: str) -> str:
    """The report as HTML."""
    one = risk.classes[0] if risk.classes else None
    return _template().render(
        risk=risk, one=one, partition=partition, rules=rules, plots=_plots(risk, one),
        rule=rules.classes[one.table] if one else None,
    )  # fmt: skip


def write(risk: Risk, rules: DisclosureRules, partition: str, folder: Path) -> None:
    """Put page and numbers into the folder of a staged release, with which they leave."""
    (folder / PAGE).write_text(page(risk, rules, partition), "utf-8")
    (folder / NUMBERS).write_text(json.dumps(asdict(risk), indent=1), "utf-8")

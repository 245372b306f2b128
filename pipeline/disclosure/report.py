"""The risk report as one page that a privacy officer reads: self-contained, numbers only."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from io import StringIO
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from pipeline.disclosure.risk import ClassRisk, Risk
from pipeline.policy.disclosure import DisclosureRules

PAGE, NUMBERS = "risk.html", "risk.json"
BLUE, GREY = "#2a5d9f", "#b8bec6"


def percent(share: float | None) -> str:
    """A share as people read it."""
    if share is None:
        return "–"
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"


def _bars(names: list[str], values: list[float], axis: str, *, shares: bool, about: str) -> Markup:
    """A horizontal bar chart as SVG with a text alternative.

    Args:
        shares: values are shares, else counts.
    """
    # Text stays text, so that it can be read aloud, searched and printed sharply; a fixed salt
    # keeps the same numbers the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "risk", "font.family": "sans-serif"}):
        figure = Figure(figsize=(7, 0.42 * len(names) + 0.8), layout="constrained")
        axes = figure.subplots()
        bars = axes.barh(names, values, color=BLUE, height=0.65)
        labels = [percent(value) if shares else f"{value:,.0f}" for value in values]
        axes.bar_label(bars, labels, padding=4, fontsize=9)
        axes.invert_yaxis()
        axes.set_xlabel(axis)
        axes.set_xlim(0, 1.12 if shares else max([*values, 1]) * 1.15)
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}" if shares else f"{x:,.0f}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GREY)
        drawn = StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    svg = drawn.getvalue()
    told = Markup.escape(f"{about}: " + ", ".join(
        f"{name} {label}" for name, label in zip(names, labels, strict=True)
    ))  # fmt: skip
    return Markup(
        svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{told}"', 1)
    )


def _plots(risk: Risk, one: ClassRisk | None) -> dict[str, Markup]:
    plots = {
        "told": _bars(
            [table.table for table in risk.aggregates],
            [table.told or 0.0 for table in risk.aggregates],
            "share of the company's records", shares=True, about="Records told per table",
        )
    }  # fmt: skip
    if one:
        for name, counts, about in (("sizes", one.by_size, "Rows by people of their class"),
                                    ("details", one.by_detail, "Rows by detail")):  # fmt: skip
            values = [float(n) for n in counts.values()]
            plots[name] = _bars(list(counts), values, "rows", shares=False, about=about)
    return plots


def page(risk: Risk, rules: DisclosureRules, partition: str) -> str:
    """The report as HTML."""
    environment = Environment(autoescape=True)
    environment.filters["percent"] = percent
    template = (files("pipeline.disclosure") / "report.html").read_text("utf-8")
    one = risk.classes[0] if risk.classes else None
    return environment.from_string(template).render(
        risk=risk, one=one, partition=partition, rules=rules, plots=_plots(risk, one),
        rule=rules.classes[one.table] if one else None,
    )  # fmt: skip


def write(risk: Risk, rules: DisclosureRules, partition: str, folder: Path) -> None:
    """Put page and numbers into the folder of a staged release, with which they leave."""
    (folder / PAGE).write_text(page(risk, rules, partition), "utf-8")
    (folder / NUMBERS).write_text(json.dumps(asdict(risk), indent=1), "utf-8")

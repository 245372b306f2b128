"""The coaching tables as one page for coaches, managers and HR: self-contained, printable.

Made from the staged coaching tables and nothing else, so it cannot reveal more than they do.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import duckdb
from jinja2 import Environment, Template
from markupsafe import Markup

from pipeline.context import Context
from pipeline.policy.fields import Audience
from pipeline.published.coaching import CELL
from pipeline.published.reports.plots import bars, lines, percent, shortened, stacks
from pipeline.published.tables import attached
from pipeline.storage.engine import engine
from pipeline.storage.sql import identifier

PAGE = "coaching.html"
MOST = 40  # teams, courses and departments in one chart; the tables have them all
GRID = 12  # teams and courses in the grid
BANDS = {
    "80 and more": "share_high",
    "50 to 79": "share_mid",
    "under 50": "share_low",
    "no score": "share_unscored",
}
# Columns that a policy may leave out of the tables; the page then does without them.
MEASURES = (
    *("learners", "records", "completion_rate", "on_time_rate", "median_days"),
    *BANDS.values(),
)
Row = dict[str, object]


@dataclass(frozen=True)
class Section:
    """One table's newest month.

    Attributes:
        rows: the biggest groups, at most `MOST`.
        groups: how many groups are published for the month.
        covered: share of the company's records for that month that the groups add up to.
    """

    month: str
    rows: tuple[Row, ...]
    groups: int
    covered: float | None


def month(period: object) -> str:
    assert isinstance(period, dt.date)
    return f"{period:%Y-%m}"


def short(reference: object) -> str:
    """A pseudonym, short enough to compare by eye."""
    return f"{str(reference)[:13]}…"


def team_name(row: Row) -> str:
    """A team, and the department where all of its people are in one."""
    return f"{short(row['team_ref'])} {row['department'] or ''}".strip()


def _ask(connection: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    found = connection.sql(query)
    rows = (dict(zip(found.columns, row, strict=True)) for row in found.fetchall())
    return [dict.fromkeys(MEASURES) | row for row in rows]


def _section(connection: duckdb.DuckDBPyConnection, context: Context, table: str) -> Section | None:
    """A table's newest month; None if it has none, or is not published."""
    if table not in context.data_map.published:
        return None
    staged = f"staged.{identifier(table)}"
    newest = f"period = (SELECT max(period) FROM {staged})"
    order = ", ".join(["learners DESC", *CELL[table]])
    rows = _ask(connection, f"FROM {staged} WHERE {newest} ORDER BY {order} LIMIT {MOST}")
    if not rows:
        return None
    ((groups, records),) = connection.sql(
        f"SELECT count(*), sum(records) FROM {staged} WHERE {newest}"
    ).fetchall()
    covered = None
    if (
        "coaching_period" in context.data_map.published
        and table not in context.disclosure.coaching.noise
    ):
        whole = connection.sql(f"SELECT sum(records) FROM staged.coaching_period WHERE {newest}")
        ((everything,),) = whole.fetchall()
        covered = min(records / everything, 1.0) if everything else None
    return Section(month(rows[0]["period"]), tuple(rows), int(groups), covered)


def _completion(section: Section, name: Callable[[Row], str], about: str) -> Markup | None:
    rows = [row for row in section.rows if row["completion_rate"] is not None]
    if not rows:
        return None
    return bars(
        [name(row) for row in rows],
        [float(str(row["completion_rate"])) for row in rows],
        "complete, share of records",
        shares=True,
        about=f"{about}, {section.month}",
    )


def _bands(section: Section, name: str, about: str) -> Markup | None:
    if all(row[column] is None for row in section.rows for column in BANDS.values()):
        return None
    parts = {
        label: [float(str(row[column] or 0)) for row in section.rows]
        for label, column in BANDS.items()
    }
    return stacks([str(row[name]) for row in section.rows], parts, f"{about}, {section.month}")


def _trend(
    connection: duckdb.DuckDBPyConnection, context: Context
) -> tuple[list[Row], Markup | None]:
    if "coaching_period" not in context.data_map.published:
        return [], None
    rows = _ask(connection, "FROM staged.coaching_period ORDER BY period")
    if not rows:
        return [], None
    series: dict[str, list[float | None]] = {
        label: [None if row[name] is None else float(str(row[name])) for row in rows]
        for label, name in (("complete", "completion_rate"), ("on time", "on_time_rate"))
    }
    return rows, lines([month(row["period"]) for row in rows], series, "Shares per month")


def _grid(connection: duckdb.DuckDBPyConnection, context: Context) -> dict[str, object] | None:
    """The biggest teams by the biggest courses; a cell can be suppressed."""
    if "coaching_team_course" not in context.data_map.published:
        return None
    staged = "staged.coaching_team_course"
    newest = f"period = (SELECT max(period) FROM {staged})"
    rows = _ask(connection, f"FROM {staged} WHERE {newest}")
    if not rows:
        return None

    def biggest(names: str) -> list[Row]:
        return _ask(
            connection,
            f"SELECT {names} FROM {staged} WHERE {newest} GROUP BY ALL "
            f"ORDER BY sum(records) DESC, {names} LIMIT {GRID}",
        )

    return {
        "month": month(rows[0]["period"]),
        "teams": biggest("team_ref, department"),
        "courses": [str(row["course_code"]) for row in biggest("course_code")],
        "cells": {(row["team_ref"], row["department"], row["course_code"]): row for row in rows},
    }


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "percent": percent,
        "team": team_name,
        "shortened": shortened,
        "month": month,
    }
    return environment.from_string(
        (files("pipeline.published.reports") / "coaching.html").read_text("utf-8")
    )


def page(connection: duckdb.DuckDBPyConnection, context: Context, partition: str) -> str:
    """The page as HTML. The coaching tables are attached as `staged`."""
    found = {
        name: _section(connection, context, f"coaching_{name}")
        for name in ("department", "team", "category", "course")
    }
    months, trend = _trend(connection, context)
    plots: dict[str, Markup | None] = {"trend": trend}
    if one := found["department"]:
        plots["department"] = _completion(
            one, lambda row: str(row["department"]), "Complete per department"
        )
    if one := found["team"]:
        plots["team"] = _completion(one, team_name, "Complete per team")
    for name in ("category", "course"):
        if one := found[name]:
            column = "course_code" if name == "course" else name
            plots[name] = _bands(one, column, f"Score bands per {name}")
    return _template().render(
        partition=partition,
        months=months,
        plots=plots,
        grid=_grid(connection, context),
        most=MOST,
        k=max(spec.k or 0 for spec in context.data_map.tables_of(Audience.COACHING).values()),
        contact=context.governance.controller.dpo,
        noise=context.disclosure.coaching.noise,
        **found,
    )


def write(context: Context, folder: Path, partition: str) -> None:
    """Put the page beside the staged tables, with which it is published."""
    table = next(iter(context.data_map.tables_of(Audience.COACHING)))
    with (
        engine(context.layout.work) as connection,
        attached(connection, context, folder, table, "staged"),
    ):
        (folder / PAGE).write_text(page(connection, context, partition), "utf-8")

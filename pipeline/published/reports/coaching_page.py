"""The coaching tables as one page for coaches, managers and HR: self-contained, printable.

Made from the staged coaching tables and nothing else, so it cannot reveal more than they do.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
from markupsafe import Markup

from pipeline.context import Context
from pipeline.language.languages import Language, language, template
from pipeline.policy.fields import Audience
from pipeline.published.coaching import CELL
from pipeline.published.reports.plots import bars, lines, shortened, stacks, titled
from pipeline.published.tables import attached
from pipeline.storage.engine import engine
from pipeline.storage.manifest import manifest
from pipeline.storage.sql import identifier, literal

PAGE, EVERY = "coaching.html", "coaching*.html"
MOST = 40  # teams, courses and departments in one chart; the tables have them all
GRID = 12  # teams and courses in the grid
BANDS = ("share_high", "share_mid", "share_low", "share_unscored")
# Columns that a policy may leave out of the tables; the page then does without them.
MEASURES = (
    *("learners", "records", "completion_rate", "on_time_rate", "median_days"),
    *BANDS,
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

    month: dt.date
    rows: tuple[Row, ...]
    groups: int
    covered: float | None

    @property
    def scored(self) -> list[Row]:
        """The rows whose score bands are published, too."""
        return [row for row in self.rows if all(row[column] is not None for column in BANDS)]

    @property
    def unscored(self) -> int:
        """How many rows have none, if any has."""
        return len(self.rows) - len(self.scored)


def short(reference: object) -> str:
    """A pseudonym, short enough to compare by eye."""
    return f"{str(reference)[:13]}…"


def team_name(row: Row, units: Mapping[str, str], between: str = " · ") -> str:
    """A team by its unit, or else by its pseudonym; and the department where all of its people are
    in one."""
    unit, department = units.get(str(row["team_ref"])), str(row["department"] or "")
    if unit is None:
        return f"{short(row['team_ref'])} {department}".strip()
    return between.join(filter(None, (unit, department if department != unit else "")))


def _day(period: object) -> dt.date:
    assert isinstance(period, dt.date)
    return period


def _ask(connection: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    found = connection.sql(query)
    rows = (dict(zip(found.columns, row, strict=True)) for row in found.fetchall())
    return [dict.fromkeys(MEASURES) | row for row in rows]


def _section(
    connection: duckdb.DuckDBPyConnection, context: Context, table: str, own: str | None = None
) -> Section | None:
    """A table's newest month; None if it has none, or is not published.

    Args:
        own: pseudonym of the team that comes first.
    """
    if table not in context.data_map.published:
        return None
    staged = f"staged.{identifier(table)}"
    newest = f"period = (SELECT max(period) FROM {staged})"
    first = [f"team_ref = {literal(own)} DESC"] if own and "team_ref" in CELL[table] else []
    order = ", ".join([*first, "learners DESC", *CELL[table]])
    rows = _ask(connection, f"FROM {staged} WHERE {newest} ORDER BY {order} LIMIT {MOST}")
    if not rows:
        return None
    ((groups, records),) = connection.execute(
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
    return Section(_day(rows[0]["period"]), tuple(rows), int(groups), covered)


def _completion(
    section: Section, name: Callable[[Row], str], about: str, spoken: Language
) -> Markup | None:
    rows = [row for row in section.rows if row["completion_rate"] is not None]
    if not rows:
        return None
    return bars(
        [name(row) for row in rows],
        [float(str(row["completion_rate"])) for row in rows],
        spoken.gettext("complete, share of records"),
        shares=True,
        about=f"{about}, {spoken.month(section.month)}",
        spoken=spoken,
    )


def _bands(
    section: Section, name: Callable[[Row], str], about: str, spoken: Language
) -> Markup | None:
    if not section.scored:
        return None
    labels = (
        spoken.gettext("80 and more"),
        spoken.gettext("50 to 79"),
        spoken.gettext("under 50"),
        spoken.gettext("no score"),
    )
    parts = {
        label: [float(str(row[column])) for row in section.scored]
        for label, column in zip(labels, BANDS, strict=True)
    }
    about = f"{about}, {spoken.month(section.month)}"
    return stacks([name(row) for row in section.scored], parts, about, spoken)


def _called(connection: duckdb.DuckDBPyConnection, context: Context, column: str) -> dict[str, str]:
    """What courses (`course_title`) or teams (`unit`) are called, by code or pseudonym, where
    policy allows it; a release of an earlier policy may have no such table."""
    there = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'staged'"
    found = {name for (name,) in connection.execute(there).fetchall()}
    called: dict[str, str] = {}
    for table, spec in context.data_map.with_dimensions(Audience.COACHING).items():
        if spec.dimension and column in spec.columns and table in found:
            rows = f"SELECT {spec.names}, {column} FROM staged.{identifier(table)}"
            called |= connection.execute(f"{rows} WHERE trim({column}) <> ''").fetchall()
    return called


def _trend(
    connection: duckdb.DuckDBPyConnection, context: Context, spoken: Language
) -> tuple[list[Row], Markup | None]:
    if "coaching_period" not in context.data_map.published:
        return [], None
    rows = _ask(connection, "FROM staged.coaching_period ORDER BY period")
    if not rows:
        return [], None
    series: dict[str, list[float | None]] = {
        label: [None if row[name] is None else float(str(row[name])) for row in rows]
        for label, name in (
            (spoken.gettext("complete"), "completion_rate"),
            (spoken.gettext("on time"), "on_time_rate"),
        )
    }
    months = [spoken.month(_day(row["period"])) for row in rows]
    return rows, lines(months, series, spoken.gettext("Shares per month"), spoken)


@dataclass(frozen=True)
class OwnTeam:
    """A manager's team over the months.

    Attributes:
        rows: its figures, newest month first; one a department where it has people of several.
        change: of each row, by how much the share complete has grown since the month before that is
            published; None without one.
    """

    rows: tuple[Row, ...]
    change: tuple[float | None, ...]
    plot: Markup


def _own(
    connection: duckdb.DuckDBPyConnection, context: Context, own: str | None, spoken: Language
) -> OwnTeam | None:
    """The team of that pseudonym beside the published teams' quartiles; None without a figure."""
    if own is None or "coaching_team" not in context.data_map.published:
        return None
    rows = _ask(
        connection,
        "SELECT *, completion_rate - lag(completion_rate) OVER (PARTITION BY department "
        f"ORDER BY period) AS change FROM staged.coaching_team WHERE team_ref = {literal(own)} "
        "ORDER BY period DESC, department",
    )
    if not rows:
        return None
    months = _ask(
        connection,
        "SELECT period, quantile_cont(completion_rate, 0.25) AS low, "
        "quantile_cont(completion_rate, 0.75) AS high, "
        f"sum(completion_rate * records) FILTER (team_ref = {literal(own)}) / "
        f"sum(records) FILTER (team_ref = {literal(own)}) AS share "
        "FROM staged.coaching_team GROUP BY period ORDER BY period",
    )
    plot = lines(
        [spoken.month(_day(row["period"])) for row in months],
        {spoken.gettext("your team"): [_number(row["share"]) for row in months]},
        spoken.gettext("Complete in your team, per month"),
        spoken,
        [(float(str(row["low"])), float(str(row["high"]))) for row in months],
    )
    return OwnTeam(tuple(rows), tuple(_number(row["change"]) for row in rows), plot)


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


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
        "month": _day(rows[0]["period"]),
        "teams": biggest("team_ref, department"),
        "courses": [str(row["course_code"]) for row in biggest("course_code")],
        "cells": {(row["team_ref"], row["department"], row["course_code"]): row for row in rows},
    }


def page(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    partition: str,
    spoken: Language,
    own: str | None = None,
) -> str:
    """The page as HTML. The coaching tables are attached as `staged`.

    Args:
        own: pseudonym of the reader's own team, which is marked and comes first.
    """

    def name_of(row: Row, between: str = " · ") -> str:
        if own is None or row["team_ref"] != own:
            return team_name(row, units, between)
        return f"{spoken.gettext('your team')} {row['department'] or ''}".strip()

    titles = _called(connection, context, "course_title")
    units = _called(connection, context, "unit")

    def course_name(row: Row) -> str:
        code = str(row["course_code"])
        return titled(titles.get(code), code)

    found = {
        name: _section(connection, context, f"coaching_{name}", own)
        for name in ("department", "team", "category", "course")
    }
    months, trend = _trend(connection, context, spoken)
    plots: dict[str, Markup | None] = {"trend": trend}
    if one := found["department"]:
        about = spoken.gettext("Complete per department")
        plots["department"] = _completion(one, lambda row: str(row["department"]), about, spoken)
    if one := found["team"]:
        about = spoken.gettext("Complete per team")
        plots["team"] = _completion(one, lambda row: name_of(row, "\n"), about, spoken)
    if one := found["category"]:
        about = spoken.gettext("Score bands per category")
        plots["category"] = _bands(one, lambda row: str(row["category"]), about, spoken)
    if one := found["course"]:
        about = spoken.gettext("Score bands per course")
        plots["course"] = _bands(one, course_name, about, spoken)
    return template(__package__, "coaching.html", spoken).render(
        run=spoken.day(dt.date.fromisoformat(partition)),
        months=months,
        plots=plots,
        grid=_grid(connection, context),
        most=MOST,
        most_rows=GRID,
        k=max(spec.k or 0 for spec in context.data_map.tables_of(Audience.COACHING).values()),
        contact=context.governance.controller.dpo,
        noise=context.disclosure.coaching.noise,
        team_name=name_of,
        own=_own(connection, context, own, spoken),
        titles=titles,
        units=units,
        shortened=shortened,
        **found,
    )


def pages(context: Context) -> dict[str, Language]:
    """The page's files by name, each with its language: policy's first one has the plain name."""
    first, *others = context.governance.languages
    names = {PAGE: first} | {f"coaching.{tag}.html": tag for tag in others}
    return {name: language(tag) for name, tag in names.items()}


def of_manager(context: Context, database: Path, name: str, own: str) -> str:
    """A page of the current release, with a manager's own team marked and first.

    Args:
        database: the released coaching tables.
        name: the page's file.
        own: pseudonym of the team.
    """
    partition = str(manifest(context.layout)["partition"])
    with engine(context.layout.work) as connection:
        connection.execute(f"ATTACH {literal(database)} AS staged (READ_ONLY)")
        return page(connection, context, partition, pages(context)[name], own)


def write(context: Context, folder: Path, partition: str) -> None:
    """Put the page beside the staged tables, with which it is published, in every language."""
    table = next(iter(context.data_map.tables_of(Audience.COACHING)))
    with (
        engine(context.layout.work) as connection,
        attached(connection, context, folder, table, "staged"),
    ):
        for name, spoken in pages(context).items():
            (folder / name).write_text(page(connection, context, partition, spoken), "utf-8")

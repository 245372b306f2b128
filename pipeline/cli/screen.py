"""How the command writes on a screen: lines, and tables that fit it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pipeline.read import service

console = Console()
errors = Console(stderr=True)


def say(text: str) -> None:
    console.print(text, style="cyan", highlight=False)


def warn(text: str) -> None:
    errors.print(text, style="red", highlight=False, markup=False, soft_wrap=True)


# Measures as a heading has room for them.
SHORT = {
    "completion_rate": "complete", "on_time_rate": "on time", "median_days": "days",
    "share_low": "low", "share_mid": "mid", "share_high": "high", "share_unscored": "none",
    "learners": "people", "course_code": "course",
    "record_type": "type", "event_period": "from", "score_band": "score",
}  # fmt: skip
REFERENCE = 11  # characters of a pseudonym that tell rows apart on a screen


def _cell(column: str, value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        share = column.endswith("_rate") or column.startswith("share_")
        return f"{value:.0%}" if share else f"{value:.1f}"
    text = str(value)
    if column.endswith("_ref"):
        return text[:REFERENCE] + "…"
    return text[:7] if column in ("period", "event_period") else text


def grid_of(title: str) -> Table:
    """A table that fits a narrow terminal."""
    return Table(title=title, title_justify="left", min_width=min(len(title), 78),
                 box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)  # fmt: skip


# Left out on a screen where the other column says more.
IMPLIED = {"category": "course_code", "department": "team_ref"}


def _shown(columns: tuple[str, ...]) -> list[int]:
    """Which columns a screen has room for: of rows in classes not where they came from, else none
    that another one implies."""
    if "detail" in columns:
        return [at for at, name in enumerate(columns) if name not in ("record_type", "source")]
    return [at for at, name in enumerate(columns) if IMPLIED.get(name) not in columns]


def page(title: str, found: service.ReadResult) -> None:
    """Print rows as a table, with the columns that fit."""
    shown = _shown(found.columns)
    left_out = [found.columns[at] for at in range(len(found.columns)) if at not in shown]
    grid = grid_of(title + (f", without {', '.join(left_out)}" if left_out else ""))
    for at in shown:
        heading = SHORT.get(found.columns[at], found.columns[at])
        number = any(isinstance(row[at], int | float) for row in found.rows)
        # Figures are never cut; texts give way on a narrow screen.
        grid.add_column(
            heading,
            justify="right" if number else "left",
            no_wrap=True,
            min_width=max(len(heading), 4) if number else 7,
        )
    for row in found.rows:
        grid.add_row(*(_cell(found.columns[at], row[at]) for at in shown))
    console.print(grid)

"""How the commands write on a screen: lines, and tables that fit it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import polars as pl

console = Console()
errors = Console(stderr=True)


def say(text: str, *, whole: bool = False) -> None:
    """Print a line; a whole one, such as a command to be copied, is not broken."""
    console.print(text, style="cyan", highlight=False, markup=False, soft_wrap=whole)


def warn(text: str) -> None:
    errors.print(text, style="red", highlight=False, markup=False, soft_wrap=True)


# Short headings for measures and columns.
SHORT = {
    "completion_rate": "complete",
    "on_time_rate": "on time",
    "median_days": "days",
    "share_low": "low",
    "share_mid": "mid",
    "share_high": "high",
    "share_unscored": "none",
    "learners": "people",
    "course_code": "course",
    "record_type": "type",
    "score_band": "score",
}
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
    return text[:7] if column == "period" else text


def grid_of(title: str) -> Table:
    """A table that fits a narrow terminal."""
    return Table(
        title=title,
        title_justify="left",
        min_width=min(len(title), 78),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


# Not shown on a screen where the other column says more.
IMPLIED = {"category": "course_code", "department": "team_ref"}


def _shown(columns: list[str]) -> list[str]:
    """The columns that a screen has room for: of an analysts' table not record type and source,
    of other tables none that another column implies."""
    if "detail" in columns:
        return [name for name in columns if name not in ("record_type", "source")]
    return [name for name in columns if IMPLIED.get(name) not in columns]


def page(title: str, frame: pl.DataFrame) -> None:
    """Print rows as a table, with the columns that fit."""
    shown = _shown(frame.columns)
    left_out = [name for name in frame.columns if name not in shown]
    grid = grid_of(title + (f", without {', '.join(left_out)}" if left_out else ""))
    for name in shown:
        heading = SHORT.get(name, name)
        number = frame.schema[name].is_numeric()
        # Numbers are never cut; texts are shortened on a narrow screen.
        grid.add_column(
            heading,
            justify="right" if number else "left",
            no_wrap=True,
            min_width=max(len(heading), 4) if number else 7,
        )
    for row in frame.select(shown).iter_rows():
        grid.add_row(*(_cell(name, value) for name, value in zip(shown, row, strict=True)))
    console.print(grid)

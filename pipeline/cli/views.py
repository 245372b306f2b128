"""What the command prints."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline import door, gate
from pipeline.layout import Layout
from pipeline.policy.data_map import PolicyError, Purpose
from pipeline.resources import store_from_environment

console = Console()
errors = Console(stderr=True)


def say(text: str) -> None:
    console.print(text, style="cyan", highlight=False)


def warn(text: str) -> None:
    errors.print(text, style="red", highlight=False, markup=False, soft_wrap=True)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def reconciliation(home: Path, night: str) -> None:
    """Print one night's counts from raw to published."""
    path = Layout(home.absolute()).reconciliation / f"{night}.json"
    grid = Table(title=f"From raw to published, night of {night} (records, all drops so far)")
    for name in ("table", "received", "= quarantined", "+ superseded", "+ suppressed",
                 "+ published", "why suppressed"):  # fmt: skip
        grid.add_column(name, justify="left" if name in ("table", "why suppressed") else "right")
    for row in json.loads(path.read_text("utf-8")):
        why = ", ".join(f"{reason} {n}" for reason, n in row["suppressed"].items() if n)
        grid.add_row(
            row["table"], *(str(n) for n in (
                row["received"], row["quarantined"], row["superseded"],
                sum(row["suppressed"].values()), row["published"])), why,
        )  # fmt: skip
    console.print(grid)


def published(home: Path, only: str | None = None, limit: int = 10) -> bool:
    """Print the published tables, or one of them."""
    store = store_from_environment()
    layout, data_map = Layout(home.absolute()), store.data_map
    for table, spec in data_map.published.items():
        if only is not None and table != only:
            continue
        if only is None and spec.purpose is Purpose.HR_LEGAL:
            console.print(f"[bold]{table}[/bold]: closed; opens only to a stated purpose")
            continue
        try:
            page = door.read(layout, data_map, table, limit)
        except PolicyError as error:
            warn(str(error))
            return False
        grid = Table(title=f"{table} ({page.total} rows)", title_justify="left")
        for column in page.columns:
            # A shortened pseudonym is enough to tell rows apart on a screen.
            grid.add_column(column, overflow="ellipsis", max_width=18, no_wrap=True)
        for row in page.rows:
            grid.add_row(*map(_cell, row))
        console.print(grid)
    if only is not None and only not in data_map.published:
        warn(f"no published table of that name; there are {', '.join(data_map.published)}")
        return False
    return True


def status(home: Path) -> bool:
    """Print what is published now."""
    try:
        told = gate.manifest(Layout(home.absolute()))
    except PolicyError as error:
        warn(str(error))
        return False
    say(f"published: night of {told['partition']}, at {told['released_at']}, "
        f"run {told['run_id']}")  # fmt: skip
    reconciliation(home, str(told["partition"]))
    return True


def admission(home: Path, day: dt.date) -> bool:
    """Print whether a drop would be admitted."""
    from pipeline.landing import admitted
    from pipeline.readers.base import MalformedFile

    store = store_from_environment()
    layout = Layout(home.absolute(), store.landing_url or None)
    try:
        store.require_valid_policy(dt.datetime.now(dt.UTC).date())
        with admitted(layout, store.data_map, day) as files:
            for file in files:
                say(f"{file.path.name}: {file.source}, {file.size} bytes, every column listed")
    except (PolicyError, MalformedFile) as error:
        warn(str(error))
        return False
    return True

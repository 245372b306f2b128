"""Values and names as SQL text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def literal(value: str | Path) -> str:
    """A SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def dates(days: Iterable[str]) -> str:
    """SQL after IN, without its parentheses; of no day a list that nothing is in."""
    return ", ".join(f"DATE {literal(day)}" for day in days) or "NULL"


def identifier(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'

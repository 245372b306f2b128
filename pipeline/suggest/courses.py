"""How many of a file's courses look sensitive, by what their words suggest; counts only."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pipeline.policy.sensitive_words import harmless, suggestions
from pipeline.storage.engine import engine
from pipeline.storage.sql import Sql, render


def sensitive_courses(
    rows: pl.DataFrame, code: str | None, title: str | None, work: Path
) -> dict[str, int]:
    """Category to the number of different courses whose words suggest it.

    Args:
        code: the column of the courses' codes; without one, titles count as courses.
        title: the column of their titles.
        work: folder for spill files.
    """
    key = code or title
    if key is None:
        return {}
    frame = rows.select(  # noqa: F841  (DuckDB finds it by its name)
        pl.col(key).alias("code"), pl.col(title or key).alias("title")
    ).unique()
    query = render(
        "pipeline.suggest",
        "sensitive_courses.sql",
        courses=Sql("frame"),
        harmless=harmless(),
        suggestions=suggestions().items(),
    )
    with engine(work) as connection:
        found = connection.execute(query).fetchall()
    return {str(category): int(n) for category, n in found if n}

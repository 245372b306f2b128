"""Coaching figures are published once: a period's figures never change and never disappear.

Two versions of one figure could be subtracted from each other, and the difference is about the
few people who joined or left in between. Only a correction that is signed may do that, and of a
corrected period both versions are attacked together (corrected_pair.py).
"""

from __future__ import annotations

import duckdb

from expectations.evidence import Evidence
from pipeline.access import corrections
from pipeline.context import Context
from pipeline.published import publication_history
from pipeline.storage.engine import count
from pipeline.storage.sql import Sql, dates

NEW_ROWS = "new_rows"  # temporary table: staged rows that were not published before, as they are
MISSING, CHANGED = "published_before.missing", "published_before.changed"
RULES = [MISSING, CHANGED]


def evidence(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    partition: str,
    relation: str,
    carried: Sql,
) -> Evidence:
    """Rows published before that are missing, and new rows of a period that is not published for
    the first time. Makes the table NEW_ROWS.

    Args:
        relation: SQL, the staged table.
        carried: its rows that were published before, as they are carried forward.
    """
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {NEW_ROWS} AS "
        f"SELECT * FROM {relation} EXCEPT ALL FROM {carried}"
    )
    new = dates(publication_history.new_periods(context.layout, partition))
    stays = f"coalesce(period NOT IN ({dates(_corrected(context, partition))}), true)"
    return {
        MISSING: count(
            connection,
            f"SELECT count(*) FROM (FROM {carried} WHERE {stays} "
            f"EXCEPT ALL SELECT * FROM {relation})",
        ),
        CHANGED: count(
            connection,
            f"SELECT count(*) FROM {NEW_ROWS} WHERE NOT coalesce(period IN ({new}), false)",
        ),
    }


def _corrected(context: Context, partition: str) -> list[str]:
    """The period whose figures may change: that of a staged correction which is signed, and whose
    figures were not corrected before."""
    layout = context.layout
    found = publication_history.staged_correction(layout, partition)
    if found is None or not corrections.is_valid(layout, context.access, found):
        return []
    period = str(found.correction.period)
    return [] if period in publication_history.corrections(layout) else [period]

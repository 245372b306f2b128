"""The steps of a night between the canonical store and the staged tables, on one context.

The assets are these steps with metadata; a preview of another policy takes the same ones.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.classified import run_snapshot
from pipeline.compute import cluster
from pipeline.compute.exchange import Exchange, exchange
from pipeline.context import Context
from pipeline.keys.ring import AudienceKey
from pipeline.policy.fields import Audience
from pipeline.policy.windows import due_sql
from pipeline.pseudonymized import unchanged_months
from pipeline.pseudonymized.pseudonymize import (
    REFERENCES,
    check_against,
    period_names,
    period_sql,
    write_period,
    write_references,
)
from pipeline.pseudonymized.transfers import require_flows_of
from pipeline.storage import relations
from pipeline.storage.engine import engine, joined_as_written
from pipeline.storage.files import atomic_build
from pipeline.storage.layout import Layout
from pipeline.storage.schema import PARQUET
from pipeline.storage.sql import Sql, identifier
from pipeline.subjects.restrictions import RESTRICTIONS, make_restrictions


def pseudonymize(context: Context, audience: Audience) -> AudienceKey:
    """One audience's references and rows; returns the key that made them.

    Raises:
        PolicyError: a column tells more than the data map allows, there is no key, or some rows
            may not go to a recipient.
    """
    layout = context.layout
    check_against(context.data_map, audience)
    key = context.ring.key(audience)
    due = due_sql(context.rules, context.data_map, run_snapshot.read(layout).until, audience)
    with layout.locked(audience.value), engine(layout.work) as connection:
        require_flows_of(connection, context, audience)
        with atomic_build(layout.references(audience), layout.work) as beside:
            write_references(connection, layout, key, beside)
        with atomic_build(layout.pseudonymized_for(audience), layout.work) as beside:
            names = period_names(layout)
            for name in names:
                (beside / name).mkdir(parents=True, mode=0o700)
            make_restrictions(connection, context)
            periods = {name: relations.classified(layout, name) for name in names}
            marks = unchanged_months.marks(connection, key, due, periods)
            same = unchanged_months.keep(layout.pseudonymized_for(audience), marks, beside)
            anew = {name: rows for name, rows in periods.items() if name not in same}
            if anew and cluster.address():
                _periods_apart(connection, layout, audience, due, anew, beside)
            else:
                for name, rows in anew.items():
                    write_period(
                        connection, rows, audience, due, unchanged_months.file(beside, name)
                    )
            unchanged_months.remember(marks, same, beside)
    return key


def _periods_apart(
    connection: duckdb.DuckDBPyConnection, layout: Layout, audience: Audience, due: str,
    periods: dict[str, Sql], out: Path,
) -> None:  # fmt: skip
    """Every period on some worker; none needs another."""
    with exchange(layout, f"pseudonymized-{audience.value}") as shared:
        for table in (REFERENCES, RESTRICTIONS):
            shared.put(connection, table)
        for name, rows in periods.items():
            shared.put_stored(connection, name, rows)
        cluster.each(_period_apart, [(shared, audience, due, name, out) for name in periods])
        for name in periods:
            shared.download(connection, _made(name), unchanged_months.file(out, name), PARQUET)


def _made(period: str) -> str:
    return f"{period}-pseudonymized"


def _period_apart(shared: Exchange, audience: Audience, due: str, name: str, out: Path) -> None:
    with shared.open(REFERENCES, RESTRICTIONS, name) as connection:
        query = period_sql(identifier(name), audience, due)
        with joined_as_written(connection):
            shared.upload(connection, _made(name), query, unchanged_months.file(out, name), PARQUET)

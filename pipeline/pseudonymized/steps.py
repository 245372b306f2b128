"""The steps of a night between the canonical store and the staged tables, on one ground.

The assets are these steps with metadata; a preview of another policy takes the same ones.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb

from pipeline.classified import population, run_snapshot
from pipeline.classified.classify import write_classified
from pipeline.classified.reference_values import write_known
from pipeline.compute import cluster
from pipeline.compute.exchange import Exchange, exchange
from pipeline.context import Ground
from pipeline.keys.ring import PurposeKey
from pipeline.policy.fields import Purpose
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
from pipeline.raw.readers.canonical import PARQUET
from pipeline.storage import relations
from pipeline.storage.engine import engine, identifier, joined_as_written
from pipeline.storage.layout import Layout, built_beside
from pipeline.subjects.restrictions import WITHHELD, make_withheld


def classify(ground: Ground, as_of: dt.datetime) -> None:
    """The record that holds of every milestone, over all drops in the store."""
    layout = ground.layout
    with (
        layout.locked(),
        engine(layout.work) as connection,
        built_beside(layout.classified, layout.work) as beside,
    ):
        write_classified(connection, layout, ground.data_map, beside)
        population.write(connection, layout, beside)
        run_snapshot.write(ground, beside, as_of)


def know(ground: Ground) -> None:
    """What the leak checks compare with."""
    layout = ground.layout
    with (
        layout.locked("known"),
        engine(layout.work) as connection,
        built_beside(layout.known, layout.work) as beside,
    ):
        write_known(connection, ground, beside)


def pseudonymize(ground: Ground, purpose: Purpose) -> PurposeKey:
    """One purpose's references and rows; returns the key that made them.

    Raises:
        PolicyError: a column tells more than the data map allows, there is no key, or some rows
            may not go to a recipient.
    """
    layout = ground.layout
    check_against(ground.data_map, purpose)
    key = ground.ring.key(purpose)
    due = due_sql(ground.rules, ground.data_map, run_snapshot.read(layout).until, purpose)
    with layout.locked(purpose.value), engine(layout.work) as connection:
        require_flows_of(connection, ground, purpose)
        with built_beside(layout.references(purpose), layout.work) as beside:
            write_references(connection, layout, key, beside)
        with built_beside(layout.pseudonymized_for(purpose), layout.work) as beside:
            names = period_names(layout)
            for name in names:
                (beside / name).mkdir(parents=True, mode=0o700)
            make_withheld(connection, ground)
            periods = {name: relations.classified(layout, name) for name in names}
            marks = unchanged_months.marks(connection, key, due, periods)
            same = unchanged_months.keep(layout.pseudonymized_for(purpose), marks, beside)
            anew = {name: rows for name, rows in periods.items() if name not in same}
            if anew and cluster.address():
                _periods_apart(connection, layout, purpose, due, anew, beside)
            else:
                for name, rows in anew.items():
                    write_period(
                        connection, rows, purpose, due, unchanged_months.file(beside, name)
                    )
            unchanged_months.remember(marks, same, beside)
    return key


def _periods_apart(
    connection: duckdb.DuckDBPyConnection, layout: Layout, purpose: Purpose, due: str,
    periods: dict[str, str], out: Path,
) -> None:  # fmt: skip
    """Every period on some worker; none needs another."""
    with exchange(layout, f"pseudonymized-{purpose.value}") as shared:
        for table in (REFERENCES, WITHHELD):
            shared.lend(connection, table)
        for name, rows in periods.items():
            shared.lend_stored(connection, name, rows)
        cluster.each(_period_apart, [(shared, purpose, due, name, out) for name in periods])
        for name in periods:
            shared.take(connection, _made(name), unchanged_months.file(out, name), PARQUET)


def _made(period: str) -> str:
    return f"{period}-pseudonymized"


def _period_apart(shared: Exchange, purpose: Purpose, due: str, name: str, out: Path) -> None:
    with shared.borrowed(REFERENCES, WITHHELD, name) as connection:
        query = period_sql(identifier(name), purpose, due)
        with joined_as_written(connection):
            shared.give(connection, _made(name), query, unchanged_months.file(out, name), PARQUET)

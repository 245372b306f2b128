"""The steps of a night between the canonical store and the staged tables, on one ground.

The assets are these steps with metadata; a preview of another policy takes the same ones.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb

from pipeline import cluster
from pipeline.engine import engine
from pipeline.governed.lawful import require_flows_of
from pipeline.ground import Ground
from pipeline.keys import PurposeKey
from pipeline.layout import built_beside
from pipeline.policy.data_map import Purpose
from pipeline.policy.windows import due_sql
from pipeline.subjects.withheld import make_withheld
from pipeline.transforms import basis
from pipeline.transforms.classify import write_classified
from pipeline.transforms.known import write_known
from pipeline.transforms.pseudonymize import (
    check_against,
    load_references,
    period_names,
    write_period,
    write_references,
)


def classify(ground: Ground, as_of: dt.datetime) -> None:
    """The record that holds of every milestone, over all drops in the store."""
    layout = ground.layout
    with (
        layout.locked(),
        engine(layout.work) as connection,
        built_beside(layout.classified, layout.work) as beside,
    ):
        write_classified(connection, layout, ground.data_map, beside)
        basis.write(layout, beside, as_of)


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
    due = due_sql(ground.rules, ground.data_map, basis.read(layout).as_of, purpose)
    with layout.locked(purpose.value), engine(layout.work) as connection:
        require_flows_of(connection, ground, purpose)
        with built_beside(layout.references(purpose), layout.work) as beside:
            write_references(connection, layout, key, beside)
        with built_beside(layout.pseudonymized_for(purpose), layout.work) as beside:
            names = period_names(layout)
            for name in names:
                (beside / name).mkdir(parents=True, mode=0o700)
            if cluster.address():
                cluster.each(_period_apart, [(ground, purpose, due, n, beside) for n in names])
            else:
                make_withheld(connection, ground)
                for name in names:
                    _period(connection, ground, purpose, due, name, beside)
    return key


def _period(
    connection: duckdb.DuckDBPyConnection, ground: Ground, purpose: Purpose, due: str, name: str,
    out: Path,
) -> None:  # fmt: skip
    """One period of one purpose, which needs no other."""
    files = sorted((ground.layout.classified / name).glob("*.parquet"))
    write_period(connection, files, purpose, due, out / name / "rows.parquet")


def _period_apart(ground: Ground, purpose: Purpose, due: str, name: str, out: Path) -> None:
    """The same, on a worker."""
    with engine(ground.layout.work) as connection:
        make_withheld(connection, ground)
        load_references(connection, ground.layout, purpose)
        _period(connection, ground, purpose, due, name, out)

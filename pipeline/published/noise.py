"""Differential privacy for a coaching table, on top of suppression: off unless policy asks for it.

It protects a person's part in one table's figures of one period (user level; Dwork & Roth 2014,
ch. 2-3): at most `max_records_per_person` of a person's records count, and integer Laplace noise
of OpenDP is added to every count, from which shares are then computed. Which cells are published
is chosen from the data (pipeline/disclosure/pattern.py) and is not covered by epsilon. Each period
is published once, so its noise is drawn once and cannot be averaged away.

The ledger, `store/publication_history/ledger.json`, lists what every period of every table has
spent.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.errors import PolicyError
from pipeline.policy.disclosure import BANDS, Coaching, Noise
from pipeline.policy.duration import Duration
from pipeline.published import PACKAGE
from pipeline.storage.sql import Sql, render

LEDGER = "ledger.json"
# Counts of a figure. A record adds one to each of the first four at most and to one band; a person
# adds one to `learners` of as many cells as records that count.
COUNTS = ("records", "complete", "due", "on_time", "learners")
PER_RECORD = 5


@dataclass(frozen=True)
class Spent:
    """One entry of the ledger: what a table's figures of one period cost.

    `epsilon` is what OpenDP proves for the mechanism, not what policy asked for.
    """

    partition: str
    table: str
    period: str
    epsilon: float
    max_records_per_person: int
    mechanism: str


def read_ledger(folder: Path) -> list[Spent]:
    """All entries; none without a ledger."""
    path = folder / LEDGER
    return [Spent(**one) for one in json.loads(path.read_text("utf-8"))] if path.exists() else []


def write_ledger(folder: Path, entries: list[Spent]) -> None:
    """Write the ledger of a folder that is under construction."""
    (folder / LEDGER).write_text(json.dumps([asdict(one) for one in entries], indent=1), "utf-8")


def affordable(ledger: list[Spent], coaching: Coaching, table: str, period: dt.date) -> bool:
    """Is there budget left for one more period? Counted are all tables' periods that begin within
    the budget's time of this one, before it or after."""
    assert coaching.budget is not None
    reach = Duration.parse(coaching.budget.per)
    near = []
    for one in ledger:
        first, last = sorted((dt.date.fromisoformat(one.period), period))
        if reach.ends(first) >= last:
            near.append(one.epsilon)
    return sum(near) + coaching.noise[table].epsilon <= coaching.budget.epsilon + 1e-9


def mechanism(noise: Noise, sensitivity: int) -> tuple[Any, float]:
    """OpenDP's measurement on a vector of counts, and the epsilon that it proves.

    Raises:
        PolicyError: OpenDP is not installed.
    """
    try:
        import opendp.prelude as dp
    except ImportError:
        raise PolicyError(
            "disclosure_rules.yaml: coaching.noise needs OpenDP: install lms-milestones[privacy]"
        ) from None
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l1_distance(T=int)
    made: Any = dp.m.make_laplace(*space, scale=sensitivity / noise.epsilon)
    return made, float(made.map(d_in=sensitivity))


def add_noise(
    connection: duckdb.DuckDBPyConnection,
    rows: Sql,
    cells: Sql,
    table: str,
    key: tuple[str, ...],
    noise: Noise,
    k: int,
) -> Sql:
    """Compute the figures of one table's chosen cells, with noise.

    Args:
        rows: `coaching.CoachingRows.rows`.
        cells: the table's chosen cells: period and the key.
        key: numbers by which the table's cells are known within a period.
        k: no figure says that it covers fewer people.

    Returns:
        A temporary table of the figures, under period and the key.

    Raises:
        PolicyError: OpenDP is not installed.
    """
    cell, figures = ("period", *key), Sql(f"{table}_figures")
    counts = connection.sql(
        render(
            PACKAGE,
            "noise_counts.sql",
            rows=rows,
            cells=cells,
            key=cell,
            max_records_per_person=noise.max_records_per_person,
        )
    ).to_arrow_table()
    connection.register("noisy_counts", _with_noise(counts, noise))
    query = render(
        PACKAGE, "noisy_figures.sql", counts=Sql("noisy_counts"), rows=rows, key=cell, k=k
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {figures} AS {query}")
    connection.unregister("noisy_counts")
    return figures


def _with_noise(counts: pa.Table, noise: Noise) -> pa.Table:
    """The counts with noise, drawn for all of them at once."""
    names = (*COUNTS, *BANDS)
    measurement, _ = mechanism(noise, sensitivity(noise))
    exact = np.concatenate([counts[name].to_numpy() for name in names]).astype(int)
    drawn = np.array(measurement(exact.tolist()) if len(exact) else [], np.int64)
    for name, values in zip(names, np.split(drawn, len(names)), strict=True):
        counts = counts.set_column(counts.schema.get_field_index(name), name, pa.array(values))
    return counts


def sensitivity(noise: Noise) -> int:
    """By how much one person can change all counts of a period together."""
    return (PER_RECORD + 1) * noise.max_records_per_person


def spent_on(
    connection: duckdb.DuckDBPyConnection, figures: Sql, table: str, noise: Noise, partition: str
) -> list[Spent]:
    """What the periods of one table's figures have cost, one entry per period."""
    _, epsilon = mechanism(noise, sensitivity(noise))
    periods = connection.execute(
        f"SELECT DISTINCT period FROM {figures} ORDER BY period"
    ).fetchall()
    return [
        Spent(
            partition=partition,
            table=table,
            period=str(period),
            epsilon=epsilon,
            max_records_per_person=noise.max_records_per_person,
            mechanism="OpenDP make_laplace, integers",
        )
        for (period,) in periods
    ]

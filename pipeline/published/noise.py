"""Differential privacy for a coaching table, on top of suppression: off unless policy asks for it.

What is made private is a person's part in one table's figures of one period (user level; Dwork &
Roth 2014, ch. 2-3): at most `max_records_per_person` of a person's records count, and integer Laplace noise of
OpenDP is added to every count, from which shares are then computed. Which cells are told is chosen
from the data (pipeline/disclosure/pattern.py) and is not covered by epsilon. Each period is told
once, so its noise is drawn once and cannot be averaged away.

The ledger, `store/publication_history/ledger.json`, holds what every period of every table has spent.
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

    night: str
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
    connection: duckdb.DuckDBPyConnection, table: str, key: tuple[str, ...], noise: Noise, k: int,
    night: str,
) -> list[Spent]:  # fmt: skip
    """Make `figures_<table>`, the chosen figures of one table with noise, from `coaching_row` and
    `chosen_<table>`.

    Args:
        key: numbers by which the table's cells are known within a period.

    Returns:
        What each period cost.
    """
    cell = ", ".join(("period", *key))
    bands = ", ".join(f"count(*) FILTER (score_band = '{band}') AS {band}" for band in BANDS)
    # Every chosen cell has a row, also one of which no record counts.
    counted: pa.Table = connection.sql(f"""
    WITH counting AS (SELECT * FROM coaching_row QUALIFY row_number() OVER (
        PARTITION BY period, person ORDER BY hash(course, days, score_band)
      ) <= {noise.max_records_per_person}),
    counts AS (SELECT {cell}, count(*) AS records, count(*) FILTER (complete) AS complete,
        count(on_time) AS due, count(*) FILTER (on_time) AS on_time,
        count(DISTINCT person) AS learners, {bands} FROM counting GROUP BY ALL)
    SELECT {cell}, {", ".join(f"coalesce({name}, 0) AS {name}" for name in (*COUNTS, *BANDS))}
    FROM chosen_{table} LEFT JOIN counts USING ({cell})
    """).to_arrow_table()  # fmt: skip
    made, epsilon = mechanism(noise, (PER_RECORD + 1) * noise.max_records_per_person)
    names = (*COUNTS, *BANDS)
    exact = np.concatenate([counted[name].to_numpy() for name in names]).astype(int)
    drawn = np.array(made(exact.tolist()) if len(exact) else [], np.int64)
    parts = dict(zip(names, np.split(drawn, len(names)), strict=True))
    for name in names:
        at = counted.schema.get_field_index(name)
        counted = counted.set_column(at, name, pa.array(parts[name]))
    connection.register("drawn", counted)

    def share(part: str, whole: str) -> str:
        return f"least(greatest({part} / greatest({whole}, 1), 0), 1)::DOUBLE"

    shares = ", ".join(f"{share(band, 'records')} AS share_{band}" for band in BANDS)
    everyone = "(SELECT count(DISTINCT person) FROM coaching_row)"
    every = "(SELECT count(*) FROM coaching_row)"
    connection.execute(f"""
    CREATE OR REPLACE TEMP TABLE figures_{table} AS SELECT {cell},
      least(greatest(learners, {k}), {everyone}) AS learners,
      least(greatest(records, {k}), {every}) AS records,
      {share("complete", "records")} AS completion_rate, {share("on_time", "due")} AS on_time_rate,
      NULL::DOUBLE AS median_days, {shares} FROM drawn
    """)
    connection.unregister("drawn")
    periods = connection.sql(f"SELECT DISTINCT period FROM figures_{table} ORDER BY 1").fetchall()
    return [
        Spent(
            night,
            table,
            str(period),
            epsilon,
            noise.max_records_per_person,
            "OpenDP make_laplace, integers",
        )
        for (period,) in periods
    ]

"""Seeded benchmark input: one delivery of learning history, written in chunks of a million rows,
and the small delivery of the day after.

The rows are those of the demo (pipeline/demo/generate.py): skewed teams, dirt, comments with
planted identifiers. People grow with the records, fifty records each.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.demo.generate import Size, history, roster, with_defects

RUN_DATE = dt.date(2026, 11, 1)
NEXT_DATE = RUN_DATE + dt.timedelta(days=1)
DAYS = 300  # that the records of RUN_DATE are spread over; another day brings its share
LATE_DAYS = 45  # a day's records were assigned within these
CHUNK = 1_000_000
RECORDS_PER_PERSON = 50


def write_delivery(landing: Path, records: int, seed: int = 7) -> Path:
    """Write the delivery of RUN_DATE with `records` rows, unless it exists; return its folder."""
    folder = landing / str(RUN_DATE)
    done = folder.with_name("complete")
    if done.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    people = roster(rng, Size(max(600, records // RECORDS_PER_PERSON), records))
    people.write_csv(folder / "hr_roster.csv")
    with (folder / "learning_history.csv").open("wb") as stream:
        for start in range(0, records, CHUNK):
            rows = history(rng, people, min(CHUNK, records - start), RUN_DATE)
            with_defects(rng, rows).write_csv(stream, include_header=start == 0)
    _write_next(landing, people, rng, records // DAYS)
    done.touch()
    return folder


def _write_next(
    landing: Path, people: pl.DataFrame, rng: np.random.Generator, records: int
) -> None:
    """The delivery of the day after RUN_DATE: the roster again, and the latest records."""
    folder = landing / str(NEXT_DATE)
    folder.mkdir(exist_ok=True)
    people.write_csv(folder / "hr_roster.csv")
    rows = history(rng, people, records, NEXT_DATE, LATE_DAYS)
    with_defects(rng, rows).write_csv(folder / "learning_history.csv")

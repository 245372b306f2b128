"""How long a deletion takes, and what it grows with.

    python -m benchmarks.erasure build HOME MONTHS_DUE MONTHS_KEPT [DATE]
    python -m benchmarks.erasure run HOME                            # one JSON line

Each month is a million records, one delivery and one month of the stores. DATE is the day of the
last run. The day before the deletion, as it is on schedule, it published nothing that is due now.
In June it did, so the deletion has to take that out of the released tables as well: the case of a
pipeline that stood still for months.
"""

from __future__ import annotations

import datetime as dt
import json
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl

ROWS = 1_000_000
PEOPLE = 200_000
NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
ON_SCHEDULE = NOW - dt.timedelta(days=1)
DUE = [dt.date(2023, month, 1) for month in (10, 9, 8, 7)]  # window P3Y
KEPT = [dt.date(2025 + n // 12, n % 12 + 1, 1) for n in range(22)]


def month(first: dt.date) -> pl.DataFrame:
    """A million milestones of one month, in the canonical schema; seeded by the month."""
    rng = np.random.default_rng(first.toordinal())
    who = rng.integers(0, PEOPLE, ROWS)
    team = (rng.zipf(1.3, PEOPLE) - 1) % 10_000
    course = rng.integers(0, 60, ROWS)
    days = rng.integers(2, 27, ROWS)
    done = rng.random(ROWS) < 0.8
    return pl.DataFrame(
        {
            "record_type": pl.Series(["milestone_flag"]).new_from_index(0, ROWS),
            "learner_id": pl.Series(who).cast(pl.String),
            "manager_id": pl.Series(PEOPLE + team[who]).cast(pl.String),
            "department": np.array(["Sales", "Support", "Finance", "Legal"])[who % 4],
            "country": np.array(["DE", "FR", "GB", "US", "JP"])[who % 5],
            "course_code": pl.Series(course).cast(pl.String),
            "status": np.where(done, "completed", "in_progress"),
            "score": rng.integers(0, 101, ROWS).astype(float),
            "_day": days,
            # A person takes a course again and again; the instant makes each its own record.
            "_second": np.arange(ROWS) % 80_000,
        }
    ).select(
        "record_type",
        pl.format("emp:{}", "learner_id").alias("learner_id"),
        pl.format("emp:{}", "manager_id").alias("manager_id"),
        "department",
        "country",
        pl.format("C-{}", "course_code").alias("course_code"),
        "status",
        "score",
        pl.lit(dt.datetime(first.year, first.month, 1)).alias("assigned_at")
        + pl.duration(seconds="_second"),
        (
            pl.lit(dt.datetime(first.year, first.month, 1))
            + pl.duration(days="_day", seconds="_second")
        ).alias("event_at"),
    )


def build(home: Path, due: int, kept: int, clock: dt.datetime) -> None:
    """Ingest one delivery a month, and do the run that publishes them all as of `clock`."""
    import dagster as dg

    from assets.resources import Store
    from pipeline.classified import run_snapshot
    from pipeline.definitions import definitions
    from pipeline.demo import people
    from pipeline.raw.deliveries import ingest

    store = Store(home=str(home))
    people.create_staff(store.context, dt.datetime.now(dt.UTC))
    people.go_live(store.context, dt.datetime.now(dt.UTC))
    months = [*DUE[:due], *KEPT[:kept]]
    last = dt.date(2026, 11, 23)
    for first in months[:-1]:
        delivery = first + dt.timedelta(days=27)
        _deliver(home, delivery, first)
        ingest(store.layout, store.data_map, delivery, run=last)
        shutil.rmtree(home / "landing" / str(delivery))
    _deliver(home, last, months[-1])
    honest = run_snapshot.write
    with (
        mock.patch.object(run_snapshot, "write", lambda a, b, _, c: honest(a, b, clock, c)),
        dg.DagsterInstance.ephemeral() as instance,
    ):
        result = (
            definitions(store)
            .resolve_job_def("nightly")
            .execute_in_process(partition_key=str(last), instance=instance, raise_on_error=True)
        )
    assert result.success


def _deliver(home: Path, delivery: dt.date, first: dt.date) -> None:
    folder = home / "landing" / str(delivery)
    folder.mkdir(parents=True)
    month(first).write_parquet(folder / "canonical.parquet")


def run(home: Path) -> dict[str, Any]:
    """Plan, erase, verify, receipt; seconds since the process started, imports included."""
    start = time.perf_counter()
    from assets.resources import Store
    from pipeline.retained import job

    (told,) = job.retain(Store(home=str(home)).context, NOW)
    rows = told["rows"]
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "erased": rows["classified"]["before"] - rows["classified"]["after"],
        "files_rewritten": len(told["files"]),
        "legs": told["seconds"],
        "left": sum(told["found_afterwards"].values()),
    }


if __name__ == "__main__":
    what, home, *more = sys.argv[1:]
    if what == "build":
        months, given = map(int, more[:2]), more[2:]
        at = dt.datetime.fromisoformat(given[0]).replace(tzinfo=dt.UTC) if given else ON_SCHEDULE
        build(Path(home), *months, at)
    else:
        print(json.dumps(run(Path(home))))

"""Ninety deliveries ingested and published once:
`python -m benchmarks.backfill WORK [DELIVERIES] [RECORDS]`.

Deliveries of consecutive days, each of so many records of the same company, lie in an empty store's
landing folder; then `milestones backfill` runs as a user runs it.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from assets.resources import Store
from benchmarks.data import RUN_DATE
from pipeline.demo import people
from pipeline.demo.generate import Size, history, roster, with_defects


def deliver(landing: Path, deliveries: int, records: int) -> None:
    """Write the deliveries of the days up to RUN_DATE."""
    rng = np.random.default_rng(11)
    staff = roster(rng, Size(2_000, records))
    for back in range(deliveries):
        day = RUN_DATE - dt.timedelta(days=back)
        folder = landing / str(day)
        folder.mkdir(parents=True)
        staff.write_csv(folder / "hr_roster.csv")
        with_defects(rng, history(rng, staff, records, day)).write_csv(
            folder / "learning_history.csv"
        )


def main(work: Path, deliveries: int = 90, records: int = 10_000) -> None:
    home = work.absolute() / "backfill"
    deliver(home / "landing", deliveries, records)
    store = Store(home=str(home))
    people.create_staff(store.context, dt.datetime.now(dt.UTC))
    people.go_live(store.context, dt.datetime.now(dt.UTC))
    first = RUN_DATE - dt.timedelta(days=deliveries - 1)
    started = time.monotonic()
    subprocess.run(
        [
            Path(sys.executable).with_name("milestones"),
            "backfill",
            "--from",
            str(first),
            "--to",
            str(RUN_DATE),
        ],
        env=dict(os.environ) | {"MILESTONES_HOME": str(home)},
        check=True,
    )
    seconds = time.monotonic() - started
    print(f"{deliveries} deliveries of {records:,} records in {seconds:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))

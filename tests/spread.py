"""A Dask cluster for tests, and what a run on it is compared by."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from distributed import Client

from pipeline.policy.fields import Audience
from pipeline.storage.layout import PROJECT
from tests.fixtures import free_port

WORKERS = 2


@contextmanager
def running(base: Path, worker_begins: Sequence[str] = ()) -> Iterator[str]:
    """A real Dask scheduler with two real workers, each with little memory; its address.

    Args:
        base: a folder that the workers may write to.
        worker_begins: with what the workers' command begins.
    """
    address = f"tcp://127.0.0.1:{free_port()}"
    environment = dict(os.environ) | {"MILESTONES_MEMORY": "300MB", "MILESTONES_THREADS": "1"}
    _, host, port = address.split(":")
    scheduler = [
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        "--no-dashboard",
        "--host",
        f"tcp:{host}",
        "--port",
        port,
    ]
    worker = [
        *worker_begins,
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        address,
        "--nthreads",
        "1",
        "--no-dashboard",
        "--no-nanny",
        "--local-directory",
        str(base),
    ]
    with (base / "log").open("wb") as log:
        started = [
            subprocess.Popen(command, env=environment, cwd=PROJECT, stdout=log, stderr=log)
            for command in (scheduler, *[worker] * WORKERS)
        ]
        try:
            with Client(address, timeout=60, set_as_default=False) as client:
                client.wait_for_workers(WORKERS, timeout=60)
            yield address
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(20)


def stored(home: Path) -> dict[str, Counter[Any]]:
    """Rows of the derived stores, in whatever files they lie."""
    found = {}
    with duckdb.connect() as c:
        for store in ("classified", *(f"pseudonymized/{one.value}" for one in Audience)):
            rows = c.execute(
                f"SELECT COLUMNS(*)::VARCHAR FROM read_parquet('{home}/store/{store}/*/*.parquet', "
                "hive_partitioning = true)"
            ).fetchall()
            found[store] = Counter(rows)
    return found

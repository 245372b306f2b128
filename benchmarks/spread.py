"""A run on two worker processes over data that is larger than a worker's memory, beside the same
run on this machine alone: `python -m benchmarks.spread LANDING WORK`.

A worker may have as many bytes of data as WORKER_MEMORY says (the operating system's limit, so that
it dies of one more); DuckDB in it gets a third. Every table of both runs is compared by its rows
and the sum of their hashes. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb
from distributed import Client

from assets.resources import Store
from benchmarks.data import RUN_DATE
from pipeline.context import Context
from pipeline.policy.fields import Audience
from pipeline.published.tables import opened
from pipeline.storage.engine import engine

WORKERS = 2
WORKER_MEMORY = 1 << 30
THREAD_STACK = 1 << 20
DUCKDB_MEMORY = "384MB"
ADDRESS = "tcp://127.0.0.1:18786"
DERIVED = ("store/classified", "store/pseudonymized", "store/publication_history", "releases")
HASHED = "SELECT count(*), sum(hash(t)::HUGEINT)::VARCHAR FROM {rows} AS t"


def nightly(landing: Path, home: Path, **environment: str) -> float:
    """One run of the nightly job in a process of its own; its seconds."""
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "benchmarks.nightly", str(landing), str(home), str(RUN_DATE)],
        env=dict(os.environ) | environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return round(time.monotonic() - started, 1)


def fingerprints(home: Path) -> dict[str, tuple[int, str]]:
    """Rows and sum of hashes of every derived and published table."""
    context: Context = Store(home=str(home)).context
    found = {}

    def see(name: str, connection: duckdb.DuckDBPyConnection, rows: str) -> None:
        ((number, hashes),) = connection.sql(HASHED.format(rows=rows)).fetchall()
        found[name] = (number, hashes)

    with engine(home / "work") as connection:
        for store in ("classified", *(f"pseudonymized/{one.value}" for one in Audience)):
            see(store, connection, f"read_parquet('{home}/store/{store}/*/*.parquet')")
    for table in context.data_map.published:
        with opened(context, context.layout.current, table) as connection:
            see(table, connection, f"released.{table}")
    return found


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (WORKER_MEMORY, WORKER_MEMORY))
    resource.setrlimit(resource.RLIMIT_STACK, (THREAD_STACK, THREAD_STACK))


def spread(landing: Path, home: Path) -> dict[str, object]:
    """The same run with classified and pseudonymized rows made by workers."""
    environment = dict(os.environ) | {
        "MILESTONES_MEMORY": DUCKDB_MEMORY,
        "MILESTONES_THREADS": "1",
        # The limit counts what a thread reserves, and not only what it uses.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "ARROW_IO_THREADS": "2",
        "MALLOC_ARENA_MAX": "2",
    }
    host, port = ADDRESS.removeprefix("tcp://").split(":")
    scheduler = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distributed.cli.dask_scheduler",
            "--host",
            host,
            "--port",
            port,
            "--no-dashboard",
        ],
        stderr=subprocess.DEVNULL,
    )
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "distributed.cli.dask_worker",
                ADDRESS,
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
                "--local-directory",
                str(home),
            ],
            env=environment,
            stderr=subprocess.DEVNULL,
            preexec_fn=_limited,
        )
        for _ in range(WORKERS)
    ]
    try:
        with Client(ADDRESS, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(WORKERS, timeout=60)
        seconds = nightly(landing, home, MILESTONES_CLUSTER=ADDRESS)
        peaks = [
            int(line.split()[1]) // 1024
            for one in workers
            for line in Path(f"/proc/{one.pid}/status").read_text().splitlines()
            if line.startswith("VmHWM")
        ]
        return {"seconds": seconds, "peak_mib_of_workers": peaks}
    finally:
        for process in (*workers, scheduler):
            process.terminate()
            process.wait(30)


def main(landing: Path, work: Path) -> None:
    alone, apart = work / "alone", work / "apart"
    for home in (alone, apart):
        shutil.rmtree(home, ignore_errors=True)
    seconds = nightly(landing, alone)
    shutil.copytree(alone, apart, symlinks=True)
    for derived in DERIVED:
        shutil.rmtree(apart / derived)
    by_workers = spread(landing, apart)
    with engine(work) as connection:
        rows = f"read_parquet('{apart}/store/classified/*/*.parquet')"
        connection.execute(f"CREATE TABLE whole AS FROM {rows}")
        ((size,),) = connection.sql(
            "SELECT sum(memory_usage_bytes + temporary_storage_bytes) FROM duckdb_memory()"
        ).fetchall()
    one, other = fingerprints(alone), fingerprints(apart)
    print(
        json.dumps(
            {
                "seconds_alone": seconds,
                **by_workers,
                "classified_rows_in_memory_mib": int(size) >> 20,
                "limit_of_a_worker_mib": WORKER_MEMORY >> 20,
                "tables_compared": len(one),
                "equal": one == other,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())

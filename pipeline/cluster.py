"""Work in pieces, on this machine or on many.

A step whose pieces need nothing of each other does them one after the other here, since DuckDB uses
all cores by itself. With MILESTONES_CLUSTER the workers of that Dask scheduler (`tcp://host:8786`)
take them. They see the same data folder, on a shared file system, and have the same environment:
memory limit, keys, policy.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from pipeline.engine import engine
from pipeline.layout import Layout

SETTING = "MILESTONES_CLUSTER"
PIECES_A_WORKER = 4  # so that one slow piece does not leave the others waiting


def address() -> str | None:
    """The cluster's scheduler; None for this machine alone."""
    return os.environ.get(SETTING) or None


def shards() -> int:
    """Into how many shards rows are cut; 1 without a cluster."""
    scheduler = address()
    if scheduler is None:
        return 1
    # Only who has a cluster needs the client.
    from distributed import Client

    with Client(scheduler, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        return max(1, len(client.scheduler_info(n_workers=-1)["workers"])) * PIECES_A_WORKER


def each(work: Callable[..., None], pieces: list[tuple[Any, ...]]) -> None:
    """Have every piece done by the cluster's workers; the first error of any ends the step.

    Args:
        work: a function of a module, which workers can import.
    """
    from distributed import Client

    with Client(address(), set_as_default=False) as client:  # type: ignore[no-untyped-call]
        # Not kept by their value: the same piece of another night is another one.
        waiting = [client.submit(work, *piece, pure=False, retries=0) for piece in pieces]
        client.gather(waiting)


@contextmanager
def worker(layout: Layout) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for one piece, which spills beside the others' and not over them."""
    with engine(layout.work / "spill" / f"{socket.gethostname()}-{os.getpid()}") as connection:
        yield connection

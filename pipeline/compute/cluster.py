"""Work in independent pieces, on this machine or on many.

On one machine, pieces of DuckDB work run one after the other, since DuckDB uses all cores by
itself; other work gets a process for every core. With MILESTONES_CLUSTER the workers of that Dask
scheduler (`tcp://host:8786`) run the pieces of both; pipeline/compute/exchange.py passes them what
they read and write.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.settings import settings, variable
from pipeline.storage.engine import cores

if TYPE_CHECKING:
    from distributed import Client

SETTING = variable("cluster")
PIECES_A_WORKER = 4  # so that one slow piece does not leave other workers idle
WORTH_A_PROCESS = 100_000  # contributions; starting a process and its imports takes a second
Result = TypeVar("Result")


def address() -> str | None:
    """The address of the cluster's scheduler; None for this machine only."""
    return settings().cluster


def shards() -> int:
    """The number of shards that rows are divided into; 1 without a cluster."""
    if address() is None:
        return 1
    with _client() as client:
        return _at_once(client)


@contextmanager
def _client() -> Iterator[Client]:
    # Only installations with a cluster need the library.
    from distributed import Client

    with Client(address(), set_as_default=False) as client:  # type: ignore[no-untyped-call]
        yield client


def _at_once(client: Client) -> int:
    """The number of pieces that keeps all workers busy."""
    return max(1, len(client.scheduler_info(n_workers=-1)["workers"])) * PIECES_A_WORKER


def each(work: Callable[..., None], pieces: list[tuple[Any, ...]]) -> None:
    """Run every piece on the cluster's workers; the first error ends the step.

    Args:
        work: a function that workers can import.
    """
    with _client() as client:
        # Not cached by their arguments: the same piece of another run is another one.
        waiting = [client.submit(work, *piece, pure=False, retries=0) for piece in pieces]
        client.gather(waiting)  # type: ignore[no-untyped-call]


def results(
    work: Callable[..., Result], pieces: Iterable[tuple[Any, ...]], size: int
) -> Iterator[Result]:
    """The results of `work` for every piece, in order; the first error ends it.

    Args:
        work: a function that other processes can import.
        pieces: generated one by one, a few ahead of the results, so that not all are in memory.
        size: contributions in all pieces together.
    """
    if size < WORTH_A_PROCESS or (cores() < 2 and address() is None):
        yield from (work(*piece) for piece in pieces)
        return
    with _pool() as (submit, at_once):
        waiting: deque[Any] = deque()
        for piece in pieces:
            waiting.append(submit(work, *piece))
            if len(waiting) > at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _end_with_parent() -> None:
    """End this process with its parent: a parent that is killed cannot stop it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _pool() -> Iterator[tuple[Callable[..., Any], int]]:
    """A function that submits a piece to the cluster or to this machine's cores, and how many run
    at once."""
    if address() is None:
        # Not forked, since this process has threads of DuckDB and Dagster.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(cores(), context, _end_with_parent) as pool:
            yield pool.submit, cores()
        return
    with _client() as client:
        yield partial(client.submit, pure=False, retries=0), _at_once(client)

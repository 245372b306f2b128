"""Work in pieces, on this machine or on many.

A step of DuckDB's whose pieces need nothing of each other does them one after the other here,
since DuckDB uses all cores by itself; other work gets a process for every core. With
MILESTONES_CLUSTER the workers of that Dask scheduler (`tcp://host:8786`) take the pieces of both;
what those read and write is pipeline/compute/exchange.py's.
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
PIECES_A_WORKER = 4  # so that one slow piece does not leave the others waiting
WORTH_A_PROCESS = 100_000  # contributions; starting a process and its imports takes a second
Result = TypeVar("Result")


def address() -> str | None:
    """The cluster's scheduler; None for this machine alone."""
    return settings().cluster


def shards() -> int:
    """Into how many shards rows are cut; 1 without a cluster."""
    if address() is None:
        return 1
    with _client() as client:
        return _at_once(client)


@contextmanager
def _client() -> Iterator[Client]:
    # Only who has a cluster needs the library.
    from distributed import Client

    with Client(address(), set_as_default=False) as client:  # type: ignore[no-untyped-call]
        yield client


def _at_once(client: Client) -> int:
    """Pieces that keep all workers busy."""
    return max(1, len(client.scheduler_info(n_workers=-1)["workers"])) * PIECES_A_WORKER


def each(work: Callable[..., None], pieces: list[tuple[Any, ...]]) -> None:
    """Have every piece done by the cluster's workers; the first error of any ends the step.

    Args:
        work: a function of a module, which workers can import.
    """
    with _client() as client:
        # Not kept by their value: the same piece of another night is another one.
        waiting = [client.submit(work, *piece, pure=False, retries=0) for piece in pieces]
        client.gather(waiting)  # type: ignore[no-untyped-call]


def results(
    work: Callable[..., Result], pieces: Iterable[tuple[Any, ...]], size: int
) -> Iterator[Result]:
    """What `work` makes of every piece, in their order; the first error ends it.

    Args:
        work: a function of a module, which other processes can import.
        pieces: made one by one, a few ahead of the results, so that not all are in memory.
        size: contributions in all of them together.
    """
    # Celery's processes may have no children.
    alone = cores() < 2 or multiprocessing.current_process().daemon
    if size < WORTH_A_PROCESS or (alone and address() is None):
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
    """A process of the pool does not outlive the night: killed, the night cannot tell it to end."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _pool() -> Iterator[tuple[Callable[..., Any], int]]:
    """How to hand a piece to the cluster, or to this machine's cores, and how many at once."""
    if address() is None:
        # Not forked: this process has DuckDB's threads and Dagster's.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(cores(), context, _end_with_parent) as pool:
            yield pool.submit, cores()
        return
    with _client() as client:
        yield partial(client.submit, pure=False, retries=0), _at_once(client)

"""Kill a deletion with SIGKILL at many points, run it once more, and look at the end.

Run as a program (python -m tests.kill_points TEMPLATE WORK POINTS SHARE OF [PERSON]): loads
everything once and forks a real process per point. Points are of two kinds: just before each call
of the operating system that changes a name (every swap among them), and moments spread over the
whole run, which also fall into DuckDB's own writing. Prints one JSON line per point.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from expectations import boundaries
from expectations.suite import Verdict
from pipeline.context import Context
from pipeline.published import gate
from pipeline.retained import job, receipts
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from tests.estate import NOW, context
from tests.opened import relation, released

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "os.symlink"}


def quick(suite: str, declared: list[str], evidence: dict[str, int]) -> Verdict:
    """The judgement of expectations/suite.py in a hundredth of the time: what is killed here is
    the deletion, and every check that it asks for still counts every value."""
    broken = {name: n for name, n in evidence.items() if n}
    return Verdict(suite, len(declared), broken, sorted(set(declared) ^ set(evidence)))


def deletion(context: Context, person: str | None) -> None:
    if person is None:
        job.retain(context, NOW)
    else:
        job.erase_person(context, person, "request", NOW)


def in_child(work: Callable[[], None], kill_after: float | None = None) -> int:
    """Run something in a forked process; its exit code, or minus the signal that killed it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def counted(work: Callable[[], None], kill_at: int | None, tell: Path) -> None:
    """Do the work; die before change number `kill_at`, or write down how many there were."""
    changes = 0

    def change(name: str, _: object) -> None:
        nonlocal changes
        if name in CHANGES:
            if changes == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            changes += 1

    sys.addaudithook(change)
    work()
    if kill_at is None:
        tell.write_text(str(changes))


def records(home: Path) -> list[tuple[Any, ...]]:
    """Every canonical row of the store, for comparison."""
    with duckdb.connect() as c:
        return c.execute(
            f"SELECT learner_id, manager_id, course_code, status, assigned_at, event_at, problem, "
            f"raw FROM read_parquet('{home}/store/canonical/*/*/records-*-*.parquet', "
            "hive_partitioning=false, union_by_name=true) WHERE learner_id IS NOT NULL ORDER BY ALL"
        ).fetchall()


def courses(home: Path) -> set[str]:
    return {str(row[2]) for row in records(home)}


def tables(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every published row; each file is what the manifest says."""
    layout, found = Layout(home), {}
    told = json.loads((layout.current / gate.MANIFEST).read_text())
    for name, sha in told["sha256"].items():
        assert file_sha256(layout.current / name) == sha
    for table, spec in context(home).data_map.published.items():
        with released(home) as c:
            query = f"FROM {spec.database}_db.{table} ORDER BY ALL"
            found[table] = c.execute(query).fetchall()
    return found


def named(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everybody and everything that the vault and the census name."""
    layout, found = Layout(home), {}
    with duckdb.connect() as c:
        for path in [*layout.vault.glob("*.parquet"), *layout.classified.glob("*.parquet")]:
            query = f"FROM {relation(c, home, path)} ORDER BY ALL"
            found[path.name] = c.execute(query).fetchall()
    return found


def look(home: Path, tell: Path) -> None:
    layout = Layout(home)
    tell.write_text(json.dumps({
        "records": records(home), "tables": tables(home), "named": named(home),
        "receipts": [json.loads(p.read_text()) for p in receipts.newest_first(layout)],
        "open": [p.name for p in layout.erasures.glob("*")] if layout.erasures.exists() else [],
        "work": [p.name for p in layout.work.rglob("*") if p.is_file()],
        "releases": len([p for p in layout.releases.iterdir() if not p.is_symlink()]),
        "landing": sorted(p.name for p in (home / "landing").glob("*")),
    }, default=str))  # fmt: skip


def looked(home: Path, tell: Path) -> dict[str, Any]:
    code = in_child(lambda: look(home, tell))
    found: dict[str, Any] = json.loads(tell.read_text()) if code == 0 else {"unreadable": code}
    return found


def main(template: Path, work: Path, points: int, share: int, of: int, person: str | None) -> None:
    work.mkdir(parents=True)
    tell, home = work / "tell", work / "home"

    def fresh() -> None:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(template, home, symlinks=True)

    def erase() -> None:
        deletion(policy, person)

    boundaries.judge = quick  # type: ignore[attr-defined]
    policy = context(home)
    fresh()
    assert in_child(lambda: counted(erase, None, tell)) == 0
    changes = int(tell.read_text())
    fresh()
    start = time.monotonic()
    assert in_child(erase) == 0
    seconds = time.monotonic() - start
    print(json.dumps({"changes": changes, "end": looked(home, tell)}), flush=True)
    # Every change where there is room for all of them, and the rest as moments.
    spare = max(points - changes, points // 4)
    moments = [0.9 * seconds * n / spare for n in range(spare)]
    every = changes if spare == points - changes else points - spare
    chosen: list[int | float] = [*sorted({n * changes // every for n in range(every)}), *moments]
    for point in chosen[share::of]:
        fresh()
        if isinstance(point, int):
            code = in_child(partial(counted, erase, point, tell))
        else:
            # It can be over sooner than the one that was measured: then it is killed earlier.
            while (code := in_child(erase, point)) == 0:
                fresh()
                point /= 2
        middle = looked(home, tell)
        again = in_child(erase)
        print(json.dumps({"point": point, "code": code, "middle": middle, "again": again,
                          "end": looked(home, tell)}), flush=True)  # fmt: skip
    shutil.rmtree(work)


if __name__ == "__main__":
    template, work, points, share, of, *rest = sys.argv[1:]
    main(Path(template), Path(work), int(points), int(share), int(of), rest[0] if rest else None)

"""Cut something off at many points, run it once more, and look at the end.

Points are just before each call of the operating system that changes a name. `kills` is run as a
program (python -m tests.kill_points DEED TEMPLATE WORK MOMENTS SHARE OF SEED): it loads everything
once and forks a real process per point, with SIGKILL there. A run has over three hundred points, of
which each takes seconds: a soak kills at the first and the last of every place in the code, and at
a third of the others, which its seed draws. Moments are kills spread over the whole run, so that
they also fall into DuckDB's own writing. `sites` needs no process: one point for each place in the
code that makes such calls, in the middle of its calls, with a copy of what a kill there would
leave. What runs on the copy is cut off as well, at the next place, and so on, and only the last
comes to its end. Both give one line per point.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import duckdb
import numpy as np

from assets.resources import Store
from pipeline.policy.data_map import load_data_map
from pipeline.policy.fields import Audience
from pipeline.pseudonymized.models import check_against
from pipeline.published import gate, publication_history, row_history
from pipeline.retained import backup, job, receipts, storage_key
from pipeline.storage import encryption, engine, files
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import PROJECT, Layout
from pipeline.storage.spill import SPILL
from tests import plain, pooled
from tests.company import NUMBER
from tests.estate import NOW, context
from tests.killed_rekey import NEW, keys_of
from tests.opened import everything_in, relation, released, released_files

KILLS, SITES = "kills", "sites"
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.link"}
ROOT = f"{PROJECT}/"
PRODUCT = tuple(f"{ROOT}{folder}/" for folder in ("pipeline", "assets", "expectations"))
HELPERS = "pipeline/storage/files.py:"
Site = tuple[str, ...]
TWO_RENAMES = " in two renames"  # behind the name of a deed


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


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


def site(event: str) -> Site:
    """Where in the product a change is made: the call, its line, and the first line outside the
    helpers of pipeline/storage/files.py that leads to it."""
    lines = [
        f"{frame.f_code.co_filename.removeprefix(ROOT)}:{frame.f_lineno}"
        for frame in _frames()
        if frame.f_code.co_filename.startswith(PRODUCT)
    ]
    return (event, *lines[:1], *[line for line in lines if not line.startswith(HELPERS)][:1])


def changes(event: str, arguments: tuple[Any, ...]) -> bool:
    """Does a call change a name? A folder that is there is not made again, and the spill is of no
    use to anybody after the process."""
    if event not in CHANGES or f"/{SPILL}" in str(arguments[0]):
        return False
    return not (event == "os.mkdir" and os.path.lexists(arguments[0]))


# What is called before each call of the operating system: a hook of Python's stays for good.
_watching: list[Callable[[str, tuple[Any, ...]], None]] = []


@cache
def _watch() -> None:
    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        # Of everything that happens in this process from now on: what is not meant goes first.
        if event in CHANGES and _watching:
            _watching[-1](event, arguments)

    sys.addaudithook(heard)


def before_changes(work: Callable[[], None], what: Callable[[int, str], None]) -> None:
    """Do the work, and something before each change with its number."""
    number = 0

    def change(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal number
        if changes(event, arguments):
            _watching.remove(change)  # what is done here is no change of the work's
            what(number, event)
            number += 1
            _watching.append(change)

    _watch()
    _watching.append(change)
    try:
        work()
    finally:
        if change in _watching:
            _watching.remove(change)


def die_at(work: Callable[[], None], point: int) -> None:
    def die(number: int, _: str) -> None:
        if number == point:
            os.kill(os.getpid(), signal.SIGKILL)

    before_changes(work, die)


def tell_sites(work: Callable[[], None], tell: Path) -> None:
    made: list[Site] = []
    before_changes(work, lambda _, event: made.append(site(event)))
    tell.write_text(json.dumps({"sites": made, "modules": sorted(sys.modules)}))


def load(modules: list[str]) -> None:
    """Load here what every forked process would load for itself, and work out what it would."""
    for name in modules:
        with suppress(ImportError):
            importlib.import_module(name)
    data_map = load_data_map(PROJECT / "data_map.yaml")
    for audience in Audience:
        check_against(data_map, audience)


class Cut(BaseException):
    """Ends work at a point, of which a copy was made before anything was tidied up."""


def cut_at(work: Callable[[], None], home: Path, left: dict[Site, int], copies: Path) -> list[Site]:
    """Do the work up to the next place where it is to be cut off, and on as long as nothing but
    unfinished work is changed. The data folder is copied at each place: copies/0, copies/1 ...

    Args:
        left: how many changes a place makes before it is cut off; counted down, and without the
            place once it was.

    Returns:
        The places; none if the work came to its end.
    """
    found: list[Site] = []
    states: set[str] = set()

    def count(_: int, event: str) -> None:
        where = site(event)
        if where not in left:
            return
        left[where] -= 1
        if left[where] >= 0:
            return
        states.add(finished(home))
        if len(states) > 1:
            left[where] = 0  # next time it comes here
            raise Cut
        del left[where]
        shutil.copytree(home, copies / str(len(found)), symlinks=True)
        found.append(where)

    with suppress(Cut):
        before_changes(work, count)
    return found


def finished(home: Path) -> str:
    """A hash of everything in a data folder but unfinished work."""
    work, seen = Layout(home).work, []
    for path in sorted(home.rglob("*")):
        if path != work and work not in path.parents:
            kept = path.readlink() if path.is_symlink() else path.is_file() and file_sha256(path)
            seen.append(f"{path.relative_to(home)} {kept}")
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


def records(home: Path) -> list[tuple[Any, ...]]:
    """Every canonical row of the store, for comparison."""
    with duckdb.connect() as c:
        return c.execute(
            f"SELECT learner_id, manager_id, course_code, status, assigned_on, event_on, problem, "
            f"raw FROM read_parquet('{home}/store/canonical/*/*/records-*-*.parquet', "
            "hive_partitioning=false, union_by_name=true) WHERE learner_id IS NOT NULL ORDER BY ALL"
        ).fetchall()


def courses(home: Path) -> set[str]:
    return {str(row[2]) for row in records(home)}


def tables(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every published row; each file is what the manifest says."""
    layout, found = Layout(home), {}
    output = json.loads((layout.current / gate.MANIFEST).read_text())
    for name, sha in output["sha256"].items():
        assert file_sha256(layout.current / name) == sha
    with released(home) as c:
        for table, spec in context(home).data_map.published.items():
            query = f"FROM {spec.database}_db.{table} ORDER BY ALL"
            found[table] = c.execute(query).fetchall()
    return found


def named(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everybody and everything that the vault and the population counts name."""
    layout, found = Layout(home), {}
    with duckdb.connect() as c:
        for path in [*layout.vault.glob("*.parquet"), *layout.classified.glob("*.parquet")]:
            query = f"FROM {relation(c, home, path)} ORDER BY ALL"
            found[path.name] = c.execute(query).fetchall()
    return found


def whole(layout: Layout) -> bool:
    """Is the release, to the byte, what was released?"""
    output = json.loads((layout.current / gate.MANIFEST).read_text())["sha256"]
    return all(file_sha256(layout.current / name) == sha for name, sha in output.items())


def left(layout: Layout) -> dict[str, Any]:
    """What nobody needs any more: none of it may be there at the end."""
    return {
        "work": [p.name for p in layout.work.rglob("*") if p.is_file()],
        "releases": len([p for p in layout.releases.iterdir() if not p.is_symlink()]),
        "open": [p.name for p in layout.erasures.glob("*")] if layout.erasures.exists() else [],
    }


def deletion(person: str | None, home: Path) -> None:
    if person is None:
        job.retain(context(home), NOW)
    else:
        job.erase_person(context(home), person, "request", NOW)


def of_deletion(home: Path) -> dict[str, Any]:
    layout = Layout(home)
    return {
        "records": records(home),
        "tables": tables(home),
        "named": named(home),
        "receipts": [json.loads(p.read_text()) for p in receipts.newest_first(layout)],
        "landing": sorted(p.name for p in (home / "landing").glob("*")),
        **left(layout),
    }


def of_cut_deletion(home: Path) -> dict[str, Any]:
    """Is the release whole, and what is the state by then, if that is what a receipt says?"""
    layout = Layout(home)
    if receipts.newest_first(layout):
        return {"whole": whole(layout), **of_deletion(home)}
    return {"whole": whole(layout), "readable": readable(home), "receipts": []}


def readable(home: Path) -> bool:
    """Do all files of the release open?"""
    with duckdb.connect() as c:
        files = released_files(Layout(home).current)
        return all([bool(everything_in(c, home, path)) for path in files])


def of_rekey(old: str, home: Path) -> dict[str, Any]:
    return {**keys_of(home, old), "whole": whole(Layout(home)), **left(Layout(home))}


def said(home: Path) -> dict[str, Any]:
    return {"tables": tables(home), "named": named(home)}


def run(home: Path) -> None:
    """The run of the last delivery."""
    last = dt.date.fromisoformat(max(path.name for path in (home / "landing").iterdir()))
    ran = plain.run(Store(home=str(home)), last)
    assert ran.success, (ran.errors, ran.failed_checks)


def of_run(home: Path) -> dict[str, Any]:
    layout = Layout(home)
    return {
        "partition": gate.manifest(layout)["partition"],
        "whole": whole(layout),
        "readable": readable(home),
        "periods": publication_history.periods(layout),
        "row periods": row_history.periods(layout),
        **left(layout),
    }


@dataclass(frozen=True)
class Deed:
    """What is killed: how it is done, what is seen after the kill, and what is at the end.

    Attributes:
        like: the name of a deed that does much of the same; places in the code that both come to
            are killed there.
    """

    do: Callable[[Path], None]
    middle: Callable[[Path], dict[str, Any]]
    end: Callable[[Path], dict[str, Any]]
    like: str | None = None


def restoring(home: Path) -> None:
    """Restore the data folder's backup over what came later."""
    stand = context(home)
    (made,) = backup.copies(stand.layout)
    backup.restore(stand, made.root)


def of_restore(home: Path) -> dict[str, Any]:
    """What whoever opens the data folder next finds in it."""
    layout = context(home).layout
    return {
        "records": records(home),
        "periods": publication_history.periods(layout),
        "row periods": row_history.periods(layout),
        **left(layout),
    }


def in_two_renames(do: Callable[[Path], None], home: Path) -> None:
    """As on a file system that cannot exchange two folders."""
    with mock.patch.object(files, "exchange", return_value=False):
        do(home)


def deed(name: str, template: Path) -> Deed:
    if name.endswith(TWO_RENAMES):
        usual = deed(like := name.removesuffix(TWO_RENAMES), template)
        return Deed(partial(in_two_renames, usual.do), usual.middle, usual.end, like)
    if name == "run":
        return Deed(run, of_run, lambda home: of_run(home) | said(home))
    if name == "restore":
        return Deed(restoring, of_restore, of_restore)
    if name == "rekey":
        look = partial(of_rekey, (template / "vault" / "storage.key").read_text())
        return Deed(change_key, look, lambda home: look(home) | said(home))
    if name == "person":
        person = partial(deletion, f"emp:{NUMBER}")
        return Deed(person, of_cut_deletion, of_deletion, "retention")
    assert name == "retention"
    return Deed(partial(deletion, None), of_cut_deletion, of_deletion)


def change_key(home: Path) -> None:
    storage_key.change(Layout(home), encryption.StorageKey.read(NEW))


def looked(look: Callable[[Path], dict[str, Any]], home: Path, tell: Path) -> dict[str, Any]:
    """What is seen, by a process of its own; or that it could not be read."""

    def write() -> None:
        tell.write_text(json.dumps(look(home), default=str))

    code = in_child(write)
    found: dict[str, Any] = json.loads(tell.read_text()) if code == 0 else {"unreadable": code}
    return found


def tried(work: Callable[[], None]) -> int:
    """Do something in this process; 0, or 1 if it fails."""
    try:
        work()
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def seen(look: Callable[[Path], dict[str, Any]], home: Path) -> dict[str, Any]:
    """As `looked`, in this process."""
    found: dict[str, Any] = {"unreadable": 1}

    def see() -> None:
        found.clear()
        found.update(json.loads(json.dumps(look(home), default=str)))

    return {"unreadable": 1} if tried(see) else found


def anew(template: Path, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(template, home, symlinks=True)


@contextmanager
def quicker() -> Iterator[None]:
    """What is cut off here is what a verdict leads to, not the judging, nor the drawing."""
    with plain.quickly(), mock.patch.object(engine, "opened", pooled.opened):
        yield


# Where this process has seen a deed make changes: those that are like it need not try again.
_sites_of: dict[str, list[Site]] = {}


def at_sites(name: str, template: Path, work: Path) -> Iterator[dict[str, Any]]:
    """One point a site: first what is before and at the end, then each point, in the order of time.
    Every run goes on with what the one before left."""
    home, copies = work / "home", work / "copies"
    cut = deed(name, template)

    def sites(of: str) -> list[Site]:
        made: list[Site] = []
        anew(template, home)
        do = partial(deed(of, template).do, home)
        before_changes(do, lambda _, event: made.append(site(event)))
        _sites_of[of] = made
        return made

    anew(template, home)
    before = seen(cut.end, home)
    elsewhere = set(_sites_of.get(cut.like) or sites(cut.like)) if cut.like else set()
    made = Counter(where for where in sites(name) if where not in elsewhere)
    left = {where: times // 2 for where, times in made.items()}
    yield {"before": before, "end": seen(cut.end, home), "points": len(left), "moments": 0}
    anew(template, home)
    points: list[dict[str, Any]] = []
    places: list[Site] = []

    def go_on() -> None:
        places[:] = cut_at(partial(cut.do, home), home, left, copies)

    while not (again := tried(go_on)) and places:
        for number, place in enumerate(places):
            middle = seen(cut.middle, copies / str(number))
            points.append({"point": len(points), "site": place, "code": 0, "middle": middle})
        gone_on_from([copies / str(number) for number in range(len(places))], home)
    end = seen(cut.end, home)
    for point in points:
        yield {**point, "again": again, "end": end}


def gone_on_from(copies: list[Path], home: Path) -> None:
    """Make copies that differ in unfinished work alone the data folder: one, with all of that."""
    shutil.rmtree(home)
    copies[0].rename(home)
    for other in copies[1:]:
        work = Layout(other).work
        shutil.copytree(work, Layout(home).work, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(other)


def drawn(made: list[Site], elsewhere: set[Site], seed: int) -> list[int]:
    """The numbers of the points to kill at: the first and the last of every place in the code that
    makes changes, and a third of the others.

    Args:
        made: the place of each point.
        elsewhere: places that are killed elsewhere.
    """
    first = {where: number for number, where in reversed(list(enumerate(made)))}
    last = {where: number for number, where in enumerate(made)}
    always = {*first.values(), *last.values()}
    others = np.random.default_rng(seed).random(len(made)) < 1 / 3
    return [
        number
        for number, where in enumerate(made)
        if where not in elsewhere and (number in always or others[number])
    ]


def main(
    name: str, template: Path, work: Path, moments: int, share: int, of: int, seed: int
) -> None:
    """Kill at the points that are drawn, and at some moments; prints one JSON line per point. Where
    a deed is like another, the points are those that come only with it."""
    work.mkdir(parents=True)
    tell, home = work / "tell", work / "home"
    killed = deed(name, template)
    do, fresh = partial(killed.do, home), partial(anew, template, home)

    def sites(of: str) -> list[Site]:
        fresh()
        work = partial(deed(of, template).do, home)
        assert in_child(partial(tell_sites, work, tell)) == 0
        found = json.loads(tell.read_text())
        load(found["modules"])
        return [tuple(where) for where in found["sites"]]

    fresh()
    before = looked(killed.end, home, tell)
    usual = set(sites(killed.like)) if killed.like else set()
    made = sites(name)
    points = drawn(made, usual, seed)
    end = looked(killed.end, home, tell)
    print(
        json.dumps({"before": before, "end": end, "points": len(points), "moments": moments}),
        flush=True,
    )

    def went_on(point: float, code: int, where: Site | None = None) -> None:
        middle = looked(killed.middle, home, tell)
        again = in_child(do)
        print(
            json.dumps(
                {
                    "point": point,
                    "site": where,
                    "code": code,
                    "middle": middle,
                    "again": again,
                    "end": looked(killed.end, home, tell),
                }
            ),
            flush=True,
        )

    for number in points[share::of]:
        fresh()
        went_on(number, in_child(partial(die_at, do, number)), made[number])
    if not moments:
        shutil.rmtree(work)
        return
    fresh()
    start = time.monotonic()
    assert in_child(do) == 0
    seconds = time.monotonic() - start
    for number in range(moments)[share::of]:
        fresh()
        moment = 0.9 * seconds * number / moments
        # It can be over sooner than the one that was measured: then it is killed earlier.
        while (code := in_child(do, moment)) == 0:
            fresh()
            moment /= 2
        went_on(moment, code)
    shutil.rmtree(work)


if __name__ == "__main__":
    which, template, work, *numbers = sys.argv[1:]
    with quicker():
        main(which, Path(template), Path(work), *map(int, numbers))

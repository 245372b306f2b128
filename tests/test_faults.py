"""Faults injected for real: nothing lost, nothing leaked, and the right state after one re-run."""

from __future__ import annotations

import datetime as dt
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import pyarrow.parquet as pq
import pytest

from assets import common
from assets.resources import Store
from pipeline.cli.exits import Exit
from pipeline.cli.run import run_job
from pipeline.definitions import definitions
from pipeline.errors import EngineError, PolicyError, Unfinished
from pipeline.policy.fields import Audience
from pipeline.published import gate
from pipeline.published.tables import opened
from pipeline.raw import deliveries
from pipeline.raw.readers.base import MalformedFile
from pipeline.retained import clock
from pipeline.storage import engine as engines
from pipeline.storage.engine import count, engine
from pipeline.storage.files import atomic_build
from pipeline.storage.layout import PROJECT, Layout
from pipeline.storage.spill import SPILL, spill_folder
from tests import plain, pooled
from tests.command import COMMAND, environment
from tests.company import EMAIL, NAME, NUMBER, record, write_delivery
from tests.estate import context
from tests.fixtures import RUN_DATE, Estate, errors
from tests.kill_points import tables
from tests.opened import everything, months

LATER = RUN_DATE + dt.timedelta(days=1)
CANARIES = (NAME, EMAIL, NUMBER)


def values(home: Path) -> dict[str, int]:
    """Rows per published table; each file is what the manifest says."""
    return {name: len(rows) for name, rows in tables(home).items()}


@pytest.fixture
def small_disk(published: Estate, tmp_path: Path) -> Iterator[Estate]:
    """The published company on a disk of its own, with a day's delivery more."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("a disk of its own needs the right to mount one")
    try:
        shutil.copytree(published.home, place / "home", symlinks=True)
        estate = Estate(place / "home", published.instance)
        write_delivery(
            estate.delivery(LATER), [record(p, Course_Code="SQL-220") for p in range(12)]
        )
        yield estate
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize(
    "room",
    [
        (0, 1 << 17),
        *(
            pytest.param((left,), marks=pytest.mark.soak)
            for left in (0, 1 << 17, 1 << 19, 1 << 20, 3 << 19, 1 << 21)
        ),
    ],
)
def test_a_full_disk(
    small_disk: Estate, monkeypatch: pytest.MonkeyPatch, room: tuple[int, ...]
) -> None:
    """Full from the start, then in the middle of some step."""
    estate, layout = small_disk, small_disk.layout
    monkeypatch.setattr(common, "FIRST_WAIT", 0)
    before = values(estate.home)
    ballast, ended_in = estate.home.parent / "ballast", set[int]()
    for left in room:
        ballast.unlink(missing_ok=True)
        with ballast.open("wb") as stream:
            free = shutil.disk_usage(estate.home).free
            stream.write(b"\0" * max(0, free - left))
        result = plain.run(Store(home=str(estate.home)), LATER)
        assert not result.success, "there was room enough"
        ended_in.add(len(result.steps))
        assert values(estate.home) == before
        assert not [one for one in CANARIES if one in errors(result)]
    assert len(ended_in) == len(room), "full at one and the same step"
    ballast.unlink()
    again = estate.run(LATER)
    assert again.success, errors(again)
    after = values(estate.home)
    assert after["hr_legal_detail"] == before["hr_legal_detail"] + 12
    assert str(gate.manifest(layout)["partition"]) == str(LATER)


def test_a_run_waits_for_the_one_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that begin at once over one data folder, whose Dagster instance they also make."""
    seen = list[str]()

    @dg.op
    def work() -> None:
        seen.append("begun")
        time.sleep(0.5)
        seen.append("ended")

    @dg.job
    def nightly() -> None:
        work()

    both_runs = dg.Definitions(jobs=[nightly])
    monkeypatch.setattr("pipeline.definitions.definitions", lambda _: both_runs)
    with mock.patch.dict(os.environ), ThreadPoolExecutor(2) as pool:
        os.environ.pop("DAGSTER_HOME", None)
        both = [pool.submit(run_job, tmp_path / "home", "nightly", None) for _ in range(2)]
        assert [one.result() for one in both] == [Exit.DONE] * 2
    assert seen == ["begun", "ended"] * 2


@pytest.mark.soak
def test_two_runs_at_once(published: Estate) -> None:
    """Each a process, and over the whole store; they take turns."""
    home = published.home
    days = [LATER, LATER + dt.timedelta(days=1)]
    for n, day in enumerate(days):
        write_delivery(published.delivery(day), [record(n, Course_Code="SQL-220")])
    both = [
        subprocess.Popen(
            [*COMMAND, "run", "--home", str(home), "--date", str(day)],
            cwd=PROJECT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for day in days
    ]
    for process in both:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output.decode()
    one_by_one = values(home)
    again = published.run(days[-1])
    assert again.success, errors(again)
    assert values(home) == one_by_one
    assert len([p for p in Layout(home).releases.iterdir() if not p.is_symlink()]) == 1


def files_of(layout: Layout) -> dict[str, Path]:
    return {
        "coaching": layout.current / "coaching.duckdb",
        "detail": months(layout.current / "hr_legal_detail.parquet")[0],
        "vault": layout.references(Audience.MANAGER),
        "known values": layout.reference_values,
        "pseudonymized": next(layout.pseudonymized_for(Audience.ANALYTICS).glob("*/*.parquet")),
        "classified": next(layout.classified.glob("*/*.parquet")),
        "canonical": next(layout.canonical.glob("*/*/records-*.parquet")),
    }


PLACES = ("coaching", "detail", "vault", "known values", "pseudonymized", "classified", "canonical")
DAMAGES = ("middle", "truncated", "empty")
Damage = tuple[str, str]


def damage(path: Path, kind: str) -> None:
    good = path.read_bytes()
    at = len(good) // 2
    path.chmod(0o600)
    # A file of a release can have other names; it is replaced, not written into.
    path.unlink()
    path.write_bytes(
        {
            "middle": good[:at] + bytes(64) + good[at + 64 :],
            "truncated": good[:at],
            "empty": b"",
        }[kind]
    )


def contents(estate: Estate) -> dict[str, str]:
    """What is in each of the places."""
    found = files_of(estate.layout)
    return {place: everything(estate.home, path) for place, path in found.items()}


def _corrupt() -> Iterator[Any]:
    """All places at once, each with a kind of damage; in a soak one of them with each kind."""
    every = [(place, DAMAGES[at % len(DAMAGES)]) for at, place in enumerate(PLACES)]
    yield pytest.param(every, id="all")
    for place in PLACES:
        for kind in DAMAGES:
            yield pytest.param([(place, kind)], id=f"{place}-{kind}", marks=pytest.mark.soak)


@pytest.mark.parametrize("damages", list(_corrupt()))
def test_corrupt_files_and_a_missing_one_are_made_anew_by_the_next_run(
    published: Estate, damages: list[Damage]
) -> None:
    """A run makes each of them without reading it, so that none is mended by another's damage."""
    before, good = values(published.home), contents(published)
    for place, kind in damages:
        damage(files_of(published.layout)[place], kind)
    months(published.layout.current / "hr_legal_detail.parquet")[-1].unlink()
    result = published.run()
    assert result.success, errors(result)
    assert values(published.home) == before
    assert contents(published) == good


def test_a_corrupt_published_file_is_not_handed_on(published: Estate) -> None:
    """Retention carries untouched files over, but not one that is no longer what was released."""
    path = files_of(published.layout)["coaching"]
    good = path.read_bytes()
    path.unlink()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    stand = context(published.home)
    published.layout.staged(str(RUN_DATE)).mkdir(parents=True)
    with pytest.raises(PolicyError, match="is not the file that was released"):
        gate.carry_over(published.layout, stand.data_map, str(RUN_DATE))


def test_a_missing_month_of_the_detail_is_seen(published: Estate) -> None:
    """Encryption shows that a file was changed, not that there was one more."""
    layout, stand = published.layout, context(published.home)
    detail = layout.current / "hr_legal_detail.parquet"
    assert gate.unchanged(layout, detail.name)
    months(detail)[0].unlink()
    assert not gate.unchanged(layout, detail.name)
    with (
        pytest.raises(EngineError, match="months missing"),
        opened(stand, layout.current, "hr_legal_detail"),
    ):
        pass
    layout.staged(str(RUN_DATE)).mkdir(parents=True)
    with pytest.raises(PolicyError, match="is not the file that was released"):
        gate.carry_over(layout, stand.data_map, str(RUN_DATE))


@pytest.fixture
def real_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(clock.CONFIRMED)


@pytest.mark.usefixtures("real_clock")
@pytest.mark.parametrize(
    ("days", "message"),
    [
        (-2, "correct the clock"),
        (40, "nothing has run since"),
        (3650, "nothing has run since"),
        (-1, None),
        (0, None),
        (34, None),
    ],
)
def test_a_clock_that_jumps_erases_nothing(
    published: Estate, monkeypatch: pytest.MonkeyPatch, days: int, message: str | None
) -> None:
    layout, today = published.layout, dt.datetime.now(dt.UTC)
    then = today + dt.timedelta(days=days)
    if message is None:
        clock.require_sane(layout, then)
        return
    with pytest.raises(PolicyError, match=message):
        clock.require_sane(layout, then)
    before = values(published.home)

    class Wrong(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return then

    with monkeypatch.context() as patch:
        patch.setattr("assets.raw.dt.datetime", Wrong)
        result = published.run()
        assert not result.success
        assert message in errors(result)
        store = Store(home=str(published.home))
        job = definitions(store).resolve_job_def("retention")
        deletion = job.execute_in_process(instance=published.instance, raise_on_error=False)
        assert not deletion.success
        assert message in errors(deletion)
    assert values(published.home) == before
    # What the refused jobs wrote to the access log by that clock speaks neither for it nor, later,
    # against the right one.
    with pytest.raises(PolicyError, match=message):
        clock.require_sane(layout, then)
    clock.require_sane(layout, today)
    # Somebody has looked at the clock.
    monkeypatch.setenv(clock.CONFIRMED, then.date().isoformat())
    clock.require_sane(layout, then)


def test_a_delivery_that_is_replaced_while_it_is_read(published: Estate, tmp_path: Path) -> None:
    """By a real writer, again and again: it is read whole or not at all."""
    home, company = published.home, published.context
    write_delivery(published.delivery(LATER), [record(p, Course_Code="SQL-220") for p in range(12)])
    path = published.delivery(LATER) / "learning_history.csv"
    whole, before = path.read_bytes(), values(home)
    writer = subprocess.Popen(
        ["/bin/sh", "-c", 'while :; do cp "$1" "$1.new"; mv "$1.new" "$1"; done', "-", str(path)],
        start_new_session=True,
    )
    try:
        time.sleep(0.5)
        for n in range(10):
            layout = Layout(tmp_path / str(n), company.layout.landing)
            # A file that is away by now is an error of the disk's, on which a step is tried again.
            with suppress(MalformedFile, PolicyError, Unfinished, OSError):
                deliveries.ingest(layout, company.data_map, LATER)
            read = [*layout.canonical.glob("*/*/records-*.parquet")]
            assert sum(pq.read_metadata(one).num_rows for one in read) == 12 * bool(read)
    finally:
        # With the copy that it may be making.
        os.killpg(writer.pid, signal.SIGKILL)
        writer.wait()
    (path.parent / "learning_history.csv.new").unlink(missing_ok=True)
    path.write_bytes(whole)
    again = published.run(LATER)
    assert again.success, errors(again)
    assert values(home)["hr_legal_detail"] == before["hr_legal_detail"] + 12


def test_two_connections_that_spill_do_not_write_over_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "opened", pooled.opened_anew)
    layout = Layout(tmp_path / "home")
    many = "SELECT md5(i::VARCHAR) AS text FROM range(400_000) AS t (i) ORDER BY text"

    def spilling() -> int:
        with engine(layout.work) as connection:
            connection.execute("SET memory_limit = '24MB'; SET threads = 1")
            connection.execute(f"CREATE TEMP TABLE sorted AS {many}")
            assert list((layout.work / SPILL).rglob("*.tmp")), "nothing was spilled"
            return count(connection, "SELECT count(DISTINCT text) FROM sorted")

    with ThreadPoolExecutor(2) as pool:
        assert [one.result() for one in [pool.submit(spilling) for _ in range(2)]] == [400_000] * 2
    assert not list((layout.work / SPILL).iterdir())


def test_spill_of_a_killed_process_is_removed_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path)
    dead = subprocess.Popen(["true"])
    dead.wait()
    mine = spill_folder(layout.work)
    gone = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-"))
    elsewhere, old = (mine.with_name(f"another.host-1-{end * 8}") for end in "ab")
    for folder in (mine, gone, elsewhere, old):
        folder.mkdir(parents=True)
        (folder / "duckdb_temp_storage.tmp").write_text(NAME)
    (mine.parent / "duckdb_temp_storage_DEFAULT-0.tmp").write_text(NAME)
    os.utime(old, (0, 0))
    with layout.locked():
        layout.clear_unfinished()
    assert {one.name for one in mine.parent.iterdir()} == {mine.name, elsewhere.name}


def test_a_database_that_a_killed_process_was_writing_is_gone_with_its_log(tmp_path: Path) -> None:
    """The kind: what DuckDB puts beside a file has a name that the product did not give."""
    layout = Layout(tmp_path)
    code = (
        "import os, signal, sys; from pathlib import Path; import duckdb\n"
        "from pipeline.storage.files import atomic_build\n"
        "from pipeline.storage.layout import Layout\n"
        "layout = Layout(Path(sys.argv[1]))\n"
        "with atomic_build(layout.root / 'coaching.duckdb', layout.work) as path:\n"
        "    connection = duckdb.connect(str(path))\n"
        "    connection.execute('CREATE TABLE t AS FROM range(9)')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, check=False, cwd=PROJECT).returncode == -signal.SIGKILL
    assert [path.suffix for path in layout.work.iterdir()].count(".wal") == 1
    with layout.locked():
        layout.clear_unfinished()
    assert list(layout.work.iterdir()) == []


def test_a_database_that_cannot_be_closed_leaves_nothing(tmp_path: Path) -> None:
    """Such as on a full disk, where its log stays."""
    layout = Layout(tmp_path)

    def fail() -> None:
        with atomic_build(tmp_path / "coaching.duckdb", layout.work) as path:
            path.write_bytes(b"")
            path.with_name(f"{path.name}.wal").write_bytes(b"log")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert list(layout.work.iterdir()) == []


def test_parts_are_written_side_by_side_and_the_whole_alone(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    held = (
        "import sys; from pathlib import Path; from pipeline.storage.layout import Layout\n"
        "with Layout(Path(sys.argv[1])).locked(sys.argv[2] or None):\n"
        "    print('in', flush=True)\n    sys.stdin.read()"
    )

    def enters(part: str, within: float) -> bool:
        process = subprocess.Popen(
            [sys.executable, "-c", held, str(tmp_path), part],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PROJECT,
        )
        assert process.stdout is not None
        try:
            return bool(select.select([process.stdout], [], [], within)[0])
        finally:
            process.kill()
            process.communicate()

    with layout.locked("coaching"):
        assert enters("manager", 30)
        assert not enters("coaching", 2)
        assert not enters("", 2)
    with layout.locked():
        assert not enters("manager", 2)
    assert enters("", 30)

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
from pathlib import Path
from typing import Any

import pytest

from assets import common
from assets.resources import Store
from pipeline.definitions import definitions
from pipeline.errors import EngineError, PolicyError
from pipeline.policy.fields import Audience
from pipeline.published import gate
from pipeline.published.tables import opened
from pipeline.retained import clock
from pipeline.storage import engine as engines
from pipeline.storage.engine import count, engine
from pipeline.storage.layout import PROJECT, Layout
from pipeline.storage.spill import SPILL, spill_folder
from tests import pooled
from tests.command import COMMAND, environment
from tests.company import EMAIL, NAME, NUMBER, record, write_drop
from tests.conftest import NIGHT, Estate, errors
from tests.estate import context
from tests.kill_points import tables
from tests.opened import months

LATER = NIGHT + dt.timedelta(days=1)
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
        write_drop(estate.drop(LATER), [record(p, Course_Code="SQL-220") for p in range(12)])
        yield estate
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize(
    "left",
    [
        1 << 17,
        1 << 20,
        *(pytest.param(left, marks=pytest.mark.soak) for left in (1 << 19, 3 << 19, 1 << 21)),
    ],
)
def test_a_full_disk(small_disk: Estate, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    """Full from the start, or in the middle of some step."""
    estate, layout = small_disk, small_disk.layout
    monkeypatch.setattr(common, "FIRST_WAIT", 0)
    before = values(estate.home)
    ballast = estate.home.parent / "ballast"
    with ballast.open("wb") as stream:
        free = shutil.disk_usage(estate.home).free
        stream.write(b"\0" * max(0, free - left))
    result = estate.run(LATER)
    assert not result.success, "there was room enough"
    assert values(estate.home) == before
    told = errors(result)
    assert not [one for one in CANARIES if one in told]
    ballast.unlink()
    again = estate.run(LATER)
    assert again.success, errors(again)
    after = values(estate.home)
    assert after["hr_legal_detail"] == before["hr_legal_detail"] + 12
    assert str(gate.manifest(layout)["partition"]) == str(LATER)


def test_two_runs_at_once(published: Estate) -> None:
    """Each over the whole store; they take turns."""
    home = published.home
    days = [LATER, LATER + dt.timedelta(days=1)]
    for n, day in enumerate(days):
        write_drop(published.drop(day), [record(n, Course_Code="SQL-220")])
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
        told, _ = process.communicate(timeout=300)
        assert process.returncode == 0, told.decode()
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


def _corrupt() -> Iterator[Any]:
    """A place with each kind of damage: one of them each time, the others in a soak."""
    for at, place in enumerate(PLACES):
        for damage in DAMAGES:
            marks = () if damage == DAMAGES[at % len(DAMAGES)] else pytest.mark.soak
            yield pytest.param(place, damage, marks=marks)


@pytest.mark.parametrize(("place", "damage"), list(_corrupt()))
def test_a_corrupt_file_is_made_anew_by_the_next_night(
    published: Estate, place: str, damage: str
) -> None:
    before, path = values(published.home), files_of(published.layout)[place]
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
        }[damage]
    )
    result = published.run()
    assert result.success, errors(result)
    assert values(published.home) == before


def test_a_corrupt_published_file_is_not_handed_on(published: Estate) -> None:
    """Retention carries untouched files over, but not one that is no longer what was released."""
    path = files_of(published.layout)["coaching"]
    good = path.read_bytes()
    path.unlink()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    stand = context(published.home)
    published.layout.staged(str(NIGHT)).mkdir(parents=True)
    with pytest.raises(PolicyError, match="is not the file that was released"):
        gate.carry_over(published.layout, stand.data_map, str(NIGHT))


def test_a_missing_month_of_the_detail_is_told_and_made_anew(published: Estate) -> None:
    """Encryption shows that a file was changed, not that there was one more."""
    layout, stand = published.layout, context(published.home)
    before = values(published.home)
    detail = layout.current / "hr_legal_detail.parquet"
    assert gate.unchanged(layout, detail.name)
    months(detail)[0].unlink()
    assert not gate.unchanged(layout, detail.name)
    with (
        pytest.raises(EngineError, match="months missing"),
        opened(stand, layout.current, "hr_legal_detail"),
    ):
        pass
    layout.staged(str(NIGHT)).mkdir(parents=True)
    with pytest.raises(PolicyError, match="is not the file that was released"):
        gate.carry_over(layout, stand.data_map, str(NIGHT))
    result = published.run()
    assert result.success, errors(result)
    assert values(published.home) == before


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


def test_a_drop_that_is_replaced_while_it_is_read(
    published: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a real writer, again and again during the night."""
    home = published.home
    write_drop(published.drop(LATER), [record(p, Course_Code="SQL-220") for p in range(12)])
    path = published.drop(LATER) / "learning_history.csv"
    whole = path.read_bytes()
    writer = subprocess.Popen(
        ["/bin/sh", "-c", 'while :; do cp "$1" "$1.new"; mv "$1.new" "$1"; done', "-", str(path)],
        start_new_session=True,
    )
    try:
        time.sleep(0.5)
        before = values(home)
        result = published.run(LATER)
    finally:
        # With the copy that it may be making.
        os.killpg(writer.pid, signal.SIGKILL)
        writer.wait()
    (path.parent / "learning_history.csv.new").unlink(missing_ok=True)
    if not result.success:
        assert values(home) == before
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

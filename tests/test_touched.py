"""A deletion touches what holds something due, and no other file and no other row."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.classified import population
from pipeline.errors import EngineError
from pipeline.published import gate
from pipeline.raw import landing
from pipeline.retained import job
from pipeline.retained.plan import dry_run
from pipeline.storage.layout import Layout
from tests.conftest import NIGHT, Estate
from tests.estate import BEFORE, NOW, as_of, context
from tests.kill_points import courses, tables
from tests.opened import months, released_files

pytestmark = pytest.mark.usefixtures("plainly")


COURSES = "coaching_courses"


def test_the_night_before_lets_go_of_it_and_the_deletion_touches_no_release(past: Estate) -> None:
    """The rows are due from 11 November on: still in the store that night, in no table."""
    night = dt.datetime(2026, 11, 10, 1, 15, tzinfo=dt.UTC)
    with as_of(night):
        assert past.run().success
    assert "OLD-1" in courses(past.home)
    shown = tables(past.home)
    assert "OLD-1" not in str({n: rows for n, rows in shown.items() if n[:8] != "coaching"})
    layout = Layout(past.home)
    release = {path: path.stat().st_ino for path in layout.current.rglob("*")}
    assert dry_run(context(past.home), night) == []
    (told,) = job.retain(context(past.home), night + dt.timedelta(days=1))
    assert told["rows"]["classified"] == {"before": 12, "after": 0}
    assert "OLD-1" not in courses(past.home)
    assert {path: path.stat().st_ino for path in layout.current.rglob("*")} == release
    assert not [one for one in told["files"] if "/pseudonymized/" in one["file"]]
    # The next night has nothing to take back.
    landing.remove(layout, NIGHT)
    with as_of(night + dt.timedelta(days=1)):
        assert past.run().success
    # But for the title, which nothing says any more.
    untitled = [
        (code, title if code != "OLD-1" else None, of) for code, title, of in shown[COURSES]
    ]
    assert tables(past.home) == shown | {COURSES: untitled}


def unreadable(path: Path) -> None:
    """Leave nothing of a Parquet file but its statistics and its schema."""
    told = path.read_bytes()
    footer = 8 + int.from_bytes(told[-8:-4], "little")
    path.chmod(0o600)
    path.write_bytes(told[:4] + bytes(len(told) - footer - 4) + told[-footer:])


@pytest.mark.parametrize("counted", [True, False])
def test_a_deletion_reads_no_row_of_a_month_without_anything_due(
    past: Estate, counted: bool
) -> None:
    night = dt.datetime(2026, 11, 10, 1, 15, tzinfo=dt.UTC)
    with as_of(night):
        assert past.run().success
    layout, now = Layout(past.home), night + dt.timedelta(days=1)
    others = [path for path in layout.classified.glob("*/*.parquet") if "2023-11" not in str(path)]
    assert len(others) > 1
    for path in others:
        unreadable(path)
    if counted:
        (told,) = job.retain(context(past.home), now)
        assert told["rows"]["classified"] == {"before": 12, "after": 0}
        return
    # Without the census they have to be read.
    population.forget(layout)
    with pytest.raises(EngineError):
        job.retain(context(past.home), now)


def test_the_old_file_is_gone_physically(past: Estate) -> None:
    layout = Layout(past.home)
    store = [*layout.canonical.rglob("*.parquet"), *layout.classified.glob("*/*.parquet")]
    files = [*store, *released_files(layout.current)]
    inodes = {path: path.stat().st_ino for path in files}
    (told,) = job.retain(context(past.home), NOW)
    touched = {past.home / one["file"] for one in told["files"]}
    for path, inode in inodes.items():
        if path in touched:
            assert path.stat().st_ino != inode
        elif path in store:
            assert path.stat().st_ino == inode, "a file with nothing due was rewritten"
    assert not [p for p in layout.current.iterdir() if p.suffix == ".wal"]


def detail(home: Path) -> dict[str, int]:
    """Month to inode of its file of the published detail."""
    folder = Layout(home).current / "hr_legal_detail.parquet"
    return {path.stem: path.stat().st_ino for path in months(folder)}


def test_only_touched_months_of_the_detail_are_written_anew(past: Estate) -> None:
    before = detail(past.home)
    (told,) = job.retain(context(past.home), NOW)
    touched = {
        Path(one["file"]).parent.name.removeprefix("period=")
        for one in told["files"]
        if one["file"].startswith("store/pseudonymized/hr_legal/")
    }
    after = detail(past.home)
    assert {month for month, inode in after.items() if before[month] != inode} == touched
    assert touched < set(after), "there is a month with nothing due"


def test_a_night_keeps_months_of_the_detail_that_did_not_change(past: Estate) -> None:
    before = detail(past.home)
    with as_of(BEFORE):
        assert past.run().success
    assert detail(past.home) == before
    # But for one that is not what was released.
    folder = Layout(past.home).current / "hr_legal_detail.parquet"
    first, *others = months(folder)
    content = first.read_bytes()
    first.unlink()
    first.write_bytes(content + b"x")
    with as_of(BEFORE):
        assert past.run().success
    after = detail(past.home)
    assert all(after[path.stem] == before[path.stem] for path in others)
    assert not first.read_bytes().endswith(b"x")
    assert gate.unchanged(past.context.layout, folder.name)

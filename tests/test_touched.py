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
from tests.estate import BEFORE, as_of, context
from tests.fixtures import RUN_DATE, Deleted, Estate
from tests.kill_points import courses, tables
from tests.opened import months

pytestmark = pytest.mark.usefixtures("plainly")


COURSES = "coaching_courses"


DUE_TOMORROW = dt.datetime(2026, 11, 10, 1, 15, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def run_before(tmp_path_factory: pytest.TempPathFactory, with_a_past: Estate) -> Estate:
    """After the run of the run before the rows are due, which is 11 November; to be copied."""
    estate = with_a_past.copy(tmp_path_factory.mktemp("before") / "home")
    with as_of(DUE_TOMORROW):
        assert estate.run().success
    return estate


def test_the_run_before_lets_go_of_it_and_the_deletion_touches_no_release(
    run_before: Estate, tmp_path: Path
) -> None:
    """They are still in the store that run, in no table."""
    past, run_date = run_before.copy(tmp_path / "home"), DUE_TOMORROW
    assert "OLD-1" in courses(past.home)
    shown = tables(past.home)
    assert "OLD-1" not in str({n: rows for n, rows in shown.items() if n[:8] != "coaching"})
    layout = Layout(past.home)
    release = {path: path.stat().st_ino for path in layout.current.rglob("*")}
    assert dry_run(context(past.home), run_date) == []
    (output,) = job.retain(context(past.home), run_date + dt.timedelta(days=1))
    assert output["rows"]["classified"] == {"before": 12, "after": 0}
    assert "OLD-1" not in courses(past.home)
    assert {path: path.stat().st_ino for path in layout.current.rglob("*")} == release
    assert not [one for one in output["files"] if "/pseudonymized/" in one["file"]]
    # The next run has nothing to take back.
    landing.remove(layout, RUN_DATE)
    with as_of(run_date + dt.timedelta(days=1)):
        assert past.run().success
    # But for the title, which nothing says any more.
    untitled = [
        (code, title if code != "OLD-1" else None, of) for code, title, of in shown[COURSES]
    ]
    assert tables(past.home) == shown | {COURSES: untitled}


def unreadable(path: Path) -> None:
    """Leave nothing of a Parquet file but its statistics and its schema."""
    output = path.read_bytes()
    footer = 8 + int.from_bytes(output[-8:-4], "little")
    path.chmod(0o600)
    path.write_bytes(output[:4] + bytes(len(output) - footer - 4) + output[-footer:])


@pytest.mark.parametrize("counted", [True, False])
def test_a_deletion_reads_no_row_of_a_month_without_anything_due(
    run_before: Estate, tmp_path: Path, counted: bool
) -> None:
    past = run_before.copy(tmp_path / "home")
    layout, now = Layout(past.home), DUE_TOMORROW + dt.timedelta(days=1)
    others = [path for path in layout.classified.glob("*/*.parquet") if "2023-11" not in str(path)]
    assert len(others) > 1
    for path in others:
        unreadable(path)
    if counted:
        (output,) = job.retain(context(past.home), now)
        assert output["rows"]["classified"] == {"before": 12, "after": 0}
        return
    # Without the population counts they have to be read.
    population.forget(layout)
    with pytest.raises(EngineError):
        job.retain(context(past.home), now)


def test_the_old_file_is_gone_physically(deleted: Deleted) -> None:
    layout = deleted.estate.layout
    store = {*layout.canonical.rglob("*.parquet"), *layout.classified.glob("*/*.parquet")}
    touched = {layout.root / one["file"] for one in deleted.receipt["files"]}
    assert touched & store
    for path in touched & set(deleted.inodes):
        assert path.stat().st_ino != deleted.inodes[path]
    for path in store - touched:
        assert path.stat().st_ino == deleted.inodes[path], "a file with nothing due was rewritten"
    assert not [p for p in layout.current.iterdir() if p.suffix == ".wal"]


def detail(home: Path) -> dict[str, int]:
    """Month to inode of its file of the published detail."""
    folder = Layout(home).current / "hr_legal_detail.parquet"
    return {path.stem: path.stat().st_ino for path in months(folder)}


def test_only_touched_months_of_the_detail_are_written_anew(deleted: Deleted) -> None:
    old = Layout(deleted.before.home).current.resolve().name
    before = {
        path.stem: inode
        for path, inode in deleted.inodes.items()
        if path.match(f"releases/{old}/hr_legal_detail.parquet/*.parquet")
    }
    touched = {
        Path(one["file"]).parent.name.removeprefix("period=")
        for one in deleted.receipt["files"]
        if one["file"].startswith("store/pseudonymized/hr_legal/")
    }
    after = detail(deleted.estate.home)
    assert {month for month, inode in after.items() if before[month] != inode} == touched
    assert touched < set(after), "there is a month with nothing due"


def test_a_run_keeps_months_of_the_detail_that_did_not_change(past: Estate) -> None:
    """And makes the one anew that is not what was released."""
    before = detail(past.home)
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

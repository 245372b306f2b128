"""A delivery has a state: what is refused, withdrawn, late, half there or no delivery at all is
never published, never lost without a word, and holds up nothing else."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations import published as published_checks
from expectations.suite import SuiteResult
from pipeline.classified import run_snapshot
from pipeline.errors import ErasureError, PolicyError, Unfinished
from pipeline.policy.data_map import DataMap, DeliveryRules
from pipeline.policy.fields import Audience
from pipeline.published import gate
from pipeline.raw import landing, register
from pipeline.raw.deliveries import ingest
from pipeline.raw.readers.base import MalformedFile
from pipeline.raw.register import State
from pipeline.retained import backup, job
from pipeline.retained.plan import dry_run
from pipeline.storage.files import replace_text
from pipeline.storage.layout import Layout
from pipeline.storage.relations import records
from tests import soak, workbooks
from tests.company import company, number, record, write_delivery
from tests.estate import NOW, context
from tests.fixtures import RUN_DATE, Estate, errors, failed_checks
from tests.kill_points import courses, tables

DAY = dt.timedelta(days=1)
LATER = RUN_DATE + DAY
PERSON = f"emp:{number(3)}"


def deliver(layout: Layout, day: dt.date, *rows: dict[str, str]) -> Path:
    return write_delivery(Path(layout.landing) / str(day), rows or [record()])


def state(layout: Layout, day: dt.date) -> State | None:
    last = register.latest(register.steps(layout, day))
    return last.state if last else None


def read(layout: Layout) -> dict[str, set[str]]:
    """Delivery date to the courses that whoever reads the canonical store sees of it."""
    found: dict[str, set[str]] = {}
    with duckdb.connect() as connection:
        query = f"SELECT DISTINCT delivery_date::VARCHAR, course_code FROM {records(layout)}"
        for day, course in connection.execute(query).fetchall():
            found.setdefault(day, set()).add(course)
    return found


def publish(layout: Layout) -> None:
    """What the gate leaves behind: the manifest with the deliveries that it published."""
    folder = layout.releases / "one"
    folder.mkdir(parents=True, exist_ok=True)
    if not layout.current.exists():
        layout.current.symlink_to("one")
    made = f'{{"partition": "{RUN_DATE}", "deliveries": {run_snapshot.deliveries(layout)}}}'
    replace_text(folder / "release.json", made.replace("'", '"'))


# Random sequences against a simple computation.

OUTCOMES = (
    "published",
    "killed after it was published",
    "killed",
    "refused by its own checks",
    "refused by a later check",
)
OPERATION = st.one_of(
    st.tuples(st.just("deliver"), st.integers(0, 2), st.integers(0, 3)),
    st.tuples(st.just("empty the folder"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("remove the folder"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("withdraw"), st.integers(0, 2), st.just(0)),
    *(st.tuples(st.just(outcome), st.integers(0, 2), st.just(0)) for outcome in OUTCOMES),
)


class Model:
    """What ought to be read: by day, the course that was delivered when a run last published it."""

    def __init__(self) -> None:
        self.landing: dict[dt.date, int | None] = {}  # None: an empty folder
        self.used: dict[dt.date, int] = {}
        self.withdrawn: set[tuple[dt.date, int]] = set()

    def run(self, day: dt.date, outcome: str) -> None:
        given = self.landing.get(day)
        if given is not None and (day, given) not in self.withdrawn and "published" in outcome:
            self.used[day] = given

    def withdraw(self, day: dt.date) -> None:
        if day in self.used:
            self.withdrawn.add((day, self.used.pop(day)))


def run(layout: Layout, data_map: DataMap, day: dt.date, outcome: str) -> None:
    """What a run does to deliveries, step by step, up to where it ends."""
    register.settle(layout, day)
    try:
        ingest(layout, data_map, day)
    except PolicyError:
        return
    if outcome == "refused by its own checks":
        register.refuse(layout, register.of_run(layout, day), "canonical")
    elif outcome != "killed":
        register.admit(layout, day)
    if outcome == "refused by a later check":
        register.refuse(layout, register.of_run(layout, day), "published")
    if "published" in outcome:
        publish(layout)
    if outcome == "published":
        register.settle(layout, day)


@settings(max_examples=soak.times(12, 300))
@given(operations=st.lists(OPERATION, min_size=3, max_size=16))
def test_whoever_reads_the_store_reads_what_was_published_last(
    tmp_path_factory: pytest.TempPathFactory,
    data_map: DataMap,
    operations: list[tuple[str, int, int]],
) -> None:
    layout, model = Layout(tmp_path_factory.mktemp("states")), Model()
    for what, at, course in operations:
        day = RUN_DATE + at * DAY
        folder = Path(layout.landing) / str(day)
        if what == "deliver":
            deliver(layout, day, record(0, Course_Code=f"C-{course}"))
            model.landing[day] = course
        elif what.endswith("the folder"):
            shutil.rmtree(folder, ignore_errors=True)
            model.landing.pop(day, None)
            if what.startswith("empty"):
                folder.mkdir(parents=True)
                model.landing[day] = None
        elif what == "withdraw":
            register.settle(layout)
            if register.accepted(register.steps(layout, day)):
                register.withdraw(layout, day, "wrong export", "eddy")
            model.withdraw(day)
        else:
            run(layout, data_map, day, what)
            model.run(day, what)
        # Whoever comes next, a run or a deletion, settles first.
        register.settle(layout)
        assert read(layout) == {str(d): {f"C-{c}"} for d, c in model.used.items()}
    assert not list(layout.replaced.glob("*"))


# What is a delivery, and when it is complete.


def test_what_is_no_delivery_is_named_and_left_alone(tmp_path: Path, data_map: DataMap) -> None:
    """Files, links, days that do not exist, other spellings of days, hidden and working folders."""
    layout = Layout(tmp_path)
    deliver(layout, RUN_DATE)
    top = Path(layout.landing)
    for name in ("2026-02-30", "tmp", "20261108", "2026-13-01", "_temporary"):
        (top / name).mkdir()
    (top / "2026-11-01").write_text("a file")
    (top / "_SUCCESS").touch()
    (top / "2026-11-02").symlink_to(top / str(RUN_DATE))
    assert landing.deliveries(layout) == [RUN_DATE]
    assert {"2026-02-30", "2026-11-01", "2026-11-02", "tmp"} <= set(landing.no_deliveries(layout))
    with pytest.raises(PolicyError, match="link or a file"):
        ingest(layout, data_map, dt.date(2026, 11, 2))
    for name in landing.no_deliveries(layout):
        assert day_or_none(name) is None or (top / name).exists()
    (top / str(RUN_DATE) / ".DS_Store").touch()
    (top / str(RUN_DATE) / "_SUCCESS").touch()
    assert ingest(layout, data_map, RUN_DATE)


def day_or_none(name: str) -> dt.date | None:
    return landing.day_of(name)


def _symbolic(file: Path, elsewhere: Path) -> None:
    shutil.move(file, elsewhere)
    file.symlink_to(elsewhere)


def _hard(file: Path, elsewhere: Path) -> None:
    os.link(file, elsewhere)


def _pipe(file: Path, _: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("link", [_symbolic, _hard, _pipe])
def test_a_link_is_refused_by_name(
    tmp_path: Path, data_map: DataMap, link: Callable[[Path, Path], None]
) -> None:
    layout = Layout(tmp_path)
    link(deliver(layout, RUN_DATE) / "learning_history.csv", tmp_path / "elsewhere.csv")
    with pytest.raises(PolicyError, match=r"learning_history\.csv: a link"):
        ingest(layout, data_map, RUN_DATE)
    assert state(layout, RUN_DATE) is State.REFUSED
    (refused,) = register.steps(layout, RUN_DATE)
    assert "learning_history" not in refused.reason, "the name of a file can be a person's"


def test_a_delivery_that_is_still_being_written_is_not_read(
    tmp_path: Path, data_map: DataMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    file = deliver(layout, RUN_DATE) / "learning_history.csv"
    monkeypatch.setenv("MILESTONES_STABLE_SECONDS", "0.3")
    writing = threading.Event()

    def write() -> None:
        while not writing.wait(0.05):
            with file.open("a") as stream:
                stream.write(",".join(record(1).values()) + "\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(Unfinished, match="being written"):
            ingest(layout, data_map, RUN_DATE)
    finally:
        writing.set()
        writer.join()
    assert not read(layout)
    assert ingest(layout, data_map, RUN_DATE), "and when it is there, it is"


def test_a_marker_vouches_for_what_is_not_newer_than_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    folder = deliver(layout, RUN_DATE)
    monkeypatch.setenv("MILESTONES_STABLE_SECONDS", "60")
    needed = DeliveryRules(marker="ready", marker_required=True)
    with pytest.raises(Unfinished, match="no file ready"):
        landing.wait_until_complete(layout, RUN_DATE, needed)
    (folder / "ready").touch()
    assert len(landing.wait_until_complete(layout, RUN_DATE, needed)) == 2
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    os.utime(folder / "learning_history.csv", (time.time() + 1,) * 2)
    landing.wait_until_complete(layout, RUN_DATE, needed)
    assert waited, "the marker is of the delivery before"


# Whole runs.


def _fails(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    honest = published_checks.validate

    def leaking(stand: Any, partition: str, audience: Audience) -> dict[str, SuiteResult]:
        found = honest(stand, partition, audience)
        if table in found:
            found[table] = SuiteResult(table, found[table].expected, {"a.leak": 1}, [])
        return found

    monkeypatch.setattr(published_checks, "validate", leaking)


@pytest.mark.usefixtures("plainly")
def test_a_delivery_that_leaks_poisons_nothing(
    past: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the next run, nor retention, nor what somebody asks for, with or without its
    folder; and it can be run again."""
    stand = context(past.home)
    write_delivery(past.delivery(LATER), [record(p, Course_Code="LEAK-1") for p in range(12)])
    with monkeypatch.context() as patch:
        _fails(patch, "manager_extract")
        result = past.run(LATER)
    assert failed_checks(result) == ["published/manager_extract no_leak"]
    assert state(stand.layout, LATER) is State.REFUSED
    assert "LEAK-1" not in courses(past.home)
    kept = past.delivery(LATER).rename(past.home.parent / "kept")
    assert [one for one in dry_run(stand, NOW) if one.by_record]
    job.retain(stand, NOW)
    after = RUN_DATE + 2 * DAY
    write_delivery(past.delivery(after), [record(p, Course_Code="NEXT-1") for p in range(12)])
    result = past.run(after)
    assert result.success, errors(result)
    assert "NEXT-1" in str(tables(past.home))
    assert "LEAK-1" not in str(tables(past.home))
    kept.rename(past.delivery(LATER))
    result = past.run(LATER)
    assert result.success, errors(result)
    assert "LEAK-1" in str(tables(past.home))
    assert state(stand.layout, LATER) is State.ACCEPTED
    # An older date has been run after a newer one: what is published does not become older.
    assert gate.manifest(stand.layout)["partition"] == str(after)


def test_an_emptied_delivery_takes_nothing_back(published: Estate) -> None:
    before = courses(published.home)
    for path in published.delivery().iterdir():
        path.unlink()
    result = published.run()
    assert not result.success
    assert "is empty" in errors(result)
    layout = published.layout
    assert register.accepted(register.steps(layout, RUN_DATE))
    assert courses(published.home) == before
    assert set(read(layout)) == {str(RUN_DATE)}


def test_the_erasure_of_a_person_covers_every_form_of_a_file(stored: Estate) -> None:
    """What bytes do not show is opened; what cannot be opened is no proof that nobody is in it."""
    stand, layout = context(stored.home), stored.layout
    text = "\n".join(map(",".join, ([*record(3)], record(3).values())))
    mine, other = workbooks.table([record(3)]), workbooks.table([record(7)])
    deliveries = [
        ("learning_history.csv.gz", gzip.compress(text.encode("utf-16"))),
        ("learning_history.xlsx", workbooks.xlsx({"R": mine})),
        ("learning_history.xls", workbooks.xls({"R": mine})),
        ("learning_history.zip", b"PK\x03\x04 and nothing that can be opened"),
        ("learning_history.xlsx", workbooks.xlsx({"R": other})),
    ]
    days = [RUN_DATE + at * DAY for at in range(1, len(deliveries) + 1)]
    for day, (name, content) in zip(days, deliveries, strict=True):
        stored.delivery(day).mkdir(parents=True)
        (stored.delivery(day) / name).write_bytes(content)
        with suppress(MalformedFile):
            ingest(layout, stand.data_map, day)
            register.refuse(layout, [day], "a check")
    assert job.erase_person(stand, PERSON, None, NOW)["receipt"]
    assert [day for day in days if stored.delivery(day).exists()] == days[-1:]


def test_the_erasure_of_a_person_covers_what_was_refused(stored: Estate) -> None:
    """In the store and in the landing folder; and a link is no proof that a file is gone."""
    stand = context(stored.home)
    layout = stand.layout
    write_delivery(stored.delivery(LATER), *company())
    ingest(layout, stand.data_map, LATER)
    register.refuse(layout, [LATER], "a check")
    elsewhere = stored.home.parent / "person3.csv"
    elsewhere.write_text(f"{number(3)},Person 3")
    write_delivery(stored.delivery(RUN_DATE + 2 * DAY), [record(5)])
    (stored.delivery(RUN_DATE + 2 * DAY) / "more.csv").symlink_to(elsewhere)
    with pytest.raises(ErasureError, match="links in the landing folder"):
        job.erase_person(stand, PERSON, None, NOW)
    assert not stored.delivery(LATER).exists()
    with duckdb.connect() as connection:
        aside = f"{layout.set_aside}/*/*/records-corporate-*[0-9].parquet"
        (left,) = connection.execute(
            f"SELECT count(*) FILTER (learner_id = '{PERSON}') FROM '{aside}'"
        ).fetchall()[0]
    assert left == 0
    elsewhere.unlink()
    assert job.resume(stand, None, NOW)


def test_a_restored_backup_brings_back_what_was_accepted_and_nothing_withdrawn(
    published: Estate,
) -> None:
    stand = context(published.home)
    layout = stand.layout
    write_delivery(published.delivery(LATER), [record(4, Course_Code="OTHER")])
    ingest(layout, stand.data_map, LATER)
    register.admit(layout, LATER)
    version = register.version_of(layout.canonical / str(LATER))
    register.note(layout, LATER, State.ACCEPTED, version=version)
    made = backup.make(stand, NOW)
    ingest(layout, stand.data_map, RUN_DATE)
    register.note(
        layout,
        RUN_DATE,
        State.ACCEPTED,
        version=register.version_of(layout.canonical / str(RUN_DATE)),
    )
    register.withdraw(layout, LATER, "wrong export", "eddy")
    backup.restore(stand, made)
    assert set(read(layout)) == {str(RUN_DATE)}
    register.settle(layout)
    assert set(read(layout)) == {str(RUN_DATE)}

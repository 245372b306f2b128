"""Deletion by rule: what is due goes, from everywhere, and nothing else."""

from __future__ import annotations

import datetime as dt
import shutil
import threading
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import door, gate, landing
from pipeline.access.decide import Ask
from pipeline.access.log import AccessLog
from pipeline.access.verify import verify
from pipeline.definitions import definitions
from pipeline.engine import EngineError, engine
from pipeline.keys import KeyRing
from pipeline.landing import take_in
from pipeline.layout import Layout
from pipeline.policy.access import Role
from pipeline.policy.base import PolicyError
from pipeline.policy.fields import Purpose
from pipeline.resources import Store
from pipeline.retained import holds, job, receipts
from pipeline.retained.housekeeping import expired_before
from pipeline.retained.rewrite import ErasureError, Stroke, rewrite
from pipeline.subjects.withheld import make_withheld
from pipeline.transforms import basis, census
from pipeline.transforms.classify import write_classified
from tests.company import HISTORY, NAME, number, record, write_csv, write_drop
from tests.conftest import NIGHT, QUIET, Estate, errors
from tests.estate import BEFORE, NOW, as_of, company_with_a_past, ground
from tests.kill_points import records, tables
from tests.opened import everything, months, references, released_files


def hold(**scope: Any) -> holds.Hold:
    return holds.Hold.model_validate({
        "name": "case-7", "reason": "claim", "owner": "legal", "placed_on": NOW.date(),
        "review_by": dt.date(2027, 1, 1), **scope,
    })  # fmt: skip


def courses(home: Path) -> set[str]:
    return {str(row[2]) for row in records(home)}


def test_the_plan_says_what_where_and_by_which_rule(past: Estate) -> None:
    before = {p: p.stat().st_mtime_ns for p in past.home.rglob("*") if p.is_file()}
    lines = job.dry_run(ground(past.home), NOW)
    first = next(line for line in lines if "milestone_flag" in line.what)
    assert (first.due, first.held, first.rule) == (12, 0, "records.milestone_flag")
    assert "2023-11" in first.where
    assert str(NIGHT) in first.where
    assert NAME not in str(lines)
    after = {p: p.stat().st_mtime_ns for p in past.home.rglob("*") if p.is_file()}
    assert {p for p in after if after[p] != before.get(p)} <= {past.home / "lock"}


def test_what_is_due_goes_from_everywhere_and_the_month_stays_as_an_aggregate(
    past: Estate,
) -> None:
    published = tables(past.home)
    assert "OLD-1" in str(published["hr_legal_detail"])
    told = {name: rows for name, rows in published.items() if name.startswith("coaching_")}
    assert "OLD-1" in str(told["coaching_course"])
    rows = records(past.home)
    (receipt,) = job.retain(ground(past.home), NOW)
    left = records(past.home)
    # Both revisions of each record went; the quarantined row is within its own window.
    assert sorted(map(str, left)) == sorted(str(row) for row in rows if row[2] != "OLD-1")
    after = tables(past.home)
    assert "OLD-1" not in str({name: after[name] for name in after if name not in told})
    # The figures of their month were told and stay.
    assert {name: after[name] for name in told} == told
    assert receipt["rows"]["classified"] == {"before": 12, "after": 0}
    assert receipt["rows"]["canonical records"]["before"] - receipt["rows"]["canonical records"][
        "after"
    ] == 24  # fmt: skip
    assert gate.manifest(Layout(past.home))["erasure"] == receipt["receipt"]
    assert job.dry_run(ground(past.home), NOW) == []
    # A second deletion has nothing to do, and says so.
    (again,) = job.retain(ground(past.home), NOW)
    assert again["rows"] == {}


def test_what_is_left_is_what_a_night_over_the_survivors_makes(past: Estate) -> None:
    job.retain(ground(past.home), NOW)
    remade = tables(past.home)
    with as_of(NOW):
        result = past.run()
    # The drop is still delivered, so the old rows are back in the store, and not published.
    assert result.success, errors(result)
    assert tables(past.home) == remade


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
    assert job.dry_run(ground(past.home), night) == []
    (told,) = job.retain(ground(past.home), night + dt.timedelta(days=1))
    assert told["rows"]["classified"] == {"before": 12, "after": 0}
    assert "OLD-1" not in courses(past.home)
    assert {path: path.stat().st_ino for path in layout.current.rglob("*")} == release
    assert not [one for one in told["files"] if "/pseudonymized/" in one["file"]]
    # The next night has nothing to take back.
    landing.remove(layout, NIGHT)
    with as_of(night + dt.timedelta(days=1)):
        assert past.run().success
    assert tables(past.home) == shown


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
        (told,) = job.retain(ground(past.home), now)
        assert told["rows"]["classified"] == {"before": 12, "after": 0}
        return
    # Without the census they have to be read.
    census.forget(layout)
    with pytest.raises(EngineError):
        job.retain(ground(past.home), now)


def test_the_old_file_is_gone_physically(past: Estate) -> None:
    layout = Layout(past.home)
    store = [*layout.canonical.rglob("*.parquet"), *layout.classified.glob("*/*.parquet")]
    files = [*store, *released_files(layout.current)]
    inodes = {path: path.stat().st_ino for path in files}
    (told,) = job.retain(ground(past.home), NOW)
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
    (told,) = job.retain(ground(past.home), NOW)
    touched = {
        Path(one["file"]).parent.name.removeprefix("period=") for one in told["files"]
        if one["file"].startswith("store/pseudonymized/hr_legal/")
    }  # fmt: skip
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
    assert gate.unchanged(past.ground.layout, folder.name)


def test_readers_see_the_old_or_the_new(past: Estate) -> None:
    stand, seen, stop = past.ground, set[int](), threading.Event()
    person = door.reference(stand, f"emp:{number(0)}", Purpose.HR_LEGAL)
    assert person
    ask = Ask("hana", Role.HR, "misconduct_case", "hr_legal_detail", (person,), note="case 2026-17")
    before = door.read(stand, ask).total

    def read() -> None:
        while not stop.is_set():
            seen.add(door.read(stand, ask).total)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        job.retain(ground(past.home), NOW)
    finally:
        stop.set()
        reader.join()
    after = door.read(stand, ask).total
    assert after < before
    assert seen
    assert seen <= {before, after}


@pytest.mark.parametrize("scope", [
    {"people": (f"emp:{number(3)}",)}, {"courses": ("OLD-1",)}, {"records": ("milestone_flag",)},
    {"regions": ("EU",), "courses": ("OLD-1",)}, {"sources": ("corporate",)},
])  # fmt: skip
def test_held_records_are_kept(past: Estate, scope: dict[str, Any]) -> None:
    stand = ground(past.home)
    holds.place(stand.layout, hold(**scope))
    (told,) = job.retain(stand, NOW)
    kept = sum(row[2] == "OLD-1" for row in records(past.home))
    assert kept == (2 if "people" in scope else 24)
    assert sum(line["held"] for line in told["plan"]) == kept // 2
    holds.lift(stand.layout, "case-7", NOW.date())
    job.retain(stand, NOW)
    assert "OLD-1" not in courses(past.home)


def test_a_hold_that_is_placed_after_the_plan_is_obeyed(
    past: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = ground(past.home)
    honest = job._select_again

    def meanwhile(*arguments: Any) -> None:
        monkeypatch.setattr(job, "_select_again", honest)
        holds.place(stand.layout, hold(courses=("OLD-1",)))
        honest(*arguments)

    monkeypatch.setattr(job, "_select_again", meanwhile)
    (told,) = job.retain(stand, NOW)
    assert sum(line["due"] for line in told["plan"]) > 0
    assert sum(row[2] == "OLD-1" for row in records(past.home)) == 24
    assert "canonical records" not in told["rows"]


def test_a_stale_hold_stops_nights_and_deletions(past: Estate) -> None:
    stand = ground(past.home)
    holds.place(stand.layout, hold(courses=("OLD-1",)))
    late = dt.datetime(2027, 1, 2, tzinfo=dt.UTC)
    with pytest.raises(PolicyError, match="case-7"):
        job.retain(stand, late)
    with pytest.raises(PolicyError, match="case-7"):
        holds.require_reviewed(stand.layout, late.date())
    with pytest.raises(PolicyError, match="taken"):
        holds.place(stand.layout, hold(courses=("X",)))
    with pytest.raises(ValueError, match="what it holds"):
        hold()


def test_a_department_that_falls_below_k_is_withheld_everywhere(estate: Estate) -> None:
    """Six people of a department, two of them with old records only."""
    old = {"Assigned_Date": "2023-11-01", "Started_Date": "2023-11-02", "Due_Date": "",
           "Completed_Date": "2023-11-10"}  # fmt: skip
    rows = [record(p) for p in range(8)]
    rows += [record(p, Department="Rare") for p in range(20, 24)]
    rows += [record(p, Department="Rare", Course_Code="OLD-1", **old) for p in (24, 25)]
    write_drop(estate.drop(), rows)
    with as_of(BEFORE):
        result = estate.run()
    assert result.success, errors(result)
    assert "Rare" in str(tables(estate.home)["hr_legal_detail"])
    job.retain(ground(estate.home), NOW)
    assert "Rare" not in str(tables(estate.home))
    with duckdb.connect() as c:
        path = f"{estate.home}/store/classified/*/*.parquet"
        assert "Rare" not in str(c.execute(f"SELECT department FROM '{path}'").fetchall())


def test_old_drops_quarantine_and_rosters_go_by_their_own_rules(past: Estate) -> None:
    later = NIGHT + dt.timedelta(days=12)
    rows, people, _ = company_with_a_past()
    write_drop(past.drop(later), rows[:3], people)
    result = past.run(later)
    assert result.success, errors(result)
    never = past.drop(NIGHT + dt.timedelta(days=1))
    write_drop(never, rows[:1])
    now = dt.datetime(2026, 12, 12, 12, tzinfo=dt.UTC)
    plan = {line.what: line for line in job.dry_run(ground(past.home), now)}
    assert plan["delivered drops"].where == str(NIGHT)
    assert plan["never taken in, so kept: run their nights"].held == 1
    assert plan["superseded and old rows"].due == 22
    job.retain(ground(past.home), now)
    assert not past.drop(NIGHT).exists()
    assert past.drop(later).exists()
    assert never.exists()
    assert not [row for row in records(past.home) if row[6]], "quarantined rows are left"
    # The night of a removed drop can be run again: the store holds it.
    result = past.run(NIGHT)
    assert result.success, errors(result)


def test_the_job_shows_plan_and_receipt_in_dagster(past: Estate) -> None:
    found = definitions(Store(home=str(past.home)))
    (schedule,) = [s for s in found.schedules or () if s.name == "every_night_deletion"]
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.job_name == "retention"
    result = found.resolve_job_def("retention").execute_in_process(
        instance=past.instance, raise_on_error=False, run_config=QUIET
    )
    assert result.success, errors(result)
    plan, told = (
        result.asset_materializations_for_node(f"retained__{name}")[0].metadata
        for name in ("deletion_plan", "erasure")
    )
    assert plan["records_due"].value == 12
    (receipt,) = receipts.newest_first(Layout(past.home))
    assert told["receipt"].value == receipt.stem
    assert all(check.passed for check in result.get_asset_check_evaluations())
    events = [event.to_json() for event in past.instance.all_logs(result.run_id)]
    assert not [e for e in events if NAME in e or number(0) in e]


def test_a_store_that_no_night_has_classified_is_not_touched(past: Estate) -> None:
    later = NIGHT + dt.timedelta(days=1)
    stand = ground(past.home)
    write_drop(past.drop(later), [record(1)])
    take_in(stand.layout, stand.data_map, later)
    with pytest.raises(PolicyError, match="run the night again"):
        job.retain(stand, NOW)
    assert "OLD-1" in courses(past.home)


def test_a_rewritten_file_that_lost_a_survivor_is_not_swapped_in(
    past: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = ground(past.home)
    (path,) = stand.layout.canonical.glob("*/*/records-corporate-0.parquet")
    before = path.read_bytes()
    from pipeline.retained import rewrite as module

    honest = module.fingerprint
    answers = iter([(1, 2, 3)])
    monkeypatch.setattr(module, "fingerprint", lambda c, q: next(answers, None) or honest(c, q))
    with engine(stand.layout.work) as connection, pytest.raises(ErasureError, match="survivors"):
        rewrite(connection, stand.layout, Stroke(path, "course_code = 'OLD-1'"))
    assert path.read_bytes() == before


def test_voided_records_go_with_what_voided_them(estate: Estate) -> None:
    from tests.company import company, statement

    rows, people, statements = company()
    void = statement(50, verb={"id": "http://adlnet.gov/expapi/verbs/voided"},
                     object={"objectType": "StatementRef", "id": statements[0]["id"]})  # fmt: skip
    void.pop("result")
    write_drop(estate.drop(), rows, people, [*statements, void])
    result = estate.run()
    assert result.success, errors(result)
    late = dt.datetime(2026, 12, 20, tzinfo=dt.UTC)
    with duckdb.connect() as c:
        path = f"{estate.home}/store/canonical/*/*/records-xapi-*.parquet"
        query = f"SELECT count(*) FROM '{path}'"
        assert c.execute(query).fetchall() == [(7,)]
        with as_of(late):
            assert estate.run().success
        job.retain(ground(estate.home), late)
        assert c.execute(query).fetchall() == [(5,)]


def test_retired_key_epochs_are_destroyed_with_a_receipt(past: Estate) -> None:
    stand = ground(past.home)
    old = {p: stand.ring.key(p) for p in Purpose}
    before = references(past.home)
    assert stand.ring.rotate(dt.date(2025, 11, 1)) == 2
    with pytest.raises(PolicyError, match="current epoch"):
        stand.ring.destroy(2)
    with as_of(NOW):
        result = past.run()
    assert result.success, errors(result)
    after = references(past.home)
    assert not before & after
    inode = stand.layout.key_ring.stat().st_ino
    (told,) = job.retain(stand, NOW)
    assert told["removed_whole"]["keeping.key_epochs"] == 1
    text = stand.layout.key_ring.read_text()
    assert not [p for p in Purpose if old[p].secret.hex() in text]
    assert stand.layout.key_ring.stat().st_ino != inode
    # Nothing in the data folder links an old pseudonym to anything any more.
    for path in past.home.rglob("*.parquet"):
        text = everything(past.home, path)
        assert not [ref for ref in before if ref in text]


def test_a_lost_tombstone_key_is_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="key ring"):
        KeyRing(tmp_path / "none.json").tombstone(["emp:1"])


def test_old_receipts_packages_and_logs_go(past: Estate) -> None:
    stand = ground(past.home)
    made = {
        "receipts/20160101T000000Z-a.json": "{}", "vault/packages/20260901-x/package.json": "{}",
        "store/reconciliation/2020-01-01.json": "[]", "backups/20260901T1/vault/holds.json": "[]",
    }  # fmt: skip
    for name, text in made.items():
        (past.home / name).parent.mkdir(parents=True, exist_ok=True)
        (past.home / name).write_text(text)
    log = AccessLog(stand.layout)
    for day in (dt.date(2024, 11, 1), dt.date(2026, 11, 1)):
        log.append({"at": f"{day}T00:00:00.000", "people": []}, today=day)
    (told,) = job.retain(stand, NOW)
    assert not [name for name in made if (past.home / name).exists()]
    assert log.kept.days() == ["2026-11-01"]
    assert verify(log, expired_before(stand, NOW)).entries == 1
    assert verify(log, expired_before(stand, NOW)).broken is None
    assert told["removed_whole"] == {
        "keeping.receipts": 1, "keeping.packages": 1, "keeping.reconciliation": 1,
        "keeping.backups": 1, "logs.access_log": 1,
    }  # fmt: skip
    assert receipts.path(stand.layout, told["receipt"]).exists()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bare")


DAYS = st.dates(dt.date(2023, 6, 1), dt.date(2026, 11, 24))
ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.sampled_from(["Course", "Exam", "Message"]),
              DAYS, st.sampled_from(["DE", "GB", "US"])),
    min_size=1, max_size=20,
)  # fmt: skip
SCOPES = st.lists(
    st.one_of(
        st.builds(lambda p: {"people": (f"emp:{number(p)}",)}, st.integers(0, 5)),
        st.builds(lambda c: {"courses": (f"C-{c}",)}, st.integers(0, 3)),
    ),
    max_size=2,
)


@settings(
    max_examples=25, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(drops=st.lists(ROWS, min_size=1, max_size=3), scopes=SCOPES, day=DAYS)
def test_the_whole_job_erases_what_is_due_and_nothing_else(
    bare: Path, drops: list[Any], scopes: list[Any], day: dt.date
) -> None:
    """From the delivered files to the files on disk, against the rules worked out by hand."""
    shutil.rmtree(bare)
    stand = ground(bare)
    now = dt.datetime.combine(day, dt.time(12), dt.UTC) + dt.timedelta(days=120)
    rows: list[dict[str, str]] = []
    for n, drop in enumerate(drops):
        delivered = [
            record(p, Course_Code=f"C-{c}", Item_Type=kind, Country=country, Due_Date="",
                   Assigned_Date=str(done), Started_Date=str(done), Completed_Date=str(done))
            for p, c, kind, done, country in drop
        ]  # fmt: skip
        date = dt.date(2026, 11, 25) + dt.timedelta(days=n)
        write_csv(Path(landing.Layout(bare).landing) / str(date) / "learning_history.csv",
                  delivered, HISTORY)  # fmt: skip
        take_in(stand.layout, stand.data_map, date)
        rows += delivered
    with engine(stand.layout.work) as connection:
        write_classified(connection, stand.layout, stand.data_map, stand.layout.classified)
        make_withheld(connection, stand)
        census.write(connection, stand.layout, stand.layout.classified)
    basis.write(stand, stand.layout.classified, now)
    for n, scope in enumerate(scopes):
        holds.place(stand.layout, hold(**{**scope, "name": f"case-{n}"}
                                       | {"review_by": dt.date(2040, 1, 1)}))  # fmt: skip
    job.retain(stand, now)
    with engine(stand.layout.work) as connection:
        kept_up = census_of(connection, stand.layout)
        census.forget(stand.layout)
        assert kept_up == census_of(connection, stand.layout)

    def kept(row: dict[str, str]) -> bool:
        done = dt.date.fromisoformat(row["Completed Date"])
        country, kind = row["Country"], row["Item Type"]
        years = {"Course": 3, "Exam": 2 if country == "GB" else 1}.get(kind)
        if years:
            try:
                last = done.replace(year=done.year + years)
            except ValueError:
                last = dt.date(done.year + years, 2, 28)
        else:
            last = done + dt.timedelta(days=60 if country == "DE" else 90)
        return last >= now.date() or any(
            f"emp:{row['Employee ID']}" in scope.get("people", ())
            or row["Course Code"] in scope.get("courses", ())
            for scope in scopes
        )

    def key(row: dict[str, str]) -> tuple[str, ...]:
        return row["Employee ID"], row["Course Code"], row["Item Type"], row["Assigned Date"]

    kinds = {"milestone_flag": "Course", "assessment_record": "Exam",
             "communications_log": "Message"}  # fmt: skip
    with duckdb.connect() as c:
        found = c.execute(
            "SELECT DISTINCT learner_id[5:], course_code, record_type, occurrence FROM "
            f"read_parquet('{bare}/store/canonical/*/*/records-corporate-0.parquet')"
        ).fetchall()
    assert {(a, b, kinds[t], o) for a, b, t, o in found} == {
        key(row) for row in rows if kept(newest(rows, row))
    }


def census_of(connection: duckdb.DuckDBPyConnection, layout: Layout) -> list[list[Any]]:
    """What the census says, or what the rows say where there is none."""
    census.load(connection, layout)
    return [
        connection.execute(f"FROM {table} ORDER BY ALL").fetchall()
        for table in (census.PEOPLE, census.TITLES)
    ]


def newest(rows: list[dict[str, str]], row: dict[str, str]) -> dict[str, str]:
    """The revision that holds: of a key, the one that the latest drop told."""
    same = [
        one for one in rows
        if all(one[k] == row[k] for k in ("Employee ID", "Course Code", "Item Type",
                                          "Assigned Date"))
    ]  # fmt: skip
    return same[-1]

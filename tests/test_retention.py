"""Deletion by rule: what is due goes, from everywhere, and nothing else."""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from assets.resources import Store
from pipeline.access.authorize import AccessRequest
from pipeline.access.log import AccessLog
from pipeline.access.verify import verify
from pipeline.definitions import definitions
from pipeline.errors import ErasureError, PolicyError
from pipeline.keys.ring import KeyRing
from pipeline.policy.access import Role
from pipeline.policy.fields import Audience
from pipeline.published import gate
from pipeline.raw.deliveries import ingest
from pipeline.read import service
from pipeline.retained import clock, housekeeping, job, receipts
from pipeline.retained.housekeeping import expired_before
from pipeline.retained.plan import dry_run
from pipeline.storage.engine import engine
from pipeline.storage.file_edit import FileEdit, rewrite
from pipeline.storage.layout import Layout
from pipeline.subjects import legal_holds
from tests.company import NAME, number, record, write_delivery
from tests.estate import BEFORE, NOW, accept, as_of, company_with_a_past, context, hold
from tests.fixtures import QUIET, RUN_DATE, Deleted, Estate, errors
from tests.kill_points import before_changes, courses, records, tables
from tests.opened import references, texts

pytestmark = pytest.mark.usefixtures("plainly")


def test_the_plan_says_what_where_and_by_which_rule(past: Estate) -> None:
    before = {p: p.stat().st_mtime_ns for p in past.home.rglob("*") if p.is_file()}
    lines = dry_run(context(past.home), NOW)
    first = next(line for line in lines if "milestone_flag" in line.what)
    assert (first.due, first.held, first.rule) == (12, 0, "records.milestone_flag")
    assert "2023-11" in first.where
    assert str(RUN_DATE) in first.where
    assert NAME not in str(lines)
    after = {p: p.stat().st_mtime_ns for p in past.home.rglob("*") if p.is_file()}
    assert {p for p in after if after[p] != before.get(p)} <= {past.home / "lock"}


def test_what_is_due_goes_from_everywhere_and_the_month_stays_as_an_aggregate(
    deleted: Deleted,
) -> None:
    published = tables(deleted.before.home)
    assert "OLD-1" in str(published["hr_legal_detail"])
    output = {name: rows for name, rows in published.items() if name.startswith("coaching_")}
    assert "OLD-1" in str(output["coaching_course"])
    rows = records(deleted.before.home)
    home, receipt = deleted.estate.home, deleted.receipt
    left = records(home)
    # Both revisions of each record went; the quarantined row is within its own window.
    assert sorted(map(str, left)) == sorted(str(row) for row in rows if row[2] != "OLD-1")
    after = tables(home)
    assert "OLD-1" not in str({name: after[name] for name in after if name not in output})
    # The figures of their month were published and stay.
    assert {name: after[name] for name in output} == output
    assert receipt["rows"]["classified"] == {"before": 12, "after": 0}
    assert (
        receipt["rows"]["canonical records"]["before"]
        - receipt["rows"]["canonical records"]["after"]
        == 24
    )
    assert gate.manifest(Layout(home))["erasure"] == receipt["receipt"]
    assert dry_run(context(home), NOW) == []


def test_a_second_deletion_has_nothing_to_do_and_a_run_makes_what_is_left(
    deleted: Deleted, tmp_path: Path
) -> None:
    estate = deleted.estate.copy(tmp_path / "home")
    (again,) = job.retain(context(estate.home), NOW)
    assert again["rows"] == {}
    with as_of(NOW):
        result = estate.run()
    # The delivery is still delivered, so the old rows are back in the store, and not published.
    assert result.success, errors(result)
    assert tables(estate.home) == tables(deleted.estate.home)


def test_readers_see_the_old_or_the_new(past: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every change of a name while the deletion makes another release the current one."""
    stand, seen = past.context, list[int]()
    person = service.reference(stand, f"emp:{number(0)}", Audience.HR_LEGAL)
    assert person
    ask = AccessRequest(
        "hana", Role.HR, "misconduct_case", "hr_legal_detail", (person,), note="case 2026-17"
    )
    before = service.read(stand, ask).total
    honest = gate._switch_to

    def read(_: int, event: str) -> None:
        if event != "os.remove":  # of the old release's files, one by one
            seen.append(service.read(stand, ask).total)

    def switch(*arguments: Any) -> None:
        before_changes(partial(honest, *arguments), read)

    monkeypatch.setattr(gate, "_switch_to", switch)
    job.retain(context(past.home), NOW)
    after = service.read(stand, ask).total
    assert after < before
    assert set(seen) == {before, after}
    assert seen == sorted(seen, reverse=True), "and never the old again after the new"


SCOPES = [
    {"people": (f"emp:{number(3)}",)},
    {"courses": ("OLD-1",)},
    {"records": ("milestone_flag",)},
    {"regions": ("EU",), "courses": ("OLD-1",)},
    {"sources": ("corporate",)},
]


def test_records_under_a_hold_of_any_scope_are_not_listed_for_deletion(stored: Estate) -> None:
    stand = context(stored.home)
    for n, scope in enumerate(SCOPES):
        legal_holds.place(stand.layout, hold(**scope, name=f"case-{n}"))
        lines = [line for line in dry_run(stand, NOW) if line.by_record]
        kept = 1 if "people" in scope else 12
        assert [(line.due, line.held) for line in lines] == [(12 - kept, kept)], scope
        legal_holds.lift(stand.layout, f"case-{n}", NOW.date())


# A deletion of what a hold keeps in part; the plan of the others is above.
@pytest.mark.parametrize(
    "scope", [SCOPES[0], *(pytest.param(one, marks=pytest.mark.soak) for one in SCOPES[1:])]
)
def test_held_records_are_kept(stored: Estate, scope: dict[str, Any]) -> None:
    stand = context(stored.home)
    legal_holds.place(stand.layout, hold(**scope))
    (output,) = job.retain(stand, NOW)
    kept = sum(row[2] == "OLD-1" for row in records(stored.home))
    assert kept == (2 if "people" in scope else 24)
    assert sum(line["held"] for line in output["plan"]) == kept // 2
    legal_holds.lift(stand.layout, "case-7", NOW.date())
    job.retain(stand, NOW)
    assert "OLD-1" not in courses(stored.home)


def test_a_hold_that_is_placed_after_the_plan_is_obeyed(
    stored: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = context(stored.home)
    honest = job._erase_stores

    def meanwhile(*arguments: Any) -> None:
        monkeypatch.setattr(job, "_erase_stores", honest)
        legal_holds.place(stand.layout, hold(courses=("OLD-1",)))
        honest(*arguments)

    monkeypatch.setattr(job, "_erase_stores", meanwhile)
    (output,) = job.retain(stand, NOW)
    assert sum(line["due"] for line in output["plan"]) > 0
    assert sum(row[2] == "OLD-1" for row in records(stored.home)) == 24
    assert "canonical records" not in output["rows"]


def test_a_stale_hold_stops_runs_and_deletions(past: Estate) -> None:
    stand = context(past.home)
    legal_holds.place(stand.layout, hold(courses=("OLD-1",)))
    late = dt.datetime(2027, 1, 2, tzinfo=dt.UTC)
    with pytest.raises(PolicyError, match="case-7"):
        job.retain(stand, late)
    with pytest.raises(PolicyError, match="case-7"):
        legal_holds.require_reviewed(stand.layout, late.date())
    with pytest.raises(PolicyError, match="already one called case-7"):
        legal_holds.place(stand.layout, hold(courses=("X",)))
    with pytest.raises(ValueError, match="needs a scope"):
        hold()


def test_a_department_that_falls_below_k_is_withheld_everywhere(estate: Estate) -> None:
    """Six people of a department, two of them with old records only."""
    old = {
        "Assigned_Date": "2023-11-01",
        "Started_Date": "2023-11-02",
        "Due_Date": "",
        "Completed_Date": "2023-11-10",
    }
    rows = [record(p) for p in range(8)]
    rows += [record(p, Department="Rare") for p in range(20, 24)]
    rows += [record(p, Department="Rare", Course_Code="OLD-1", **old) for p in (24, 25)]
    write_delivery(estate.delivery(), rows)
    with as_of(BEFORE):
        result = estate.run()
    assert result.success, errors(result)
    assert "Rare" in str(tables(estate.home)["hr_legal_detail"])
    job.retain(context(estate.home), NOW)
    assert "Rare" not in str(tables(estate.home))
    with duckdb.connect() as c:
        path = f"{estate.home}/store/classified/*/*.parquet"
        assert "Rare" not in str(c.execute(f"SELECT department FROM '{path}'").fetchall())


def test_old_deliveries_quarantine_and_rosters_go_by_their_own_rules(stored: Estate) -> None:
    later = RUN_DATE + dt.timedelta(days=12)
    rows, people, _ = company_with_a_past()
    write_delivery(stored.delivery(later), rows[:3], people)
    stand = context(stored.home)
    accept(stand, later)
    never = stored.delivery(RUN_DATE + dt.timedelta(days=1))
    write_delivery(never, rows[:1])
    now = dt.datetime(2026, 12, 12, 12, tzinfo=dt.UTC)
    plan = {line.what: line for line in dry_run(stand, now)}
    assert plan["ingested deliveries"].where == str(RUN_DATE)
    what = "never ingested, or links, so not erased: run the pipeline for these dates"
    assert plan[what].held == 1
    assert plan["superseded and old rows"].due == 22
    job.retain(stand, now)
    assert not stored.delivery(RUN_DATE).exists()
    assert stored.delivery(later).exists()
    assert never.exists()
    assert not [row for row in records(stored.home) if row[6]], "quarantined rows are left"
    # The run of a removed delivery can be run again: the store holds it.
    assert ingest(stand.layout, stand.data_map, RUN_DATE)


def test_the_job_shows_plan_and_receipt_in_dagster(
    past: Estate, real_instance: dg.DagsterInstance
) -> None:
    found = definitions(Store(home=str(past.home)))
    (schedule,) = [s for s in found.schedules or () if s.name == "nightly_retention"]
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.job_name == "retention"
    result = found.resolve_job_def("retention").execute_in_process(
        instance=real_instance, raise_on_error=False, run_config=QUIET
    )
    assert result.success, errors(result)
    plan, output = (
        result.asset_materializations_for_node(f"retained__{name}")[0].metadata
        for name in ("deletion_plan", "erasure")
    )
    assert plan["records_due"].value == 12
    (receipt,) = receipts.newest_first(Layout(past.home))
    assert output["receipt"].value == receipt.stem
    assert all(check.passed for check in result.get_asset_check_evaluations())
    events = [event.to_json() for event in real_instance.all_logs(result.run_id)]
    assert not [e for e in events if NAME in e or number(0) in e]


def test_what_no_run_has_published_holds_up_no_deletion_and_is_not_touched(stored: Estate) -> None:
    later = RUN_DATE + dt.timedelta(days=1)
    stand = context(stored.home)
    write_delivery(stored.delivery(later), [record(1)])
    ingest(stand.layout, stand.data_map, later)
    job.retain(stand, NOW)
    assert "OLD-1" not in courses(stored.home)
    assert list(stand.layout.set_aside.glob(f"{later}/*/records-*"))


def test_a_rewritten_file_that_lost_a_survivor_is_not_swapped_in(
    past: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = context(past.home)
    (path,) = stand.layout.canonical.glob("*/*/records-corporate-0.parquet")
    before = path.read_bytes()
    from pipeline.storage import file_edit as module

    honest = module.fingerprint
    answers = iter([(1, 2, 3)])
    monkeypatch.setattr(module, "fingerprint", lambda c, q: next(answers, None) or honest(c, q))
    with (
        engine(stand.layout.work) as connection,
        pytest.raises(ErasureError, match="does not have the right rows"),
    ):
        rewrite(connection, stand.layout, FileEdit(path, "course_code = 'OLD-1'"))
    assert path.read_bytes() == before


def test_voided_records_go_with_what_voided_them(estate: Estate) -> None:
    from tests.company import company, statement

    rows, people, statements = company()
    void = statement(
        50,
        verb={"id": "http://adlnet.gov/expapi/verbs/voided"},
        object={"objectType": "StatementRef", "id": statements[0]["id"]},
    )
    void.pop("result")
    write_delivery(estate.delivery(), rows, people, [*statements, void])
    late = dt.datetime(2026, 12, 20, tzinfo=dt.UTC)
    accept(context(estate.home), RUN_DATE, now=late)
    with duckdb.connect() as c:
        path = f"{estate.home}/store/canonical/*/*/records-xapi-*.parquet"
        query = f"SELECT count(*) FROM '{path}'"
        assert c.execute(query).fetchall() == [(7,)]
        job.retain(context(estate.home), late)
        assert c.execute(query).fetchall() == [(5,)]


@pytest.mark.parametrize("years", [3, pytest.param(4, marks=pytest.mark.soak)])
def test_the_last_records_go_with_what_resolved_them(
    past: Estate, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    """The kind: what is stored only as long as records need it is past retention on the day on
    which the last of them is; one deletion takes both, and says that it is complete."""
    then = NOW + dt.timedelta(days=366 * years)
    monkeypatch.setenv(clock.CONFIRMED, str(then.date()))
    (receipt,) = job.retain(context(past.home), then)
    assert sum(receipt["found_afterwards"].values()) == 0
    with duckdb.connect() as c:
        rosters = f"FROM '{past.home}/store/canonical/*/*/roster-*.parquet'"
        assert c.sql(f"SELECT count(*) {rosters}").fetchall() == [(0,)]


def test_retired_key_epochs_are_destroyed_with_a_receipt(past: Estate) -> None:
    stand = context(past.home)
    old = {p: stand.ring.key(p) for p in Audience}
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
    (output,) = job.retain(stand, NOW)
    assert output["removed_whole"]["storage.key_epochs"] == 1
    text = stand.layout.key_ring.read_text()
    assert not [p for p in Audience if old[p].secret.hex() in text]
    assert stand.layout.key_ring.stat().st_ino != inode
    # Nothing in the data folder links an old pseudonym to anything any more.
    for name, text in texts(past.home).items():
        assert not name.endswith(".parquet") or not [ref for ref in before if ref in text], name


def test_a_lost_tombstone_key_is_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="key ring"):
        KeyRing(tmp_path / "none.json").tombstone(["emp:1"])


def test_old_receipts_packages_and_logs_go(stored: Estate) -> None:
    stand = context(stored.home)
    made = {
        "receipts/20160101T000000Z-a.json": "{}",
        "vault/packages/20260901-x/package.json": "{}",
        "store/reconciliation/2020-01-01.json": "[]",
        "backups/20260901T1/vault/holds.json": "[]",
    }
    for name, text in made.items():
        (stored.home / name).parent.mkdir(parents=True, exist_ok=True)
        (stored.home / name).write_text(text)
    log = AccessLog(stand.layout)
    for day in (dt.date(2024, 11, 1), dt.date(2026, 11, 1)):
        log.append({"at": f"{day}T00:00:00.000", "people": []}, today=day)
    noted: dict[str, int] = {}

    def note(what: str, _: str, n: int) -> None:
        noted[what] = noted.get(what, 0) + n

    housekeeping.clear(stand, NOW, note)
    assert not [name for name in made if (stored.home / name).exists()]
    assert log.kept.days() == ["2026-11-01"]
    assert verify(log, expired_before(stand, NOW)).entries == 1
    assert verify(log, expired_before(stand, NOW)).broken is None
    assert noted == {
        "storage.receipts": 1,
        "storage.packages": 1,
        "storage.reconciliation": 1,
        "storage.backups": 1,
        "logs.access_log": 1,
    }

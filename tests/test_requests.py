"""Requests of data subjects: states, deadlines, and what each kind does."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.access.authorize import AccessRequest
from pipeline.context import Context
from pipeline.errors import ErasureError, PolicyError
from pipeline.policy.access import Role
from pipeline.read import service
from pipeline.requests import access_package, fulfil
from pipeline.retained import backup, job, verify
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from pipeline.subjects import legal_holds, request_register, restrictions
from pipeline.subjects.identity import Window, find
from pipeline.subjects.request_register import Kind, Request, State
from tests.command import milestones
from tests.company import EMAIL, NAME, NUMBER, number
from tests.estate import NOW, as_of, context
from tests.fixtures import Estate, errors
from tests.kill_points import tables
from tests.opened import relation, text_of

pytestmark = pytest.mark.usefixtures("plainly")


@pytest.fixture(autouse=True)
def _as_the_dpo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILESTONES_ACTOR", "dora")


TODAY = NOW.date()
PERSON = f"emp:{NUMBER}"


def asked(stand: Context, kind: Kind, who: str = PERSON, **details: Any) -> Request:
    request = request_register.receive(stand.layout, kind, who, TODAY, details)
    return request_register.verify_identity(stand.layout, request.name, "HR desk")


def ref(home: Path, purpose: str, person: str = PERSON) -> str:
    with duckdb.connect() as c:
        rows = relation(c, home, home / "vault" / f"identities-{purpose}.parquet")
        ((found,),) = c.execute(f"SELECT ref FROM {rows} WHERE person = '{person}'").fetchall()
    return str(found)


@pytest.mark.parametrize("kind", Kind)
def test_nothing_is_done_for_an_unverified_sender(past: Estate, kind: Kind) -> None:
    stand = context(past.home)
    before = tables(past.home)
    request = request_register.receive(stand.layout, kind, PERSON, TODAY, {})
    with pytest.raises(PolicyError, match="not verified"):
        fulfil.fulfil(stand, request.name, NOW)
    assert tables(past.home) == before
    assert request_register.read(stand.layout, request.name).state is State.RECEIVED
    assert not (past.home / "vault" / "packages").exists()


@pytest.mark.parametrize(
    ("received", "due", "extended"),
    [
        ("2026-01-31", "2026-02-28", "2026-04-30"),
        ("2024-01-30", "2024-02-29", "2024-04-30"),
        ("2026-11-25", "2026-12-25", "2027-02-25"),
    ],
)
def test_the_deadline_is_a_month_and_can_be_extended_once_in_time(
    tmp_path: Path, received: str, due: str, extended: str
) -> None:
    layout, day = Layout(tmp_path), dt.date.fromisoformat(received)
    request = request_register.receive(layout, Kind.ACCESS, PERSON, day, {})
    assert str(request.deadline) == due
    assert not request.overdue(request.deadline)
    assert request.overdue(request.deadline + dt.timedelta(days=1))
    with pytest.raises(PolicyError, match="reason"):
        request_register.extend(layout, request.name, " ", day)
    with pytest.raises(PolicyError, match="first month"):
        request_register.extend(
            layout, request.name, "complex", request.deadline + dt.timedelta(days=1)
        )
    assert str(request_register.extend(layout, request.name, "complex", day).deadline) == extended
    # A new process reads the same.
    assert str(request_register.read(Layout(tmp_path), request.name).deadline) == extended


def test_states_follow_each_other(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    request = request_register.receive(layout, Kind.ACCESS, PERSON, TODAY, {})
    with pytest.raises(PolicyError, match="received cannot become done"):
        request_register.move(layout, request, State.DONE, "")
    refused = request_register.refuse(layout, request.name, "manifestly unfounded")
    assert refused.closed_on
    with pytest.raises(PolicyError, match="refused cannot become verified"):
        request_register.verify_identity(layout, request.name, "x")
    with pytest.raises(PolicyError, match="no request of that name"):
        request_register.read(layout, "../../etc/passwd")


def test_access_gives_everything_and_nobody_elses(past: Estate) -> None:
    stand = context(past.home)
    mine = ref(past.home, "manager")
    service.read(stand, AccessRequest("max", Role.MANAGER, "one_to_one", "manager_extract"))
    done = fulfil.fulfil(stand, asked(stand, Kind.ACCESS).name, NOW)
    assert done.state is State.DONE
    (folder,) = (past.home / "vault" / "packages").iterdir()
    text = text_of(past.home, folder / "package.json.enc")
    output = {section["title"]: section["rows"] for section in json.loads(text)["sections"]}
    assert len(output["Learning records"]) == 5
    assert {"OLD-1", "SEC-101"} <= {row["course_code"] for row in output["Learning records"]}
    old = next(
        r
        for r in output["Learning records"]
        if r["course_code"] == "OLD-1" and r["status"] == "completed"
    )
    assert old["kept until"] == "2026-11-10 (records.milestone_flag)"
    assert output["Staff directory"][0]["email"] == EMAIL
    assert all(row["learner_ref"] == mine for row in output["Under a pseudonym, for manager"])
    assert len(output["Under a pseudonym, for hr legal"]) == 4
    assert output["Who read your records, and why"][0]["table"] == "manager_extract"
    page = text_of(past.home, folder / "package.html.enc")
    assert NAME in page
    assert page.count("<h2>") == len(output)
    for other in range(1, 12):
        assert number(other) not in text + page
        assert f"person{other}@" not in text + page
    assert number(900) not in text, "the manager is somebody else"
    assert folder.stat().st_mode & 0o077 == 0
    # It is handed out by a step of its own, and over no file that is there.
    out = past.home.parent / "answer"
    taken = access_package.take_out(stand.layout, done.name, out)
    assert [path.name for path in taken] == ["package.html", "package.json"]
    assert taken[1].read_text() == text
    assert taken[1].stat().st_mode & 0o077 == 0
    for name in (done.name, "*", "../.."):
        with pytest.raises(PolicyError, match=r"has a file of that name|no package for that"):
            access_package.take_out(stand.layout, name, out)


def test_access_of_somebody_whose_address_another_had_before(finished_run: Estate) -> None:
    """An identifier that is theirs on some days names nobody in the roster, which has no event."""
    stand = context(finished_run.home)
    with engine(stand.layout.work) as connection:
        subject = find(connection, stand.layout, PERSON)
        shared = Window(f"mbox:mailto:{EMAIL}", "2026-10-01", "infinity")
        theirs = replace(subject, ids=(PERSON,), windows=(shared,))
        whole, some = (access_package.collect(connection, stand, one) for one in (subject, theirs))
    for title in ("Staff directory", "Learning records"):
        rows = [next(s["rows"] for s in made if s["title"] == title) for made in (whole, some)]
        assert rows[0] == rows[1] != []


def test_erasure_is_done_with_its_receipt_and_forgets_the_sender(stored: Estate) -> None:
    stand = context(stored.home)
    done = fulfil.fulfil(stand, asked(stand, Kind.ERASURE).name, NOW)
    assert done.state is State.DONE
    assert done.identifier is None
    assert done.receipt
    assert (stored.home / "receipts" / f"{done.receipt}.json").exists()
    stored = text_of(stored.home, stored.home / "vault" / "requests" / f"{done.name}.json.enc")
    assert NUMBER not in stored


def test_an_erasure_under_a_hold_waits(stored: Estate) -> None:
    stand = context(stored.home)
    legal_holds.place(
        stand.layout,
        legal_holds.Hold.model_validate(
            {
                "name": "case-7",
                "reason": "claim",
                "owner": "legal",
                "placed_on": TODAY,
                "review_by": dt.date(2027, 1, 1),
                "courses": ("SEC-101",),
            }
        ),
    )
    request = asked(stand, Kind.ERASURE)
    with pytest.raises(PolicyError, match="case-7"):
        fulfil.fulfil(stand, request.name, NOW)
    waiting = request_register.read(stand.layout, request.name)
    assert waiting.state is State.WAITING
    assert "case-7" in waiting.history[-1].note
    legal_holds.lift(stand.layout, "case-7", TODAY)
    assert fulfil.fulfil(stand, request.name, NOW).state is State.DONE


def test_an_erasure_that_was_cut_off_is_carried_on(
    stored: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = context(stored.home)
    request = asked(stand, Kind.ERASURE)

    def dead(*_: object) -> None:
        raise ErasureError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(verify, "require_gone", dead)
        with pytest.raises(ErasureError):
            fulfil.fulfil(stand, request.name, NOW)
    assert request_register.read(stand.layout, request.name).state is State.WAITING
    done = fulfil.fulfil(stand, request.name, NOW)
    output = json.loads((stored.home / "receipts" / f"{done.receipt}.json").read_text())
    assert output["request"] == request.name
    assert (
        output["rows"]["canonical records"]["before"] > output["rows"]["canonical records"]["after"]
    )


def test_restriction_keeps_the_records_and_uses_none(past: Estate) -> None:
    stand = context(past.home)
    refs = {p: ref(past.home, p) for p in ("manager", "analytics", "hr_legal")}
    before = tables(past.home)
    fulfil.fulfil(stand, asked(stand, Kind.RESTRICTION).name, NOW)
    shown = str(tables(past.home))
    assert not [one for one in refs.values() if one in shown]
    # Kept, even past the window, until the restriction ends.
    job.retain(stand, NOW)
    with duckdb.connect() as c:
        rows = c.execute(
            f"SELECT course_code FROM '{past.home}/store/classified/*/*.parquet' "
            f"WHERE person = '{PERSON}'"
        ).fetchall()
    assert ("OLD-1",) in rows
    with as_of(NOW):
        result = past.run()
    assert result.success, errors(result)
    assert not [one for one in refs.values() if one in str(tables(past.home))]
    fulfil.lift(stand, PERSON, restrictions.RESTRICTED, NOW)
    assert tables(past.home)["manager_extract"] == before["manager_extract"]


def test_an_objection_ends_the_uses_that_rest_on_interest(past: Estate) -> None:
    stand = context(past.home)
    refs = {p: ref(past.home, p) for p in ("manager", "analytics", "hr_legal")}
    fulfil.fulfil(stand, asked(stand, Kind.OBJECTION).name, NOW)
    shown = str(tables(past.home))
    assert {p for p, one in refs.items() if one in shown} == {"hr_legal"}
    with pytest.raises(PolicyError, match="obliged"):
        fulfil.fulfil(stand, asked(stand, Kind.OBJECTION, purposes=["hr_legal"]).name, NOW)


def test_a_rectification_supersedes_and_the_wrong_value_is_erased(past: Estate) -> None:
    stand = context(past.home)
    request = asked(
        stand, Kind.RECTIFICATION, course_code="SEC-101", score="61.5", occurrence="2026-10-01"
    )
    older = backup.make(stand, NOW)
    fulfil.fulfil(stand, request.name, NOW)
    with duckdb.connect() as c:
        rows = c.execute(
            f"SELECT score, status FROM read_parquet('{past.home}/store/canonical/*/*/"
            "records-*.parquet', union_by_name=true) "
            f"WHERE learner_id = '{PERSON}' AND occurrence = '2026-10-01'"
        ).fetchall()
    assert rows == [(61.5, "completed")]
    # A restored backup from before it has the wrong value, and not the last word.
    backup.restore(stand, older)
    with as_of(NOW):
        result = past.run()
    assert result.success, errors(result)
    mine = ref(past.home, "hr_legal")
    score = stand.data_map.published["hr_legal_detail"].columns.index("score")
    output = [row for row in tables(past.home)["hr_legal_detail"] if row[0] == mine]
    assert 61.5 in {row[score] for row in output}
    assert 90.0 in {row[score] for row in output}, "the statement's score is another record"


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"course_code": "SEC-101"},
        {"score": "61"},
        {"course_code": "SEC-101", "score": "161"},
        {"course_code": "SEC-101", "status": "brilliant"},
        {"course_code": "SEC-101", "name": "x"},
        {"course_code": "SEC-101", "score": "61"},
        {"course_code": "NONE", "score": "61"},
        {"course_code": "SEC-101", "score": "x"},
        {"course_code": "SEC-101", "attempts": "x"},
    ],
)
def test_an_unfit_rectification_changes_nothing(stored: Estate, details: dict[str, str]) -> None:
    stand = context(stored.home)
    before = {p: p.read_bytes() for p in (stored.home / "store").rglob("*.parquet")}
    with pytest.raises(PolicyError):
        fulfil.fulfil(stand, asked(stand, Kind.RECTIFICATION, **details).name, NOW)
    assert {p: p.read_bytes() for p in (stored.home / "store").rglob("*.parquet")} == before


def test_the_commands_survive_restarts_and_show_nobody(
    stored: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = milestones(stored.home, *arguments)
        assert NUMBER not in done.stdout.replace(f"emp:{NUMBER}", "")
        return done

    name = tell("request", "receive", "erasure", PERSON).stdout.split(":")[0]
    assert "not verified" in tell("request", "run", name).stderr
    assert "somebody else" in tell("request", "verify", name).stderr
    monkeypatch.setenv("MILESTONES_ACTOR", "hana")
    assert tell("request", "verify", name).returncode == 0
    monkeypatch.setenv("MILESTONES_ACTOR", "dora")
    listed = tell("request", "list").stdout
    assert "verified" in listed
    done = tell("request", "run", name)
    assert done.returncode == 0, done.stderr
    assert "done" in done.stdout
    assert "the chain is complete" in tell("receipt").stdout
    assert tell("plan").returncode == 0

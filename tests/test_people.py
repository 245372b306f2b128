"""Requests find the person, and only that person.

The kind of fault: an identifier that is written another way, or that means nobody, is done with a
certificate, or keeps everything else from being done.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import duckdb
import pytest

from pipeline.cli import attention
from pipeline.cli.people import confirmed
from pipeline.context import Context
from pipeline.errors import BadInput, ErasureError, PolicyError
from pipeline.raw.deliveries import ingest
from pipeline.requests import fulfil
from pipeline.retained import job, receipts, verify
from pipeline.retained.journal import Journal
from pipeline.storage.engine import engine
from pipeline.subjects import legal_holds, lookup, request_register, restrictions, tombstones
from pipeline.subjects.identity import Subject
from pipeline.subjects.request_register import Kind, State
from tests.command import milestones
from tests.company import (
    EMAIL,
    NAME,
    NUMBER,
    company,
    number,
    person,
    record,
    statement,
    write_delivery,
)
from tests.estate import NOW, accept, context, hold, sign_policy
from tests.fixtures import RUN_DATE, Estate, errors
from tests.opened import text_of
from tests.test_requests import PERSON, asked

pytestmark = pytest.mark.usefixtures("plainly")


@pytest.fixture(autouse=True)
def _as_the_dpo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILESTONES_ACTOR", "dora")


SPELLED = (
    NUMBER,
    f" {NUMBER}.0 ",
    f"00{NUMBER}",
    "7,700,001",
    f"'{NUMBER}",
    EMAIL.upper(),
    f"mailto:{EMAIL}",
    f"mbox:mailto:{EMAIL.title()}",
    NAME,
    "zzyzx, QUENTIN",
    PERSON,
)
NOBODY = ("999999", "emp:999999", "nobody@corp.example", "Somebody Else", f"{NUMBER}9", "acct:x")


def people(stand: Context, text: str) -> list[str]:
    with engine(stand.layout.work) as connection:
        return [one.person for one in lookup.search(connection, stand.layout, text)]


def test_whoever_is_meant_is_found_in_any_spelling(finished_run: Estate) -> None:
    stand = context(finished_run.home)
    assert {text: people(stand, text) for text in SPELLED} == {text: [PERSON] for text in SPELLED}
    assert {text: people(stand, text) for text in NOBODY} == {text: [] for text in NOBODY}


def test_the_command_says_who_was_found_and_wants_it_confirmed(stored: Estate) -> None:
    """Nobody found is an answer with a hint, and no request."""
    layout = stored.layout
    for text in NOBODY:
        done = milestones(stored.home, "request", "receive", "erasure", text)
        assert done.returncode == 2
        assert "nobody was found" in done.stderr
    unsure = milestones(stored.home, "request", "receive", "erasure", NUMBER)
    assert unsure.returncode == 2
    assert f"{PERSON} (by number): corporate 4, roster 1, xapi 1" in unsure.stderr
    assert "--yes" in unsure.stderr
    assert not request_register.every(layout)
    done = milestones(
        stored.home, "request", "receive", "objection", EMAIL, "--yes", "--purpose", "one_to_one"
    )
    assert done.returncode == 0, done.stderr
    (made,) = request_register.every(layout)
    request_register.verify_identity(layout, made.name, "HR desk")
    ran = milestones(stored.home, "request", "run", made.name)
    assert ran.returncode == 0, ran.stderr
    assert restrictions.entries(layout) == [(PERSON, "manager", restrictions.OBJECTED)]
    wrong = milestones(stored.home, "request", "receive", "objection", PERSON, "--purpose", "fun")
    assert wrong.returncode == 2
    assert "one_to_one" in wrong.stderr


def test_a_hold_holds_whoever_is_meant(stored: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILESTONES_ACTOR", "hana")
    place = (
        "hold",
        "place",
        "case-1",
        "--reason",
        "claim",
        "--owner",
        "legal",
        "--review-by",
        "2099-01-01",
        "--person",
    )
    nobody = milestones(stored.home, *place, "999999", "--yes")
    assert nobody.returncode == 2
    assert not legal_holds.live(stored.layout)
    assert milestones(stored.home, *place, NUMBER, "--yes").returncode == 0
    (hold,) = legal_holds.live(stored.layout)
    assert hold.people == (PERSON,)
    with pytest.raises(ValueError, match="case-1"):
        job.erase_person(context(stored.home), PERSON, None, NOW)


def test_whoever_is_in_a_refused_file_only_is_found_and_erased(stored: Estate) -> None:
    """Nothing of the delivery was read, so that only its files name them; and one that cannot be
    opened names nobody for certain."""
    stand, later = context(stored.home), RUN_DATE + dt.timedelta(days=1)
    write_delivery(stored.delivery(later), [record(77)])
    (stored.delivery(later) / "salaries.txt").write_text("x")
    (stored.delivery(RUN_DATE) / "closed.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(PolicyError, match="no source"):
        ingest(stand.layout, stand.data_map, later)
    for text in (number(77), f"{number(77)}.0", "PERSON77@corp.example", f"emp:{number(77)}"):
        (who,) = confirmed(stand, text, yes=True)
        assert who in (f"emp:{number(77)}", "mbox:mailto:person77@corp.example")
    for text in (number(78), "emp:999999", "Nobody Else"):
        with pytest.raises(BadInput, match="nobody was found"):
            confirmed(stand, text, yes=True)
    (stored.delivery(RUN_DATE) / "closed.zip").unlink()
    # Whatever they ask for, there is an answer.
    for kind in (Kind.ACCESS, Kind.RESTRICTION):
        request = request_register.receive(stand.layout, kind, f"emp:{number(77)}", NOW.date(), {})
        request_register.verify_identity(stand.layout, request.name, "dora")
        assert fulfil.fulfil(stand, request.name, NOW).state is State.DONE
    (folder,) = (stored.home / "vault" / "packages").iterdir()
    sections = json.loads(text_of(stored.home, folder / "package.json.enc"))["sections"]
    held = {one["title"]: one["rows"] for one in sections if one["rows"]}
    assert held["Delivered files"] == [{"delivery": str(later)}]
    assert "Learning records" not in held
    job.erase_person(stand, f"emp:{number(77)}", None, NOW)
    assert not stored.delivery(later).exists()
    with pytest.raises(BadInput, match="nobody was found"):
        job.erase_person(stand, f"emp:{number(77)}", None, NOW)


def test_an_erased_person_does_not_come_back_under_a_new_address(tmp_path: Path) -> None:
    """Rosters go on to list them; a row that is refused says which address is theirs by now."""
    stand = context(tmp_path / "home")
    tombstones.add(stand, [PERSON], NOW.date())
    new, shared = "quentin.new@corp.example", "desk@corp.example"
    said = [
        statement(at, actor={"mbox": f"mailto:{address}"})
        for at, address in enumerate((new, shared, "person2@corp.example"))
    ]
    roster = [person(0, Email=new), person(0, Email=shared), person(1, Email=shared), person(2)]
    write_delivery(Path(stand.layout.landing) / str(RUN_DATE), [record(0), record(2)], roster, said)
    later = RUN_DATE + dt.timedelta(days=1)
    write_delivery(Path(stand.layout.landing) / str(later), [record(2)], (), said)
    for day in (RUN_DATE, later):
        ingest(stand.layout, stand.data_map, day)
        with duckdb.connect() as c:
            found = c.execute(
                f"SELECT DISTINCT learner_id FROM read_parquet('{stand.layout.canonical}/{day}/"
                "*/records-*-*.parquet', union_by_name=true) WHERE problem IS NULL ORDER BY 1"
            ).fetchall()
        assert [one for (one,) in found if one] == [
            f"emp:{number(2)}",
            f"mbox:mailto:{shared}",
            "mbox:mailto:person2@corp.example",
        ]


def test_a_hold_on_somebody_keeps_what_is_in_no_table(stored: Estate) -> None:
    """As of somebody who is on the roster, or in a refused delivery, and has no record else."""
    manager, stand = f"emp:{number(900)}", context(stored.home)
    legal_holds.place(stand.layout, hold(people=(manager,)))
    with pytest.raises(ValueError, match="case-7"):
        job.erase_person(stand, manager, None, NOW)
    assert legal_holds.live(stand.layout) == [hold(people=(manager,))]


def test_forgetting_a_person_leaves_no_hold_that_is_about_everybody(tmp_path: Path) -> None:
    """In a backup, a hold can be in force that has been lifted since."""
    layout = context(tmp_path / "home").layout
    legal_holds.place(layout, hold(name="a", people=(PERSON,)))
    legal_holds.place(layout, hold(name="b", people=(PERSON,), courses=("SEC-101",)))
    legal_holds.place(layout, hold(name="c", people=(PERSON, "emp:2")))
    legal_holds.forget(layout, [PERSON], NOW.date())
    assert {one.name: one.people for one in legal_holds.every(layout)} == {
        "a": (),
        "b": (),
        "c": ("emp:2",),
    }
    assert [one.name for one in legal_holds.live(layout)] == ["c"]


@pytest.mark.parametrize("kind", Kind)
def test_a_request_about_nobody_is_set_aside_and_never_certified(
    stored: Estate, kind: Kind
) -> None:
    """As when somebody has put one into the register with a typing error."""
    stand = context(stored.home)
    request = asked(stand, kind, "emp:999999", course_code="SEC-101", score="61")
    with pytest.raises(BadInput, match="nobody was found"):
        fulfil.fulfil(stand, request.name, NOW)
    left = request_register.read(stand.layout, request.name)
    assert left.state is State.WAITING
    assert "nobody was found" in left.history[-1].note
    (said,) = attention._requests(stand.layout)
    assert said.startswith(f"request {request.name} waits: nobody was found")
    assert not receipts.newest_first(stand.layout)
    assert not (stored.home / "vault" / "packages").exists()
    assert not restrictions.entries(stand.layout)


def test_a_typing_error_is_mended_and_keeps_nothing_from_being_erased(stored: Estate) -> None:
    stand = context(stored.home)
    wrong = asked(stand, Kind.ERASURE, NUMBER + "x")
    with pytest.raises(BadInput):
        fulfil.fulfil(stand, wrong.name, NOW)
    assert job.retain(stand, NOW)
    other = fulfil.fulfil(stand, asked(stand, Kind.ERASURE, f"emp:{number(3)}").name, NOW)
    assert other.state is State.DONE
    mended = milestones(stored.home, "request", "amend", wrong.name, NUMBER, "--yes")
    assert mended.returncode == 0, mended.stderr
    request_register.verify_identity(stored.layout, wrong.name, "HR desk")
    assert fulfil.fulfil(stand, wrong.name, NOW).state is State.DONE
    assert not receipts.broken(stored.layout)
    assert len(receipts.newest_first(stored.layout)) == 3


def test_an_erasure_that_cannot_be_completed_is_set_aside(
    stored: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It blocks neither another request nor the scheduled deletion, and can be withdrawn."""
    stand = context(stored.home)
    request = asked(stand, Kind.ERASURE)
    whole = verify.require_gone

    def stuck(
        connection: duckdb.DuckDBPyConnection,
        context: Context,
        journal: Journal,
        subject: Subject | None,
        *rest: object,
    ) -> dict[str, int]:
        if subject is not None and PERSON in subject.people:
            raise ErasureError("still there: a stuck file")
        return whole(connection, context, journal, subject, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(verify, "require_gone", stuck)
    with pytest.raises(ErasureError, match="stuck"):
        fulfil.fulfil(stand, request.name, NOW)
    assert len(job.retain(stand, NOW)) == 1
    assert job.set_aside(stand.layout) == {request.name: "still there: a stuck file"}
    assert "a stuck file" in "".join(attention._erasures(stand.layout))
    other = asked(stand, Kind.ERASURE, f"emp:{number(3)}")
    assert fulfil.fulfil(stand, other.name, NOW).state is State.DONE
    assert milestones(stored.home, "request", "withdraw", request.name).returncode == 0
    assert not job.set_aside(stand.layout)
    assert request_register.read(stand.layout, request.name).state is State.WITHDRAWN


def test_a_manager_gets_no_data_of_the_people_who_report_to_them(estate: Estate) -> None:
    rows, roster, _ = company()
    mine = record(900, Manager_ID=number(901), Score="n/a")  # quarantined, and theirs
    theirs = record(1, Score="n/a", Course_Code="HLT-404", Course_Title="Living with burnout")
    write_delivery(
        estate.delivery(), [*rows, mine, theirs, record(900, Manager_ID=number(901))], roster
    )
    result = estate.run()
    assert result.success, errors(result)
    stand = context(estate.home)
    fulfil.fulfil(stand, asked(stand, Kind.ACCESS, f"emp:{number(900)}").name, NOW)
    (folder,) = (estate.home / "vault" / "packages").iterdir()
    text = text_of(estate.home, folder / "package.json.enc")
    output = {section["title"]: section["rows"] for section in json.loads(text)["sections"]}
    assert len(output["Learning records"]) == 1
    assert [row["problem"] for row in output["Records that could not be read"]] == [
        "score:not_a_number"
    ]
    counted = {row["how"]: row["rows"] for row in output["Where others' records name you"]}
    assert counted["as the manager"] == len([r for r in rows if r["Manager ID"] == number(900)]) - 1
    assert counted["in rows that could not be read"] == 2
    for other in (*range(19), 901, 902):
        assert number(other) not in text
        assert f"person{other}@" not in text
    assert NAME not in text
    assert "HLT-404" not in text


def test_a_changed_address_stays_with_the_person_until_an_erasure_takes_all_of_it(
    estate: Estate, tmp_path: Path
) -> None:
    """The address goes to somebody else afterwards, who loses nothing and gains nothing."""
    rows, roster, _ = company()
    later = RUN_DATE + dt.timedelta(days=2)
    old = roster[3]["Email"]
    write_delivery(estate.delivery(), rows, roster, [statement(3)])
    moved = [
        one | {"Email": "new3@corp.example"} if n == 3 else one for n, one in enumerate(roster)
    ]
    moved[4] = moved[4] | {"Email": old}
    late = statement(90, actor={"mbox": f"mailto:{old}"}, timestamp=f"{later}T08:00:00Z")
    write_delivery(estate.delivery(later), rows, moved, [statement(3), late])
    stand = context(estate.home)
    accept(stand, RUN_DATE)
    accept(stand, later)
    xapi = "SELECT person, count(*) FROM '{}' WHERE source = 'xapi'"
    classified = xapi.format(f"{estate.home}/store/classified/period=*/*.parquet")
    with duckdb.connect() as c:
        found = dict(c.execute(f"{classified} GROUP BY 1").fetchall())
        assert found == {f"emp:{number(3)}": 1, f"emp:{number(4)}": 1}
    request = asked(stand, Kind.ERASURE, f"emp:{number(3)}")
    assert fulfil.fulfil(stand, request.name, NOW).state is State.DONE
    # The next export has all of it again.
    again = later + dt.timedelta(days=1)
    write_delivery(estate.delivery(again), rows, moved, [statement(3), late])
    accept(stand, again)
    with duckdb.connect() as c:
        found = dict(c.execute(f"{classified} GROUP BY 1").fetchall())
    assert found == {f"emp:{number(4)}": 1}


def test_a_second_employment_is_shown_and_erased_with_the_first(estate: Estate) -> None:
    rows, roster, _ = company()
    again = roster[5] | {"Employee ID": "8800005"}
    write_delivery(estate.delivery(), [*rows, record(5, Employee_ID="8800005")], [*roster, again])
    sign_policy(estate.home)
    stand, both = context(estate.home), [f"emp:{number(5)}", "emp:8800005"]
    accept(stand, RUN_DATE)
    assert people(stand, number(5)) == both
    arguments = ("request", "receive", "erasure", number(5))
    assert "2 people may be meant" in milestones(estate.home, *arguments).stderr
    done = milestones(estate.home, *arguments, "--person", both[0], "--person", both[1])
    name = done.stdout.split(":")[0]
    request_register.verify_identity(stand.layout, name, "HR desk")
    assert fulfil.fulfil(stand, name, NOW).state is State.DONE
    assert not people(stand, number(5)) + people(stand, "8800005") + people(stand, "Person 5")


def test_unresolved_people_are_counted_and_listed_for_roles_that_may_see_them(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, roster, _ = company()
    write_delivery(estate.delivery(), [*rows, record(5, Employee_ID="7,700,0")], roster)
    result = estate.run()
    assert result.success, errors(result)
    output = json.loads((estate.layout.reconciliation / f"{RUN_DATE}.json").read_text())
    assert {row["unresolved_people"] for row in output} == {1}
    assert all(row["suppressed"]["identifier damaged"] == 1 for row in output)
    assert "1 people cannot be resolved" in milestones(estate.home, "status").stdout
    monkeypatch.setenv("MILESTONES_ACTOR", "dora")
    assert "emp:7,700,0" in milestones(estate.home, "people", "unresolved").stdout
    assert PERSON in milestones(estate.home, "people", "find", NUMBER).stdout
    monkeypatch.setenv("MILESTONES_ACTOR", "ana")
    refused = milestones(estate.home, "people", "unresolved")
    assert refused.returncode == 3
    assert "7,700,0" not in refused.stdout + refused.stderr


def test_a_rectification_holds_until_the_source_sends_another_value(estate: Estate) -> None:
    """However often it repeats the wrong one; then the DPO sees the conflict."""
    rows, roster, _ = company()
    write_delivery(estate.delivery(), rows, roster)
    sign_policy(estate.home)
    stand = context(estate.home)
    accept(stand, RUN_DATE)
    request = asked(
        stand, Kind.RECTIFICATION, course_code="SEC-101", occurrence="2026-10-01", score="61.5"
    )
    fulfil.fulfil(stand, request.name, NOW)
    seen = []
    # Repeated by the same delivery, by another, then corrected there, and once more.
    for late, score in ((0, "45"), (1, "45"), (2, "40"), (3, "40")):
        run_date = RUN_DATE + dt.timedelta(days=late)
        write_delivery(estate.delivery(run_date), [rows[0] | {"Score": score}, *rows[1:]], roster)
        accept(stand, run_date)
        with duckdb.connect() as c:
            ((found,),) = c.execute(
                f"SELECT score FROM '{estate.home}/store/classified/period=*/*.parquet' WHERE "
                f"person = '{PERSON}' AND course_code = 'SEC-101' AND status = 'completed'"
            ).fetchall()
        seen.append((found, fulfil.conflicts(stand)))
        assert len(list(attention._conflicts(stand.layout))) == len(seen[-1][1])
    assert seen == [(61.5, []), (61.5, []), (80.0, [request.name]), (80.0, [request.name])]
    assert (
        f"{request.name}: the source has since" in milestones(estate.home, "request", "list").stderr
    )

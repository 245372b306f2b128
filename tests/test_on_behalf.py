"""Handing something over on a person's behalf (--for): never more than the person's own rights
give, by nobody whom policy does not let, and never without both names in the log.

The kind of fault: somebody reads in another's name, or as much as both together may.
"""

from __future__ import annotations

import datetime as dt
import filecmp
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest
import typer.main

from pipeline.access import audit, review, staff
from pipeline.access.actions import Actor, Situation, decide, decide_for
from pipeline.access.authorize import AccessDenied
from pipeline.cli.app import app
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.governance import incident, suspension
from pipeline.policy.access import Role
from pipeline.policy.open_actions import BY_OPTION, FOR
from pipeline.read import service
from pipeline.storage.layout import Layout
from tests.estate import NOW, context, sign_policy
from tests.fixtures import Estate
from tests.test_actions import COLUMNS, EXPECTED, RULES, flags, who
from tests.test_attacks import act, decisions
from tests.test_door import RAW, detail_ask, leave, subject

WHY = ("--note", "monthly 1:1, open trainings")
# Every command that hands something to a person, as somebody would give it; with --for another.
HANDING = {
    "show": ("manager_extract", "--purpose", "one_to_one"),
    "receive": ("{to}", "--purpose", "one_to_one"),
    "sheet": ("{to}", *WHY),
}
# These show identifiers to whoever looks after them, and nothing of a person's own rights.
NOBODY_ELSES = {"people find", "people unresolved"}


def hand(home: Path, who: str, command: str, *other: str, to: Path) -> tuple[int, str]:
    """Run one of the commands; its exit code, and what it said."""
    given = [one.format(to=to) for one in HANDING[command]]
    done = act(home, who, command, *given, *other)
    return done.returncode, "".join(done.stdout.split())  # paths are wrapped


def test_every_reading_of_a_person_can_be_handed_over() -> None:
    """A new command that reads has --for, or says here why not; and with it is another action."""
    reading = {name for name, rule in RULES.actions.items() if rule.entry == "reading"}
    with_for = {name for name, known in flags(typer.main.get_command(app)).items() if FOR in known}
    assert with_for == set(HANDING) == reading - NOBODY_ELSES
    assert {f"{name} {FOR}" for name in HANDING} == {n for n in BY_OPTION if n.endswith(FOR)}


@pytest.mark.parametrize("command", sorted(HANDING))
def test_it_takes_the_rights_of_both(command: str) -> None:
    """Operator × person: neither has what only the other may."""
    action = f"{command} {FOR}"
    for one in COLUMNS:
        for other in COLUMNS:
            expected = EXPECTED[action][one] == "x" == EXPECTED[command][other]
            found = decide_for(RULES, action, who(one, "eve"), who(other, "pat"))
            assert (found is None) == expected, (one, other, found)
    everything = frozenset(Role)
    oneself = decide_for(RULES, action, Actor("pat", everything), Actor("pat", everything))
    assert "own behalf" in str(oneself)
    stopped = RULES.actions[command].model_copy(update={"stops": True})
    rules = RULES.model_copy(update={"actions": RULES.actions | {command: stopped}})
    during = Situation(suspended=True)
    assert decide(rules, action, who("en"), during) is None
    assert decide_for(rules, action, who("en", "eve"), who("ma"), during) is not None


@pytest.mark.parametrize("command", sorted(HANDING))
def test_what_is_handed_over_is_what_the_person_gets(
    published: Estate, tmp_path: Path, command: str
) -> None:
    home, own, other = published.home, tmp_path / "own", tmp_path / "other"
    mine = hand(home, "max", command, to=own)
    theirs = hand(home, "eddy", command, FOR, "max", to=other)
    assert mine[0] == theirs[0] == 0
    assert theirs[1].replace(str(other), str(own)) == mine[1]
    if own.exists():
        made = sorted(path.name for path in own.iterdir())
        assert made == sorted(path.name for path in other.iterdir())
        _, differing, odd = filecmp.cmpfiles(own, other, made, shallow=False)
        assert (differing, odd) == ([], [])
    last = [one for one in audit.bodies(published.layout) if one["decision"] == "granted"][-1]
    assert (last["actor"], last["by"], last["role"]) == ("max", "eddy", "manager")
    assert decisions(home)[-1] == ("eddy", f"{command} {FOR} max", "allowed")
    # Who has it from somebody has seen it as well: a review and the scope of an incident say so.
    start, end = (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=n) for n in (-60, 1))
    of_eddy = incident.scope(published.context, start, end, actor="eddy")
    assert (of_eddy.actors, of_eddy.people > 0) == (("eddy", "max"), True)
    found = {(one.actor, one.role) for one in review.review(published.context, start, end).findings}
    assert found == {("max", "manager"), ("eddy", review.ON_BEHALF)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A founded company without any delivery: who is refused here is refused before any reading."""
    sign_policy(tmp_path / "home")
    return tmp_path / "home"


def test_who_may_not_is_refused_before_anything_is_read(home: Path, tmp_path: Path) -> None:
    """Also with a person's name in another spelling; what is no name on the staff list could be
    anybody's, and is not in the log."""
    theirs = "the rights of whom it is for: "
    cases = [
        ("hana", "max", "max", "hr may not do"),
        ("max", "mia", "mia", "manager may not do"),
        ("nobody", "max", "max", "this account has no role"),
        ("eddy", "eddy", "eddy", "nobody acts on their own behalf"),
        ("eddy", "audrey", "audrey", f"{theirs}auditor may not do"),
    ]
    spellings = ("MAX", " max", "max ", "m\u0430x", "", "emp:7700901", "max@corp.example")
    cases += [
        ("eddy", name, "(unknown)", f"{theirs}this account has no role")
        for name in ("nobody", "quentin", "Quentin Zzyzx", "milestones", *spellings)
    ]
    for command, (operator, person, case, why) in zip(cycle(HANDING), cases, strict=False):
        done = hand(home, operator, command, FOR, person, to=tmp_path / "out")
        assert done == (3, "")
        actor, what, decision = decisions(home)[-1]
        assert (actor, what) == (operator, f"{command} {FOR} {case}")
        assert decision.startswith(f"refused: {why}")
    assert not (tmp_path / "out").exists()
    assert {one["purpose"] for one in audit.bodies(Layout(home))} == {"action"}


def test_the_role_is_the_persons(home: Path, tmp_path: Path) -> None:
    """An operator does not lend theirs, and a person does not get one that is somebody else's."""
    staff.put(Layout(home), staff.Member(actor="mo", roles=(Role.MANAGER, Role.AUDITOR)))
    for role, why in (
        ("data_engineer", "this account has no role"),
        ("hr", "this account has no role"),
        ("auditor", "auditor may not do `sheet`"),
    ):
        done = hand(home, "eddy", "sheet", FOR, "mo", "--role", role, to=tmp_path)
        assert done == (3, "")
        assert why in decisions(home)[-1][2]


def test_the_persons_purposes_reports_and_a_suspension_decide(
    published: Estate, tmp_path: Path
) -> None:
    home, to = published.home, tmp_path / "out"
    purpose = ("--purpose", "one_to_one")

    def refused() -> str:
        last = list(audit.bodies(published.layout))[-1]
        assert last["by"] == "eddy"
        return f"{last['actor']} {last['decision']}"

    assert act(home, "eddy", "show", "manager_extract", *purpose, FOR, "ana").returncode == 3
    assert refused() == "ana refused: analyst may not state the purpose one_to_one"
    staff.put(published.layout, staff.Member(actor="idle", roles=(Role.MANAGER,)))
    for command in HANDING:
        assert hand(home, "eddy", command, FOR, "idle", to=to)[0] == 3
        assert refused() == "idle refused: nobody reports to this actor"
    suspension.suspend(published.context, "a laptop", "dora", NOW)
    for command in HANDING:
        assert hand(home, "eddy", command, FOR, "max", to=to)[0] == 3
        assert refused().startswith("max refused: suspended")
    assert not to.exists()


@pytest.fixture
def stand(published: Estate) -> Context:
    return context(published.home)


def test_a_detail_is_shown_on_somebodys_behalf_by_a_sign_off_for_them_only(stand: Context) -> None:
    """Without one, whoever may act for others would read of everybody in the name of HR."""
    asked = replace(detail_ask(stand), by="eddy")
    with pytest.raises(AccessDenied, match="on somebody's behalf, hr_legal_detail requires"):
        service.read(stand, asked)
    raw = replace(asked, fields=tuple(RAW), sign_off=leave(stand))
    assert service.read(stand, raw).total
    assert (last := list(audit.bodies(stand.layout))[-1])["by"] == "eddy"
    assert last["actor"] == "hana"
    with pytest.raises(PolicyError, match="used before"):
        service.read(stand, raw)


def test_nobody_reads_of_themselves_or_by_their_own_signature_in_anothers_name(
    stand: Context,
) -> None:
    """Henry of HR acts for Hana: with a sign-off that he has signed, or to see his own records."""
    mine = (subject(stand, 6),)
    signed = leave(stand, people=mine)
    for asked, why in (
        (replace(detail_ask(stand), by="henry", sign_off=leave(stand)), "whoever hands it over"),
        (replace(detail_ask(stand, people=mine), by="henry", sign_off=signed), "your own records"),
    ):
        with pytest.raises(AccessDenied, match=why):
            service.read(stand, asked)

"""Each of these was possible once: by somebody whom nobody knows, or by one person alone.

The kind of fault: a command changed or handed out people's data and asked nobody. As commands,
since the guard is at their edge; the log has each refusal.
"""

from __future__ import annotations

import datetime as dt
import os
import pwd
from pathlib import Path

import pytest

from pipeline.access import (
    account,
    acting,
    appointments,
    approval,
    audit,
    go_live,
    review,
    staff,
)
from pipeline.access.account import actor as honest_actor
from pipeline.access.account import remark as honest_remark
from pipeline.access.actions import ActionDenied, Actor, Situation
from pipeline.cli import oversight
from pipeline.keys import signing
from pipeline.policy.access import Role
from pipeline.storage.layout import PROJECT, Layout
from pipeline.subjects import request_register
from pipeline.subjects.request_register import Kind, State
from tests.command import Done, milestones
from tests.estate import KEYS, context, sign_policy

TODAY = dt.date(2026, 11, 25)
PERSON = "emp:7700001"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A founded company without any delivery."""
    sign_policy(tmp_path / "home")
    return tmp_path / "home"


def act(home: Path, who: str, *arguments: str) -> Done:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILESTONES_ACTOR", who)
        return milestones(home, *arguments)


def decisions(home: Path) -> list[tuple[str, str, str]]:
    """Actor, action and decision of the log's entries about actions."""
    return [
        (one["actor"], " ".join(filter(None, (one["note"], one["case"]))), one["decision"])
        for one in audit.bodies(Layout(home))
        if one["purpose"] == "action"
    ]


def key_file(folder: Path, actor: str) -> Path:
    path = folder / f"{actor}.pem"
    path.write_text(signing.private_pem(KEYS[actor]))
    return path


@pytest.mark.parametrize("who", ["nobody", "ana", "eddy", "max"])
def test_a_stranger_gets_nobodys_package(home: Path, tmp_path: Path, who: str) -> None:
    made = request_register.receive(Layout(home), Kind.ACCESS, PERSON, TODAY, {})
    steps = {
        "receive": ("access", PERSON),
        "verify": (made.name,),
        "run": (made.name,),
        "package": (made.name, str(tmp_path / "out")),
    }
    for step, given in steps.items():
        done = act(home, who, "request", step, *given)
        assert done.returncode == 3, done.stderr
        at, note, decision = decisions(home)[-1]
        assert (at, note.split()[:2]) == (who, ["request", step])
        assert decision.startswith("refused: ")
    assert [one.state for one in request_register.every(Layout(home))] == [State.RECEIVED]
    assert not (tmp_path / "out").exists()


def test_one_person_does_not_verify_whom_they_have_received(home: Path) -> None:
    layout = Layout(home)
    made = request_register.receive(layout, Kind.ACCESS, PERSON, TODAY, {}, by="dora")
    assert act(home, "dora", "request", "verify", made.name).returncode == 3
    assert act(home, "hana", "request", "verify", made.name).returncode == 0
    assert request_register.read(layout, made.name).verified_by == "hana"
    assert decisions(home)[-1] == ("hana", f"request verify {made.name}", "allowed")


def test_a_verified_request_cannot_become_somebody_elses(home: Path) -> None:
    """Neither by who received it nor by who verified it: the other's identity was never checked."""
    layout = Layout(home)
    made = request_register.receive(layout, Kind.ACCESS, PERSON, TODAY, {}, by="dora")
    request_register.verify_identity(layout, made.name, "hana")
    changed = request_register.amend(layout, made.name, ("emp:7700002",), None, "hana")
    assert (changed.state, changed.verified_by) == (State.RECEIVED, None)
    for who in ("dora", "hana"):
        assert act(home, who, "request", "verify", made.name).returncode == 3
    assert act(home, "lea", "request", "verify", made.name).returncode == 0


@pytest.mark.parametrize("who", ["nobody", "ana", "eddy", "audrey", "hana"])
def test_nobody_makes_themselves_a_signer(home: Path, who: str) -> None:
    before = staff.everyone(Layout(home))
    for roles in (["hr"], ["legal"], ["dpo"], ["analyst"]):
        flags = [flag for role in roles for flag in ("--role", role)]
        assert act(home, who, "staff", "put", who, *flags).returncode == 3
    assert staff.everyone(Layout(home)) == before


def test_a_role_that_opens_signs_or_oversees_waits_for_another(home: Path) -> None:
    layout = Layout(home)
    for role in ("hr", "legal", "dpo", "auditor", "data_engineer"):
        done = act(home, "hana", "staff", "put", "eve", "--role", role)
        assert done.returncode == 0, done.stderr
        assert "waits for somebody else" in done.stderr
        assert "eve" not in staff.everyone(layout)
        for who in ("hana", "eve", "eddy", "nobody"):
            assert act(home, who, "staff", "confirm", "eve").returncode == 3
    assert act(home, "dora", "staff", "confirm", "eve").returncode == 0
    assert staff.everyone(layout)["eve"].roles == (Role.DATA_ENGINEER,)
    assert act(home, "dora", "staff", "confirm", "eve").returncode == 2, "nothing waits any more"
    assert act(home, "hana", "staff", "put", "ann", "--role", "analyst").returncode == 0
    assert staff.everyone(layout)["ann"].roles == (Role.ANALYST,)


def test_who_has_left_has_agreed_to_nothing(home: Path) -> None:
    assert act(home, "henry", "staff", "put", "eve", "--role", "hr").returncode == 0
    assert act(home, "dora", "staff", "remove", "henry").returncode == 0
    assert act(home, "dora", "staff", "confirm", "eve").returncode == 3
    assert act(home, "dora", "staff", "remove", "ana").returncode == 0
    assert act(home, "hana", "staff", "put", "ana", "--role", "dpo").returncode == 0
    staff.put(Layout(home), staff.Member(actor="ana", roles=(Role.ANALYST,)))
    assert act(home, "dora", "staff", "remove", "ana").returncode == 0
    assert act(home, "dora", "staff", "confirm", "ana").returncode == 2


def test_a_fresh_signer_waits_or_is_confirmed(home: Path, tmp_path: Path) -> None:
    layout = Layout(home)
    staff.put(layout, staff.Member(actor="luc", roles=(Role.LEGAL,)))
    file = tmp_path / "luc.pem"
    assert milestones(home, "staff", "new-key", str(file)).returncode != 0, "it has no --home"
    public = audit.new_key_pair(file)
    (tmp_path / "luc.pub").write_text(public)
    done = act(home, "luc", "staff", "key", str(tmp_path / "luc.pub"))
    assert done.returncode == 0, done.stderr
    assert staff.everyone(layout)["luc"].key is None, "it waits"
    stored = staff.stored(layout, "luc")
    assert stored is not None
    assert stored.counts_from is not None
    assert stored.counts_from > dt.datetime.now(dt.UTC) + dt.timedelta(hours=47)
    mine = act(home, "luc", "staff", "confirm", "luc", "--key", str(file))
    assert mine.returncode == 3
    lea = key_file(tmp_path, "lea")
    assert act(home, "lea", "staff", "confirm", "luc", "--key", str(lea)).returncode == 0
    assert staff.everyone(layout)["luc"].key == public
    staff.put(layout, stored.model_copy(update={"counts_from": dt.datetime.now(dt.UTC)}))
    assert staff.everyone(layout)["luc"].key == public, "the wait is over"


def test_a_review_shows_new_staff_and_what_they_did(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    act(home, "hana", "staff", "put", "eve", "--role", "hr")
    act(home, "dora", "staff", "confirm", "eve")
    audit.new_key_pair(tmp_path / "eve.pem")
    public = signing.public_pem(signing.load_private_key((tmp_path / "eve.pem").read_bytes()))
    (tmp_path / "eve.pub").write_text(public)
    act(home, "eve", "staff", "key", str(tmp_path / "eve.pub"))
    act(home, "eve", "request", "list")
    act(home, "eve", "erase")
    start = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    found = review.review(context(home), start, later)
    (new,) = found.new_staff
    assert (new.actor, new.by, new.has_new_key) == ("eve", ("dora", "hana"), True)
    assert new.did == {"staff key": 1, "governance": 1, "request list": 1, "erase (refused)": 1}
    oversight.review(found)
    assert "eve, by dora and hana, has a new key" in " ".join(capsys.readouterr().err.split())


def test_one_person_does_not_sign_as_two(home: Path) -> None:
    """Neither with one key under two names, nor as one person under two names."""
    layout, rules = Layout(home), context(home).access
    mine = signing.public_pem(KEYS["lea"])
    staff.put(layout, staff.Member(actor="lea2", roles=(Role.HR,), key=mine))
    assert approval.missing(layout, rules, context(home).version)
    staff.remove(layout, "lea2")
    assert not approval.missing(layout, rules, context(home).version)
    person = staff.everyone(layout)["lea"].person
    other = signing.public_pem(KEYS["henry"])
    staff.put(layout, staff.Member(actor="lea2", roles=(Role.HR,), key=other, person=person))
    assert {"lea", "lea2", "henry"}.isdisjoint(
        actor for actor, one in staff.everyone(layout).items() if one.key
    )


def test_the_same_key_or_person_is_not_put_twice(home: Path, tmp_path: Path) -> None:
    public = tmp_path / "lea.pub"
    public.write_text(signing.public_pem(KEYS["lea"]))
    as_other = ("staff", "put", "eve", "--role", "hr")
    assert act(home, "dora", *as_other, "--key", str(public)).returncode == 3
    person = staff.everyone(Layout(home))["lea"].person
    assert act(home, "dora", *as_other, "--person", str(person)).returncode == 3
    assert not appointments.waiting(Layout(home))


def test_another_key_or_person_of_a_signer_waits_for_another(home: Path, tmp_path: Path) -> None:
    """Whoever alone could give legal a key of their own would sign as legal."""
    layout, own = Layout(home), tmp_path / "own.pub"
    own.write_text(audit.new_key_pair(tmp_path / "own.pem"))
    before = staff.everyone(layout)["lea"]
    for changed in (("--key", str(own)), ("--person", "emp:7700099")):
        done = act(home, "hana", "staff", "put", "lea", "--role", "legal", *changed)
        assert (done.returncode, "waits for somebody else" in done.stderr) == (0, True)
        assert staff.everyone(layout)["lea"] == before
    assert act(home, "hana", "staff", "confirm", "lea").returncode == 3
    assert staff.everyone(layout)["lea"] == before


def test_what_is_confirmed_is_what_was_looked_at(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An appointment that is replaced while somebody confirms it is not given unseen."""
    honest = appointments.require_one_person

    def meanwhile(layout: Layout, member: staff.Member) -> None:
        monkeypatch.setattr(appointments, "require_one_person", honest)
        assert act(home, "hana", "staff", "put", "eve", "--role", "legal").returncode == 0
        honest(layout, member)

    assert act(home, "hana", "staff", "put", "eve", "--role", "auditor").returncode == 0
    monkeypatch.setattr(appointments, "require_one_person", meanwhile)
    done = act(home, "dora", "staff", "confirm", "eve")
    assert (done.returncode, "has changed; look at it again" in done.stderr) == (3, True)
    assert "eve" not in staff.everyone(Layout(home))
    assert appointments.waiting(Layout(home))["eve"].member.roles == (Role.LEGAL,)


@pytest.mark.parametrize("who", ["max", "ana", "eddy", "hana", "lea", "nobody"])
def test_only_the_dpo_ends_a_suspension(home: Path, who: str) -> None:
    assert act(home, "dora", "incident", "suspend", "--because", "a laptop").returncode == 0
    assert act(home, who, "incident", "resume").returncode == 3
    assert acting.suspension_file(Layout(home)).exists()


def test_rules_of_ones_own_count_for_nothing(home: Path, tmp_path: Path) -> None:
    """Whoever brings policy files that nobody signed is judged by the signed ones."""
    for path in PROJECT.glob("*.yaml"):
        text = path.read_text().replace("roles: [dpo]}", "roles: [dpo, analyst]}")
        (tmp_path / path.name).write_text(text)
    assert act(home, "dora", "incident", "suspend", "--because", "a laptop").returncode == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILESTONES_POLICY", str(tmp_path))
        assert act(home, "ana", "incident", "resume").returncode == 3


def test_a_staff_list_that_was_removed_makes_nobody_a_founder(home: Path, tmp_path: Path) -> None:
    act(home, "nobody", "plan")
    staff.path(Layout(home)).unlink()
    assert act(home, "nobody", "rehearse").returncode == 3
    who = {"--legal": "eve", "--hr": "eva", "--dpo": "eve", "--engineer": "eve", "--company": "C"}
    founders = [word for flag in who.items() for word in flag]
    done = milestones(home, "init", str(tmp_path / "policy"), *founders)
    assert done.returncode == 2
    assert "or had one" in done.stderr


def test_a_command_that_nobody_may_in_an_empty_folder_leaves_nothing(tmp_path: Path) -> None:
    for command in ("plan", "backup", "run"):
        assert act(tmp_path / "home", "nobody", command).returncode == 3
    assert not (tmp_path / "home" / "vault").exists()


def test_the_actor_is_the_account_and_no_variable(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = pwd.getpwuid(os.getuid()).pw_name
    for name in ("MILESTONES_ACTOR", "LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "hana")
    monkeypatch.setattr(account, "_login", lambda: None)
    assert account.account() == mine
    assert honest_actor(Layout(home)) == mine
    assert "demo's folder only" in str(honest_remark(Layout(home)))
    (Layout(home).vault / account.DEMO_KEYS).mkdir()
    assert honest_actor(Layout(home)) == mine, "made-up people and real ones are no demo"


def test_who_logged_in_stays_who_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Under `sudo -u`, the kernel still knows the account that logged in; a service has none."""
    file = tmp_path / "loginuid"
    monkeypatch.setattr(account, "LOGIN", file)
    for text, expected in (("4294967295", None), ("0", None), ("x", None), ("1000\n", 1000)):
        file.write_text(text)
        assert account._login() == expected
    assert account._named(2**31 - 5) == f"uid-{2**31 - 5}"
    file.unlink()
    assert account._login() is None


def test_in_the_demos_folder_anybody_is_whoever_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    (layout.vault / account.DEMO_KEYS).mkdir(parents=True)
    monkeypatch.setenv("MILESTONES_ACTOR", "demo-hr")
    assert honest_actor(layout) != "demo-hr", "nobody works here yet"
    staff.put(layout, staff.Member(actor="demo-hr", roles=(Role.HR,)))
    assert honest_actor(layout) == "demo-hr"
    assert "MILESTONES_ACTOR says so" in str(honest_remark(layout))
    monkeypatch.delenv("MILESTONES_ACTOR")
    assert honest_actor(layout) == account.account()
    assert "such as demo-hr" in str(honest_remark(layout))


def test_the_service_is_nobody_on_the_staff_list(home: Path) -> None:
    assert act(home, "milestones", "delivery", "list").returncode == 0
    for command in (["request", "list"], ["staff", "list"], ["keys", "rotate"]):
        assert act(home, "milestones", *command).returncode == 3
    put = act(home, "hana", "staff", "put", "milestones", "--role", "analyst")
    assert put.returncode == 3
    assert decisions(home)[0] == ("milestones", "delivery list", "allowed")


def test_what_is_allowed_is_written_down_before_it_begins(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("cut off")

    monkeypatch.setattr(request_register, "verify_identity", broken)
    made = request_register.receive(Layout(home), Kind.ACCESS, PERSON, TODAY, {}, by="dora")
    with pytest.raises(OSError, match="cut off"):
        act(home, "hana", "request", "verify", made.name)
    assert decisions(home)[-1] == ("hana", f"request verify {made.name}", "allowed")
    monkeypatch.setattr(audit, "note_action", broken)
    with pytest.raises(OSError, match="cut off"):
        act(home, "dora", "keys", "rotate")
    assert Layout(home).key_ring.exists() is False


def test_a_desk_asks_the_same_decision(home: Path) -> None:
    """Any edge that has authenticated somebody: the actor is an argument."""
    desk = Actor.of("hana", staff.find(Layout(home), "hana"))
    acting.require(context(home), desk, "request verify", Situation(earlier={}), case="r-1")
    with pytest.raises(ActionDenied, match="may not do `erase`"):
        acting.require(context(home), desk, "erase")
    assert decisions(home)[-1] == ("hana", "erase", "refused: hr may not do `erase`")
    assert go_live.is_live(Layout(home), context(home).access)

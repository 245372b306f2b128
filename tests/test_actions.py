"""May this person do that? The decision as a table that people wrote, and every command asks it.

Role × action first; then what others have to have agreed to, who did the steps before, and the
state of the data folder.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import typer.main

from pipeline.access.actions import Actor, Situation, decide
from pipeline.cli import guard
from pipeline.cli.app import app
from pipeline.definitions import defs
from pipeline.errors import PolicyError
from pipeline.policy import open_actions
from pipeline.policy.access import AccessRules, Role, load_access
from pipeline.policy.open_actions import BY_OPTION, OPEN, WITHIN
from pipeline.storage.layout import PROJECT

RULES = load_access(PROJECT / "access_rules.yaml")
WHO = {
    "an": Role.ANALYST,
    "ma": Role.MANAGER,
    "hr": Role.HR,
    "le": Role.LEGAL,
    "au": Role.AUDITOR,
    "en": Role.DATA_ENGINEER,
    "dp": Role.DPO,
}
# Who may, where nothing else stands against it. `se` is the service; `no` is on no staff list.
TABLE = """
                        an  ma  hr  le  au  en  dp  se  no
job nightly             .   .   .   .   .   .   .   x   .
job retention           .   .   .   .   .   .   .   x   .
job pull                .   .   .   .   .   .   .   x   .
sources add             .   .   .   .   .   x   .   .   .
rehearse                .   .   x   x   .   x   x   .   .
run                     .   .   .   .   .   x   .   x   .
backfill                .   .   .   .   .   x   .   x   .
pull                    .   .   .   .   .   x   .   x   .
delivery list           .   .   .   .   x   x   x   x   .
delivery show           .   .   .   .   x   x   x   .   .
delivery withdraw       .   .   .   .   .   x   .   .   .
delivery allow          .   .   .   .   .   x   .   .   .
quarantine              .   .   .   .   .   x   x   .   .
quarantine --export     .   .   .   .   .   x   .   .   .
show                    x   x   x   x   .   .   x   .   .
receive                 x   x   x   x   .   .   x   .   .
sheet                   .   x   .   .   .   .   .   .   .
show --for              .   .   .   .   .   x   .   .   .
receive --for           .   .   .   .   .   x   .   .   .
sheet --for             .   .   .   .   .   x   .   .   .
sign-off                .   .   x   .   .   .   .   .   .
people find             .   .   x   .   .   .   x   .   .
people unresolved       .   .   x   .   .   .   x   .   .
risk                    x   x   x   x   x   x   x   .   .
documents               x   x   x   x   x   x   x   .   .
may-share               x   x   x   x   x   x   x   .   .
history list            x   x   x   x   x   x   x   .   .
request receive         .   .   x   x   .   .   x   .   .
request amend           .   .   x   x   .   .   x   .   .
request withdraw        .   .   x   x   .   .   x   .   .
request verify          .   .   x   x   .   .   x   .   .
request extend          .   .   x   x   .   .   x   .   .
request refuse          .   .   x   x   .   .   x   .   .
request run             .   .   x   x   .   .   x   .   .
request package         .   .   x   x   .   .   x   .   .
request lift            .   .   x   x   .   .   x   .   .
request consent         .   .   x   x   .   .   x   .   .
request list            .   .   x   x   x   .   x   .   .
plan                    .   .   x   x   x   x   x   x   .
erase                   .   .   .   .   .   x   x   x   .
receipt                 .   .   x   x   x   x   x   x   .
hold place              .   .   x   x   .   .   .   .   .
hold lift               .   .   .   x   .   .   .   .   .
hold list               .   .   x   x   x   x   x   .   .
policy diff             .   .   x   x   .   x   x   .   .
policy pilot            .   .   x   x   .   x   .   .   .
policy sign             .   .   x   x   .   .   .   .   .
go-live --role          .   .   x   x   .   .   .   .   .
courses review          .   .   x   x   .   x   x   .   .
courses list            .   .   x   x   .   x   x   .   .
courses decide          .   .   .   x   .   .   .   .   .
courses confirm         .   .   .   x   .   .   .   .   .
history correct         .   .   .   x   .   .   .   .   .
staff put               .   .   x   x   .   .   x   .   .
staff confirm           .   .   x   x   .   .   x   .   .
staff key               x   x   x   x   x   x   x   .   .
staff managers          .   .   x   x   x   x   x   .   .
staff managers --key    .   .   x   .   .   .   .   .   .
staff remove            .   .   x   x   .   .   x   .   .
staff list              .   .   x   x   x   x   x   .   .
access review           .   .   .   .   x   .   x   .   .
incident scope          .   .   .   .   x   .   x   .   .
incident suspend        .   .   x   x   .   x   x   .   .
incident resume         .   .   .   .   .   .   x   .   .
backup                  .   .   .   .   .   x   .   x   .
restore                 .   .   .   .   .   x   .   .   .
recover                 .   .   .   .   .   x   x   .   .
recover --accept-loss   .   .   .   x   .   .   x   .   .
keys rotate             .   .   .   .   .   x   x   .   .
keys storage            .   .   .   .   .   x   .   .   .
"""
HEAD, *LINES = (line for line in TABLE.splitlines() if line.strip())
COLUMNS = HEAD.split()
EXPECTED = {line[:24].strip(): dict(zip(COLUMNS, line[24:].split(), strict=True)) for line in LINES}
STOPPED = {  # during a suspension
    *("quarantine --export", "sign-off", "people find", "people unresolved"),
    *("request package", "policy pilot"),
}
BEFORE_STAFF = {"sources add", "rehearse", "restore"}


def who(column: str, name: str = "pat") -> Actor:
    if column == "se":
        return Actor("milestones", is_service=True)
    return Actor(name, frozenset({WHO[column]} if column in WHO else ()))


def may(action: str, column: str, **situation: Any) -> bool:
    return decide(RULES, action, who(column), Situation(**situation)) is None


def commands() -> set[str]:
    return {name for name, _ in guard.commands(app)}


def test_every_command_and_job_has_a_rule_or_is_open_with_a_reason() -> None:
    """A command that nobody thought of is refused; this says so before somebody meets it."""
    jobs = {f"job {job.name}" for job in defs.resolve_all_job_defs() if job.name[0] != "_"}
    jobs |= {"job pull"}  # only where the data map pulls
    assert commands() - set(OPEN) - set(RULES.actions) == set()
    assert jobs - set(RULES.actions) == set()
    assert set(BY_OPTION) <= set(RULES.actions)
    assert all(OPEN.values())
    # And no rule is about something that is not there, or that is open anyway.
    assert set(RULES.actions) == (commands() - set(OPEN)) | jobs | set(BY_OPTION) | set(WITHIN)


def test_every_command_is_guarded() -> None:
    """Wrapped by the guard, whatever module it is in."""
    callbacks = [one.callback for _, one in guard.commands(app)]
    assert all(hasattr(one, "__wrapped__") for one in callbacks)


@pytest.mark.parametrize("action", sorted(set(RULES.actions) - set(WITHIN)))
def test_roles(action: str) -> None:
    found = {column: "x" if may(action, column) else "." for column in COLUMNS}
    assert found == EXPECTED[action]


@pytest.mark.parametrize("action", sorted(set(RULES.actions) - set(WITHIN)))
def test_states(action: str) -> None:
    """A suspension stops what reads or hands over, and nothing else; where nobody works yet, there
    is only what makes a beginning."""
    for column in COLUMNS:
        may_now = EXPECTED[action][column] == "x"
        assert may(action, column, suspended=True) == (may_now and action not in STOPPED)
        assert may(action, column, founded=False) == (action in BEFORE_STAFF)


def test_what_no_rule_lists_is_nobodys() -> None:
    everything = frozenset(Role)
    for action in ("", "request", "request  run", "REQUEST RUN", "run --date", "job __ASSET_JOB"):
        assert decide(RULES, action, Actor("pat", everything)) is not None
        assert decide(RULES, action, Actor("milestones", everything, is_service=True)) is not None
    nothing = RULES.model_copy(update={"actions": {}})
    for action in RULES.actions:
        assert decide(nothing, action, Actor("pat", everything)) is not None


@pytest.mark.parametrize(
    ("agreed", "allowed"),
    [
        ({}, False),
        ({"pat": ["hr"]}, False),  # oneself
        ({"eve": ["hr"]}, False),  # whoever it is about
        ({"ann": ["analyst", "manager", "auditor"]}, False),
        ({"ann": []}, False),
        ({"lea": ["legal"]}, True),
        ({"dora": ["dpo", "analyst"]}, True),
        ({"pat": ["legal"], "hana": ["hr"]}, True),
    ],
)
@pytest.mark.parametrize("column", ["hr", "le", "dp", "en", "an", "no"])
def test_roles_that_open_sign_or_oversee_are_given_by_two(
    column: str, agreed: dict[str, list[str]], allowed: bool
) -> None:
    given = {name: frozenset(map(Role, roles)) for name, roles in agreed.items()}
    expected = allowed and column in ("hr", "le", "dp")
    assert may("staff appoint", column, about="eve", agreed=given) == expected
    assert not may("staff appoint", column, about="pat", agreed=given), "nobody raises their own"


@pytest.mark.parametrize(
    ("earlier", "allowed"),
    [
        ({}, True),
        ({"request receive": "pat"}, False),
        ({"request receive": "lea"}, True),
        ({"request receive": "lea", "request amend": "pat"}, False),
        ({"request receive": "lea", "request amend": "hana"}, True),
    ],
)
def test_who_verifies_neither_received_nor_named_the_person(
    earlier: dict[str, str], allowed: bool
) -> None:
    for column in ("hr", "le", "dp"):
        assert may("request verify", column, earlier=earlier) == allowed
    assert not may("request verify", "en", earlier=earlier)


@pytest.mark.parametrize("action", ["staff put", "staff confirm", "staff appoint"])
def test_nobody_changes_their_own_roles(action: str) -> None:
    agreed = {"lea": frozenset({Role.LEGAL}), "dora": frozenset({Role.DPO})}
    for column in COLUMNS:
        assert not may(action, column, about="pat", agreed=agreed)


def test_an_option_makes_a_command_another_action() -> None:
    assert open_actions.actions_of("go-live", []) == []
    assert open_actions.actions_of("go-live", ["--role", "--key"]) == ["go-live --role"]
    assert open_actions.actions_of("recover", ["--accept-loss"]) == ["recover --accept-loss"]
    assert open_actions.actions_of("quarantine", ["--date"]) == ["quarantine"]
    assert open_actions.actions_of("status", ["--max-age"]) == []


def flags(group: Any, before: str = "") -> dict[str, set[str]]:
    """What the command line itself calls the options of every command."""
    found: dict[str, set[str]] = {}
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            found |= flags(one, f"{before}{name} ")
        else:
            of_ours = [p for p in one.params if p.param_type_name == "option" and p.name != "help"]
            found[before + name] = {opt for p in of_ours for opt in p.opts}
    return found


def test_options_are_called_as_on_the_command_line() -> None:
    """One that makes a command another action would not be seen, and the weaker rule decide."""
    known = flags(typer.main.get_command(app))
    for name, one in guard.commands(app):
        assert one.callback is not None
        everything = dict.fromkeys(inspect.signature(one.callback).parameters, "given")
        assert set(guard.options(one.callback, everything)) == known[name], name
    assert {one for one in BY_OPTION} <= {f"{name} {one}" for name in known for one in known[name]}


def test_what_is_written_down_of_an_actor_is_a_name() -> None:
    assert Actor("lea").shown == "lea"
    assert Actor("Quentin Zzyzx").shown == "(unfit)"


def without(rules: AccessRules, **changes: object) -> AccessRules:
    return rules.model_copy(update=changes)


def test_rules_that_give_power_to_one_are_refused() -> None:
    from pipeline.policy import access

    hr = RULES.roles[Role.HR].model_copy(update={"given_by": 1})
    with pytest.raises(PolicyError, match="given_by"):
        access._require_two(without(RULES, roles=RULES.roles | {Role.HR: hr}))
    verify = RULES.actions["request verify"].model_copy(update={"apart": ("request reciev",)})
    with pytest.raises(PolicyError, match="no action"):
        access._require_two(without(RULES, actions=RULES.actions | {"request verify": verify}))

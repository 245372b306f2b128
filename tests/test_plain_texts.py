"""Texts that people write into the access log or a register say why, and name nobody.

The kind of fault: a reason or a name is written down as it was typed, and the log or the register
becomes a second place of raw values, which no erasure finds.
"""

from __future__ import annotations

import inspect
import typing
from dataclasses import replace
from pathlib import Path

import pytest
from typer.models import OptionInfo

from pipeline.access import audit
from pipeline.access.actions import Situation, decide
from pipeline.cli import guard
from pipeline.cli.app import app
from pipeline.cli.shared import PLAIN
from pipeline.context import Context
from pipeline.keys import signing
from pipeline.read import notes
from pipeline.retained.journal import fresh_name
from pipeline.storage.layout import Layout
from tests.company import EMAIL, NAME, NUMBER
from tests.estate import KEYS, context, sign_policy
from tests.fixtures import Estate
from tests.test_actions import RULES, who
from tests.test_attacks import act, decisions

# Every text that a command takes and that is no free text, with the reason.
NO_FREE_TEXT = {
    "dates, and nothing else is one": [
        *(f"{one} --date" for one in ("demo", "generate", "check", "rehearse", "run")),
        *("quarantine --date", "delivery show DAY", "delivery withdraw DAY", "delivery allow DAY"),
        *("backfill --from", "backfill --to", "history correct PERIOD", "access review --since"),
        *("incident scope --since", "incident scope --until", "incident scope --known"),
        "hold place --review-by",
    ],
    "chosen from a list, and nothing else is": [
        *(f"{one} --role" for one in ("show", "receive", "sheet", "quarantine", "policy sign")),
        *(f"{one} --role" for one in ("delivery withdraw", "delivery allow", "may-share")),
        *(f"{one} --role" for one in ("people find", "people unresolved", "access review")),
        *(f"{one} --role" for one in ("incident scope", "staff put", "go-live")),
        *("sheet --format", "sheet --language", "request receive KIND", "request lift KIND"),
        *("courses decide VERDICT", "courses decide --category"),
    ],
    "of policy: a table, a column, a purpose, a recipient": [
        *("show TABLE", "sign-off TABLE", "may-share TABLE", "incident scope --table"),
        *("show --field", "sign-off --field", "may-share --recipient"),
        *(f"{one} --purpose" for one in ("show", "receive", "sign-off", "may-share")),
        *("request receive --purpose", "request amend --purpose", "request consent PURPOSE"),
    ],
    "of the staff list": [
        *("show --for", "receive --for", "sheet --for", "sign-off ASKER", "policy pilot --actor"),
        *("staff put ACTOR", "staff confirm ACTOR", "staff remove ACTOR", "incident scope --actor"),
    ],
    "a name that the project gave, or that is in the register by now": [
        "receipt NAME",
        "hold lift NAME",
        *(f"request {one} NAME" for one in ("amend", "withdraw", "verify", "extend", "refuse")),
        *("request run NAME", "request package NAME"),
    ],
    "a person by their identifier, which the vault has and no log": [
        *("show --person", "sheet --person", "sign-off --person", "staff put --person"),
        *("people find TEXT", "request receive WHO", "request amend WHO", "request lift WHO"),
        *("request consent WHO", "hold place --person", "request consent --person"),
        *(f"request {one} --person" for one in ("receive", "amend", "lift")),
    ],
    "values of a record, which belong into it": ["request receive --set", "request amend --set"],
    "codes of the store": [
        *(f"hold place --{one}" for one in ("course", "record", "region", "source")),
        "courses decide SCOPE",
    ],
    "who is responsible, which is a person": ["hold place --owner"],
    "of a company that begins": [
        *(f"init --{one}" for one in ("company", "home-page", "country", "zone", "source")),
        *(f"init --{one}" for one in ("legal", "hr", "dpo", "engineer")),
    ],
    "for a draft that its reader goes on writing": [
        *("incident scope --nature", "incident scope --measures"),
    ],
    "checked by the read service, whose entry has them": ["show --note", "sheet --note"],
}
# Every free text, in a command that its actor may do.
DAY, REQUEST = "2026-11-08", "20261125-access-0a1b2c"
HOLD = ("--owner", "legal", "--review-by", "2027-01-01")
FREE = {
    "delivery withdraw --because": ("eddy", DAY, "--because", "{text}"),
    "delivery allow --because": ("eddy", DAY, "--because", "{text}"),
    "go-live --because": ("lea", "--role", "legal", "--withdraw", "--because", "{text}"),
    "courses decide --because": ("lea", "*", "ordinary", "--key", "k", "--because", "{text}"),
    "history correct --because": ("lea", "2026-10-01", "--key", "k", "--because", "{text}"),
    "access review --finding": ("audrey", "--finding", "{text}"),
    "incident suspend --because": ("dora", "--because", "{text}"),
    "request extend --because": ("hana", REQUEST, "--because", "{text}"),
    "request refuse --because": ("hana", REQUEST, "--because", "{text}"),
    "hold place NAME": ("lea", "{text}", "--reason", "a claim", *HOLD),
    "hold place --reason": ("lea", "case-7", "--reason", "{text}", *HOLD),
    "recover --accept-loss": ("dora", "--accept-loss", "{text}"),
}


def texts() -> dict[str, bool]:
    """Every text that a command takes, and whether the guard checks it."""
    found = {}
    for command, one in guard.commands(app):
        assert one.callback is not None
        for name, given in inspect.signature(one.callback, eval_str=True).parameters.items():
            marks = getattr(given.annotation, "__metadata__", ())
            kind = typing.get_args(given.annotation)[0] if marks else given.annotation
            if str in (kind, *typing.get_args(kind)) or list[str] in (kind, *typing.get_args(kind)):
                option = next((mark for mark in marks if isinstance(mark, OptionInfo)), None)
                called = guard._flags(name, option)[0] if option else name.upper()
                found[f"{command} {called}"] = PLAIN in marks
    return found


def test_every_text_is_checked_or_is_no_free_text_for_a_reason() -> None:
    """A new one fails here until it is marked PLAIN, or stands above with the reason why not."""
    others = [one for names in NO_FREE_TEXT.values() for one in names]
    assert len(set(others)) == len(others)
    assert {name for name, checked in texts().items() if checked} == set(FREE)
    assert {name for name, checked in texts().items() if not checked} == set(others)


def test_a_text_that_names_somebody_stops_what_it_is_the_reason_of(published: Estate) -> None:
    """Before anything is done, and by no words of theirs in the log or on the screen."""
    home = published.home
    for called, (actor, *given) in FREE.items():
        command, name = called.rsplit(" ", 1)
        arguments = [one.format(text="asked for by Zzyzx") for one in given]
        done = act(home, actor, *command.split(), *arguments)
        assert done.returncode == 3, (called, done)
        at, what, decision = decisions(home)[-1]
        assert (at, what.startswith(command)) == (actor, True)
        assert decision.startswith(f"refused: {name} identifies a person: word 4 is part of")
        assert "zzyzx" not in (done.stdout + done.stderr).lower()
    entries = list(audit.bodies(published.layout))
    assert "zzyzx" not in str(entries).lower()
    assert not any(one["decision"] in ("changed", "allowed") for one in entries)


def test_who_may_not_do_it_does_not_hear_whom_a_text_names() -> None:
    """A refusal says nothing of the text to whoever has no right to the action: it would be a way
    to ask who is known."""
    for column in ("an", "ma", "no"):
        why = decide(RULES, "incident suspend", who(column), Situation(unfit="word 1 is a name"))
        assert "word 1" not in str(why)
    assert decide(RULES, "incident suspend", who("dp"), Situation(unfit="word 1")) == "word 1"


@pytest.fixture
def stand(published: Estate) -> Context:
    return context(published.home)


def test_what_a_text_needs_to_say_it_may_say(stand: Context) -> None:
    plain = (
        "",
        "the export of 2026-10-31 was incomplete, the one of 2.11.2026 is not",
        "case 2026-17, works council informed on 31. 10. 2026",
        "from 2026-10-01 to 2026-10-31: 412 rows of SEC-101 too many",
        "ticket 8841, see DPO's decision of 1.1.2027",
    )
    for text in plain:
        assert notes.objection(stand, text) is None, text
    naming = (
        *(NAME, NAME.upper(), f"for {NAME.split()[1]}'s sake", "zzyzx,quentin", "Qu\u00ebntin"),
        *(EMAIL, "quentin.zzyzx", NUMBER, NUMBER[:5], f"no. {NUMBER[:3]} {NUMBER[3:]}"),
        *("emp:1", f"2026-10-31{NUMBER}", "7700-00-01", "77.00.2001", f"on 2026-10-31 {NUMBER}"),
    )
    for text in naming:
        why = notes.objection(stand, text, "--because")
        assert str(why).startswith("--because identifies a person"), text
        assert not any(part.lower() in str(why).lower() for part in text.split() if len(part) > 3)


def test_nobody_allows_themselves_a_word(stand: Context) -> None:
    """`ordinary_words` count as legal and HR have signed them."""
    allowing = stand.access.model_copy(update={"ordinary_words": ("zzyzx",)})
    own = replace(stand, access=allowing, version="unsigned")
    assert notes.objection(own, "about Zzyzx") is not None


def test_an_argument_is_written_down_only_in_a_form_that_names_nobody(tmp_path: Path) -> None:
    """Somebody types a person where a request, a day or a table is meant."""
    home = tmp_path / "home"
    sign_policy(home)
    here = context(home)
    for text in ("quentin", NUMBER, NAME, "7700001-quentin-zzyzx", EMAIL, "../quentin", ""):
        for command, name in (
            *(("request verify", "name"), ("receipt", "name"), ("delivery show", "day")),
            *(("quarantine", "day"), ("history correct", "period"), ("show", "table")),
        ):
            assert guard._case(here, command, {name: text}) == "(unfit)"
        assert guard._case(here, "hold lift", {"name": text}) is None
    for name, text in (
        *(("name", REQUEST), ("name", fresh_name()), ("day", DAY), ("period", "2026-10-01")),
        *(("table", "hr_legal_detail"), ("actor", "quentin.m")),
    ):
        assert guard._case(here, "any", {name: text}) == text
    out = str(tmp_path / "out")
    assert act(home, "eddy", "quarantine", "--date", NAME, "--export", out).returncode == 2
    assert act(home, "nobody", "request", "verify", "quentin").returncode == 3
    assert decisions(home)[-1][:2] == ("nobody", "request verify (unfit)")
    assert "quentin" not in str(list(audit.bodies(Layout(home)))).lower()


def test_a_sign_off_is_for_somebody_who_may_read_and_for_columns(
    published: Estate, tmp_path: Path
) -> None:
    """Its asker and its fields are written into the log."""
    key = tmp_path / "key.pem"
    key.write_text(signing.private_pem(KEYS["henry"]))
    for asker, field in (("quentin", "score"), (NAME, "score"), ("hana", NAME), ("hana", "text")):
        to = ("--person", "emp:7700002", "--purpose", "misconduct_case", "--key", str(key))
        given = (asker, "hr_legal_detail", str(tmp_path / "out"), "--field", field, *to)
        assert act(published.home, "henry", "sign-off", *given).returncode == 2
    assert not (tmp_path / "out").exists()
    assert "quentin" not in str(list(audit.bodies(published.layout))).lower()

"""A company with a past: what the tests of retention and erasure work on."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from assets.resources import Store
from pipeline.access import approval, courses, go_live, staff
from pipeline.classified import run_snapshot
from pipeline.context import Context
from pipeline.keys import signing
from pipeline.policy.access import Role, load_access
from pipeline.policy.version import FILES, version
from pipeline.raw import register
from pipeline.raw.deliveries import ingest
from pipeline.retained import index
from pipeline.storage.layout import PROJECT, Layout
from pipeline.subjects import legal_holds
from tests.company import company, number, record

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
OLD = "2023-11-10"  # of a milestone flag, due since 2026-11-11
# Who works there: actor, role, the actor's own identifier. Manager 900 has Sales, 901 has Legal.
STAFF = {
    "ana": (Role.ANALYST, None),
    "max": (Role.MANAGER, 900),
    "mia": (Role.MANAGER, 901),
    "idle": (Role.MANAGER, 3),
    "hana": (Role.HR, 5),
    "henry": (Role.HR, 6),
    "lea": (Role.LEGAL, 7),
    "audrey": (Role.AUDITOR, None),
    "eddy": (Role.DATA_ENGINEER, None),
    "dora": (Role.DPO, None),
}
# The same in every process: what one has signed, another reads.
KEYS = {
    actor: Ed25519PrivateKey.from_private_bytes(hashlib.sha256(actor.encode()).digest())
    for actor in ("hana", "henry", "lea")
}
BEFORE = dt.datetime(2026, 11, 8, tzinfo=dt.UTC)  # when it was not due, nor soon to be


def context(home: Path) -> Context:
    return Store(home=str(home)).context


def hold(**scope: Any) -> legal_holds.Hold:
    return legal_holds.Hold.model_validate(
        {
            "name": "case-7",
            "reason": "claim",
            "owner": "legal",
            "placed_on": NOW.date(),
            "review_by": dt.date(2027, 1, 1),
            **scope,
        }
    )


def members() -> dict[str, staff.Member]:
    """The company's staff."""
    return {
        actor: staff.Member(
            actor=actor,
            roles=(role,),
            person=at and f"emp:{number(at)}",
            key=signing.public_pem(KEYS[actor]) if actor in KEYS else None,
        )
        for actor, (role, at) in STAFF.items()
    }


def sign_policy(home: Path, folder: Path = PROJECT, *, live: bool = True) -> None:
    """The company's staff; its legal and HR sign the policy files as they are, and go live."""
    layout, rules = Layout(home), load_access(folder / "access_rules.yaml")
    for member in members().values():
        staff.put(layout, member)
    for actor in ("lea", "hana"):
        signer = (actor, STAFF[actor][0], KEYS[actor], dt.datetime.now(dt.UTC))
        approval.sign(layout, folder, rules, *signer)
        if live:
            go_live.sign(layout, rules, *signer)


def have_signed(home: Path, folder: Path = PROJECT) -> None:
    """As `sign_policy`, which takes a tenth of a second, where that is not done yet."""
    layout, rules = Layout(home), load_access(folder / "access_rules.yaml")
    if not (
        all(staff.stored(layout, actor) == member for actor, member in members().items())
        and go_live.is_live(layout, rules)
        and not approval.missing(layout, rules, version(folder))
    ):
        sign_policy(home, folder)


def decide(
    context: Context,
    *codes: str,
    category: str | None = None,
    suggested: tuple[str, ...] = (),
    patterns: tuple[str, ...] = (),
) -> courses.Decision:
    """A decision by the company's legal."""
    return courses.decide(
        context,
        "lea",
        KEYS["lea"],
        dt.datetime.now(dt.UTC),
        because="looked at it",
        category=category,
        codes=dict.fromkeys(codes, suggested),
        patterns=patterns,
    )


def decide_courses(context: Context) -> None:
    """All courses of which nothing is suggested are ordinary, and the one on burnout is not."""
    if not courses.path(context.layout).exists():
        review_courses(context)


def review_courses(context: Context) -> None:
    letters = string.ascii_letters + string.digits
    decide(context, patterns=tuple(f"{one}*" for one in letters))
    decide(context, "HLT-404", category="health")


def policy_with(folder: Path, file: str, changes: dict[str, dict[str, object]]) -> Path:
    """A copy of the policy files in which some keys of some sections of one file are changed."""
    folder.mkdir()
    for name in FILES:
        shutil.copy(PROJECT / name, folder)
    found = yaml.load((folder / file).read_text(), yaml.CSafeLoader)
    for section, keys in changes.items():
        found[section] |= keys
    (folder / file).write_text(yaml.dump(found, Dumper=yaml.CSafeDumper))
    return folder


def old_records() -> list[dict[str, str]]:
    """Twelve people of Sales, one milestone each that is past its window, in two revisions."""
    dates = {"Assigned_Date": "2023-11-01", "Started_Date": "2023-11-02", "Due_Date": ""}
    course = {"Course_Code": "OLD-1", "Course_Title": "Old times"}
    return [
        record(p, Completed_Date=done, Status=status, **dates, **course)
        for p in range(12)
        for status, done in (("In Progress", ""), ("Completed", OLD))
    ]


def company_with_a_past() -> tuple[
    list[dict[str, str]], list[dict[str, str]], list[dict[str, object]]
]:
    rows, people, statements = company()
    return [*rows, *old_records()], people, statements


def accept(context: Context, *days: dt.date, now: dt.datetime = BEFORE) -> None:
    """Ingest deliveries and classify the store, as if runs had published them. All that knows
    records and people works on that, and it takes a tenth of a run."""
    layout = context.layout
    for day in days:
        ingest(layout, context.data_map, day)
        version = register.version_of(layout.canonical / str(day))
        register.note(layout, day, register.State.ACCEPTED, version=version)
    index.refresh(context, now)


@contextmanager
def as_of(moment: dt.datetime) -> Iterator[None]:
    """A run that ran at another moment: what was not due then is published."""
    honest = run_snapshot.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            run_snapshot,
            "write",
            lambda context, folder, _, courses: honest(context, folder, moment, courses),
        )
        yield

"""Decisions about courses: ordinary, or sensitive and in which category. Patterns of words suggest
(pipeline/policy/sensitive_words.py), people decide.

governance/courses.jsonl has a line for each decision: the statement and its signature. The register
is no policy file, so that a decision needs no new signatures of legal and HR; it is signed by
somebody of the one role that access_rules.yaml lets sign courses, and counts while its signer has
that role and key. Lines are added and never changed. Their numbers are signed as well: one that is
missing could have made a course sensitive, so what was decided to be ordinary before it does not
count. A release says which number was the last, so that missing last lines are noticed as well
(pipeline/retained/remembered.py); `{"lost": 7}` says that decisions up to there were accepted as
lost.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import duckdb
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, field_validator, model_validator

from pipeline.access import staff
from pipeline.context import Context
from pipeline.errors import BadInput, PolicyError
from pipeline.keys import signing
from pipeline.policy.access import AccessRules, deciding_role
from pipeline.policy.base import Strict
from pipeline.storage.files import replace_text
from pipeline.storage.layout import Layout
from pipeline.storage.relations import temp_table
from pipeline.storage.sql import Sql

FILE = "courses.jsonl"
KIND = "course decision"
LOST = '{"lost": '  # begins a line
ANY = "*"  # any characters, in a pattern of codes
DECISIONS = Sql("course_decisions")  # the table that `make_decisions` makes


class Decision(Strict):
    """What is signed.

    Attributes:
        number: of the register, from 1.
        codes: courses that were looked at, each with the categories that were suggested of it.
        patterns: of codes.
        category: None for ordinary courses.
    """

    number: Annotated[int, Field(ge=1)]
    codes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    patterns: tuple[str, ...] = ()
    category: str | None
    because: Annotated[str, Field(pattern=r"\S")]
    by: str
    at: dt.datetime

    @field_validator("patterns")
    @classmethod
    def _says_which(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for one in patterns:
            if ANY not in one or not any(map(str.isalnum, one)):
                raise ValueError(
                    "a pattern of codes has a * and at least one letter or digit, as SEC-*"
                )
        return patterns

    @model_validator(mode="after")
    def _about_something(self) -> Decision:
        if not self.codes and not self.patterns:
            raise ValueError("a decision is about a course, or about a pattern of codes")
        return self


class SignedDecision(Strict):
    decision: Decision
    signature: str


def path(layout: Layout) -> Path:
    return layout.governance / FILE


def _lines(layout: Layout) -> list[str]:
    file = path(layout)
    return file.read_text("utf-8").splitlines() if file.exists() else []


def valid(layout: Layout, rules: AccessRules) -> list[Decision]:
    """The decisions that count, in the order in which they were made."""
    role, members = deciding_role(rules), staff.everyone(layout)
    found: dict[int, Decision] = {}
    for one in _signed(layout):
        member = members.get(one.decision.by)
        statement = one.decision.model_dump(mode="json")
        other = found.get(one.decision.number)
        if (
            (other is None or other.at < one.decision.at)
            and member is not None
            and member.key is not None
            and role in member.roles
            and signing.signed(member.key, KIND, statement, one.signature)
        ):
            found[one.decision.number] = one.decision
    missing = max(
        set(range(1, max([*found, *_lost(layout)], default=0) + 1)) - set(found), default=0
    )
    return [
        found[number]
        for number in sorted(found)
        if number > missing or found[number].category is not None
    ]


def _signed(layout: Layout) -> list[SignedDecision]:
    """The lines that are decisions at all, whoever signed them."""
    found = []
    for line in _lines(layout):
        with suppress(ValueError):
            found.append(SignedDecision.model_validate_json(line))
    return found


def number(layout: Layout) -> int:
    """The number of the last decision that is on record, or accepted as lost."""
    numbers = [one.decision.number for one in _signed(layout)]
    return max([*numbers, *_lost(layout)], default=0)


def _lost(layout: Layout) -> list[int]:
    """Numbers up to which decisions were accepted as lost."""
    return [int(json.loads(line)["lost"]) for line in _lines(layout) if line.startswith(LOST)]


def accept_loss(layout: Layout, last: int) -> None:
    """What was decided up to a number and is not there is lost; the caller holds the lock."""
    _add(layout, [json.dumps({"lost": last})])


def unite(layout: Layout, other: Layout) -> None:
    """Add the decisions of a backup that are not there; the caller holds the lock."""
    here = set(_lines(layout))
    _add(layout, [line for line in _lines(other) if line not in here])


def _add(layout: Layout, lines: list[str]) -> None:
    if lines:
        replace_text(path(layout), "\n".join([*_lines(layout), *lines]) + "\n")


def copy(layout: Layout, to: Layout) -> None:
    """Copy the register, if there is one, into another data folder."""
    if path(layout).exists():
        replace_text(path(to), path(layout).read_text("utf-8"))


def confirm(
    context: Context, actor: str, key: Ed25519PrivateKey, now: dt.datetime
) -> list[Decision]:
    """Sign once more what others have decided, before they leave and their signatures with them.

    Raises:
        PolicyError: as `decide`.
    """
    return [
        decide(
            context,
            actor,
            key,
            now,
            because=one.because,
            category=one.category,
            codes=one.codes,
            patterns=one.patterns,
        )
        for one in valid(context.layout, context.access)
        if one.by != actor
    ]


def decide(
    context: Context,
    actor: str,
    key: Ed25519PrivateKey,
    now: dt.datetime,
    *,
    because: str,
    category: str | None,
    codes: dict[str, tuple[str, ...]] | None = None,
    patterns: Iterable[str] = (),
) -> Decision:
    """Sign a decision and add it to the register.

    Args:
        category: None for ordinary courses.
        codes: courses, with the categories that are suggested of them.

    Raises:
        PolicyError: the actor does not have the role or the key.
        BadInput: there is no such category.
        ValidationError: a pattern is none, or there is no reason.
    """
    layout, role = context.layout, deciding_role(context.access)
    member = staff.find(layout, actor)
    if member is None or role not in member.roles:
        raise PolicyError(f"courses: {actor} does not have the role {role.value}")
    if member.key != signing.public_pem(key):
        raise PolicyError(f"courses: this is not the key that the staff list has for {actor}")
    categories = context.data_map.course_sensitivity.categories
    if category is not None and category not in categories:
        raise BadInput(f"there is no such category; choose one of {', '.join(categories)}")
    with layout.locked():
        made = Decision(
            number=number(layout) + 1,
            codes=codes or {},
            patterns=tuple(patterns),
            category=category,
            because=because,
            by=actor,
            at=now.replace(microsecond=0),
        )
        signature = signing.sign(key, KIND, made.model_dump(mode="json"))
        _add(layout, [SignedDecision(decision=made, signature=signature).model_dump_json()])
    return made


def make_decisions(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Make the temporary table DECISIONS, of the latest decision about each course and pattern:
    scope (a code, or a pattern as LIKE has it), is_pattern, category, suggested."""
    rows: dict[tuple[str, bool], dict[str, object]] = {}
    for one in valid(context.layout, context.access):
        scopes = {(code, False): suggested for code, suggested in one.codes.items()}
        scopes |= {(like(pattern), True): () for pattern in one.patterns}
        for (scope, is_pattern), suggested in scopes.items():
            rows[scope, is_pattern] = {
                "scope": scope,
                "is_pattern": is_pattern,
                "category": one.category,
                "suggested": suggested,
            }
    shape = {
        "scope": "VARCHAR",
        "is_pattern": "BOOLEAN",
        "category": "VARCHAR",
        "suggested": ["VARCHAR"],
    }
    temp_table(
        connection,
        DECISIONS,
        "SELECT unnest(from_json($rows, $shape), max_depth := 2)",
        {"rows": json.dumps(list(rows.values())), "shape": json.dumps([shape])},
    )


def like(pattern: str) -> str:
    """A pattern of codes as LIKE has it, with a backslash as its escape."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace(ANY, "%")

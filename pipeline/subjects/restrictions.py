"""Whose records are kept but not used: restriction (GDPR Art. 18), objection (Art. 21), and, where
a purpose rests on consent, everybody who has not given or has withdrawn it (Art. 7(3)).

People whose country is unknown are left out as well, where nothing lets their data be transferred
to a recipient (Art. 44).

Two lists in the vault: entries of person (raw identifier), audience and kind; and consents. Every
run leaves these people out of the audience's tables; retention does not erase the records of
restricted people.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import duckdb

from pipeline.context import Context
from pipeline.policy.data_map import UNKNOWN_REGION
from pipeline.policy.fields import Audience
from pipeline.policy.governance import LawfulBasis
from pipeline.policy.governance_checks import unreachable
from pipeline.storage import cases
from pipeline.storage.layout import Layout
from pipeline.storage.relations import classified

RESTRICTED = "restricted"
OBJECTED = "objected"
RESTRICTIONS = "restrictions"  # the table that `make_restrictions` makes
FILE, CONSENTS = "restrictions.json.enc", "consents.json.enc"
Entry = tuple[str, str, str]


def path(layout: Layout) -> Path:
    return layout.vault / FILE


def entries(layout: Layout) -> list[Entry]:
    """All restrictions and objections."""
    found = json.loads(cases.read(layout, path(layout)) or "[]")
    return [(who, audience, kind) for who, audience, kind in found]


def _write(layout: Layout, changed: list[Entry]) -> None:
    cases.write(layout, path(layout), json.dumps(changed))


def restricted(layout: Layout) -> list[str]:
    """People whose records must be kept and not used."""
    return sorted({who for who, _, kind in entries(layout) if kind == RESTRICTED})


@cases.changes
def restrict(layout: Layout, person: str, audiences: Iterable[Audience], kind: str) -> None:
    """Leave a person out of some audiences from now on."""
    added = {(person, audience.value, kind) for audience in audiences}
    _write(layout, sorted(set(entries(layout)) | added))


def consents(layout: Layout) -> dict[str, set[str]]:
    """Registered purpose to the people who consent to it."""
    found = json.loads(cases.read(layout, layout.vault / CONSENTS) or "{}")
    return {name: set(people) for name, people in found.items()}


def _write_consents(layout: Layout, changed: dict[str, set[str]]) -> None:
    file = layout.vault / CONSENTS
    if changed or file.exists():
        text = json.dumps({name: sorted(people) for name, people in sorted(changed.items())})
        cases.write(layout, file, text)


@cases.changes
def consent(layout: Layout, person: str, purpose: str) -> None:
    """Record a person's consent to a purpose."""
    found = consents(layout)
    _write_consents(layout, found | {purpose: found.get(purpose, set()) | {person}})


@cases.changes
def withdraw(layout: Layout, person: str, purpose: str | None = None) -> None:
    """Remove a consent, or all of a person's; as easy as giving it (GDPR Art. 7(3))."""
    _write_consents(
        layout,
        {
            name: people - {person} if purpose in (None, name) else people
            for name, people in consents(layout).items()
        },
    )


@cases.changes
def release(layout: Layout, person: str, kind: str | None = None) -> None:
    """Remove a person's restrictions, objections, or both."""
    left = [e for e in entries(layout) if e[0] != person or kind not in (None, e[2])]
    _write(layout, left)


def make_restrictions(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Create the temporary table RESTRICTIONS (audience, and the person or the region whose rows
    it does not get), which the filters of pipeline/pseudonymized read."""
    layout, given = context.layout, consents(context.layout)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {RESTRICTIONS} "
        "(audience VARCHAR, person VARCHAR, region VARCHAR)"
    )
    rows = [(audience, who, None) for who, audience, _ in entries(layout)] + [
        (audience.value, None, UNKNOWN_REGION)
        for audience in Audience
        if unreachable(context.governance, context.data_map, audience, UNKNOWN_REGION)
    ]
    if rows:
        connection.executemany(f"INSERT INTO {RESTRICTIONS} VALUES (?, ?, ?)", rows)
    for name, purpose in context.governance.purposes.items():
        if purpose.basis is LawfulBasis.CONSENT:
            connection.execute(
                f"INSERT INTO {RESTRICTIONS} SELECT DISTINCT $audience, person, NULL "
                f"FROM {classified(layout)} WHERE person NOT IN (SELECT unnest($given))",
                {"audience": purpose.audience.value, "given": sorted(given.get(name, []))},
            )

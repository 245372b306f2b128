"""The scope of an incident: which people and fields, from the access log and the lineage.

GDPR Art. 33(3) requires the categories and numbers of people and records, Art. 33(1) a notice
within 72 hours.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from pipeline.access import audit
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy.fields import Audience
from pipeline.published import row_history
from pipeline.published.tables import opened
from pipeline.storage.engine import count, engine
from pipeline.storage.sql import identifier

HOURS = 72
NOTICES = ("authority", "people")


@dataclass(frozen=True)
class Field:
    """A published column that was exposed, and the source fields behind it."""

    name: str
    table: str
    origin: tuple[str, ...]
    classes: tuple[str, ...]
    risk: str


@dataclass(frozen=True)
class Scope:
    """What was exposed.

    Attributes:
        people: those of `refs`, and those behind rows without a pseudonym.
        refs: pseudonyms; the vault knows whose they are.
        fields: those about single people.
        special: are sensitive courses among them (Art. 9)?
        first, last: the first and last reading, UTC, ISO 8601.
    """

    readings: int
    refused: int
    rows: int
    people: int
    refs: tuple[str, ...]
    actors: tuple[str, ...]
    tables: tuple[str, ...]
    fields: tuple[Field, ...]
    special: bool
    first: str | None
    last: str | None


def _field(context: Context, table: str, name: str) -> Field:
    """A column with its source fields, their classes and their highest risk."""
    classes, risk = context.data_map.classes_and_risk(name)
    return Field(name, table, context.data_map.columns[name].made_from, classes, risk.value)


def _everybody(context: Context, tables: set[str]) -> set[str]:
    """The pseudonyms of all people in some published tables."""
    found: set[str] = set()
    for table in tables:
        spec = context.data_map.published[table]
        if "learner_ref" in spec.columns and (context.layout.current / spec.file).exists():
            with opened(context, context.layout.current, table) as connection:
                rows = connection.sql(
                    f"SELECT DISTINCT learner_ref FROM released.{identifier(table)}"
                )
                found |= {str(ref) for (ref,) in rows.fetchall()}
    return found


def _behind_rows(context: Context, tables: set[str]) -> int:
    """How many people the analysts' rows are about, if their table was read; they name nobody."""
    if not tables & set(context.data_map.tables_of(Audience.ANALYTICS)):
        return 0
    with engine(context.layout.work) as connection:
        return row_history.people(connection, context)


def _rows(context: Context, table: str) -> int:
    with opened(context, context.layout.current, table) as connection:
        return count(connection, f"SELECT count(*) FROM released.{identifier(table)}")


def _entries(
    context: Context,
    since: dt.datetime,
    until: dt.datetime,
    actor: str | None,
    table: str | None,
) -> list[dict[str, Any]]:
    """Readings and refusals between two moments, by one actor or all, of one table or all. Who
    handed a reading over has seen it, too."""
    span = [f"{one.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S}" for one in (since, until)]
    return [
        one
        for one in audit.bodies(context.layout)
        if one["decision"] not in audit.CHANGES
        and span[0] <= one["at"][:19] <= span[1]
        and actor in (None, one["actor"], one.get("by"))
        and table in (None, one["table"])
    ]


def _fields(context: Context, shown: set[tuple[str, str]]) -> tuple[Field, ...]:
    """The fields about single people among shown columns (table and name)."""
    published = context.data_map.published
    # An earlier policy may have published columns that today's does not have.
    known = {(t, n) for t, n in shown if t in published and n in context.data_map.columns}
    # Figures of k people, and courses, are not about single people (recital 26); their tables are
    # still named.
    single = {(t, n) for t, n in known if not (published[t].k or published[t].dimension)}
    return tuple(_field(context, t, n) for t, n in sorted(single))


def scope(
    context: Context,
    since: dt.datetime,
    until: dt.datetime,
    *,
    actor: str | None = None,
    table: str | None = None,
    whole: bool = False,
) -> Scope:
    """What was read between two moments, by one actor or all, from one table or all.

    Args:
        whole: the table's file itself was exposed, with every person and column in it.

    Raises:
        PolicyError: the table is not published, or `whole` is set without a table.
    """
    if table is not None and table not in context.data_map.published:
        raise PolicyError("there is no published table of that name")
    if whole and (table is None or not context.layout.current.exists()):
        raise PolicyError("name the published table whose file was exposed")
    entries = _entries(context, since, until, actor, table)
    granted = [one for one in entries if one["decision"] == "granted"]
    shown = {(one["table"], name) for one in granted for name in one["fields"]}
    refs = {ref for one in granted for ref in one["people"]}
    refs |= _everybody(context, {one["table"] for one in granted if one["everybody"]})
    rows = sum(one["rows"] for one in granted)
    if whole and table is not None:
        shown |= {(table, name) for name in context.data_map.published[table].columns}
        refs |= _everybody(context, {table})
        rows += _rows(context, table)
    fields = _fields(context, shown)
    return Scope(
        readings=len(granted),
        refused=len(entries) - len(granted),
        rows=rows,
        people=len(refs) + _behind_rows(context, {name for name, _ in shown}),
        refs=tuple(sorted(refs)),
        actors=tuple(
            sorted({name for one in granted for name in (one["actor"], one.get("by")) if name})
        ),
        tables=tuple(sorted({t for t, _ in shown})),
        fields=fields,
        special=any(one.name == "sensitivity" for one in fields),
        first=min((one["at"] for one in granted), default=None),
        last=max((one["at"] for one in granted), default=None),
    )


def deadline(known_at: dt.datetime) -> dt.datetime:
    """When the notice to the authority is due (Art. 33(1); by Regulation 1182/71, Art. 3(1), the
    hour itself does not count)."""
    return known_at + dt.timedelta(hours=HOURS)


def notices(
    context: Context, found: Scope, known_at: dt.datetime, nature: str, measures: str
) -> dict[str, str]:
    """Drafts to the authority and to the people, in Markdown; TO WRITE marks what is missing."""
    environment = Environment(autoescape=False, undefined=StrictUndefined)
    values: dict[str, Any] = {
        "g": context.governance,
        "scope": found,
        "nature": nature,
        "measures": measures,
        "known_at": f"{known_at:%Y-%m-%d %H:%M %Z}",
        "deadline": f"{deadline(known_at):%Y-%m-%d %H:%M %Z}",
        "subjects": "; ".join(
            sorted({one.subjects for one in context.governance.purposes.values()})
        ),
    }
    folder = files("pipeline.governance") / "notices"
    return {
        name: environment.from_string((folder / f"{name}.md").read_text("utf-8")).render(values)
        for name in NOTICES
    }


def write_notices(drafts: dict[str, str], folder: Path) -> None:
    """Write the drafts to new files."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, text in drafts.items():
        with (folder / f"notice-{name}.md").open("x", encoding="utf-8") as stream:
            stream.write(text)

"""The answer to an access request (GDPR Art. 15 and 20): everything held on one person.

package.json is for machines, package.html for people; both have the same content. They stay
encrypted in the vault until somebody takes them out for the person.
"""

from __future__ import annotations

import datetime as dt
import glob
import json
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment

from pipeline.access import audit
from pipeline.classified.classify import home_regions
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy.fields import Audience
from pipeline.policy.retention import RecordType
from pipeline.policy.windows import kept_until
from pipeline.published import row_history
from pipeline.raw import landing
from pipeline.storage import encryption, relations
from pipeline.storage.engine import count
from pipeline.storage.files import atomic_build, replace_text
from pipeline.storage.layout import Layout
from pipeline.storage.relations import subquery
from pipeline.storage.schema import MOMENTS
from pipeline.storage.sql import literal
from pipeline.subjects import request_register, restrictions
from pipeline.subjects.identity import Subject, references

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>What is held about you</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-size:.85rem;display:block;overflow-x:auto}
th,td{border-bottom:1px solid #ccc;padding:.3rem .6rem;text-align:left;white-space:nowrap}
h2{margin-top:2rem}.note{color:#555}</style>
<h1>What is held about you</h1>
<p>Created on {{ made_on }} for request {{ request }}. {{ explanation }}</p>
{% for section in sections %}<h2>{{ section.title }}</h2><p class="note">{{ section.note }}</p>
{% if section.rows %}<table>
<tr>{% for name in section.rows[0] %}<th>{{ name.replace("_", " ") }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr>
{% for value in row.values() %}<td>{{ "–" if value is none else value }}</td>{% endfor %}</tr>
{% endfor %}</table>{% else %}<p>Nothing.</p>{% endif %}
{% endfor %}</html>
"""


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    found = connection.sql(query)
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def _with_dates(context: Context, regions: dict[str, str], row: dict[str, Any]) -> dict[str, Any]:
    """A canonical row with the date of every instant, and first the last day on which it is kept,
    by its own dates, and the rule behind that."""
    region = regions.get(row["country"], row["region"])
    zone = context.rules.zone(region)
    days = {
        f"{name}_on": row[f"{name}_on"]
        or (at and at.replace(tzinfo=dt.UTC).astimezone(zone).date())
        for name in MOMENTS
        for at in [row[f"{name}_at"]]
    }
    started = days["event_on"] or days["started_on"] or days["assigned_on"] or row["delivery_date"]
    record = RecordType(row["record_type"])
    base = context.rules.records[record].duration
    last, rule = kept_until(context.rules, record, region, base, started)
    return {"kept until": f"{last} ({rule})", **row, **days}


Section = dict[str, Any]  # title, note and rows


def _section(title: str, note: str, rows: list[dict[str, Any]]) -> Section:
    return {"title": title, "note": note, "rows": rows}


def collect(
    connection: duckdb.DuckDBPyConnection, context: Context, subject: Subject
) -> list[Section]:
    """Sections with title, note and rows, from the deliveries to the log."""
    refs = references(connection, context.layout, subject)
    return [
        *_delivered(connection, context, subject),
        _files(context, subject),
        *(
            _pseudonymized(connection, context, audience, ref)
            for audience, theirs in refs.items()
            for ref in theirs
        ),
        _published_rows(connection, context, subject),
        *_registered(context, subject, {ref for theirs in refs.values() for ref in theirs}),
    ]


def _files(context: Context, subject: Subject) -> Section:
    days = landing.deliveries_naming(context.layout, subject.free_text, surely=True)
    return _section(
        "Delivered files",
        "Deliveries whose files name you, kept as they came until their retention ends. Of one "
        "that was refused or withdrawn, nothing else may be stored.",
        [{"delivery": str(day)} for day in days],
    )


def _delivered(
    connection: duckdb.DuckDBPyConnection, context: Context, subject: Subject
) -> list[Section]:
    """Records, quarantined rows and roster rows, as the sources delivered them."""
    stored, learner = relations.records(context.layout), subject.is_learner()
    records = _rows(
        connection,
        f"SELECT * EXCLUDE (raw, file, rank, manager_id) FROM {stored} "
        f"WHERE {learner} AND problem IS NULL ORDER BY course_code, revised_at",
    )
    quarantined = [
        row | {"raw": _without_others(context, str(row.pop("source")), row["raw"])}
        for row in _rows(
            connection,
            f"SELECT problem, raw, delivery_date, source FROM {stored} "
            f"WHERE problem IS NOT NULL AND {learner} ORDER BY delivery_date",
        )
    ]
    directory = _rows(
        connection,
        f"SELECT * EXCLUDE (manager_id) FROM {relations.roster_history(context.layout)} "
        f"WHERE {subject.named('learner_id')} ORDER BY delivery_date",
    )
    regions = home_regions(connection, subquery(f"FROM {stored} WHERE {learner}"), context.data_map)
    return [
        _section(
            "Learning records",
            "Every revision as the learning systems delivered it, with the day until which it is "
            "kept.",
            [_with_dates(context, regions, row) for row in records],
        ),
        _section(
            "Records that could not be read",
            "Set aside because they break a rule of the format.",
            quarantined,
        ),
        _section("Staff directory", "From the HR roster.", directory),
        _section(
            "Where others' records name you",
            "As a number of rows: they are about other people, whose data is not yours to receive.",
            _mentions(connection, context, subject),
        ),
    ]


def _without_others(context: Context, source: str, raw: str | None) -> str | None:
    """A row as delivered, without the fields of a source that name somebody else."""
    try:
        fields = json.loads(raw or "")
    except ValueError:
        return raw
    spec = context.data_map.sources.get(source)
    if spec is None or not isinstance(fields, dict):
        return raw
    spelled = spec.spelled(list(fields)).items()
    others = {given for own, given in spelled if spec.fields[own].name == "manager_id"}
    return json.dumps({k: v for k, v in fields.items() if k not in others}, ensure_ascii=False)


def _mentions(
    connection: duckdb.DuckDBPyConnection, context: Context, subject: Subject
) -> list[dict[str, Any]]:
    """How many rows about other people name the person, and how."""
    stored, rejects = relations.records(context.layout), relations.rejects(context.layout)
    others = f"NOT coalesce({subject.is_learner()}, false)"
    shared = f"{subject.may_be_learner()} AND {others}"
    kinds = {
        "as the manager": f"{stored} WHERE problem IS NULL AND {others} AND {subject.is_manager()}",
        "in rows that could not be read": f"{stored} WHERE problem IS NOT NULL AND {others} "
        f"AND {subject.mentioned('raw')}",
        "in lines that could not be read": f"{rejects} WHERE {subject.mentioned('raw')}",
        "under an address that somebody else had at the same time": f"{stored} WHERE {shared}",
    }
    counts = {kind: count(connection, f"SELECT count(*) FROM {q}") for kind, q in kinds.items()}
    return [{"how": kind, "rows": n} for kind, n in counts.items() if n]


def _pseudonymized(
    connection: duckdb.DuckDBPyConnection, context: Context, audience: Audience, ref: str
) -> Section:
    """The person's rows for one audience."""
    tables = ", ".join(context.data_map.tables_of(audience))
    groups = " Only group figures are published." if audience is Audience.COACHING else ""
    return _section(
        f"Under a pseudonym, for {audience.value.replace('_', ' ')}",
        f"Your pseudonym there is {ref}; the rows are used for {tables}.{groups}",
        _rows(
            connection,
            f"FROM {relations.pseudonymized(context.layout, audience)} "
            f"WHERE learner_ref = {literal(ref)}",
        ),
    )


def _published_rows(
    connection: duckdb.DuckDBPyConnection, context: Context, subject: Subject
) -> Section:
    """The person's rows as they were published for analysts, without anything that names them."""
    history = row_history.stored(connection, context, row_history.files(context.layout))
    return _section(
        "Rows published for analysts",
        "They name nobody and cannot be linked; an encrypted history knows that they are yours.",
        _rows(
            connection,
            f"SELECT COLUMNS('published_(.*)') AS '\\1' FROM {history} "
            f"WHERE shown AND class IS NOT NULL AND {subject.is_person()} ORDER BY ALL",
        ),
    )


def _registered(context: Context, subject: Subject, refs: set[str]) -> list[Section]:
    """Restrictions, requests and readings."""
    limits = [
        {"audience": audience, "kind": kind}
        for who, audience, kind in restrictions.entries(context.layout)
        if who in subject.people
    ]
    requests = [
        {"request": one.name, "state": one.state, "answer due": one.deadline}
        for one in request_register.every(context.layout)
        if one.identifier in subject.ids or set(one.also) & set(subject.people)
    ]
    return [
        _section("Limits on use", "Restrictions and objections in force.", limits),
        _section("Your requests", "", requests),
        _section(
            "Who read your records, and why",
            "Every query of single rows.",
            audit.about(context, refs),
        ),
    ]


def write(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    subject: Subject,
    request: str,
    now: dt.datetime,
) -> Path:
    """Write the package into the vault; returns its folder."""
    content = {
        "made_on": str(now.date()),
        "request": request,
        "explanation": "The sources are your employer's learning systems. You have the right to "
        "correction, erasure and restriction, the right to object, and the right to complain to "
        "the supervisory authority.",
        "sections": collect(connection, context, subject),
    }
    target = context.layout.vault / "packages" / f"{now:%Y%m%d}-for-{request}"
    with atomic_build(target, context.layout.work, durable=True) as folder:
        folder.mkdir(mode=0o700)
        text = json.dumps(content, indent=1, default=str, ensure_ascii=False)
        encryption.write_text(context.layout, folder / f"package.json{encryption.TEXT}", text)
        page = Environment(autoescape=True).from_string(PAGE).render(**content)
        encryption.write_text(context.layout, folder / f"package.html{encryption.TEXT}", page)
    return target


def take_out(layout: Layout, request: str, to: Path) -> list[Path]:
    """Decrypt a request's package into a folder, to be given to the person.

    Raises:
        PolicyError: there is no package for that request, or the folder has a file of that name.
    """
    found = sorted(
        (layout.vault / "packages").glob(f"*-for-{glob.escape(request)}/*{encryption.TEXT}")
    )
    if not found:
        raise PolicyError("there is no package for that request; fulfil the request first")
    to.mkdir(parents=True, exist_ok=True, mode=0o700)
    taken = []
    for path in found:
        target = to / path.name.removesuffix(encryption.TEXT)
        if target.exists():
            raise PolicyError("the folder already has a file of that name")
        replace_text(target, encryption.read_text(layout, path) or "")
        taken.append(target)
    return taken

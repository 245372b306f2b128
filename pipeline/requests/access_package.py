"""The answer to an access request (GDPR Art. 15 and 20): everything held on one person.

package.json is for machines, package.html for people; both have the same content. They stay
encrypted in the vault until somebody takes them out for the person.
"""

from __future__ import annotations

import datetime as dt
import glob
import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment

from pipeline.access import audit
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy.fields import Audience
from pipeline.policy.retention import RecordType
from pipeline.policy.windows import kept_until
from pipeline.storage import encryption, relations
from pipeline.storage.files import atomic_build, replace_text
from pipeline.storage.layout import Layout
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


def _kept_until(context: Context, row: dict[str, Any]) -> str:
    """The last day on which the record is kept, by its own dates, and the rule behind it."""
    started = next((row[n] for n in ("event_at", "started_at", "assigned_at") if row[n]), None)
    record = RecordType(row["record_type"])
    region = context.data_map.region_of().get(row["country"], row["region"])
    zone = context.rules.zone(region)
    day = (
        started.replace(tzinfo=dt.UTC).astimezone(zone).date() if started else row["delivery_date"]
    )
    base = context.rules.records[record].duration
    last, rule = kept_until(context.rules, record, region, base, day)
    return f"{last} ({rule})"


def collect(
    connection: duckdb.DuckDBPyConnection, context: Context, subject: Subject
) -> list[dict[str, Any]]:
    """Sections with title, note and rows, from the deliveries to the log."""
    layout = context.layout
    learner = subject.is_learner()
    records = _rows(
        connection,
        f"SELECT * EXCLUDE (raw, file, rank, manager_id) FROM {relations.records(layout)} "
        f"WHERE {learner} AND problem IS NULL ORDER BY course_code, revised_at",
    )
    records = [{"kept until": _kept_until(context, row), **row} for row in records]
    sections = [
        {
            "title": "Learning records",
            "note": "Every revision as the learning systems "
            "delivered it, with the day until which it is kept.",
            "rows": records,
        },
        {
            "title": "Records that could not be read",
            "note": "Set aside because they break a rule of the format.",
            "rows": _rows(
                connection,
                "SELECT problem, raw, delivery_date "
                f"FROM {relations.records(layout)} WHERE problem IS NOT NULL "
                f"AND ({learner} OR {subject.mentioned('raw')})",
            ),
        },
        {
            "title": "Staff directory",
            "note": "From the HR roster.",
            "rows": _rows(
                connection,
                f"SELECT * EXCLUDE (manager_id) FROM "
                f"{relations.roster_history(layout)} WHERE {learner} ORDER BY delivery_date",
            ),
        },
    ]
    refs = references(connection, layout, subject)
    for audience, ref in refs.items():
        tables = list(context.data_map.tables_of(audience))
        sections.append(
            {
                "title": f"Under a pseudonym, for {audience.value.replace('_', ' ')}",
                "note": f"Your pseudonym there is {ref}; the rows are used for {', '.join(tables)}."
                + (" Only group figures are published." if audience is Audience.COACHING else ""),
                "rows": _rows(
                    connection,
                    f"FROM {relations.pseudonymized(layout, audience)} "
                    f"WHERE learner_ref = {literal(ref)}",
                ),
            }
        )
    mine = [r for r in request_register.every(layout) if r.identifier in subject.ids]
    sections += [
        {
            "title": "Limits on use",
            "note": "Restrictions and objections in force.",
            "rows": [
                {"audience": p, "kind": k}
                for who, p, k in restrictions.entries(layout)
                if who == subject.person
            ],
        },
        {
            "title": "Your requests",
            "note": "",
            "rows": [{"request": r.name, "state": r.state, "answer due": r.deadline} for r in mine],
        },
        {
            "title": "Who read your records, and why",
            "note": "Every query of single rows.",
            "rows": audit.about(context, set(refs.values())),
        },
    ]
    return sections


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
    if target.exists():
        shutil.rmtree(target)
    with atomic_build(target, context.layout.work) as folder:
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

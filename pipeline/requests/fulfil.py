"""Fulfilling requests of data subjects, with the machinery of deletion."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from pipeline.classified import corrections, population
from pipeline.classified.classify import resolved_rows
from pipeline.classified.models import (
    CORRECTABLE,
    CORRECTED_RANK,
    KEY,
    PERIOD,
    current_model,
    overtaken_model,
)
from pipeline.context import Context
from pipeline.errors import BadInput, EngineError, ErasureError, PolicyError
from pipeline.identity.models import resolved
from pipeline.identity.store import identifiers
from pipeline.policy.fields import Audience
from pipeline.policy.governance import LawfulBasis
from pipeline.raw.readers.base import PLANNED_WITHIN
from pipeline.requests import access_package
from pipeline.retained import delivered, index, job, past_retention, rebuild
from pipeline.retained.journal import Journal, fresh_name
from pipeline.retained.run_storage import RunStorage
from pipeline.storage import relations
from pipeline.storage.engine import count, engine
from pipeline.storage.file_edit import FileEdit, apply_edit
from pipeline.storage.files import atomic_build
from pipeline.storage.schema import CANONICAL, MOMENTS, PARQUET, STATUSES
from pipeline.storage.sql import Sql, Value, literal, same_values
from pipeline.subjects import request_register, restrictions
from pipeline.subjects.identity import Subject, find
from pipeline.subjects.request_register import Kind, Request, State

# What HR and legal use rests on legal obligation and legal claims, which an objection under
# Art. 21(1) does not end.
OBJECTABLE = (Audience.COACHING, Audience.MANAGER, Audience.ANALYTICS)


def fulfil(
    context: Context, name: str, now: dt.datetime, runs: RunStorage | None = None
) -> Request:
    """Fulfil a request; after a crash, calling this again continues.

    Raises:
        PolicyError: the identity is not verified, the request is closed, or its details are wrong.
        ErasureError: the erasure is not complete; the request stays open.
    """
    layout = context.layout
    request = request_register.read(layout, name)
    if request.verified_by is None:
        raise PolicyError(f"request {name}: the sender's identity is not verified yet")
    request = request_register.move(layout, request, State.RUNNING, "started")
    try:
        index.refresh(context, now)
        if request.kind is Kind.ERASURE:
            return _erase(context, request, now, runs)
        note = _done(context, request, now)
    except Exception as error:
        # Set aside, so that nothing waits for it. Only our own errors quote no value.
        ours = isinstance(error, PolicyError | ErasureError | EngineError)
        reason = str(error) if ours else f"failed: {type(error).__name__}"
        left = request_register.read(layout, name)
        if left.state is State.RUNNING:
            request_register.move(layout, left, State.WAITING, reason)
        raise
    return request_register.move(layout, request, State.DONE, note)


def _done(context: Context, request: Request, now: dt.datetime) -> str:
    """Do what a request other than an erasure asks for; returns what was done."""
    layout = context.layout
    if request.identifier is None:
        raise PolicyError(f"request {request.name}: the person has been erased")
    with engine(layout.work) as connection:
        subject = find(connection, layout, request.identifier, *request.also)
        delivered.require_somebody(connection, layout, subject)
        if request.kind is Kind.ACCESS:
            folder = access_package.write(connection, context, subject, request.name, now)
            return f"package {folder.name} written"
        if request.kind is Kind.RECTIFICATION:
            return _rectify(connection, context, request, subject, now)
        restricted = request.kind is Kind.RESTRICTION
        kind = restrictions.RESTRICTED if restricted else restrictions.OBJECTED
        audiences = tuple(Audience) if restricted else _objected(context, request)
        for person in subject.people:
            restrictions.restrict(layout, person, audiences, kind)
        refresh(connection, context, subject, now)
        return f"{kind}: {', '.join(audiences)}"


def close(context: Context, request: Request) -> None:
    """Leave an erasure that was interrupted undone: its request was amended, refused or
    withdrawn."""
    with context.layout.locked():
        job.abandon(context.layout, request.name)


def _erase(
    context: Context, request: Request, now: dt.datetime, runs: RunStorage | None
) -> Request:
    layout = context.layout
    receipt = job.erase_person(
        context, request.identifier, request.name, now, runs, also=request.also
    )
    return request_register.move(
        layout,
        request,
        State.DONE,
        "erased",
        receipt=receipt["receipt"],
        identifier=None,
        also=(),
        details={},
    )


def audience_of(context: Context, purpose: str) -> Audience:
    """The audience that a purpose of the register serves, or that has this name itself.

    Raises:
        BadInput: there is none of that name.
    """
    registered = context.governance.purposes.get(purpose)
    if registered is not None:
        return registered.audience
    try:
        return Audience(purpose)
    except ValueError:
        names = ", ".join([*context.governance.purposes, *Audience])
        raise BadInput(f"there is no such purpose; choose one of {names}") from None


def _objected(context: Context, request: Request) -> tuple[Audience, ...]:
    named = request.details.get("purposes") or [p.value for p in OBJECTABLE]
    audiences = tuple(dict.fromkeys(audience_of(context, one) for one in named))
    if not set(audiences) <= set(OBJECTABLE):
        raise PolicyError("an objection does not cover what HR and legal are obliged to keep")
    return audiences


def lift(context: Context, identifier: str, kind: str, now: dt.datetime) -> None:
    """Lift a person's restriction or objection; their rows are used again at once."""
    if kind not in (restrictions.RESTRICTED, restrictions.OBJECTED):
        raise BadInput(f"choose {restrictions.RESTRICTED} or {restrictions.OBJECTED}")
    index.refresh(context, now)
    with engine(context.layout.work) as connection:
        subject = find(connection, context.layout, identifier)
        delivered.require_somebody(connection, context.layout, subject)
        restrictions.release(context.layout, subject.person, kind)
        refresh(connection, context, subject, now)


def consent(
    context: Context, identifier: str, purpose: str, now: dt.datetime, *, given: bool
) -> None:
    """Record that a person consents to a registered purpose, or withdraws the consent (GDPR
    Art. 7); it takes effect at once.

    Raises:
        PolicyError: the purpose does not rest on consent.
    """
    registered = context.governance.purposes.get(purpose)
    if registered is None or registered.basis is not LawfulBasis.CONSENT:
        raise PolicyError("there is no purpose of that name that rests on consent")
    index.refresh(context, now)
    with engine(context.layout.work) as connection:
        subject = find(connection, context.layout, identifier)
        delivered.require_somebody(connection, context.layout, subject)
        change = restrictions.consent if given else restrictions.withdraw
        change(context.layout, subject.person, purpose)
        refresh(connection, context, subject, now)


def refresh(
    connection: duckdb.DuckDBPyConnection, context: Context, subject: Subject, now: dt.datetime
) -> None:
    """Rebuild and publish the person's months, so that a limit on use takes effect at once."""
    layout = context.layout
    with layout.locked():
        months = rebuild.months(
            connection,
            f"SELECT DISTINCT {PERIOD} FROM {relations.classified(layout)} "
            f"WHERE {subject.is_person()}",
        )
        journal = Journal(layout, fresh_name(now))
        rebuild.rebuild_pseudonymized(connection, context, months, now, journal)
        rebuild.publish_survivors(connection, context, journal.folder.name)
        if journal.folder.exists():
            journal.close()


def _corrected(details: dict[str, Any]) -> dict[str, Any]:
    """The fields to correct.

    Raises:
        PolicyError: there are none, one is unknown, or a value is not allowed.
    """
    fields = {k: v for k, v in details.items() if k in CORRECTABLE}
    unknown = set(details) - set(CORRECTABLE) - {"course_code", "record_type", "occurrence"}
    if not fields or unknown or "course_code" not in details:
        raise PolicyError(
            f"a rectification needs course_code and at least one of {', '.join(CORRECTABLE)}"
        )
    if "status" in fields and fields["status"] not in STATUSES:
        raise PolicyError(f"status must be one of {', '.join(STATUSES)}")
    if "score" in fields and not 0 <= _number(fields["score"]) <= 100:
        raise PolicyError("score must be between 0 and 100")
    if "attempts" in fields and not str(fields["attempts"]).strip().isdecimal():
        raise PolicyError("attempts must be a whole number")
    return fields


def _number(text: object) -> float:
    """A text as a number; not a number is in no range."""
    try:
        return float(str(text))
    except ValueError:
        return float("nan")


def _values(context: Context, fields: dict[str, Any], now: dt.datetime) -> dict[str, Value]:
    """Canonical column to its corrected value; a date or time gives both columns of its moment.

    Raises:
        PolicyError: a date is none, or too far away.
    """
    values: dict[str, Value] = {}
    for name, given in fields.items():
        moment = name.removesuffix("_at")
        if moment in MOMENTS:
            on, at = _date(context, name, str(given), now)
            values |= {f"{moment}_on": on, f"{moment}_at": at}
        else:
            values[name] = str(given)
    return values | ({"event_zone": None} if "event_at" in fields else {})


def _date(
    context: Context, field: str, text: str, now: dt.datetime
) -> tuple[dt.date | None, dt.datetime | None]:
    """The date and the instant (UTC, naive) that somebody wrote, by the rules of the readers
    (pipeline/raw/readers/moments.py)."""
    data_map = context.data_map
    latest = now.date() + dt.timedelta(days=PLANNED_WITHIN if field == "due_at" else 2)
    try:
        time = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        raise PolicyError(
            f"{field} must be a date or time in ISO 8601, such as 2026-10-01"
        ) from None
    if not data_map.earliest_date < time.date() < latest:
        raise PolicyError(f"{field} must lie between {data_map.earliest_date} and {latest}")
    if time.tzinfo is None and time.time() == dt.time():
        return time.date(), None
    aware = time if time.tzinfo else time.replace(tzinfo=ZoneInfo(data_map.default_zone))
    return None if time.tzinfo else time.date(), aware.astimezone(dt.UTC).replace(tzinfo=None)


def conflicts(context: Context) -> list[str]:
    """Rectifications, by request, after which the source has sent another value: it is current
    again, and somebody has to find out which one is right."""
    layout = context.layout
    if not (made := corrections.made(layout)):
        return []
    rows = resolved_rows(layout)
    with engine(layout.work) as connection:
        overtaken = relations.temp_table(connection, "overtaken", overtaken_model(rows))
        same = same_values("o", "r", KEY)
        return [
            path.stem.removeprefix("records-rectified-")
            for path in made
            for corrected in [resolved(relations.parquet([path], {}), identifiers(layout))]
            if count(
                connection,
                f"SELECT count(*) FROM {overtaken} o JOIN ({corrected}) r ON {same} "
                "WHERE NOT o.agrees",
            )
        ]


def _rectify(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    request: Request,
    subject: Subject,
    now: dt.datetime,
) -> str:
    """Put a corrected revision in the store and erase the wrong ones (GDPR Art. 16)."""
    layout, details = context.layout, request.details
    fields = _corrected(details)
    with layout.locked():
        rows = resolved_rows(layout)
        named = ("course_code", "record_type", "occurrence")
        scope = {name: details[name] for name in named if name in details}
        test = " AND ".join(f"{k} = {literal(str(v))}" for k, v in scope.items())
        values = _values(context, fields, now)
        changes = ", ".join(
            f"CAST({literal(v)} AS {CANONICAL[k]}) AS {k}" for k, v in values.items()
        )
        current = current_model(rows, rows, corrections.gone(connection, layout))
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE wrong AS SELECT deliveries, record_key, "
            f"{', '.join(CANONICAL)} "
            f"FROM ({current}) WHERE {subject.is_person()} AND {test}"
        )
        found = count(connection, "SELECT count(*) FROM wrong")
        if found != 1:
            raise PolicyError(f"a rectification must match one record; this one matches {found}")
        held = corrections.stands_on(connection, layout, Sql("wrong"), rows)
        raw = corrections.raw_of(Sql("wrong"), held)
        path = layout.rectified / "ALL" / f"records-rectified-{request.name}.parquet"
        with atomic_build(path, layout.work, durable=True) as beside:
            connection.execute(
                f"COPY (SELECT {', '.join(CANONICAL)} FROM (SELECT * REPLACE ({changes}, "
                f"{CORRECTED_RANK} AS rank, {raw} AS raw, "
                "list_max(deliveries) AS delivery_date, "
                f"TIMESTAMP '{now.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}' AS revised_at) "
                f"FROM wrong)) TO {literal(beside)} ({PARQUET})"
            )
        population.forget(layout)
        for old in relations.files(layout, "records"):
            if old != path:
                revisions = past_retention.rows_of_records(old, "wrong", identifiers(layout))
                apply_edit(connection, layout, FileEdit(old, revisions))
    return f"corrected {', '.join(fields)}; the next run publishes it"

"""The read service: the one place where published tables are read, and nothing without a role and
a purpose.

It is also the way to read from a notebook, under the same rules and with the same log:

    from pathlib import Path
    from pipeline.access.authorize import AccessRequest
    from pipeline.context import context_from_settings
    from pipeline.policy.access import Role
    from pipeline.read.service import read

    context = context_from_settings(Path("data"))
    request = AccessRequest("lea", Role.ANALYST, "training_quality", "analytics_milestones")
    frame = read(context, request).frame
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.access import audit, go_live, sign_off, staff
from pipeline.access.authorize import (
    AccessGrant,
    AccessRequest,
    authorize,
    pseudonyms,
)
from pipeline.classified import managers
from pipeline.context import Context
from pipeline.errors import EngineError, PolicyError, Unfinished
from pipeline.policy.fields import Audience
from pipeline.published.tables import opened
from pipeline.read.notes import require_plain_note
from pipeline.storage import encryption
from pipeline.storage.engine import engine
from pipeline.storage.sql import identifier
from pipeline.subjects import identity

if TYPE_CHECKING:
    import duckdb
    import polars as pl

WHOSE = "$whose"  # the pseudonym of each row, for the log; no column of a table is called so


@dataclass(frozen=True)
class ReadResult:
    """Rows of one published table.

    Attributes:
        frame: the rows that were asked for, with the granted columns of the data map in their
            order. Dates are dates, shares are fractions of 1, `median_days` is in days, and
            pseudonyms (`…_ref`) are texts. Null is a value that was suppressed or generalized.
        total: how many rows the actor may read, of which `limit` may have left some out.
    """

    frame: pl.DataFrame
    total: int

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.frame.columns)

    @property
    def rows(self) -> list[tuple[object, ...]]:
        return self.frame.rows()


def reference(context: Context, person: str | None, audience: Audience | None) -> str | None:
    """A person's pseudonym in an audience; None if there is none."""
    if person is None or audience is None:
        return None
    with engine(context.layout.work) as connection:
        return identity.reference(connection, context.layout, person, audience)


def pseudonyms_of(context: Context, people: list[str], audience: Audience) -> list[str]:
    """The pseudonyms of some people in an audience, of those who have one there."""
    with engine(context.layout.work) as connection:
        refs = encryption.rows(connection, context.layout, context.layout.references(audience))
        found = connection.execute(
            f"SELECT ref FROM {refs} WHERE person IN (SELECT unnest($people::VARCHAR[]))",
            {"people": people},
        ).fetchall()
    return [str(ref) for (ref,) in found]


def read(context: Context, request: AccessRequest, limit: int | None = None) -> ReadResult:
    """Read the rows of one published table that the actor may read. The access log has the
    reading, or the refusal, on disk before anything is returned.

    Args:
        limit: how many rows at most; None for all.

    Raises:
        AccessDenied: with the reason.
        PolicyError: nothing is published, or nobody may read now.
        EngineError: DuckDB failed.
    """
    try:
        grant, own_ref = granted(context, request, dt.datetime.now(dt.UTC))
    except PolicyError as refusal:
        # A note that was refused may be what named somebody.
        audit.note(
            context,
            replace(request, note=""),
            pseudonyms(request.people),
            decision=f"refused: {refusal}",
        )
        raise
    query, bound = rows_query(context, request, grant, own_ref)
    frame, total = read_rows(context, request.table, query, bound, limit)
    refs = {*request.people, *map(str, frame[WHOSE].drop_nulls().unique())}
    audit.note(context, request, refs, fields=grant.fields, rows=frame.height)
    return ReadResult(frame.drop(WHOSE), total)


def rows_query(
    context: Context, request: AccessRequest, grant: AccessGrant, own_ref: str | None
) -> tuple[str, dict[str, object]]:
    """SQL for the granted rows and columns, with whose they are, and the values that it binds."""
    spec = context.data_map.published[request.table]
    conditions, bound = ["true"], dict[str, object]()
    if grant.own_reports:
        conditions.append("manager_ref = $own")
        bound["own"] = own_ref
        only = managers.only_reports(context, request.actor)
        if only is not None:
            conditions.append("learner_ref IN (SELECT unnest($only::VARCHAR[]))")
            bound["only"] = pseudonyms_of(context, only, spec.audience)
    if request.people:
        conditions.append("learner_ref IN (SELECT unnest($people))")
        bound["people"] = list(request.people)
    if grant.only_null is not None:
        conditions.append(f"{identifier(grant.only_null)} IS NULL")
    whose = "learner_ref" if "learner_ref" in spec.columns else "NULL"
    columns = ", ".join([f"{whose} AS {identifier(WHOSE)}", *map(identifier, grant.fields)])
    table = f"released.{identifier(request.table)}"
    return f"SELECT {columns} FROM {table} WHERE {' AND '.join(conditions)}", bound


def read_rows(
    context: Context, table: str, query: str, bound: dict[str, object], limit: int | None
) -> tuple[pl.DataFrame, int]:
    """A query's first rows and the number of all of them, of one and the same release: if that
    goes while it is read, the next one is asked."""
    most = "" if limit is None else f" LIMIT {int(limit)}"
    while True:
        release = context.layout.current.resolve()
        try:
            with opened(context, release, table) as connection:
                counted = connection.execute(f"SELECT count(*) FROM ({query})", bound)
                ((total,),) = counted.fetchall()
                return connection.sql(query + most, params=bound).pl(), int(total)
        except EngineError:
            if context.layout.current.resolve() == release:
                raise


def granted(
    context: Context, request: AccessRequest, now: dt.datetime
) -> tuple[AccessGrant, str | None]:
    """What the actor may read, and the actor's own pseudonym; a sign-off is used up by this."""
    spec = context.data_map.published.get(request.table)
    members = staff.everyone(context.layout)
    member = managers.member(context, request.actor)
    handing = managers.member(context, request.by) if request.by else None
    signer = members.get(request.sign_off.authorization.signer) if request.sign_off else None
    # Whose records are the actor's own matters where single people can be read.
    single = {*context.access.own_reports, *context.access.detail}
    audience = spec.audience if spec and spec.audience in single else None
    own_ref, by_ref, signer_ref = (
        reference(context, one.person if one else None, audience)
        for one in (member, handing, signer)
    )
    go_live.require_open(context.layout, context.access, context.version)
    grant = authorize(context, request, member, own_ref, signer, signer_ref, now, by_ref)
    require_plain_note(context, request.note)
    if spec is None or not (context.layout.current / spec.file).exists():
        raise Unfinished("nothing is published yet")
    if audience is not None:
        _require_same_keys(context, request.table, audience)
    if grant.redeems is not None:
        sign_off.redeem(context.layout, grant.redeems.authorization, now)
    return grant, own_ref


def _require_same_keys(context: Context, table: str, audience: Audience) -> None:
    """Stop where nobody would be found: after a change of keys, a run has written new pseudonyms
    to the vault, and has not published them so far.

    Raises:
        Unfinished: the release has pseudonyms of other keys than the vault.
    """
    layout = context.layout
    with opened(context, layout.current.resolve(), table) as connection:
        refs = encryption.rows(connection, layout, layout.references(audience))
        published = _key_of(connection, "learner_ref", f"released.{identifier(table)}")
        if published and published != _key_of(connection, "ref", refs):
            raise Unfinished(
                "the keys were changed, and no run has published since: nobody can be found under "
                "their new pseudonym; run the pipeline"
            )


def _key_of(connection: duckdb.DuckDBPyConnection, column: str, rows: str) -> str | None:
    """The scheme, audience and epoch that some pseudonyms begin with (pipeline/keys/ring.py)."""
    query = f"SELECT split_part({column}, '_', 1) FROM {rows} LIMIT 1"
    return next((str(tag) for (tag,) in connection.execute(query).fetchall()), None)

"""Whom nobody can resolve: the identifiers of records that mean no employee of any roster.

They are raw, so that an operator can have the roster or the source corrected; only roles with
`identifiers: true` in access_rules.yaml see them, and the access log has every reading.
"""

from __future__ import annotations

import polars as pl

from pipeline.access import audit, staff
from pipeline.access.authorize import AccessDenied
from pipeline.context import Context
from pipeline.policy.access import Role, RoleRule
from pipeline.storage.engine import engine
from pipeline.storage.relations import classified
from pipeline.storage.sql import render

WHAT = "identifiers that mean nobody on the roster"


def require_role(context: Context, actor: str, role: Role, what: str) -> None:
    """Stop an actor who may not see raw identifiers; the refusal is logged.

    Raises:
        AccessDenied: the actor does not have the role, or the role does not see them.
    """
    member = staff.find(context.layout, actor)
    rule = context.access.roles.get(role, RoleRule())
    if member is None or role not in member.roles or not rule.identifiers:
        audit.note_listing(context, actor, role, what, 0, "refused: role")
        raise AccessDenied(f"{role.value} may not see raw identifiers, or is not your role")


def listed(context: Context, actor: str, role: Role) -> pl.DataFrame:
    """The identifiers that cannot be resolved: identifier, why, sources, records, first and last
    (days of the records).

    Raises:
        AccessDenied: as `require_role`.
    """
    require_role(context, actor, role, WHAT)
    with engine(context.layout.work) as connection:
        query = render("pipeline.read", "unresolved.sql", rows=classified(context.layout))
        found: pl.DataFrame = connection.sql(query).pl()
    audit.note_listing(context, actor, role, WHAT, found.height, "granted")
    return found

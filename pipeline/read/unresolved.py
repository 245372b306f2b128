"""Whom nobody can resolve: the identifiers of records that mean no employee of any roster.

They are raw, so that an operator can have the roster or the source corrected; only the roles of the
actions `people unresolved` and `people find` in access_rules.yaml see them, and the access log has
every reading.
"""

from __future__ import annotations

import polars as pl

from pipeline.access import acting, audit, staff
from pipeline.access.actions import Actor
from pipeline.context import Context
from pipeline.policy.access import Role
from pipeline.storage.engine import engine
from pipeline.storage.relations import classified
from pipeline.storage.sql import render

WHAT = "identifiers that mean nobody on the roster"


def listed(context: Context, actor: str, role: Role) -> pl.DataFrame:
    """The identifiers that cannot be resolved: identifier, why, sources, records, first and last
    (days of the records).

    Raises:
        ActionDenied: the actor does not have the role, or the role does not see them.
    """
    who = Actor.of(actor, staff.find(context.layout, actor))
    acting.require(context, who, "people unresolved", role=role)
    with engine(context.layout.work) as connection:
        query = render("pipeline.read", "unresolved.sql", rows=classified(context.layout))
        found: pl.DataFrame = connection.sql(query).pl()
    audit.note_listing(context, actor, role, WHAT, found.height, "granted")
    return found

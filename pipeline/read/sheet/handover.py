"""Handing a manager the 1:1 sheet: one decision, one entry in the log, then the names.

No run makes it and no file of the store has it. Pseudonyms lead to names here only, for the own
reports of the day: of the released rows, who is the manager's report on the roster as well, has not
left, and is neither restricted nor objects.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from pipeline.access import audit
from pipeline.access.authorize import AccessDenied, AccessRequest, pseudonyms
from pipeline.classified import managers, names, run_snapshot
from pipeline.classified.models import course_titles_model
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.identity import store
from pipeline.policy.access import Role, SheetFormat, SheetRule, sheet_table
from pipeline.policy.fields import Audience, Treatment
from pipeline.read import service
from pipeline.read.sheet import PACKAGE
from pipeline.storage import encryption
from pipeline.storage.engine import engine
from pipeline.storage.relations import classified
from pipeline.storage.sql import Sql, render
from pipeline.subjects.identity import find
from pipeline.subjects.restrictions import RESTRICTIONS, make_restrictions

if TYPE_CHECKING:
    import polars as pl

# Open trainings first, and of these the overdue ones.
ORDER = ("overdue", "in_progress", "not_started", "complete")
JOINED = ("name", "course_title")  # to the fields of the published table, as the log has them
UNASSESSED = "none"  # the outcome where nothing was assessed


@dataclass(frozen=True)
class Training:
    """One row of the sheet; `title` is the code where no title may be shown."""

    title: str
    code: str
    state: str
    outcome: str


@dataclass(frozen=True, repr=False)
class Report:
    """One person of the sheet; never prints itself."""

    name: str
    trainings: tuple[Training, ...]


@dataclass(frozen=True, repr=False)
class Sheet:
    """What is handed over.

    Attributes:
        as_of: the day of the run whose states it shows; `made_on` is the day of the handover.
        note: why it is used.
    """

    reports: tuple[Report, ...]
    as_of: dt.date
    made_on: dt.date
    actor: str
    note: str

    @property
    def assessed(self) -> bool:
        """Is there an outcome of any exam?"""
        return any(t.outcome != UNASSESSED for one in self.reports for t in one.trainings)


def rule_of(context: Context) -> tuple[SheetRule, str]:
    """The rule of the sheet, and the published table that it is made of.

    Raises:
        PolicyError: policy has no rule for it.
    """
    rule = context.access.sheet
    if rule is None:
        raise PolicyError("access_rules.yaml has no rule for the 1:1 sheet, so nobody receives one")
    return rule, sheet_table(rule, context.access, context.data_map, context.governance)


def hand_over(
    context: Context,
    actor: str,
    role: Role,
    note: str,
    made_as: SheetFormat = SheetFormat.HTML,
    people: tuple[str, ...] = (),
    by: str | None = None,
) -> Sheet:
    """The sheet of an actor's own reports; the access log has it, or the refusal, on disk before
    anything is returned.

    Args:
        note: why it is used in this 1:1 or review.
        people: pseudonyms of some of the reports; none for all.
        by: who hands it over on the actor's behalf; None for the actor.

    Raises:
        AccessDenied: with the reason.
        PolicyError: nothing is published, or nobody may read now.
    """
    rule, table = rule_of(context)
    request = AccessRequest(actor, role, rule.purpose, table, people, note=note.strip(), by=by)
    now = dt.datetime.now(dt.UTC)
    try:
        grant, own_ref = service.granted(context, request, now)
        _require_sheet(rule, grant.own_reports, request, made_as)
    except PolicyError as refusal:
        refused = f"refused: {refusal}"
        audit.note(context, replace(request, note=""), pseudonyms(people), decision=refused)
        raise
    query, bound = service.rows_query(context, request, grant, own_ref)
    rows, _ = service.read_rows(context, table, query, bound, None)
    today = now.astimezone(context.rules.zone(None)).date()
    named = _named(context, rows, actor, context.data_map.published[table].audience, today)
    fields = (*JOINED, *(one for one in grant.fields if not one.endswith("_ref")))
    audit.note(context, request, named["learner_ref"].unique(), fields=fields, rows=named.height)
    run = run_snapshot.read(context.layout).classified_at
    as_of = run.astimezone(context.rules.zone(None)).date()
    return Sheet(tuple(_reports(named)), as_of, today, actor, request.note)


def _require_sheet(
    rule: SheetRule, own_reports: bool, request: AccessRequest, made_as: SheetFormat
) -> None:
    if not own_reports:
        raise AccessDenied(f"{request.role.value} has no reports of their own to be shown")
    if len(request.note) < rule.note:
        raise AccessDenied(
            f"a note of at least {rule.note} characters is required: why it is used in this 1:1 "
            "or review"
        )
    if made_as not in rule.formats:
        raise AccessDenied(f"policy does not allow the sheet as {made_as.value}")


def _named(
    context: Context, rows: pl.DataFrame, actor: str, audience: Audience, today: dt.date
) -> pl.DataFrame:
    """Those of the rows that may be shown by name today, with name and title, in their order."""
    import polars as pl

    layout, member = context.layout, managers.member(context, actor)
    who = member.person if member else None
    titled = context.data_map.treatment_of("course_title", audience) is Treatment.KEEP
    with engine(layout.work) as connection:
        make_restrictions(connection, context)
        query = render(
            PACKAGE,
            "reports.sql",
            pseudonyms=Sql(encryption.rows(connection, layout, layout.references(audience))),
            names=names.rows(connection, layout),
            roster=names.on_roster(layout, context.data_map),
            identifiers=store.identifiers(layout),
            manager=find(connection, layout, who).people if who else (),
            today=today,
            restrictions=Sql(RESTRICTIONS),
            audience=audience.value,
        )
        reports = connection.sql(query).pl()
        titles = course_titles_model(Sql(classified(layout)), titled=titled)
        courses = connection.sql(titles).pl()
    reports = reports.unique("ref").with_columns(
        # Two people of one name must not be taken for each other.
        name=pl.when(pl.col("name").is_duplicated())
        .then(pl.format("{} ({})", "name", pl.col("person").str.replace("^emp:", "")))
        .otherwise("name")
    )
    return (
        rows.join(reports, left_on="learner_ref", right_on="ref")
        .join(courses, on="course_code")
        .with_columns(
            title=pl.coalesce("title", "course_code"),
            place=pl.col("state").replace_strict(ORDER, range(len(ORDER))),
        )
        .sort(pl.col("name").str.to_lowercase(), "learner_ref", "place", "title", "course_code")
    )


def _reports(named: pl.DataFrame) -> Iterable[Report]:
    """The people of the sheet in their order, each with the trainings in theirs."""
    for _, rows in groupby(named.iter_rows(named=True), key=lambda row: row["learner_ref"]):
        mine = list(rows)
        yield Report(
            mine[0]["name"],
            tuple(
                Training(
                    row["title"], row["course_code"], row["state"], row.get("outcome", UNASSESSED)
                )
                for row in mine
            ),
        )

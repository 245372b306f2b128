"""What teams are called, where policy has it: the organizational unit on the roster.

A name says which team a figure is about and nothing of whom the figure counts: which figures are
published is decided for teams, whatever they are called. A unit that several teams have, that
could name a person, or that is missing, is not shown, and the team has its pseudonym only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from pipeline.classified import names, population, run_snapshot
from pipeline.context import Context
from pipeline.identity import store
from pipeline.policy.fields import Audience
from pipeline.published import PACKAGE
from pipeline.published.tables import attached
from pipeline.storage import encryption
from pipeline.storage.relations import roster, roster_history, subquery
from pipeline.storage.sql import Sql, identifier, render
from pipeline.subjects.denylist import entries_sql, grams_sql

LETTERS = 3  # shorter parts of names are particles and initials
LONGEST = 100  # characters
# Why a team has no name.
NONE = "most of the team have no unit in common on the roster"
SHARED, PERSONAL = "several teams have the unit", "the unit could name a person"


@dataclass(frozen=True)
class Relations:
    """What names are made of.

    Attributes:
        roster: the latest row of everybody on it.
        identifiers: whom identifiers mean, and when.
        names: whatever rows of rosters say who is called what.
        denylist: entry: whole names, addresses and numbers of known people.
        pseudonyms: person and ref of the audience.
    """

    roster: Sql
    identifiers: Sql
    names: Sql
    denylist: Sql
    pseudonyms: Sql

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection, context: Context) -> Relations:
        layout = context.layout
        refs = encryption.rows(connection, layout, layout.references(Audience.COACHING))
        return cls(
            names.on_roster(layout, context.data_map),
            store.identifiers(layout),
            roster_history(layout),
            subquery(entries_sql(roster(layout), population.people(layout))),
            Sql(refs),
        )


def teams_sql(
    beside: Iterable[Sql], made_of: Relations, today: dt.date, ordinary: Iterable[str]
) -> Sql:
    """team_ref, unit and withheld of every team that some relations name.

    Args:
        beside: the relations.
        ordinary: words of every day that may stand in a unit although somebody is called so.
    """
    return render(
        PACKAGE,
        "team_dimension.sql",
        beside=list(beside),
        roster=made_of.roster,
        identifiers=made_of.identifiers,
        names=made_of.names,
        denylist=made_of.denylist,
        grams=grams_sql("(SELECT unit AS text FROM units)"),
        pseudonyms=made_of.pseudonyms,
        today=today,
        letters=LETTERS,
        longest=LONGEST,
        ordinary=[word.lower() for word in ordinary] or [""],
        missing=NONE,
        shared=SHARED,
        personal=PERSONAL,
    )


def of_run(connection: duckdb.DuckDBPyConnection, context: Context, beside: Iterable[Sql]) -> Sql:
    """`teams_sql` of the store, on the day of the run that classified it."""
    run = run_snapshot.read(context.layout).classified_at
    today = run.astimezone(context.rules.zone(None)).date()
    made_of = Relations.of(connection, context)
    return teams_sql(beside, made_of, today, context.access.ordinary_words)


def unnamed(
    connection: duckdb.DuckDBPyConnection, context: Context, partition: str, table: str
) -> dict[str, int]:
    """Why teams of a staged dimension have no name, and how many."""
    with attached(connection, context, context.layout.staged(partition), table, "staged"):
        teams = of_run(connection, context, [Sql(f"staged.{identifier(table)}")])
        counted = f"SELECT withheld, count(*) FROM ({teams}) WHERE withheld IS NOT NULL"
        return dict(connection.execute(f"{counted} GROUP BY 1 ORDER BY 1").fetchall())

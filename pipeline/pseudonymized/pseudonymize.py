"""Classified rows to one pseudonymized table per audience, with that audience's columns only.

Every output column names the canonical fields it is made of. `check_against` refuses a column
treated less strictly than the data map demands for the audience, so that code cannot widen what
policy allows; the same names give the column lineage in the Dagster UI.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.classified import population
from pipeline.errors import PolicyError
from pipeline.keys.ring import AudienceKey
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import STRICTNESS, Audience, Treatment
from pipeline.storage import encryption
from pipeline.storage.engine import joined_as_written
from pipeline.storage.layout import Layout
from pipeline.storage.schema import PARQUET
from pipeline.storage.sql import literal
from pipeline.subjects.restrictions import RESTRICTIONS

REFERENCES = "ref"
COMPLETE = ("completed", "passed", "waived")
PERSON_RECORDS = "record_type IN ('milestone_flag', 'assessment_record')"
ORDINARY = "sensitivity IS NULL"
BAND = (
    "CASE WHEN score IS NULL THEN 'unscored' WHEN score < 50 THEN 'low' "
    "WHEN score < 80 THEN 'mid' ELSE 'high' END"
)
# Derived by the readers or from several fields, not released by a single one.
OWN = {"source", "record_type"}


@dataclass(frozen=True)
class Derived:
    """One column: SQL over the classified row (l = learner's, m = manager's pseudonym), the
    canonical fields it is made of, and what it takes away of them."""

    sql: str
    made_from: tuple[str, ...]
    treatment: Treatment = Treatment.GENERALIZE


def _same(name: str, *more: str) -> Derived:
    return Derived(name, (name, *more), Treatment.KEEP)


LEARNER = Derived("l.ref", ("learner_id",), Treatment.PSEUDONYMIZE)
MANAGER = Derived("m.ref", ("manager_id",), Treatment.PSEUDONYMIZE)
SCORE_BAND = Derived(BAND, ("score", "score_max"))
OUTCOME = Derived(
    "CASE WHEN status IN ('passed', 'failed') THEN status ELSE 'none' END", ("status",)
)
REGION = Derived("region", ("country",))

TABLES: dict[Audience, dict[str, Derived]] = {
    Audience.COACHING: {
        "learner_ref": LEARNER,
        "team_ref": MANAGER,
        "department": _same("department"),
        "course_code": _same("course_code"),
        "period": Derived(
            "date_trunc('month', coalesce(event_at, assigned_at))::DATE",
            ("event_at", "assigned_at"),
        ),
        "complete": Derived(f"status IN {COMPLETE}", ("status",)),
        "on_time": Derived(
            f"CASE WHEN due_at IS NOT NULL THEN status IN {COMPLETE} AND event_at <= due_at END",
            ("event_at", "due_at", "status"),
        ),
        "days": Derived(
            f"CASE WHEN status IN {COMPLETE} AND event_at >= assigned_at "
            "THEN epoch(event_at - assigned_at) / 86400 END",
            ("assigned_at", "event_at", "status"),
        ),
        "score_band": SCORE_BAND,
    },
    Audience.MANAGER: {
        "manager_ref": MANAGER,
        "learner_ref": LEARNER,
        "course_code": _same("course_code"),
        "completion": Derived(
            f"CASE WHEN status IN {COMPLETE} THEN 'complete' ELSE 'incomplete' END", ("status",)
        ),
        "outcome": OUTCOME,
    },
    Audience.ANALYTICS: {
        "learner_ref": LEARNER,
        "record_type": _same("record_type"),
        "source": _same("source"),
        "region": REGION,
        "department": _same("department"),
        "course_code": _same("course_code"),
        "event_month": Derived("date_trunc('month', event_at)::DATE", ("event_at",)),
        "status": _same("status"),
        "score_band": SCORE_BAND,
    },
    Audience.HR_LEGAL: {
        "learner_ref": LEARNER,
        "manager_ref": MANAGER,
        **{name: _same(name) for name in ("record_type", "source")},
        "region": REGION,
        **{name: _same(name) for name in ("department", "course_code", "course_title")},
        "sensitivity": Derived("sensitivity", ("course_code", "course_title")),
        **{name: _same(name) for name in ("assigned_at", "started_at", "event_at")},
        "event_zone": Derived("event_zone", ("event_at",)),
        **{name: _same(name) for name in ("due_at", "status")},
        "outcome": OUTCOME,
        "score": _same("score", "score_max"),
        "attempts": _same("attempts"),
        "has_comment": Derived("has_comment", ("free_text",), Treatment.TOKENISE),
    },
}  # fmt: skip
# Which classified rows an audience may see at all; None = every row.
FILTERS: dict[Audience, dict[str, str]] = {
    Audience.COACHING: {"sensitive course": ORDINARY, "message": PERSON_RECORDS},
    Audience.MANAGER: {
        "sensitive course": ORDINARY,
        "message": PERSON_RECORDS,
        "no manager": "manager IS NOT NULL",
    },
    Audience.ANALYTICS: {"sensitive course": ORDINARY},
    Audience.HR_LEGAL: {},
}


def check_against(data_map: DataMap, audience: Audience) -> None:
    """Stop the run if a column tells more of a field than policy allows for the audience.

    Raises:
        PolicyError: naming audience, column, field and the treatment that the map demands.
    """
    for name, column in TABLES[audience].items():
        for origin in set(column.made_from) - OWN:
            demanded = data_map.treatment_of(origin, audience)
            if STRICTNESS.index(column.treatment) < STRICTNESS.index(demanded):
                raise PolicyError(
                    f"{audience.value}.{name}: made of {origin}, for which data_map.yaml demands "
                    f"`{demanded.value}` for the audience {audience.value}"
                )


def filters(audience: Audience, due: str) -> dict[str, str]:
    """Reason to SQL test over the classified row: may this audience see it?

    Args:
        due: SQL, is the record past its window, or soon to be (pipeline/policy/windows.py)?

    The connection has the table WITHHELD.
    """
    return {
        "window over or ending": f"NOT ({due})",
        "restricted, objected, or no consent": f"person NOT IN (SELECT person FROM {RESTRICTIONS} "
        f"WHERE audience = {literal(audience.value)})",
        **FILTERS[audience],
    }


def write_references(
    connection: duckdb.DuckDBPyConnection, layout: Layout, key: AudienceKey, out: Path
) -> None:
    """Write the vault's table of one audience, encrypted: person (raw identifier), ref (pseudonym).
    The connection has it as the table REFERENCES besides, with each pseudonym's place among them.

    Distinct identifiers are hashed, rows are joined to them afterwards: people are far fewer
    than records.
    """
    population.load(connection, layout)
    hashed = f"SELECT person, {key.hmac_sql('person')} AS ref FROM ({population.LIVING})"
    connection.execute(_placed(hashed), key.parameters())
    listed = f"SELECT person, ref FROM {REFERENCES} ORDER BY place"
    encryption.write_table(connection, layout, listed, out)


def _placed(people: str) -> str:
    """SQL that makes REFERENCES. Rows are sorted by the place, since sorting by the pseudonyms
    themselves, which begin alike, takes twice as long."""
    return (
        f"CREATE OR REPLACE TEMP TABLE {REFERENCES} AS "
        f"SELECT *, row_number() OVER (ORDER BY ref) AS place FROM ({people})"
    )


def load_references(
    connection: duckdb.DuckDBPyConnection, layout: Layout, audience: Audience
) -> None:
    """Make the table REFERENCES from the vault's table of one audience."""
    rows = encryption.rows(connection, layout, layout.references(audience))
    connection.execute(_placed(f"FROM {rows}"))


def period_sql(rows: str, audience: Audience, due: str) -> str:
    """SQL: one audience's pseudonymized rows of one period, in the order of the pseudonyms.

    Args:
        rows: SQL, the period's classified rows.
        due: as `filters`.

    The connection has the audience's table REFERENCES, and WITHHELD.

    A person without a reference is an error, not a fallback identifier (the inner join loses the
    row and reconciliation stops the run).
    """
    passing = " AND ".join(filters(audience, due).values())
    columns = ", ".join(f"{c.sql} AS {name}" for name, c in TABLES[audience].items())
    manager = (
        f"LEFT JOIN {REFERENCES} m ON m.person = r.manager"
        if MANAGER in TABLES[audience].values()
        else ""
    )
    return (
        f"SELECT {columns} FROM (FROM {rows} WHERE {passing}) r "
        f"JOIN {REFERENCES} l ON l.person = r.person {manager} ORDER BY l.place, r.record_key"
    )


def before_sql(rows: str, audience: Audience, due: str) -> str:
    """SQL: the same rows in no order, with people where `period_sql` has pseudonyms. What no column
    of the audience is made of does not matter here either."""
    columns = ", ".join(
        f"{column.sql} AS {name}"
        for name, column in TABLES[audience].items()
        if column not in (LEARNER, MANAGER)
    )
    return (
        f"SELECT record_key, person, manager, {columns} FROM {rows} "
        f"WHERE {' AND '.join(filters(audience, due).values())}"
    )


def write_period(
    connection: duckdb.DuckDBPyConnection, rows: str, audience: Audience, due: str, out: Path
) -> None:
    """Write the rows of `period_sql`. The same ones give the very same file, so that an erasure
    sees what it has changed."""
    query = period_sql(rows, audience, due)
    with joined_as_written(connection):
        connection.execute(f"COPY ({query}) TO {literal(out)} ({PARQUET})")


def period_names(layout: Layout) -> list[str]:
    """Folders of the classified store; without a record one of an empty period, so that the columns
    exist all the same."""
    return sorted(folder.name for folder in layout.classified.glob("period=*")) or ["period=none"]

"""Row-level tables: every row stands in a class of at least k people who look the same.

A class is all rows that share their quasi-identifiers, as told (Samarati & Sweeney 1998; people
are counted, never rows). Rows of classes that are too small, or of which too few people had
anything but an adverse outcome (l-diversity for one sensitive value), are made coarser together
by the next step of the policy's chain; what is too small after the last is withheld. Local
recoding: a row loses only what its own class has to lose. The chain is one order, so of two
nights' tellings of a row the finer implies the coarser one: they cannot be intersected.

Not covered: an attacker who knows several rows of one person, which share a pseudonym.
"""

from __future__ import annotations

import duckdb

from pipeline.policy.disclosure import ClassRule, DisclosureRules, Generalization
from pipeline.storage.engine import count
from pipeline.storage.sql import literal

FULL = "full"  # the detail of a row that has lost nothing
# What a class is known by: what rows bring, and what is told of it.
QUASI_IDENTIFIERS = ("record_type", "source", "region", "department", "course_code", "event_month")
GENERALIZED = ("record_type", "source", "region", "department", "category", "course_code", "event_period",
        "detail")  # fmt: skip
LEFT_OUT = {"region", "department", "category", "course_code", "event_period"}  # may be empty
ADVERSE = "(status = 'failed' OR score_band = 'low')"
# How much of one of the four quasi-identifiers a row has lost after a step.
LOST: dict[Generalization, tuple[str, float]] = {
    Generalization.QUARTER: ("date", 1 / 3),
    Generalization.YEAR: ("date", 2 / 3),
    Generalization.DATE: ("date", 1),
    Generalization.CATEGORY: ("course", 1 / 2),
    Generalization.COURSE: ("course", 1),
    Generalization.DEPARTMENT: ("department", 1),
    Generalization.REGION: ("region", 1),
}


def detail(rule: ClassRule, steps: int) -> str:
    """The name of a detail: of the last step taken."""
    return rule.generalize[steps - 1].value if steps else FULL


def loss_of(rule: ClassRule) -> dict[str, float]:
    """Detail to the share of the four quasi-identifiers that its rows have lost, 0..1 (the
    complement of Sweeney's precision, 2002)."""
    found, lost = {FULL: 0.0}, dict.fromkeys(("date", "course", "department", "region"), 0.0)
    for step in rule.generalize:
        what, share = LOST[step]
        lost[what] = share
        found[step.value] = sum(lost.values()) / len(lost)
    return found


def _coarse(rules: DisclosureRules, taken: set[Generalization], name: str) -> dict[str, str]:
    """SQL: what is told of a class after some steps."""
    unit = next(
        (step.value for step in (Generalization.YEAR, Generalization.QUARTER) if step in taken),
        "month",
    )
    no_course = "NULL::VARCHAR"
    return {
        "record_type": "record_type",
        "source": "source",
        "region": "NULL::VARCHAR" if Generalization.REGION in taken else "region",
        "department": "NULL::VARCHAR" if Generalization.DEPARTMENT in taken else "department",
        "category": no_course if Generalization.COURSE in taken else rules.category_sql("course_code"),
        "course_code": no_course if taken & {Generalization.CATEGORY, Generalization.COURSE} else "course_code",
        "event_period": "NULL::DATE" if Generalization.DATE in taken
        else f"date_trunc('{unit}', event_month)::DATE",
        "detail": literal(name),
    }  # fmt: skip


def choose_generalization(
    connection: duckdb.DuckDBPyConnection, rows: str, rules: DisclosureRules, rule: ClassRule
) -> None:
    """Make `class_of`: what rows bring to what is told of them (as `told_<name>`).

    Args:
        rows: SQL, a purpose's pseudonymized rows with BROUGHT, learner_ref, status, score_band.
    """
    _number(connection, "unplaced", "combination", QUASI_IDENTIFIERS, rows)
    made = False
    for steps in range(len(rule.generalize) + 1):
        coarse = _coarse(rules, set(rule.generalize[:steps]), detail(rule, steps))
        told = ", ".join(f"{sql} AS told_{name}" for name, sql in coarse.items())
        key = ", ".join(f"told_{name}" for name in coarse)
        into = "INSERT INTO class_of" if made else "CREATE OR REPLACE TEMP TABLE class_of AS"
        connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE coarse AS
          SELECT *, dense_rank() OVER (ORDER BY {key}) AS class
          FROM (SELECT *, {told} FROM combination);
        CREATE OR REPLACE TEMP TABLE enough AS
          SELECT class FROM (SELECT class, person, bool_or(fine) AS fine
            FROM unplaced JOIN coarse USING (number) GROUP BY ALL)
          GROUP BY class HAVING {_enough(rule)};
        {into} SELECT {", ".join(QUASI_IDENTIFIERS)}, {key} FROM coarse SEMI JOIN enough USING (class);
        DELETE FROM combination WHERE number IN
          (SELECT number FROM coarse SEMI JOIN enough USING (class));
        CREATE OR REPLACE TEMP TABLE unplaced AS FROM unplaced SEMI JOIN combination USING (number);
        """)
        made = True
    connection.execute(
        "DROP TABLE combination; DROP TABLE unplaced; DROP TABLE coarse; DROP TABLE enough"
    )


def _number(
    connection: duckdb.DuckDBPyConnection, people: str, names: str, key: tuple[str, ...], rows: str
) -> None:
    """Make of rows two tables, so that people are counted by numbers and not by long texts:

    - `<names>`: number, and each of the `key`'s combinations;
    - `<people>`: one row a (number, person); fine: had the person anything but an adverse outcome?

    People are 64-bit hashes: two that fall together make a class seem smaller, never larger.
    """
    same = " AND ".join(f"r.{name} IS NOT DISTINCT FROM n.{name}" for name in key)
    connection.execute(f"""
    CREATE OR REPLACE TEMP TABLE {names} AS SELECT row_number() OVER ()::INTEGER AS number, *
      FROM (SELECT DISTINCT {", ".join(key)} FROM {rows});
    CREATE OR REPLACE TEMP TABLE {people} AS
      SELECT number, hash(r.learner_ref) AS person,
        bool_or(NOT coalesce({ADVERSE}, false)) AS fine
      FROM {rows} r JOIN {names} n ON {same} GROUP BY ALL
    """)


def _enough(rule: ClassRule) -> str:
    """SQL: may a class be told, over one row a person?"""
    return f"count(*) >= {rule.k} AND count(*) FILTER (fine) >= {rule.minimum_not_adverse}"


def generalized_sql(rows: str) -> str:
    """SQL: the rows whose class has enough people, as they are told of it."""
    told = ", ".join(f"c.told_{name} AS {name}" for name in GENERALIZED)
    same = " AND ".join(f"r.{name} IS NOT DISTINCT FROM c.{name}" for name in QUASI_IDENTIFIERS)
    return (
        f"SELECT r.learner_ref, r.status, r.score_band, {told} "
        f"FROM {rows} r JOIN class_of c ON {same}"
    )


def suppressed_sql(rows: str, table: str) -> str:
    """SQL: how many rows each person has in the store beyond those in the table, in all."""
    return (
        "SELECT coalesce(sum(greatest(mine - coalesce(told, 0), 0)), 0) FROM "
        f"(SELECT learner_ref, count(*) AS mine FROM {rows} GROUP BY 1) LEFT JOIN "
        f"(SELECT learner_ref, count(*) AS told FROM {table} GROUP BY 1) USING (learner_ref)"
    )


def too_small(connection: duckdb.DuckDBPyConnection, table: str, rule: ClassRule) -> int:
    """Classes of a table that may not be told, counted from the table itself."""
    _number(connection, "seated", "class", GENERALIZED, table)
    found = count(
        connection,
        "SELECT count(*) FROM "
        f"(SELECT number FROM seated GROUP BY number HAVING NOT ({_enough(rule)}))",
    )
    connection.execute("DROP TABLE seated; DROP TABLE class")
    return found

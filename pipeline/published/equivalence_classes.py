"""Row-level tables: every row is in a class of at least k people who look the same.

A class is all rows that share their quasi-identifiers, as published (Samarati & Sweeney 1998;
people are counted, never rows). Rows of classes that are too small, or in which too few people had
anything but an adverse outcome (l-diversity for one sensitive value), are generalized together by
the next step of the policy's chain; what is still too small after the last step is suppressed.
Local recoding: a row loses only what its own class has to lose. The chain has one order, so if two
runs publish a row differently, the finer version implies the coarser one: they cannot be
intersected.

Not covered: an attacker who knows several rows of one person, which share a pseudonym.
"""

from __future__ import annotations

import duckdb

from pipeline.policy.disclosure import ClassRule, DisclosureRules, Generalization
from pipeline.published import PACKAGE
from pipeline.storage.engine import count
from pipeline.storage.sql import Sql, identifiers, render, same_values

FULL = "full"  # the detail of a row that has lost nothing
# What distinguishes classes: as the pseudonymized rows have it, and as it is published.
QUASI_IDENTIFIERS = ("record_type", "source", "region", "department", "course_code", "event_month")
GENERALIZED = (
    *("record_type", "source", "region", "department"),
    *("category", "course_code", "event_period", "detail"),
)
OUTSIDE = ("learner_ref", "status", "score_band")  # whose row it is, and how it went
LEFT_OUT = {"region", "department", "category", "course_code", "event_period"}  # may be empty
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
    """The name of a level of detail: that of the last step taken."""
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


def class_key(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Of a published table's columns, those that distinguish classes: deny by default, so every
    one that is not listed as lying outside."""
    return tuple(name for name in columns if name not in OUTSIDE)


def _kept(columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of the class's key for which the chain has no step; they stay as they are."""
    return tuple(name for name in class_key(columns) if name not in GENERALIZED)


def quasi_identifiers(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Columns of the pseudonymized rows that the class's key is made of."""
    return (*QUASI_IDENTIFIERS, *_kept(columns))


def generalized_step_sql(
    combinations: Sql,
    rules: DisclosureRules,
    rule: ClassRule,
    steps: int,
    columns: tuple[str, ...],
) -> Sql:
    """Combinations of quasi-identifiers, what is published of each after some steps of the chain,
    and the class that each is then in.

    Args:
        columns: those of the published table.
    """
    taken = set(rule.generalize[:steps])
    coarse = (step for step in (Generalization.YEAR, Generalization.QUARTER) if step in taken)
    unit = next(coarse, None)
    return render(
        PACKAGE,
        "generalized.sql",
        combinations=combinations,
        kept=_kept(columns),
        has_region=Generalization.REGION not in taken,
        has_department=Generalization.DEPARTMENT not in taken,
        has_category=Generalization.COURSE not in taken,
        has_course=not taken & {Generalization.CATEGORY, Generalization.COURSE},
        has_date=Generalization.DATE not in taken,
        unit=unit.value if unit else "month",
        category_of_course=Sql(rules.category_sql("course_code")),
        detail=detail(rule, steps),
    )


def choose_generalization(
    connection: duckdb.DuckDBPyConnection,
    rows: Sql,
    rules: DisclosureRules,
    rule: ClassRule,
    columns: tuple[str, ...],
) -> Sql:
    """Choose, for every combination of quasi-identifiers, the first steps after which its class is
    large enough. Combinations for which no step is enough are left out.

    Args:
        rows: an audience's pseudonymized rows: `quasi_identifiers`, learner_ref, status,
            score_band.
        columns: those of the published table.

    Returns:
        A temporary table: `quasi_identifiers`, and generalized_<name> for each name in GENERALIZED.
    """
    chosen, key = Sql("chosen_generalization"), quasi_identifiers(columns)
    combinations, people = _numbered(connection, key, rows)
    wanted = identifiers((*key, *(f"generalized_{name}" for name in GENERALIZED)))
    empty = generalized_step_sql(combinations, rules, rule, 0, columns)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {chosen} AS SELECT {wanted} FROM ({empty}) LIMIT 0"
    )
    for steps in range(len(rule.generalize) + 1):
        query = generalized_step_sql(combinations, rules, rule, steps, columns)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE generalized AS {query}")
        large = _large_classes(people, Sql("generalized"), rule)
        connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE placed AS FROM generalized SEMI JOIN ({large}) USING (class);
        INSERT INTO {chosen} SELECT {wanted} FROM placed;
        DELETE FROM {combinations} WHERE number IN (SELECT number FROM placed);
        CREATE OR REPLACE TEMP TABLE {people} AS
            FROM {people} SEMI JOIN {combinations} USING (number);
        """)
    for table in (combinations, people, "generalized", "placed"):
        connection.execute(f"DROP TABLE {table}")
    return chosen


def _large_classes(people: Sql, generalized: Sql, rule: ClassRule) -> Sql:
    """The classes that may be published."""
    return render(
        PACKAGE,
        "large_classes.sql",
        people=people,
        generalized=generalized,
        k=rule.k,
        minimum_not_adverse=rule.minimum_not_adverse,
    )


def combinations_sql(key: tuple[str, ...], rows: Sql) -> Sql:
    """The combinations of the key's values, numbered."""
    return render(PACKAGE, "combinations.sql", key=key, rows=rows)


def _numbered(
    connection: duckdb.DuckDBPyConnection, key: tuple[str, ...], rows: Sql
) -> tuple[Sql, Sql]:
    """Count people by numbers and not by long texts.

    Returns:
        Two temporary tables: the combinations of the key's values (number, key), and one row per
        combination and person (number, person, not_adverse).
    """
    combinations, people = Sql("combinations"), Sql("people_by_combination")
    query = combinations_sql(key, rows)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {combinations} AS {query}")
    query = render(
        PACKAGE,
        "people_by_combination.sql",
        rows=rows,
        combinations=combinations,
        same_combination=same_values("originals", "combinations", key),
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {people} AS {query}")
    return combinations, people


def generalized_sql(rows: Sql, classes: Sql, columns: tuple[str, ...]) -> Sql:
    """The rows whose class is large enough, generalized.

    Args:
        classes: what `choose_generalization` has returned for the same columns.
    """
    return render(
        PACKAGE,
        "analytics_milestones.sql",
        rows=rows,
        classes=classes,
        columns=columns,
        kept=_kept(columns),
        same_key=same_values("originals", "classes", quasi_identifiers(columns)),
    )


def suppressed_sql(rows: Sql, table: Sql) -> Sql:
    """How many rows people have in the store beyond those in the published table, in total."""
    return render(PACKAGE, "suppressed_rows.sql", rows=rows, table=table)


def too_small(
    connection: duckdb.DuckDBPyConnection, table: Sql, rule: ClassRule, columns: tuple[str, ...]
) -> int:
    """How many classes of a published table are too small, counted from the table itself."""
    classes, people = _numbered(connection, class_key(columns), table)
    small = render(
        PACKAGE,
        "small_classes.sql",
        people=people,
        k=rule.k,
        minimum_not_adverse=rule.minimum_not_adverse,
    )
    found = count(connection, f"SELECT count(*) FROM ({small})")
    connection.execute(f"DROP TABLE {classes}; DROP TABLE {people}")
    return found

"""Row-level tables: every row is in a class of at least k people who look the same.

A row is about one person, one course and one period, and has no pseudonym: nothing links the rows
of one person, so knowing several of them narrows nothing down. What is left to an attacker is one
row's own class, and what surrounds it:

    the class   all rows that share their quasi-identifiers, as published (Samarati & Sweeney 1998;
                people are counted, never rows): at least k people, of whom enough do not have the
                adverse outcome (l-diversity for one sensitive value)
    a manager   knows how the own team stands, so the same holds of a class without any one team
    remainders  whoever is left over of a course, a category or a department would be known by
                subtracting its rows from a total: it is nobody, or again such a group

Local recoding, so that a row loses only what its own class has to lose: what is in no class at one
level of detail goes to the next one of the policy's chain (`generalize`). Where too few people
would be left over of a total, the smallest class beside them joins them. Two classes that hold
still hold when they are one, so joining never breaks what held before.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pipeline.policy.disclosure import ClassRule, Generalization
from pipeline.published import PACKAGE
from pipeline.storage.engine import count
from pipeline.storage.relations import subquery, temp_table
from pipeline.storage.sql import Sql, literal, render, same_values

FULL = "full"  # the detail of a row that has lost nothing
MOST_TRIES = 3  # that many or more are one number: few have them, and colleagues remember who
# What a step of the chain takes away of a class's key.
TAKES: dict[Generalization, tuple[str, ...]] = {
    Generalization.DEPARTMENT: ("department",),
    Generalization.REGION: ("region",),
    Generalization.CATEGORY: ("course_code",),
    Generalization.COURSE: ("course_code", "category"),
}
LEFT_OUT = ("region", "department", "category", "course_code")  # may be empty
# Columns of the published table that do not distinguish classes: how it went, and what follows.
OUTSIDE = ("status", "score_band", "tries", "detail")
# How much of one of the three quasi-identifiers a row has lost after a step.
LOST: dict[Generalization, tuple[str, float]] = {
    Generalization.DEPARTMENT: ("department", 1),
    Generalization.REGION: ("region", 1),
    Generalization.CATEGORY: ("course", 1 / 2),
    Generalization.COURSE: ("course", 1),
}


def details(rule: ClassRule) -> list[str]:
    """The names of the levels of detail, finest first: each is that of the last step taken."""
    return [FULL, *(step.value for step in rule.generalize)]


def loss_of(rule: ClassRule) -> dict[str, float]:
    """Detail to the share of the three quasi-identifiers that its rows have lost, 0..1 (the
    complement of Sweeney's precision, 2002)."""
    found, lost = {FULL: 0.0}, dict.fromkeys(("course", "department", "region"), 0.0)
    for step in rule.generalize:
        what, share = LOST[step]
        lost[what] = share
        found[step.value] = sum(lost.values()) / len(lost)
    return found


def class_key(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Of a published table's columns, those that distinguish classes: deny by default, so every
    one that is not listed as lying outside."""
    return tuple(name for name in columns if name not in OUTSIDE)


def _keys(rule: ClassRule, columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    """What distinguishes classes at each level of detail."""
    key = class_key(columns)
    found = [key]
    for step in rule.generalize:
        key = tuple(name for name in key if name not in TAKES[step])
        found.append(key)
    return found


def _totals(key: tuple[str, ...], after: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The totals that a remainder could be subtracted from, if what is left over at a level goes
    on: those of every course or category that the key does not name any more, and in the end of
    all together.

    Args:
        after: the key of the next level; nothing after the last one.
    """
    rest = tuple(name for name in key if name not in LEFT_OUT)
    of_total = {"course_code": ("category", "course_code"), "category": ("category",)}
    gone = [name for name in of_total if name in key and name not in after]
    totals = [rest + tuple(n for n in of_total[name] if n in key) for name in gone]
    return totals if after else [*totals, rest]


def holding_sql(members: Sql, rule: ClassRule) -> Sql:
    """SQL: the groups (id) that may be published.

    Args:
        members: query of id, person, team and not_adverse.
    """
    return Sql(
        f"SELECT id FROM ({at_the_least_sql(members)}) WHERE people >= {literal(rule.k)} "
        f"AND not_adverse >= {literal(rule.minimum_not_adverse)}"
    )


def at_the_least_sql(members: Sql) -> Sql:
    """SQL: every group (id), with its people and those of them who are not adverse, in all of it or
    in what is left of it without any one team, whichever is fewer.

    Args:
        members: query of id, person, team and not_adverse.
    """
    return render(PACKAGE, "groups_at_the_least.sql", members=subquery(members))


@dataclass(frozen=True)
class _Choice:
    """Temporary tables of a choice that is being made.

    Attributes:
        combinations: of the key's values: number, key.
        people: one row per combination and person: number, person, team, not_adverse.
        classes: number, level, class.
        placement: number, level; NULL so far.
    """

    connection: duckdb.DuckDBPyConnection
    rule: ClassRule
    combinations: Sql
    people: Sql
    classes: Sql
    placement: Sql

    def place(self, level: int) -> None:
        """Place what is in no class so far, wherever that makes a class at this level."""
        members = render(
            PACKAGE,
            "unplaced_members.sql",
            people=self.people,
            placement=self.placement,
            classes=self.classes,
            level=level,
        )
        self.connection.execute(
            f"UPDATE {self.placement} SET level = {level} WHERE level IS NULL AND number IN ("
            f"SELECT number FROM {self.classes} WHERE level = {level} "
            f"AND class IN ({holding_sql(members, self.rule)}))"
        )

    def join_left_over(self, key: tuple[str, ...], level: int, to: int | None) -> bool:
        """Where too few people are left over of a total, take the smallest class beside them to a
        level, or (None) out of its class; true if there was one.

        Args:
            key: of the totals.
            level: whoever is in a class from this level on, or in none, is left over.
        """
        totals = subquery(
            render(
                PACKAGE,
                "totals.sql",
                combinations=self.combinations,
                key=key,
                level=level,
                # Who has no department is in no department's total.
                counts=Sql("department IS NOT NULL" if "department" in key else "TRUE"),
            )
        )
        shared = {"people": self.people, "placement": self.placement, "totals": totals}
        left_over = render(PACKAGE, "left_over.sql", **shared, level=level)
        beside = render(
            PACKAGE,
            "smallest_beside.sql",
            **shared,
            classes=self.classes,
            level=level,
            left_over=left_over,
            holding=holding_sql(left_over, self.rule),
        )
        smallest = temp_table(self.connection, "smallest_beside", beside)
        if not count(self.connection, f"SELECT count(*) FROM {smallest}"):
            return False
        taken = "NULL" if to is None else str(to)
        self.connection.execute(
            f"UPDATE {self.placement} SET level = {taken} WHERE (number, level) IN ("
            f"SELECT (number, level) FROM {self.classes} WHERE class IN (FROM {smallest}))"
        )
        return True


def _begin(
    connection: duckdb.DuckDBPyConnection, rows: Sql, rule: ClassRule, columns: tuple[str, ...]
) -> _Choice:
    """Number the combinations, so that people are counted by numbers and not by long texts."""
    keys = _keys(rule, columns)
    combinations = temp_table(connection, "combinations", combinations_sql(keys[0], rows))
    people = render(
        PACKAGE,
        "people_by_combination.sql",
        rows=rows,
        combinations=combinations,
        same_combination=same_values("originals", "combinations", keys[0]),
    )
    classes = render(PACKAGE, "class_by_level.sql", combinations=combinations, keys=keys)
    return _Choice(
        connection,
        rule,
        combinations,
        temp_table(connection, "people_by_combination", people),
        temp_table(connection, "class_by_level", classes),
        temp_table(
            connection,
            "placement",
            f"SELECT number, NULL::INTEGER AS level FROM {combinations}",
        ),
    )


def combinations_sql(key: tuple[str, ...], rows: Sql) -> Sql:
    """The combinations of the key's values, numbered."""
    return render(PACKAGE, "combinations.sql", key=key, rows=rows)


def choose_classes(
    connection: duckdb.DuckDBPyConnection, rows: Sql, rule: ClassRule, columns: tuple[str, ...]
) -> Sql:
    """Choose the class of every row, as fine as it can be.

    Args:
        rows: one row per person, course, record type and period: person, team (NULL without one),
            category, and the published columns but detail.
        columns: those of the published table.

    Returns:
        A temporary table of the rows with class and generalized_<name>, as generalized_rows.sql
        makes it.
    """
    choice, keys = _begin(connection, rows, rule, columns), _keys(rule, columns)
    for level, key in enumerate(keys):
        choice.place(level)
        after = keys[level + 1] if level + 1 < len(keys) else ()
        totals = _totals(key, after)
        while any(choice.join_left_over(total, level + 1, None) for total in totals):
            choice.place(level)
    if Generalization.DEPARTMENT in rule.generalize:
        taken = rule.generalize.index(Generalization.DEPARTMENT) + 1
        total = tuple(n for n in class_key(columns) if n not in LEFT_OUT or n == "department")
        while choice.join_left_over(total, taken, taken):
            pass
    chosen = temp_table(connection, "classes_chosen", _generalized_sql(choice, rows, columns))
    for table in (choice.combinations, choice.people, choice.classes, choice.placement):
        connection.execute(f"DROP TABLE {table}")
    return chosen


def _generalized_sql(choice: _Choice, rows: Sql, columns: tuple[str, ...]) -> Sql:
    keys = _keys(choice.rule, columns)
    return render(
        PACKAGE,
        "generalized_rows.sql",
        rows=rows,
        combinations=choice.combinations,
        classes=choice.classes,
        placement=choice.placement,
        same_combination=same_values("originals", "combinations", keys[0]),
        shown_at={n: [at for at, key in enumerate(keys) if n in key] for n in LEFT_OUT},
        details=details(choice.rule),
    )


def generalized_names(columns: tuple[str, ...]) -> dict[str, str]:
    """Each published column and the one that has its value among the rows of `choose_classes`."""
    chosen = (*LEFT_OUT, "detail")
    return {name: f"generalized_{name}" if name in chosen else name for name in columns}


def published_sql(rows: Sql, columns: tuple[str, ...]) -> Sql:
    """The published columns of the rows that `choose_classes` has returned and that are in a
    class."""
    published = generalized_names(columns)
    return render(PACKAGE, "analytics_milestones.sql", rows=rows, published=published)

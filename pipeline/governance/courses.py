"""The courses of the store and what is decided about them; a decision that one is sensitive takes
effect at once, as an objection does, and one that it is ordinary with the next run.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from pipeline.access.courses import ANY, Decision, like
from pipeline.classified import population
from pipeline.classified.reference_values import attach
from pipeline.classified.sensitivity import course_sensitivity
from pipeline.context import Context
from pipeline.errors import BadInput
from pipeline.retained import course_tags, rebuild
from pipeline.retained.journal import Journal, fresh_name
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from pipeline.storage.relations import classified, subquery, temp_table
from pipeline.storage.sql import Sql, literal, literals
from pipeline.subjects.denylist import grams_sql

# Courses with the categories that are suggested of each, and patterns of codes.
Scope = tuple[dict[str, tuple[str, ...]], tuple[str, ...]]
UNNAMED = "(names somebody)"  # in place of a title that the denylist finds a person in


@dataclass(frozen=True)
class Course:
    """One course.

    Attributes:
        titles: language tag (empty where there is none) and title; none that names a person.
        people: distinct learners.
        sensitivity: None for an ordinary course; as classified.sql has it.
        reviewed: did anybody decide?
        suggested: categories.
    """

    code: str
    titles: tuple[tuple[str, str], ...]
    people: int
    sensitivity: str | None
    reviewed: bool
    suggested: tuple[str, ...]


def courses(context: Context) -> list[Course]:
    """All courses of the store, those first that most people have."""
    layout = context.layout
    with engine(layout.work) as connection:
        titles = population.load_titles(connection, layout)
        _withhold_names(connection, layout, titles)
        now = _by_now(connection, context, titles)
        found = connection.execute(
            "SELECT c.course_code, t.titles, coalesce(p.people, 0), c.sensitivity, c.reviewed, "
            f"c.suggested FROM {now} c LEFT JOIN shown_titles t USING (course_code) LEFT JOIN "
            f"(SELECT course_code, count(DISTINCT person) AS people FROM {classified(layout)} "
            "GROUP BY course_code) p USING (course_code) ORDER BY 3 DESC, 1"
        ).fetchall()
    return [
        Course(code, tuple(map(tuple, titles or ())), people, sensitivity, reviewed, tuple(some))
        for code, titles, people, sensitivity, reviewed, some in found
    ]


def _by_now(connection: duckdb.DuckDBPyConnection, context: Context, titles: Sql) -> Sql:
    """A temporary table of `course_sensitivity`."""
    found = course_sensitivity(connection, context, titles)
    return temp_table(connection, "courses_by_now", f"FROM {found}")


def _withhold_names(connection: duckdb.DuckDBPyConnection, layout: Layout, titles: Sql) -> None:
    """Make the table shown_titles: course_code and the pairs of language and title."""
    texts = subquery(f"SELECT DISTINCT course_title AS text FROM {titles}")
    naming = "SELECT NULL AS text WHERE false"
    if layout.reference_values.exists():
        attach(connection, layout)
        naming = (
            f"SELECT text FROM ({grams_sql(texts)}) WHERE gram IN (SELECT entry FROM "
            "reference.denylist)"
        )
    shown = (
        f"CASE WHEN looks_personal(course_title) OR course_title IN ({naming}) "
        f"THEN {literal(UNNAMED)} ELSE course_title END"
    )
    temp_table(
        connection,
        "shown_titles",
        "SELECT course_code, list_sort(list(DISTINCT [coalesce(language, ''), title])) AS titles "
        f"FROM (SELECT *, {shown} AS title FROM {titles} WHERE course_title IS NOT NULL) "
        "GROUP BY course_code",
    )


def waiting(found: Iterable[Course]) -> list[Course]:
    """The courses that nobody has decided about."""
    return [one for one in found if not one.reviewed]


def scope(found: Iterable[Course], text: str) -> Scope:
    """What a decision is about. A lone * means the courses that wait now and of which nothing is
    suggested, not those to come.

    Raises:
        BadInput: it is no pattern, and no course has that code; or no course waits.
    """
    known = {one.code: one for one in found}
    if text in known:
        return {text: known[text].suggested}, ()
    if text == ANY:
        plain: dict[str, tuple[str, ...]] = {
            one.code: () for one in waiting(known.values()) if not one.suggested
        }
        if not plain:
            raise BadInput("no course waits for a decision of which nothing is suggested")
        return plain, ()
    if ANY not in text:
        raise BadInput("no record is about a course of that code; `courses list` shows all")
    return {}, (text,)


def covered(found: Iterable[Course], decision: Decision) -> list[Course]:
    """The courses that a decision names."""
    patterns = [".*".join(map(re.escape, one.split(ANY))) for one in decision.patterns]
    return [
        one
        for one in found
        if one.code in decision.codes or any(re.fullmatch(each, one.code) for each in patterns)
    ]


def take_effect(context: Context, decision: Decision, now: dt.datetime) -> None:
    """Rebuild and publish the months in which somebody took a course that the decision makes
    sensitive. After a crash, the next run or the same decision once more comes to the same end.

    Raises:
        ErasureError: a check failed, and the old release stays.
    """
    layout = context.layout
    if not layout.classified.exists():
        return
    with layout.locked(), engine(layout.work) as connection:
        patterns = [
            f"course_code LIKE {literal(like(one))} ESCAPE '\\'" for one in decision.patterns
        ]
        named = " OR ".join([f"course_code IN ({literals(decision.codes)})", *patterns])
        hidden = course_tags.hidden(connection, context)
        about = temp_table(connection, "courses_named", f"FROM {hidden} WHERE {named}")
        # All of them, also where a process was killed after it had written what they are.
        files = course_tags.files_about(connection, layout, about)
        journal = Journal(layout, fresh_name(now))
        months = {path.parent.name for path in files}
        rebuild.rebuild_pseudonymized(connection, context, months, now, journal)
        rebuild.rebuild_reference_values(connection, context)
        rebuild.publish_survivors(connection, context, journal.folder.name)
        if journal.folder.exists():
            journal.close()

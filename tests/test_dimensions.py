"""The course dimension: the courses that published tables name, and no word more than they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
import yaml
from pydantic import ValidationError

from expectations import published as published_suite
from pipeline.policy.data_map import DataMap, load_data_map
from pipeline.policy.disclosure import load_disclosure
from pipeline.policy.fields import Audience
from pipeline.published import models
from pipeline.storage.layout import PROJECT
from pipeline.storage.sql import Sql
from tests.fixtures import Estate

MAP = load_data_map(PROJECT / "data_map.yaml")
RULES = load_disclosure(PROJECT / "disclosure_rules.yaml")
TABLE = "coaching_courses"
# What the store knows: code, title, sensitivity, reviewed, source rows.
KNOWN = [
    ("SEC-101", "Security basics", None, True),
    ("SEC-101", "Security basics", None, True),
    ("SQL-220", None, None, True),  # every title could name a person
    ("ONE-1", "Taken by one", None, True),
    ("HLT-404", "Living with burnout", "health", True),
    ("NEW-7", "Nobody has decided", "unreviewed", False),
]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Coaching tables that name SEC-101 twice, SQL-220, and GONE-9 of years ago."""
    with duckdb.connect() as made:
        made.execute("ATTACH ':memory:' AS staged; ATTACH ':memory:' AS reference")
        made.execute(
            "CREATE TABLE classified (course_code VARCHAR, course_title VARCHAR, "
            "sensitivity VARCHAR, reviewed BOOLEAN)"
        )
        made.executemany("INSERT INTO classified VALUES (?, ?, ?, ?)", KNOWN)
        made.execute(
            "CREATE TABLE reference.course AS SELECT DISTINCT course_code, sensitivity "
            "FROM classified"
        )
        made.execute("CREATE TABLE staged.coaching_course (course_code VARCHAR)")
        made.execute("CREATE TABLE staged.coaching_team_course (course_code VARCHAR)")
        made.execute("INSERT INTO staged.coaching_course VALUES ('SEC-101'), ('GONE-9')")
        made.execute(
            "INSERT INTO staged.coaching_team_course VALUES ('SEC-101'), ('SQL-220'), (NULL), "
            "('SEC-101')"
        )
        yield made


def dimension(connection: duckdb.DuckDBPyConnection) -> Sql:
    beside = [Sql(f"staged.{name}") for name in models.beside(MAP, TABLE)]
    query = models.course_sql(MAP, RULES, TABLE, beside, Sql("classified"))
    connection.execute(f"CREATE OR REPLACE TABLE staged.{TABLE} AS {query}")
    return Sql(f"staged.{TABLE}")


def broken(connection: duckdb.DuckDBPyConnection, relation: Sql) -> set[str]:
    found = published_suite._dimension_evidence(connection, MAP, TABLE, relation)
    return {rule for rule, n in found.items() if n}


def test_a_course_is_in_it_once_and_only_if_a_published_row_names_it(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """A row says that somebody took the course: ONE-1, which nothing published names, has none."""
    relation = dimension(connection)
    assert connection.sql(f"FROM {relation}").fetchall() == [
        ("GONE-9", None, "other"),  # named by a month of years ago; no record is left
        ("SEC-101", "Security basics", "security"),
        ("SQL-220", None, "skills"),
    ]
    assert broken(connection, relation) == set()


@pytest.mark.parametrize("code", ["HLT-404", "NEW-7"])
def test_a_course_that_is_not_ordinary_has_no_title_and_stops_the_release(
    connection: duckdb.DuckDBPyConnection, code: str
) -> None:
    """Whichever way it came into a published table: what is published of it goes there first."""
    connection.execute("INSERT INTO staged.coaching_course VALUES (?)", [code])
    relation = dimension(connection)
    titles = dict(connection.sql(f"SELECT course_code, course_title FROM {relation}").fetchall())
    assert titles[code] is None
    assert broken(connection, relation) == {published_suite.NOT_ORDINARY}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("INSERT INTO {of} VALUES ('ONE-1', NULL, 'other')", published_suite.NOT_NAMED),
        ("INSERT INTO {of} VALUES (NULL, NULL, 'other')", published_suite.NOT_NAMED),
        ("DELETE FROM {of} WHERE course_code = 'SEC-101'", published_suite.MISSING),
        ("INSERT INTO {of} VALUES ('SEC-101', 'Another', 'other')", published_suite.REPEATED),
    ],
)
def test_it_is_compared_with_the_tables_beside_it(
    connection: duckdb.DuckDBPyConnection, change: str, rule: str
) -> None:
    relation = dimension(connection)
    connection.execute(change.format(of=relation))
    assert rule in broken(connection, relation)


def policy(**of_table: Any) -> DataMap:
    """The shipped data map with another coaching dimension."""
    given = yaml.safe_load((PROJECT / "data_map.yaml").read_text("utf-8"))
    given["published"][TABLE] |= of_table
    return DataMap.model_validate(given)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"columns": ["course_code", "learners"]}, "a course dimension has course_code"),
        ({"columns": ["course_title"]}, "a course dimension has course_code"),
        ({"audience": "manager"}, "for the audience coaching or analytics"),
        ({"audience": "analytics"}, "no other table of analytics is in its database"),
        ({"database": "courses"}, "no other table of coaching is in its database"),
        ({"k": 5}, "neither k nor encrypted"),
        ({"dimension": "person"}, "course"),
        ({"dimension": None}, "a coaching table needs k"),
    ],
)
def test_policy_has_a_course_dimension_or_says_why_not(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        policy(**change)


@pytest.mark.parametrize("how", ["audience", "treatment"])
def test_every_source_of_titles_releases_them_or_there_are_none(how: str) -> None:
    """Deny by default: a title stands beside its code whichever source it came from, so one source
    that withholds it is enough."""
    given = yaml.safe_load((PROJECT / "data_map.yaml").read_text("utf-8"))
    field = given["sources"]["successfactors"]["fields"]["Item Title"]
    if how == "audience":
        field["audiences"].remove("coaching")
    else:
        field["treatment"] = "tokenise"
    with pytest.raises(ValidationError, match=r"coaching_courses\.course_title.*successfactors"):
        DataMap.model_validate(given)
    for dimension_table in (TABLE, "analytics_courses"):
        given["published"][dimension_table]["columns"].remove("course_title")
    assert "course_title" not in DataMap.model_validate(given).published[TABLE].columns


@pytest.mark.parametrize("audience", [Audience.COACHING, Audience.ANALYTICS])
def test_a_release_has_the_courses_that_it_names(finished_run: Estate, audience: Audience) -> None:
    context = finished_run.context
    ((table, spec),) = (
        (name, one)
        for name, one in context.data_map.with_dimensions(audience).items()
        if one.dimension
    )
    with duckdb.connect(str(context.layout.current / spec.file), read_only=True) as connection:
        rows = connection.sql(f"FROM {table}").fetchall()
        named = {
            code
            for other in models.beside(context.data_map, table)
            for (code,) in connection.sql(f"SELECT DISTINCT course_code FROM {other}").fetchall()
            if code is not None
        }
    assert rows
    assert ("SEC-101", "Security basics", "security") in rows
    assert sorted(code for code, _, _ in rows) == sorted(named)
    assert not {"HLT-404", "MNT-001"} & named

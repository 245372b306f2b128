"""Canonical rows to classified rows: who it is, how sensitive the course is, which row holds.

Output columns: stored.CLASSIFIED, one file or more per month of the record (`period`). person and
manager are namespaced raw identifiers; sensitivity is NULL for an ordinary course.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.compute import cluster
from pipeline.compute.exchange import Exchange, exchange
from pipeline.policy.data_map import DataMap
from pipeline.policy.detect import looks_personal
from pipeline.storage.layout import Layout
from pipeline.storage.relations import records, roster
from pipeline.storage.schema import CLASSIFIED, PARQUET
from pipeline.storage.sql import literal
from pipeline.subjects.denylist import entries_sql, grams_sql

# What one enrolment, exam or message is; everything that shares it is a revision of it.
KEY = ("source", "learner_id", "course_code", "record_type", "occurrence")
# 128 bits that name the record through all its revisions, here and in the canonical store.
RECORD_KEY = f"md5_number(concat_ws(chr(31), {', '.join(KEY)}))::UUID"
EVERY_ROW = "every_row"  # all good canonical rows; `rows` are those of a shard
SHARED = (
    "people",
    "alias",
    "course",
    "region_of",
    "department_kept",
)  # what rows are joined to; small
PERIOD = "date_trunc('month', coalesce(event_at, started_at, assigned_at, first_seen))::DATE"
# The most final status holds; within it the latest word. The rest only makes ties deterministic, so
# it is everything of a row that goes on: one more reading, or another engine, must not choose anew.
ORDER = (
    "rank DESC, revised_at DESC, delivery_date DESC, event_at DESC, status, score, assigned_at, "
    "attempts DESC, has_comment DESC, started_at, due_at, event_zone, manager_id, department, "
    "country, region"
)

VOIDED = (
    "status = 'voided' OR (record_id IS NOT NULL AND (source, record_id) IN "
    "(SELECT (source, record_id) FROM {rows} WHERE status = 'voided' AND problem IS NULL))"
)
# Counted by another road than the one that drops them: rows beyond the first of their key, and
# voided rows, so that reconciliation can find a row that the classification lost.
SUPERSEDED = (
    "SELECT (SELECT count(*) FROM {rows} WHERE problem IS NULL) - count(*) "
    # 128 bits of two unlike hashes stand for the key's five texts in half the time.
    f"FROM (SELECT DISTINCT hash({', '.join(KEY)}), hash({', '.join(reversed(KEY))}, 1) "
    f"FROM {{rows}} WHERE problem IS NULL AND NOT ({VOIDED}))"
)


def sensitivity_sql(data_map: DataMap) -> str:
    """SQL: category of a course by explicit code or by pattern in code or title, NULL if none."""
    rules = data_map.course_sensitivity
    codes = ", ".join(literal(code) for code in sorted(rules.codes)) or "NULL"
    branches = [f"WHEN bool_or(course_code IN ({codes})) THEN 'listed'"]
    branches += [
        f"WHEN bool_or(regexp_matches(concat_ws(' ', course_code, course_title), "
        f"{literal(pattern)})) THEN {literal(name)}"
        for name, pattern in rules.patterns.items()
    ]
    return f"CASE {' '.join(branches)} END"


def _good(layout: Layout) -> str:
    """SQL: the canonical rows of all deliveries that are not in quarantine."""
    return f"(FROM {records(layout)} WHERE problem IS NULL)"


def make_views(connection: duckdb.DuckDBPyConnection, layout: Layout, data_map: DataMap) -> None:
    """Create EVERY_ROW, `rows`, the tables SHARED, and what they are made of."""
    regions = ", ".join(
        f"({literal(country)}, {literal(region)})"
        for country, region in data_map.region_of().items()
    )
    texts = (
        "(SELECT course_title AS text FROM told UNION SELECT department FROM people "
        "UNION SELECT department FROM person)"
    )
    connection.execute(f"""
    CREATE TEMP VIEW {EVERY_ROW} AS FROM {_good(layout)};
    CREATE TEMP VIEW rows AS FROM {EVERY_ROW};
    CREATE TEMP TABLE people AS FROM {roster(layout)};
    CREATE TEMP TABLE region_of AS
      SELECT * FROM (VALUES {regions}) AS v(country, home_region);
    -- An address shared by two employees resolves to neither.
    CREATE TEMP TABLE alias AS
      SELECT alias, any_value(person) AS person FROM (
        SELECT 'mbox:mailto:' || email AS alias, learner_id AS person FROM people
          WHERE email IS NOT NULL
        UNION ALL
        SELECT 'sha1:' || sha1('mailto:' || email), learner_id FROM people
          WHERE email IS NOT NULL
        UNION ALL
        SELECT DISTINCT r.learner_id, p.learner_id FROM rows r JOIN people p
          ON p.learner_id = 'emp:' || split_part(r.learner_id, '#', -1)
          WHERE starts_with(r.learner_id, 'acct:'))
      GROUP BY alias HAVING count(DISTINCT person) = 1;
    CREATE TEMP TABLE person AS
      SELECT DISTINCT r.learner_id, r.department, coalesce(a.person, r.learner_id) AS person
      FROM (SELECT DISTINCT learner_id, department FROM rows) r
      LEFT JOIN alias a ON a.alias = r.learner_id;
    CREATE TEMP TABLE told AS
      SELECT course_code, course_title, count(*) AS n FROM rows GROUP BY ALL;
    -- A title or department that names or numbers a known person is withheld.
    CREATE TEMP TABLE denylist AS {entries_sql("people", "person")};
    CREATE TEMP TABLE naming AS
      SELECT DISTINCT text FROM ({grams_sql(texts)}) WHERE gram IN (FROM denylist);
    CREATE TEMP TABLE course AS
      SELECT course_code, {sensitivity_sql(data_map)} AS sensitivity,
        arg_max(course_title, (n, course_title)) FILTER (
          NOT {looks_personal("course_title")} AND course_title NOT IN (FROM naming)) AS title
      FROM told GROUP BY course_code;
    -- A department of fewer people than k, or one that reads like a person, is no department.
    CREATE TEMP TABLE department_kept AS
      SELECT department FROM (
        SELECT coalesce(p.department, r.department) AS department, person
        FROM person r LEFT JOIN people p ON p.learner_id = r.person)
      WHERE department IS NOT NULL AND NOT {looks_personal("department")}
        AND department NOT IN (FROM naming)
      GROUP BY department HAVING count(DISTINCT person) >= {data_map.least_people};
    """)


def current_sql() -> str:
    """SQL over the views: of every key the one row that holds.

    Most keys have a single row, and a window over all of them would sort everything. Only rows
    whose key's hash occurs again go through the window; a chance collision merely sends two rows
    of different keys there, where each wins its own.
    """
    key = ", ".join(KEY)
    told = f"{RECORD_KEY} AS record_key"
    standing = f"(FROM rows WHERE NOT ({VOIDED.format(rows=EVERY_ROW)}))"
    return f"""
    WITH again AS MATERIALIZED (
      SELECT hash({key}) AS h FROM {standing} GROUP BY h HAVING count(*) > 1)
    SELECT *, {told}, [delivery_date] AS deliveries, delivery_date AS first_seen
    FROM {standing} r WHERE hash({key}) NOT IN (FROM again)
    UNION ALL
    SELECT *, {told}, list(DISTINCT delivery_date) OVER (PARTITION BY {key}),
      min(delivery_date) OVER (PARTITION BY {key})
    FROM {standing} r WHERE hash({key}) IN (FROM again)
      QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {ORDER}) = 1"""


def classified_sql() -> str:
    """SQL over the views: the record that holds of every key, resolved and tagged."""
    return f"""
    SELECT record_key, deliveries, first_seen, left_on, p.learner_id IS NOT NULL AS on_roster,
      coalesce(a.person, r.learner_id) AS person,
      coalesce(p.manager_id, r.manager_id) AS manager,
      record_type, source,
      coalesce(home_region, region) AS region,
      d.department, r.course_code, c.title AS course_title, c.sensitivity,
      assigned_at, started_at, event_at, due_at, event_zone, status, score, attempts, has_comment
    FROM ({current_sql()}) r
    JOIN course c USING (course_code)
    LEFT JOIN alias a ON a.alias = r.learner_id
    LEFT JOIN people p ON p.learner_id = coalesce(a.person, r.learner_id)
    LEFT JOIN region_of g ON g.country = coalesce(p.country, r.country)
    LEFT JOIN department_kept d ON d.department = coalesce(p.department, r.department)
    """


def write_classified(
    connection: duckdb.DuckDBPyConnection, layout: Layout, data_map: DataMap, out: Path
) -> None:
    """Write the classified records of all deliveries to the folder `out`, by period.

    It depends on the set of deliveries only, not on the order in which they were run, so a repeated,
    late or corrected delivery ends in the same file.
    """
    make_views(connection, layout, data_map)
    # A store without a row is a folder all the same.
    out.mkdir(exist_ok=True, mode=0o700)
    shards = cluster.shards()
    if shards == 1:
        connection.execute(f"COPY ({_by_period()}) TO {literal(out)} ({_parts('data')})")
        return
    with exchange(layout, "classified") as shared:
        for table in SHARED:
            shared.put(connection, table)
        shared.put_stored(connection, EVERY_ROW, _good(layout))
        cluster.each(_write_shard, [(shared, out, n, shards) for n in range(shards)])
        for n in range(shards):
            shared.download(connection, f"shard-{n}", out, _parts(f"shard-{n}"))


def _by_period() -> str:
    return f"SELECT {', '.join(CLASSIFIED)}, {PERIOD} AS period FROM ({classified_sql()})"


def _parts(name: str) -> str:
    """Options of COPY: a folder for every period, and in it files of this name."""
    return (
        f"{PARQUET}, PARTITION_BY (period), OVERWRITE_OR_IGNORE, "
        f"FILENAME_PATTERN {literal(f'{name}_{{i}}')}"
    )


def _write_shard(shared: Exchange, out: Path, number: int, of: int) -> None:
    """One shard: all revisions of a record_key are in the same one, so each stands for itself."""
    with shared.open(EVERY_ROW, *SHARED) as connection:
        mine = f"hash({', '.join(KEY)}) % {of} = {number}"
        connection.execute(f"CREATE TEMP VIEW rows AS FROM {EVERY_ROW} WHERE {mine}")
        name = f"shard-{number}"
        shared.upload(connection, name, _by_period(), out, _parts(name))

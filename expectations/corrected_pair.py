"""What an attacker works out who has both versions of a corrected period's figures.

Every figure is subtracted from its former one, and so is what is left of it after its parts that
are published with it. Each difference is about k people or more, or there is none to be seen.
Counted by sets of people, and by none of the code that chose the figures.
"""

from __future__ import annotations

import datetime as dt

import duckdb
import polars as pl

from expectations.evidence import Evidence
from pipeline.context import Context
from pipeline.policy.fields import Audience
from pipeline.published import coaching, publication_history
from pipeline.storage.relations import pseudonymized
from pipeline.storage.sql import Sql, identifier, literal

TABLE = "coaching_team"
TOO_CLOSE = "corrected_pair.too_close"
RULES = [TOO_CLOSE]
LEVELS = {"coaching_period": [], "coaching_department": ["department"]} | {
    TABLE: ["department", "team_ref"]
}
COUNTS = ["learners", "records", "complete"]


def evidence(connection: duckdb.DuckDBPyConnection, context: Context, partition: str) -> Evidence:
    """Differences between the versions that are about too few people. The staged tables are
    attached as `staged`."""
    correction = publication_history.staged_correction(context.layout, partition)
    if correction is None:
        return {TOO_CLOSE: 0}
    period = correction.correction.period
    carried = publication_history.carry_forward(connection, context, tuple(LEVELS))
    new = _figures(connection, {t: f"staged.{identifier(t)}" for t in LEVELS}, period)
    old = _figures(connection, {t: str(one) for t, one in carried.items()}, period)
    k = context.disclosure.rule(context.data_map).k
    return {TOO_CLOSE: too_close(_records(connection, context, period), old, new, k)}


def too_close(records: pl.DataFrame, old: pl.DataFrame, new: pl.DataFrame, k: int) -> int:
    """How many differences are about fewer than k people.

    Args:
        records: of the period now: department, team_ref, person, complete.
        old, new: level (0 to 2), department, team_ref and COUNTS of what was and is published.
    """
    key = ["level", "department", "team_ref"]
    both = new.join(old, on=key, how="left", nulls_equal=True, suffix="_before")
    apart = (pl.col("learners") - pl.col("learners_before")).abs() >= k
    equal = pl.all_horizontal(pl.col(c) == pl.col(f"{c}_before") for c in COUNTS)
    alone = both.filter(~(apart | equal).fill_null(value=False)).height
    rests = _rests(both, records)
    most = pl.min_horizontal("learners_before", "records_left")
    least = pl.max_horizontal(pl.lit(0), pl.col("people_left"))
    gap = pl.max_horizontal(pl.col("people_now") - most, least - pl.col("people_now"))
    seen = (pl.col("records_now") != pl.col("records_left")) | (
        pl.col("complete_now") != pl.col("complete_left")
    )
    return alone + rests.filter(seen & (gap < k)).height


def _rests(both: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    """What is left of every figure after its published parts, if it has any: of now counted over
    the records, of before as the figures have it."""
    departments = both.filter(level=1)["department"]
    teams = both.filter(level=2).select("department", "team_ref", team=pl.lit(value=True))
    in_department = pl.col("department").is_in(departments.implode(), nulls_equal=True)
    level = pl.when("team").then(2).when(in_department).then(1).otherwise(0)
    now = (
        records.join(teams, on=["department", "team_ref"], how="left", nulls_equal=True)
        .with_columns(level.alias("level"))
        .filter(pl.col("level") < 2)
        .with_columns(department=pl.when(pl.col("level") == 1).then("department"))
        .group_by("level", "department")
        .agg(
            people_now=pl.col("person").n_unique(),
            records_now=pl.len(),
            complete_now=pl.col("complete").sum(),
        )
    )
    parts = (
        both.filter(pl.col("level") > 0)
        .with_columns(holder=pl.when((pl.col("level") == 2) & in_department).then(1).otherwise(0))
        .with_columns(department=pl.when(pl.col("holder") == 1).then("department"))
        .group_by(level="holder", department="department")
        .agg(pl.col(f"{c}_before").sum().alias(f"{c}_parts") for c in COUNTS)
    )
    keys = ["level", "department"]
    return (
        both.filter(pl.col("level") < 2)
        .join(parts, on=keys, nulls_equal=True)
        .join(now, on=keys, how="left", nulls_equal=True)
        .with_columns(
            pl.col("people_now", "records_now", "complete_now").fill_null(0).cast(pl.Int64),
            people_left=pl.col("learners_before") - pl.col("learners_parts"),
            records_left=pl.col("records_before") - pl.col("records_parts"),
            complete_left=pl.col("complete_before") - pl.col("complete_parts"),
        )
    )


def _figures(
    connection: duckdb.DuckDBPyConnection, tables: dict[str, str], period: dt.date
) -> pl.DataFrame:
    """What some tables publish of a period."""
    queries = []
    for level, (table, names) in enumerate(LEVELS.items()):
        cell = ", ".join(
            f"{name if name in names else 'NULL'}::VARCHAR AS {name}" for name in LEVELS[TABLE]
        )
        queries.append(
            f"SELECT {level} AS level, {cell}, learners::BIGINT AS learners, "
            "records::BIGINT AS records, round(completion_rate * records)::BIGINT AS complete "
            f"FROM {tables[table]} WHERE period = {literal(period)}"
        )
    found: pl.DataFrame = connection.sql(" UNION ALL ".join(queries)).pl()
    return found


def _records(
    connection: duckdb.DuckDBPyConnection, context: Context, period: dt.date
) -> pl.DataFrame:
    source = Sql(pseudonymized(context.layout, Audience.COACHING))
    rows = coaching.make_rows(connection, source, context.disclosure, [period])
    found: pl.DataFrame = connection.sql(
        "SELECT t.department::VARCHAR AS department, t.team_ref::VARCHAR AS team_ref, r.person, "
        f"r.complete::INTEGER AS complete FROM {rows.rows} AS r JOIN {rows.teams} AS t "
        "USING (period, team)"
    ).pl()
    return found

"""Canonical rows to classified rows: who it is, how sensitive the course is, which row is current.

Output columns: CLASSIFIED (pipeline/storage/schema.py), one file or more per month of the record
(`period`). The queries are the .sql files beside this module.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.access.courses import make_decisions
from pipeline.classified import corrections
from pipeline.classified.models import (
    COUNTRY_NAMES,
    KEY,
    PERIOD,
    RESOLUTION,
    SUGGESTIONS,
    TITLES,
    Resolution,
    classified_model,
    country_names_model,
    current_model,
    region_of_model,
    resolution,
    resolution_models,
)
from pipeline.classified.sensitivity import make_suggestions
from pipeline.compute import cluster
from pipeline.compute.exchange import Exchange, exchange
from pipeline.context import Context
from pipeline.identity import models as identity
from pipeline.identity import store as identity_store
from pipeline.policy import countries
from pipeline.policy.data_map import UNKNOWN_REGION, DataMap
from pipeline.policy.retention import RetentionRules
from pipeline.storage.engine import load_macros
from pipeline.storage.layout import Layout
from pipeline.storage.relations import (
    records,
    roster,
    roster_history,
    subquery,
    temp_table,
    temp_table_of,
    temp_view,
)
from pipeline.storage.schema import CLASSIFIED, PARQUET
from pipeline.storage.sql import Sql, identifier, literal

EVERY_ROW = "every_row"  # the canonical rows of all shards that are not in quarantine


def good_rows(layout: Layout) -> Sql:
    """The canonical rows of all deliveries that are not in quarantine (columns: CANONICAL)."""
    return Sql(f"(FROM {records(layout)} WHERE problem IS NULL)")


def resolved_rows(layout: Layout) -> Sql:
    """The same, each with the person that the last classification took it to be about."""
    return subquery(identity.resolved(good_rows(layout), identity_store.identifiers(layout)))


def make_resolution(
    connection: duckdb.DuckDBPyConnection,
    rows: Sql,
    layout: Layout,
    data_map: DataMap,
    rules: RetentionRules,
) -> Resolution:
    """Make what rows are joined to; the connection has the decisions about courses.

    Args:
        rows: canonical rows that are not in quarantine.
    """
    make_country_names(connection)
    zones = rules.calendars((*data_map.regions, UNKNOWN_REGION))
    history = roster_history(layout)
    models = resolution_models(rows, roster(layout), history, data_map, zones)
    # Rows in quarantine name people, too, who can ask for them.
    models |= identity.models(records(layout), history, data_map.identity)
    for name, query in models.items():
        if name == SUGGESTIONS:
            make_suggestions(connection, identifier(TITLES), data_map)
        else:
            temp_table(connection, name, query)
    return resolution()


def make_country_names(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the temporary table COUNTRY_NAMES."""
    temp_table_of(connection, COUNTRY_NAMES, _country_names())


@cache
def _country_names() -> pa.Table:
    """The rows of COUNTRY_NAMES, which no policy changes: made once in a process."""
    name, country, rank = zip(*countries.names(), strict=True)
    listed = pa.table({"name": name, "country": country, "rank": rank})
    with duckdb.connect() as connection:
        load_macros(connection)
        connection.register("listed_names", listed)
        return connection.sql(country_names_model(Sql("listed_names"))).to_arrow_table()


def home_regions(
    connection: duckdb.DuckDBPyConnection, rows: Sql, data_map: DataMap
) -> dict[str, str]:
    """The countries of some canonical rows, as they were delivered, each with its region."""
    make_country_names(connection)
    return dict(connection.execute(region_of_model(rows, rows, data_map)).fetchall())


def write_classified(connection: duckdb.DuckDBPyConnection, context: Context, out: Path) -> Sql:
    """Write the classified records of all deliveries to the folder `out`, by period.

    It depends on the set of deliveries only, not on the order in which they came, so a repeated,
    late or corrected delivery ends in the same file.

    Returns:
        A temporary table of the courses, as course.sql has them.
    """
    layout = context.layout
    make_decisions(connection, context)
    stored = good_rows(layout)
    rows = temp_view(connection, EVERY_ROW, Sql(f"FROM {stored}"))
    data_map = context.data_map
    joined = make_resolution(connection, rows, layout, data_map, context.rules)
    # A store without a row is a folder all the same.
    out.mkdir(exist_ok=True, mode=0o700)
    identity_store.write(connection, joined.identifiers, out)
    gone = corrections.gone(connection, layout)
    shards = cluster.shards()
    if shards == 1:
        query = _by_period(_resolved(rows, joined), rows, gone, joined, data_map)
        connection.execute(f"COPY ({query}) TO {literal(out)} ({_parts('data')})")
        return joined.course
    with exchange(layout, "classified") as shared:
        for name in RESOLUTION:
            shared.put(connection, name)
        shared.put_stored(connection, EVERY_ROW, stored)
        work = [(shared, data_map, gone, out, n, shards) for n in range(shards)]
        cluster.each(_write_shard, work)
        for n in range(shards):
            shared.download(connection, f"shard-{n}", out, _parts(f"shard-{n}"))
    return joined.course


def _resolved(rows: Sql, joined: Resolution) -> Sql:
    return subquery(identity.resolved(rows, joined.identifiers))


def _by_period(
    rows: Sql, every_row: Sql, gone: list[str], joined: Resolution, data_map: DataMap
) -> str:
    classified = classified_model(current_model(rows, every_row, gone), joined, data_map)
    return f"SELECT {', '.join(CLASSIFIED)}, {PERIOD} AS period FROM {subquery(classified)}"


def _parts(name: str) -> str:
    """Options of COPY: a folder for every period, and in it files of this name."""
    return (
        f"{PARQUET}, PARTITION_BY (period), OVERWRITE_OR_IGNORE, "
        f"FILENAME_PATTERN {literal(f'{name}_{{i}}')}"
    )


def _write_shard(
    shared: Exchange, data_map: DataMap, gone: list[str], out: Path, number: int, of: int
) -> None:
    """Write one shard. All revisions of a record are in the same one, so each is complete."""
    with shared.open(EVERY_ROW, *RESOLUTION) as connection:
        every_row = identifier(EVERY_ROW)
        resolved = _resolved(every_row, resolution())
        mine = f"FROM {resolved} WHERE hash({', '.join(KEY)}) % {of} = {number}"
        rows = temp_view(connection, "rows_of_shard", Sql(mine))
        name = f"shard-{number}"
        query = _by_period(rows, every_row, gone, resolution(), data_map)
        shared.upload(connection, name, query, out, _parts(name))

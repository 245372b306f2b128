"""Pseudonymized rows to the tables that are published, staged as one DuckDB file per audience.

One file per audience means that no SQL in one audience's file can reach another's rows.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from pipeline.classified import run_snapshot
from pipeline.context import Context
from pipeline.policy.data_map import DataMap, Published
from pipeline.policy.fields import Audience
from pipeline.published import (
    closed_rows,
    coaching,
    corrected,
    gate,
    models,
    noise,
    publication_history,
    row_history,
    team_names,
)
from pipeline.published.models import coaching_sql, row_level_sql
from pipeline.published.tables import ORIGINS, READABLE, describe
from pipeline.storage import encryption
from pipeline.storage.engine import cores, count
from pipeline.storage.files import atomic_build
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.storage.relations import classified, parquet, period_files, pseudonymized
from pipeline.storage.sql import Sql, identifier, identifiers, literal


def _coaching_queries(
    connection: duckdb.DuckDBPyConnection, context: Context, partition: str, *, publish_new: bool
) -> dict[str, Sql]:
    """Coaching table to the query of its rows.

    Lists the periods that are published now in a file beside the staged tables: new ones, or the
    one that a correction there is about.

    Args:
        publish_new: publish periods that have not been published so far.
    """
    layout, rules = context.layout, context.disclosure
    carried = publication_history.carry_forward(connection, context)
    source = Sql(pseudonymized(layout, Audience.COACHING))
    last_expired = publication_history.last_expired_day(
        context.rules, run_snapshot.read(layout).until
    )
    periods = publication_history.periods_to_publish(
        connection, source, layout, rules.coaching, last_expired
    )
    correction = publication_history.staged_correction(layout, partition)
    corrected_period = correction.correction.period if correction else None
    if corrected_period:
        periods, publish_new = [corrected_period], True
    rows = coaching.make_rows(connection, source, rules, periods if publish_new else [])
    path = layout.staged(partition) / publication_history.PERIODS
    path.write_text(json.dumps([str(one) for one in rows.periods]), "utf-8")
    if corrected_period:
        cells, carried = corrected.choose(connection, context, rows, corrected_period, carried)
    else:
        cells = coaching.choose_cells(connection, rows, rules.rule(context.data_map))
    exact = {table: of for table, of in cells.items() if table not in rules.coaching.noise}
    figures = coaching.make_figures(connection, rows, exact)
    figures |= _noisy_figures(connection, context, rows, cells, partition)
    return {
        table: coaching_sql(spec, coaching.named_sql(table, rows, figures[table]), carried[table])
        for table, spec in context.data_map.tables_of(Audience.COACHING).items()
    }


def _row_queries(
    connection: duckdb.DuckDBPyConnection, context: Context, partition: str, *, publish_new: bool
) -> dict[str, Sql]:
    """The analysts' table to the query of its rows: those of the history, and of the periods that
    are published now. What these add to the history is written beside the staged tables."""
    layout = context.layout
    ((table, _),) = context.data_map.tables_of(Audience.ANALYTICS).items()
    rows = Sql(pseudonymized(layout, Audience.ANALYTICS))
    rule = context.disclosure.classes[table]
    periods = row_history.periods_to_publish(connection, layout, rows, rule) if publish_new else []
    made = closed_rows.make(connection, context, periods) if periods else None
    row_history.write_staged(connection, context, partition, periods, made)
    return {table: row_history.staged_sql(connection, context, partition)}


def _noisy_figures(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    rows: coaching.CoachingRows,
    cells: dict[str, Sql],
    partition: str,
) -> dict[str, Sql]:
    """Coaching table to its figures, for the tables to which policy adds noise.

    Periods that the budget does not cover any more lose all their cells. The ledger, as it will be,
    is written beside the staged tables.
    """
    ledger = noise.read_ledger(context.layout.publication_history)
    figures = {}
    for table, asked in context.disclosure.coaching.noise.items():
        _keep_affordable(connection, context, cells[table], table, ledger)
        k = context.data_map.published[table].k or 0
        figures[table] = noise.add_noise(
            connection, rows.rows, cells[table], table, coaching.KEY[table], asked, k
        )
        coaching.withhold(connection, table, figures[table], cells[table])
        ledger += noise.spent_on(connection, figures[table], table, asked, partition)
    noise.write_ledger(context.layout.staged(partition), ledger)
    return figures


def _keep_affordable(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    cells: Sql,
    table: str,
    ledger: list[noise.Spent],
) -> None:
    """Remove the chosen cells of periods that the budget for noise does not cover any more."""
    rules = context.disclosure.coaching
    epsilon, planned = rules.noise[table].epsilon, [*ledger]
    periods = connection.execute(f"SELECT DISTINCT period FROM {cells} ORDER BY period").fetchall()
    for (period,) in periods:
        if noise.affordable(planned, rules, table, period):
            planned.append(noise.Spent("", table, str(period), epsilon, 0, ""))
        else:
            connection.execute(f"DELETE FROM {cells} WHERE period = {literal(period)}")


def _write_encrypted(
    connection: duckdb.DuckDBPyConnection, layout: Layout, table: str, spec: Published, out: Path
) -> int:
    """Write a table that is encrypted at rest, month by month.

    A month that was released as it would be made now keeps its file.

    Returns:
        Its rows, as the files have them.
    """
    released = layout.current / spec.file
    before, origins = _origins(released), {}
    query = row_level_sql(table, spec, Sql("month"))
    connection.execute("SET preserve_insertion_order = true")
    out.mkdir(mode=0o700)

    def write(path: Path, name: str) -> None:
        rows = row_level_sql(table, spec, Sql(parquet([path], {})))
        encryption.write_table(connection.cursor(), layout, rows, out / name)

    # A file is compressed and encrypted by one thread.
    with ThreadPoolExecutor(cores()) as pool:
        waiting = []
        for path in period_files(layout.pseudonymized_for(spec.audience)):
            name = f"{path.parent.name.removeprefix('period=')}.parquet"
            origins[name] = encryption.keyed_hash(layout, f"{query} {file_sha256(path)}")
            if before.get(name) == origins[name] and gate.unchanged(layout, f"{spec.file}/{name}"):
                os.link(released / name, out / name)
            else:
                waiting.append(pool.submit(write, path, name))
        for one in waiting:
            one.result()
    (out / ORIGINS).write_text(json.dumps(origins, indent=1), "utf-8")
    return count(connection, f"SELECT count(*) FROM {encryption.rows(connection, layout, out)}")


def _origins(released: Path) -> dict[str, str]:
    """What each month's file of the current release was made by and from: a keyed hash."""
    path = released / ORIGINS
    found: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def queries(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    audience: Audience,
    partition: str,
    *,
    publish_new: bool,
) -> dict[str, Sql]:
    """Each of an audience's tables to the query of its rows; those of dimensions read the others
    as `staged`."""
    found = _record_queries(connection, context, audience, partition, publish_new=publish_new)
    return found | _dimension_queries(connection, context, audience)


def _record_queries(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    audience: Audience,
    partition: str,
    *,
    publish_new: bool,
) -> dict[str, Sql]:
    tables = context.data_map.tables_of(audience)
    if audience is Audience.COACHING:
        return _coaching_queries(connection, context, partition, publish_new=publish_new)
    if audience is Audience.ANALYTICS:
        return _row_queries(connection, context, partition, publish_new=publish_new)
    rows = Sql(pseudonymized(context.layout, audience))
    return {table: row_level_sql(table, spec, rows) for table, spec in tables.items()}


def _dimension_queries(
    connection: duckdb.DuckDBPyConnection, context: Context, audience: Audience
) -> dict[str, Sql]:
    data_map, found = context.data_map, dict[str, Sql]()
    for table, spec in data_map.with_dimensions(audience).items():
        if spec.dimension is None:
            continue
        beside = [Sql(f"staged.{identifier(name)}") for name in models.beside(data_map, table)]
        if spec.dimension == "course":
            rows = Sql(classified(context.layout))
            found[table] = models.course_sql(data_map, context.disclosure, table, beside, rows)
        else:
            teams = team_names.of_run(connection, context, beside)
            columns = identifiers(spec.columns)
            found[table] = Sql(f"SELECT {columns} FROM ({teams}) ORDER BY team_ref")
    return found


def stage_database(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    audience: Audience,
    partition: str,
    *,
    publish_new: bool = True,
) -> dict[str, int]:
    """Build one audience's file among the staged tables of a run.

    Args:
        publish_new: publish the periods of figures and rows that have not been published so far.

    Returns:
        Rows per table.
    """
    layout = context.layout
    tables = context.data_map.tables_of(audience)
    (file,) = {spec.file for spec in tables.values()}
    layout.staged(partition).mkdir(parents=True, exist_ok=True, mode=0o700)
    target = layout.staged(partition) / file
    with atomic_build(target, layout.work) as beside:
        if target.suffix == ".parquet":
            ((table, spec),) = tables.items()
            return {table: _write_encrypted(connection, layout, table, spec, beside)}
        of = queries(connection, context, audience, partition, publish_new=publish_new)
        return _write_tables(connection, of, beside, context.data_map)


def _write_tables(
    connection: duckdb.DuckDBPyConnection, tables: dict[str, Sql], path: Path, data_map: DataMap
) -> dict[str, int]:
    """Write tables to a new DuckDB file, each in the order of its query and with its description
    and those of its columns; returns rows per table."""
    counts = {}
    connection.execute(f"ATTACH {literal(path)} AS staged ({READABLE})")
    connection.execute("SET preserve_insertion_order = true")
    try:
        for table, query in tables.items():
            name = f"staged.{identifier(table)}"
            connection.execute(f"CREATE TABLE {name} AS {query}")
            describe(connection, "staged", table, data_map)
            counts[table] = count(connection, f"SELECT count(*) FROM {name}")
    finally:
        connection.execute("DETACH staged")
    return counts

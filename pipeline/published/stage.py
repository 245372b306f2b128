"""Pseudonymized rows to the tables that leave, staged as one DuckDB file per audience.

One file per audience means that no SQL in one audience's file can reach another's rows.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from pipeline.context import Context
from pipeline.policy.data_map import Published
from pipeline.policy.fields import Audience
from pipeline.published import coaching, equivalence_classes, gate, noise, publication_history
from pipeline.published.tables import ORIGINS
from pipeline.storage import encryption
from pipeline.storage.engine import cores, count
from pipeline.storage.files import atomic_build
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.storage.relations import parquet, period_files, pseudonymized
from pipeline.storage.sql import identifier, literal


def table_sql(table: str, spec: Published, rows: str) -> str:
    """SQL: the content of one published table."""
    columns = ", ".join(spec.columns)
    if spec.audience is Audience.COACHING:
        both = f"FROM kept_{table} UNION ALL BY NAME ({coaching.named_sql(table)})"
        return f"SELECT {columns} FROM ({both}) ORDER BY ALL"
    timed = any(name.endswith("_at") for name in spec.columns)
    if spec.audience is Audience.ANALYTICS:
        rows = f"({equivalence_classes.generalized_sql(rows)})"
    # Rows lie by month and within it by pseudonym, never in the export's order, which can be that
    # of names. A table that does not tell time must not tell the month by its order either.
    return f"SELECT {columns} FROM {rows}" + ("" if timed else f" ORDER BY {columns}")


def make_coaching(
    connection: duckdb.DuckDBPyConnection, context: Context, partition: str, *, publish_new: bool
) -> None:
    """Make what the coaching tables are put together from: what was told before, and, if `publish_new`,
    the periods that are to be told now. Leaves the list of those beside the staged tables."""
    layout, rules = context.layout, context.disclosure
    publication_history.carry_forward(connection, context)
    test = publication_history.to_publish(layout, rules) if publish_new else "false"
    coaching.make_rows(
        connection, pseudonymized(layout, Audience.COACHING), rules,
        f"({test} AND {{period}} > DATE '{publication_history.last_expired_day(context)}')",
    )  # fmt: skip
    coaching.choose(connection, rules.rule(context.data_map))
    path = layout.staged(partition) / publication_history.PERIODS
    path.write_text(json.dumps([str(one) for one in coaching.periods(connection)]), "utf-8")
    noisy = rules.coaching.noise
    coaching.make_figures(connection, [table for table in coaching.CELL if table not in noisy])
    _add_noise(connection, context, partition)


def _add_noise(connection: duckdb.DuckDBPyConnection, context: Context, partition: str) -> None:
    """Make the figures of tables that policy wants noise on, and the ledger as it will be; periods
    that cannot be afforded any more are told no figure of."""
    spent = noise.read_ledger(context.layout.publication_history)
    rules = context.disclosure.coaching
    for table, asked in rules.noise.items():
        chosen = connection.sql(f"SELECT DISTINCT period FROM chosen_{table} ORDER BY 1").fetchall()
        planned = [*spent]
        for (period,) in chosen:
            if noise.affordable(planned, rules, table, period):
                planned.append(noise.Spent(partition, table, str(period), asked.epsilon, 0, ""))
            else:
                connection.execute(
                    f"DELETE FROM chosen_{table} WHERE period = $period", {"period": period}
                )
        k = context.data_map.published[table].k or 0
        spent += noise.add_noise(connection, table, coaching.KEY[table], asked, k, partition)
    noise.write_ledger(context.layout.staged(partition), spent)


def _write_encrypted(
    connection: duckdb.DuckDBPyConnection, layout: Layout, table: str, spec: Published, out: Path
) -> int:
    """Write a table that is encrypted at rest, month by month; returns its rows, as the files tell
    them. A month that was released as it would be made now keeps its file."""
    released = layout.current / spec.file
    made, origins = _origins(released), {}
    how = table_sql(table, spec, "month")
    connection.execute("SET preserve_insertion_order = true")
    out.mkdir(mode=0o700)

    def write(path: Path, name: str) -> None:
        query = table_sql(table, spec, parquet([path], {}))
        encryption.write_table(connection.cursor(), layout, query, out / name)

    # A file is compressed and encrypted by one thread.
    with ThreadPoolExecutor(cores()) as pool:
        waiting = []
        for path in period_files(layout.pseudonymized_for(spec.audience)):
            name = f"{path.parent.name.removeprefix('period=')}.parquet"
            origins[name] = encryption.keyed_hash(layout, f"{how} {file_sha256(path)}")
            if made.get(name) == origins[name] and gate.unchanged(layout, f"{spec.file}/{name}"):
                os.link(released / name, out / name)
            else:
                waiting.append(pool.submit(write, path, name))
        for one in waiting:
            one.result()
    (out / ORIGINS).write_text(json.dumps(origins, indent=1), "utf-8")
    return count(connection, f"SELECT count(*) FROM {encryption.rows(connection, layout, out)}")


def _origins(released: Path) -> dict[str, str]:
    """What each month's file of the current release was made by and of: a keyed hash."""
    path = released / ORIGINS
    found: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def stage_database(
    connection: duckdb.DuckDBPyConnection, context: Context, audience: Audience, partition: str, *,
    publish_new: bool = True,
) -> dict[str, int]:  # fmt: skip
    """Build one audience's DuckDB file among tonight's staged tables.

    Args:
        publish_new: publish the coaching periods that have not been published so far.

    Returns:
        Rows per table.
    """
    layout = context.layout
    tables = context.data_map.tables_of(audience)
    (file,) = {spec.file for spec in tables.values()}
    rows = pseudonymized(layout, audience)
    counts: dict[str, int] = {}
    layout.staged(partition).mkdir(parents=True, exist_ok=True, mode=0o700)
    target = layout.staged(partition) / file
    if audience is Audience.COACHING:
        make_coaching(connection, context, partition, publish_new=publish_new)
    if audience is Audience.ANALYTICS:
        (rule,) = context.disclosure.classes.values()
        equivalence_classes.choose_generalization(connection, rows, context.disclosure, rule)
    with atomic_build(target, layout.work) as beside:
        if target.suffix == ".parquet":
            ((table, spec),) = tables.items()
            return {table: _write_encrypted(connection, layout, table, spec, beside)}
        connection.execute(f"ATTACH {literal(beside)} AS staged")
        connection.execute("SET preserve_insertion_order = true")
        try:
            for table, spec in tables.items():
                query = table_sql(table, spec, rows)
                connection.execute(f"CREATE TABLE staged.{identifier(table)} AS {query}")
                (counts[table],) = connection.sql(
                    f"SELECT count(*) FROM staged.{identifier(table)}"
                ).fetchall()[0]
        finally:
            connection.execute("DETACH staged")
    return counts

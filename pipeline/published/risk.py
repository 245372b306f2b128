"""How safe a staged release is, and how much it publishes: numbers only, without values.

Re-identification risks follow El Emam, Guide to the De-Identification of Personal Health
Information (2013), ch. 16-17, with people in place of rows:
    prosecutor  the attacker knows that the target is in the table: 1 / people in the class
    journalist  does not know it: 1 / people in the population who could be in that class
    marketer    wants to link as many as possible: expected share of rows linked correctly
The population is everybody in the store who may be in the table, by region and department.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import duckdb
import polars as pl

from pipeline.context import Context
from pipeline.policy.disclosure import ClassRule, Generalization
from pipeline.policy.fields import Audience
from pipeline.published import PACKAGE, equivalence_classes, row_history
from pipeline.published.reconciliation import IDENTIFYING, suppressed_by_reason
from pipeline.published.tables import attached
from pipeline.storage.engine import count
from pipeline.storage.relations import pseudonymized, subquery, temp_table
from pipeline.storage.sql import Sql, identifier, identifiers, render

# Upper ends of the bands in which class sizes are reported; the last band is open.
BANDS = (4, 9, 19, 49, 99)
BAND_NAMES = ("1–4", "5–9", "10–19", "20–49", "50–99", "100 and more")
ADVERSE = "(status = 'failed' OR score_band = 'low')"
# Columns of the history that measurements need beside the published ones.
INNER = ("person", "team", "lot_people")
CLASS_COLUMNS = (
    *("table", "rows", "people", "classes", "k", "l"),
    *("prosecutor", "prosecutor_mean", "journalist", "marketer", "suppressed", "loss"),
    *("known_events", "manager", "both_files", "changed_by_few"),
)


@dataclass(frozen=True)
class Risk:
    """A release's risk report.

    Attributes:
        aggregates: one row per coaching table, over all published periods:
            figures     how many there are
            k           people behind the smallest figure; None without a figure
            l           outcomes (complete, incomplete) of the least diverse figure
            covered     share of the records in the company's published totals that this table
                        breaks down
            suppressed  share of the records of new periods that stayed out; None without a new one
        classes: one row per row-level table in classes:
            rows, people, classes       how many there are
            k, l                        people, and distinct outcomes (status, score band), of the
                                        class that has fewest
            prosecutor, journalist      the highest risk of a row; prosecutor_mean: the mean one
            marketer                    expected share of rows linked correctly
            suppressed                  share of rows that never reached k
            loss                        share of the quasi-identifiers' detail that was taken away;
                                        suppressed rows lose all of it
            known_events                share of people of whom one to four known events leave
                                        fewer than k candidates; no row leads to another, so that
                                        several leave as many as the one in the smallest class
            manager                     share of people of whom a manager who takes the own team
                                        away leaves fewer than k, or too few not adverse
            both_files                  highest chance that tries and score band of a row are those
                                        of the person, for somebody who finds the row by the result,
                                        known from the managers' extract; 1/k is chance
            changed_by_few              classes of which fewer than k rows came or went since the
                                        last release: by an erasure, else none; None without one
        by_detail: table, detail, rows: by how much was generalized.
        by_size: table, people, rows: by how many people share a row's class.
    """

    aggregates: pl.DataFrame
    classes: pl.DataFrame
    by_detail: pl.DataFrame
    by_size: pl.DataFrame


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """A share, and None of nothing."""
    return pl.when(whole > 0).then(part / whole)


def _aggregate(connection: duckdb.DuckDBPyConnection, table: str, relation: Sql) -> pl.DataFrame:
    """One coaching table of the attached `staged`: table, figures, k, l, covered."""
    company = Sql("staged.coaching_period")
    query = render(PACKAGE, "coaching_risk.sql", table=relation, company=company)
    found: pl.DataFrame = connection.sql(query).pl()
    return found.select(pl.lit(table).alias("table"), pl.all())


def _without(rule: ClassRule, step: Generalization) -> list[str]:
    """The details in which a quasi-identifier is left out by this step."""
    at = rule.generalize.index(step) if step in rule.generalize else len(rule.generalize)
    return [one.value for one in rule.generalize[at:]]


@dataclass(frozen=True)
class _Classes:
    """One table's part of `Risk.classes`, still without suppressed and loss, and its details."""

    risk: pl.DataFrame
    by_detail: pl.DataFrame
    by_size: pl.DataFrame


def _classes(
    connection: duckdb.DuckDBPyConnection,
    rule: ClassRule,
    table: str,
    columns: tuple[str, ...],
    relation: Sql,
    rows: Sql,
) -> _Classes:
    """Measure one row-level table.

    Args:
        columns: the table's.
        relation: its rows, each with the person.
        rows: the audience's pseudonymized rows, which are the population.
    """
    classes, everyone = Sql("staged_classes"), Sql("people_by_place")
    key = (*equivalence_classes.class_key(columns), "detail")
    query = render(PACKAGE, "classes.sql", table=relation, key=key)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {classes} AS {query}")
    query = render(PACKAGE, "people_by_place.sql", rows=rows)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {everyone} AS {query}")
    query = render(
        PACKAGE,
        "class_risk.sql",
        classes=classes,
        everyone=everyone,
        without_region=_without(rule, Generalization.REGION),
        without_department=_without(rule, Generalization.DEPARTMENT),
    )
    people = count(connection, f"SELECT count(DISTINCT person) FROM {relation}")
    risk = connection.sql(query).pl().with_columns(table=pl.lit(table), people=pl.lit(people))
    found = _Classes(
        risk,
        _by_detail(connection, rule, table, classes),
        _by_size(connection, table, classes),
    )
    connection.execute(f"DROP TABLE {classes}; DROP TABLE {everyone}")
    return found


def _attacks(
    connection: duckdb.DuckDBPyConnection, context: Context, table: str, rows: Sql
) -> pl.DataFrame:
    """One row: known_events, manager, both_files, changed_by_few.

    Args:
        rows: those of the staged table, with person, team and lot_people.
    """
    rule, spec = context.disclosure.classes[table], context.data_map.published[table]
    key = equivalence_classes.class_key(spec.columns)
    shown = temp_table(
        connection,
        "attacked_rows",
        f"SELECT person, team, hash({identifiers(key)}) AS class, {ADVERSE} IS NOT TRUE AS "
        f"not_adverse, class AS id, lot_people, score_band IS NOT NULL AS detailed FROM {rows}",
    )
    members = Sql(f"SELECT id, person, team, not_adverse FROM {shown}")
    query = render(
        PACKAGE,
        "row_attacks.sql",
        rows=shown,
        k=rule.k,
        holding=equivalence_classes.holding_sql(members, rule),
    )
    changed = _changed_by_few(connection, context, table, rows, key)
    found: pl.DataFrame = connection.sql(query).pl()
    return found.with_columns(changed_by_few=pl.lit(changed, pl.Int64))


def _changed_by_few(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    table: str,
    rows: Sql,
    key: tuple[str, ...],
) -> int | None:
    """`changed_by_few` of one table; None where there is no release of these columns."""
    folder, spec = context.layout.current, context.data_map.published[table]
    if not (folder / spec.file).exists():
        return None
    with attached(connection, context, folder, table, "released"):
        released = Sql(f"released.{identifier(table)}")
        if not set(key) <= set(connection.sql(f"FROM {released} LIMIT 0").columns):
            return None
        query = render(
            PACKAGE,
            "changed_by_few.sql",
            rows=rows,
            released=released,
            key=key,
            k=context.disclosure.classes[table].k,
        )
        return count(connection, query)


def _by_detail(
    connection: duckdb.DuckDBPyConnection, rule: ClassRule, table: str, classes: Sql
) -> pl.DataFrame:
    """table, detail, rows: every detail of the rule, in the order of its steps."""
    details = pl.DataFrame({"detail": list(equivalence_classes.loss_of(rule))})
    query = f"SELECT detail, sum(size)::BIGINT AS rows FROM {classes} GROUP BY detail"
    found = details.join(connection.sql(query).pl(), on="detail", how="left", maintain_order="left")
    return found.select(pl.lit(table).alias("table"), "detail", pl.col("rows").fill_null(0))


def _by_size(connection: duckdb.DuckDBPyConnection, table: str, classes: Sql) -> pl.DataFrame:
    """table, people, rows: every band of class sizes, smallest first."""
    bands = pl.DataFrame({"band": range(len(BAND_NAMES)), "people": BAND_NAMES})
    query = render(PACKAGE, "classes_by_size.sql", classes=classes, bands=BANDS)
    sizes = connection.sql(query).pl().cast({"band": pl.Int64})
    found = bands.join(sizes, on="band", how="left", maintain_order="left")
    return found.select(pl.lit(table).alias("table"), "people", pl.col("rows").fill_null(0))


def _with_losses(found: _Classes, rule: ClassRule, suppressed: int) -> _Classes:
    """Adds the shares of rows suppressed and of detail lost.

    Args:
        suppressed: rows of the table that could identify people.
    """
    lost = pl.col("detail").replace_strict(
        equivalence_classes.loss_of(rule), return_dtype=pl.Float64
    )
    rows_lost = found.by_detail.select((pl.col("rows") * lost).sum()).item() + suppressed
    everything = pl.col("rows") + suppressed
    shares = found.risk.with_columns(
        suppressed=_share(pl.lit(suppressed), everything).fill_null(0.0),
        loss=_share(pl.lit(rows_lost), everything).fill_null(0.0),
    )
    return replace(found, risk=shares.select(CLASS_COLUMNS))


def measure(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    partition: str,
    counts: pl.DataFrame,
    analysts: row_history.StagedRows,
) -> Risk:
    """Measure the staged tables of a run.

    Args:
        counts: their reconciliation, as `reconciliation.reconcile` returns it.
        analysts: as `row_history.with_staged` returns it.
    """
    layout, data_map = context.layout, context.data_map
    identifying = suppressed_by_reason(counts).filter(pl.col("reason") == IDENTIFYING)
    suppressed = dict(identifying.select("table", "records").iter_rows())
    coaching = list(data_map.tables_of(Audience.COACHING))
    with attached(connection, context, layout.staged(partition), coaching[0], "staged"):
        aggregates = [
            _aggregate(connection, table, Sql(f"staged.{identifier(table)}")) for table in coaching
        ]
    classes: list[_Classes] = []
    for table, spec in data_map.tables_of(Audience.ANALYTICS).items():
        rule = context.disclosure.classes[table]
        shown = row_history.rows_sql(*analysts, spec.columns, inner=INNER)
        everyone = Sql(pseudonymized(layout, spec.audience))
        found = _classes(connection, rule, table, spec.columns, subquery(shown), everyone)
        attacked = _attacks(connection, context, table, subquery(shown))
        found = replace(found, risk=found.risk.hstack(attacked))
        classes.append(_with_losses(found, rule, suppressed.get(table, 0)))
    return Risk(
        aggregates=_coverage(pl.concat(aggregates), counts, suppressed),
        classes=pl.concat(one.risk for one in classes),
        by_detail=pl.concat(one.by_detail for one in classes),
        by_size=pl.concat(one.by_size for one in classes),
    )


def _coverage(
    aggregates: pl.DataFrame, counts: pl.DataFrame, suppressed: dict[str, int]
) -> pl.DataFrame:
    """`Risk.aggregates`.

    Args:
        suppressed: table to its records that could identify people.
    """
    stayed_out = pl.col("table").replace_strict(suppressed, default=0, return_dtype=pl.Int64)
    published = counts.select("table", "published")
    return aggregates.join(published, on="table", maintain_order="left").select(
        "table",
        "figures",
        "k",
        "l",
        "covered",
        suppressed=_share(stayed_out, pl.col("published") + stayed_out),
    )

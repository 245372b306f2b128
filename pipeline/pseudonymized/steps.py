"""The steps of a run between the classified store and the staged tables, on one context.

The assets are these steps with metadata; a preview of another policy takes the same ones.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.classified import run_snapshot
from pipeline.compute import cluster
from pipeline.compute.exchange import Exchange, exchange
from pipeline.context import Context
from pipeline.keys.ring import AudienceKey
from pipeline.policy.fields import Audience
from pipeline.policy.windows import Cutoffs, make_cutoffs
from pipeline.pseudonymized import unchanged_months
from pipeline.pseudonymized.models import PSEUDONYMS, STATES, check_against
from pipeline.pseudonymized.pseudonymize import (
    period_names,
    period_sql,
    write_period,
    write_references,
)
from pipeline.pseudonymized.training_states import make_states
from pipeline.pseudonymized.transfers import require_flows_of
from pipeline.storage import relations
from pipeline.storage.engine import engine, joined_as_written
from pipeline.storage.files import atomic_build
from pipeline.storage.layout import Layout
from pipeline.storage.schema import PARQUET
from pipeline.storage.sql import Sql, identifier
from pipeline.subjects.restrictions import RESTRICTIONS, make_restrictions

CUTOFFS = "cutoffs"


def pseudonymize(context: Context, audience: Audience) -> AudienceKey:
    """Make one audience's references and rows; returns the key that made them.

    Raises:
        PolicyError: a column shows more than the data map allows, there is no key, or some rows
            may not go to a recipient.
    """
    layout = context.layout
    check_against(context.data_map, audience)
    key = context.ring.key(audience)
    until = run_snapshot.read(layout).until
    with layout.locked(audience.value), engine(layout.work) as connection:
        require_flows_of(connection, context, audience)
        cutoffs = make_cutoffs(
            connection, CUTOFFS, context.rules, context.data_map, until, audience
        )
        make_restrictions(connection, context)
        if audience is Audience.MANAGER:
            make_states(connection, context, cutoffs)
        with atomic_build(layout.references(audience), layout.work) as beside:
            pseudonyms = write_references(connection, layout, key, beside)
        with atomic_build(layout.pseudonymized_for(audience), layout.work) as beside:
            _write_months(connection, layout, key, cutoffs, pseudonyms, beside)
    return key


def _write_months(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    key: AudienceKey,
    cutoffs: Cutoffs,
    pseudonyms: Sql,
    out: Path,
) -> None:
    """Fill the audience's store `out`: unchanged months as they are, the others made anew."""
    periods = {name: relations.classified(layout, name) for name in period_names(layout)}
    for name in periods:
        (out / name).mkdir(parents=True, mode=0o700)
    marks = unchanged_months.marks(connection, layout, key, cutoffs, list(periods))
    same = unchanged_months.keep(layout.pseudonymized_for(key.audience), marks, out)
    anew = {name: rows for name, rows in periods.items() if name not in same}
    if anew and cluster.address():
        _periods_apart(connection, layout, key.audience, cutoffs, pseudonyms, anew, out)
    else:
        for name, rows in anew.items():
            file = unchanged_months.file(out, name)
            write_period(connection, rows, key.audience, cutoffs, pseudonyms, file)
    unchanged_months.remember(marks, same, out)


def _periods_apart(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    audience: Audience,
    cutoffs: Cutoffs,
    pseudonyms: Sql,
    periods: dict[str, Sql],
    out: Path,
) -> None:
    """Make every period on some worker; none needs another."""
    lookups: dict[str, Sql] = {
        PSEUDONYMS: pseudonyms,
        RESTRICTIONS: Sql(RESTRICTIONS),
        CUTOFFS: cutoffs.relation,
    }
    if audience is Audience.MANAGER:
        lookups[STATES] = STATES
    with exchange(layout, f"pseudonymized-{audience.value}") as shared:
        for name, relation in lookups.items():
            shared.put(connection, name, relation)
        for name, rows in periods.items():
            shared.put_stored(connection, name, rows)
        cluster.each(
            _period_apart,
            [(shared, audience, cutoffs.regions, (*lookups, name), name, out) for name in periods],
        )
        for name in periods:
            shared.download(connection, _made(name), unchanged_months.file(out, name), PARQUET)


def _made(period: str) -> str:
    return f"{period}-pseudonymized"


def _period_apart(
    shared: Exchange,
    audience: Audience,
    regions: tuple[str, ...],
    reads: tuple[str, ...],
    name: str,
    out: Path,
) -> None:
    with shared.open(*reads) as connection:
        cutoffs = Cutoffs(identifier(CUTOFFS), regions)
        query = period_sql(identifier(name), audience, cutoffs, identifier(PSEUDONYMS))
        with joined_as_written(connection):
            shared.upload(connection, _made(name), query, unchanged_months.file(out, name), PARQUET)

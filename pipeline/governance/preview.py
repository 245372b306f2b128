"""What another policy would publish: the steps of a run under it, on a copy beside the store."""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import yaml

from expectations.published import validate_and_seal
from pipeline.access import courses
from pipeline.classified.steps import classify, list_reference_values
from pipeline.context import Context
from pipeline.policy.fields import Audience
from pipeline.policy.version import contents
from pipeline.pseudonymized import steps
from pipeline.published import gate
from pipeline.published.stage import stage_database
from pipeline.published.tables import attached
from pipeline.storage import encryption
from pipeline.storage.engine import count, engine
from pipeline.storage.layout import Layout
from pipeline.storage.sql import identifier, literal


@dataclass(frozen=True)
class Change:
    """One table as it is published and as it would be.

    Attributes:
        people_before: distinct people; None for a table of group figures.
        people_touched: people with a row that is added, removed or changed.
    """

    table: str
    columns_gone: tuple[str, ...]
    columns_new: tuple[str, ...]
    rows_before: int
    rows_after: int
    rows_gone: int
    rows_new: int
    people_before: int | None
    people_after: int | None
    people_touched: int | None


@dataclass(frozen=True)
class Preview:
    """What would change.

    Attributes:
        keys: policy keys that differ, with both values.
        stopped_by: table to the rules that would stop the run; nothing would be published then.
    """

    keys: tuple[str, ...]
    changes: tuple[Change, ...]
    stopped_by: dict[str, list[str]]


@contextmanager
def rebuilt(candidate: Context, now: dt.datetime) -> Iterator[tuple[Context, str]]:
    """Rebuild derived stores and staged tables from the canonical store, under the candidate's
    policy, in a folder that is removed after the block. The store itself is only read.

    Yields:
        The context of that folder, and the partition under which its tables are staged.
    """
    layout = candidate.layout
    partition = str(gate.manifest(layout)["partition"])
    root = layout.work / f"preview-{uuid.uuid4().hex[:8]}"
    scratch = Layout(root, layout.landing_url, layout.storage_key)
    try:
        scratch.vault.mkdir(parents=True, mode=0o700)
        scratch.canonical.parent.mkdir(parents=True, mode=0o700)
        scratch.canonical.symlink_to(layout.canonical)
        for history, copy in (
            (layout.publication_history, scratch.publication_history),
            (layout.row_history, scratch.row_history),
        ):
            if history.exists():
                shutil.copytree(history, copy)
        for path in layout.vault.glob(f"*{encryption.TEXT}"):
            shutil.copy2(path, scratch.vault / path.name)
        courses.copy(layout, scratch)
        trial = replace(candidate, layout=scratch)
        classify(trial, now)
        list_reference_values(trial)
        for audience in Audience:
            steps.pseudonymize(trial, audience)
            with engine(scratch.work) as connection:
                stage_database(connection, trial, audience, partition)
        yield trial, partition
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _columns(connection: duckdb.DuckDBPyConnection, name: str, table: str) -> list[str]:
    """The columns of a table in an attached database; empty if there is no such table."""
    found = connection.execute(
        f"SELECT column_name FROM duckdb_columns() WHERE database_name = {literal(name)} "
        f"AND table_name = {literal(table)} ORDER BY column_index"
    ).fetchall()
    return [str(column) for (column,) in found]


def _change(connection: duckdb.DuckDBPyConnection, table: str) -> Change:
    """Compare a table in the attached `before` and `after`; one of them may not have it."""
    before, after = (_columns(connection, name, table) for name in ("before", "after"))
    shared = [one for one in before if one in after] or before or after
    chosen = ", ".join(map(identifier, shared))
    some = f"{'before' if before else 'after'}.{identifier(table)}"

    def rows(alias: str, columns: list[str]) -> str:
        relation = f"{alias}.{identifier(table)}" if columns else f"{some} WHERE false"
        return f"SELECT {chosen} FROM {relation}"

    was, will = rows("before", before), rows("after", after)
    removed, added = f"({was}) EXCEPT ALL ({will})", f"({will}) EXCEPT ALL ({was})"

    def n(query: str) -> int:
        return count(connection, f"SELECT count(*) FROM ({query})")

    def people(query: str) -> int | None:
        if "learner_ref" not in shared:
            return None
        return n(f"SELECT DISTINCT learner_ref FROM ({query})")

    return Change(
        table,
        tuple(one for one in before if one not in after),
        tuple(one for one in after if one not in before),
        n(was),
        n(will),
        n(removed),
        n(added),
        people(was),
        people(will),
        people(f"({removed}) UNION ALL ({added})"),
    )


def compare(context: Context, trial: Context, partition: str) -> tuple[Change, ...]:
    """Compare every table of the release with the one staged under another policy."""
    found = []
    for table in context.data_map.published | trial.data_map.published:
        with ExitStack() as open_files:
            connection = open_files.enter_context(engine(context.layout.work))
            for side, folder, name in (
                (context, context.layout.current, "before"),
                (trial, trial.layout.staged(partition), "after"),
            ):
                spec = side.data_map.published.get(table)
                if spec is not None and (folder / spec.file).exists():
                    open_files.enter_context(attached(connection, side, folder, table, name))
            found.append(_change(connection, table))
    return tuple(found)


def _leaves(node: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}")
    else:
        yield path, str(node)


def changed_keys(old: Path, new: Path) -> tuple[str, ...]:
    """Every key that differs between two folders of policy files, with both values."""
    changed = []
    versions = [contents(one) for one in (old, new)]
    for name in dict.fromkeys([*versions[0], *versions[1]]):
        sides = [
            dict(_leaves(yaml.load(one.get(name, b"{}"), yaml.CSafeLoader), name))
            for one in versions
        ]
        for key in sorted(set(sides[0]) | set(sides[1])):
            before, after = (side.get(key, "(none)") for side in sides)
            if before != after:
                changed.append(f"{key}: {before} → {after}")
    return tuple(changed)


def verdicts(trial: Context, partition: str) -> dict[str, list[str]]:
    """Check and seal the staged tables; returns table to the rules that it breaks."""
    return {
        table: [*verdict.broken, *verdict.missing]
        for audience in Audience
        for table, verdict in validate_and_seal(trial, partition, audience).items()
        if not verdict.passed
    }


def preview(
    context: Context, folder: Path, candidate: Context, new: Path, now: dt.datetime
) -> Preview:
    """What the candidate's policy would change.

    Args:
        context: of the policy in force; its files are in `folder`, those of `candidate` in `new`.

    Raises:
        PolicyError: nothing is published yet, or a run under the candidate would stop.
    """
    with rebuilt(candidate, now) as (trial, partition):
        return Preview(
            changed_keys(folder, new),
            compare(context, trial, partition),
            verdicts(trial, partition),
        )

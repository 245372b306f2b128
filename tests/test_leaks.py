"""One seeded value in any column of any published table fails the checks and publishes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import pytest

from assets import lineage
from assets.published import tables as staged_tables
from expectations import pseudonymized as pseudonymized_suite
from expectations import published as published_suite
from expectations.suite import SuiteResult
from pipeline.errors import PolicyError
from pipeline.policy.data_map import load_data_map
from pipeline.policy.fields import Audience
from pipeline.published import gate
from pipeline.published import stage as staging
from pipeline.storage.layout import PROJECT
from pipeline.storage.sql import Sql
from tests import plain
from tests.company import EMAIL, NAME, NUMBER, TEXT
from tests.estate import context
from tests.fixtures import RUN_DATE, Estate, failed_checks
from tests.opened import altered, put_back

MAP = load_data_map(PROJECT / "data_map.yaml")
# What high-risk values look like, by class. The last two are right in themselves and wrong here.
HIGH_RISK = {
    "name": NAME,
    "e-mail": EMAIL,
    "employee number": f"emp:{NUMBER}",
    "bare number": NUMBER,
    "free text": TEXT,
    "sensitive course": "HLT-404",
    "timestamp": "2026-10-11 09:12:44",
    "foreign pseudonym": "v1x1_" + "0" * 32,
}
HR_DETAIL = "hr_legal_detail"
# A column that is not text cannot hold any of these; there a value outside the domain is the leak.
OUTSIDE = {
    "DATE": "1899-12-31",
    "DOUBLE": "7700001",
    "BIGINT": "-1",
    "INTEGER": "7700001",
    "TIMESTAMP": "1899-12-31",
}
OUTSIDE_DOMAIN = "outside its domain"
# Table to column to the value that is seeded there.
Seeds = dict[str, dict[str, str]]
Change = Callable[[duckdb.DuckDBPyConnection, str], object]


def text_columns(table: str) -> list[str]:
    spec = MAP.published[table]
    return [column for column in spec.columns if MAP.columns[column].type == "VARCHAR"]


def staged(estate: Estate) -> Path:
    """Put the published files back on the stage, as if they were not out yet."""
    folder = estate.layout.staged(str(RUN_DATE))
    shutil.copytree(estate.layout.current.resolve(), folder)
    (folder / gate.MANIFEST).unlink()
    return folder


def seed(connection: duckdb.DuckDBPyConnection, table: str, values: dict[str, str]) -> None:
    """Add a copy of a row to a table, with some of its columns overwritten."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE one AS FROM {table} LIMIT 1")
    for column, value in values.items():
        kind = MAP.columns[column].type
        connection.execute(f'UPDATE one SET "{column}" = $value::{kind}', {"value": value})
    connection.execute(f"INSERT INTO {table} FROM one")


def _file(estate: Estate, table: str) -> Path:
    """The staged file that a table lies in."""
    return estate.layout.staged(str(RUN_DATE)) / MAP.published[table].file


def _verdicts(estate: Estate, tables: Iterable[str]) -> dict[str, SuiteResult]:
    """What the suites say of staged tables of one audience."""
    audience = MAP.published[next(iter(tables))].audience
    return published_suite.validate(context(estate.home), str(RUN_DATE), audience, tables)


@pytest.fixture(scope="module")
def stage(_finished_run: Estate, tmp_path_factory: pytest.TempPathFactory) -> Estate:
    home = tmp_path_factory.mktemp("leaks") / "home"
    shutil.copytree(_finished_run.home, home, symlinks=True)
    estate = Estate(home, _finished_run.instance)
    staged(estate)
    return estate


def _together() -> list[list[str]]:
    """Tables that are judged at once: those of an audience, and each of its dimensions apart, as a
    code that the tables beside it name is judged there."""
    dimensions = [[table] for table, spec in MAP.published.items() if spec.dimension]
    return [list(MAP.tables_of(one)) for one in Audience] + dimensions


def _values(table: str, kind: str) -> dict[str, str]:
    """A value of the kind for every column that can hold one."""
    if kind == OUTSIDE_DOMAIN:
        others = {column: MAP.columns[column] for column in MAP.published[table].columns}
        return {
            column: "2026-10-11" if spec.rule == "month" else OUTSIDE[spec.type]
            for column, spec in others.items()
            if spec.type in OUTSIDE
        }
    # The detailed view may name a sensitive course by its code.
    named = {"course_code"} if (table, kind) == (HR_DETAIL, "sensitive course") else set()
    return {column: HIGH_RISK[kind] for column in text_columns(table) if column not in named}


def _seeded() -> Iterator[Any]:
    """A value of each kind in every column of every table: each column has rules of its own, so
    that none is found in place of another. In a soak each column is by itself."""
    for kind in (*HIGH_RISK, OUTSIDE_DOMAIN):
        for tables in _together():
            found = {table: values for table in tables if (values := _values(table, kind))}
            if found:
                yield pytest.param(found, id=f"{tables[0]}-{kind}")
            for table, values in found.items():
                for column, value in values.items():
                    one, name = {table: {column: value}}, f"{table}-{column}-{kind}"
                    yield pytest.param(one, id=name, marks=pytest.mark.soak)


def _change(estate: Estate, tables: Iterable[str], how: Change) -> dict[str, SuiteResult]:
    """Change staged tables of an audience, judge them and put the clean files back."""
    tables = list(tables)
    with ExitStack() as changed:
        for file in {_file(estate, table) for table in tables}:
            changed.enter_context(put_back(file))
        for table in tables:
            with altered(estate.home, _file(estate, table), table) as connection:
                how(connection, table)
        return _verdicts(estate, tables)


@pytest.mark.usefixtures("plainly")
@pytest.mark.parametrize("seeds", list(_seeded()))
def test_a_leak_in_any_column_is_found(stage: Estate, seeds: Seeds) -> None:
    verdicts = _change(stage, seeds, lambda c, table: seed(c, table, seeds[table]))
    for table, values in seeds.items():
        broken = verdicts[table].broken
        missed = [one for one in values if not any(rule.startswith(f"{one}.") for rule in broken)]
        assert not missed, (table, broken)
        said = repr(verdicts[table])
        assert not [value for value in values.values() if len(value) >= 5 and value in said]


@pytest.mark.usefixtures("plainly")
def test_cell_under_k(stage: Estate) -> None:
    tables = [table for table, spec in MAP.published.items() if spec.k]
    verdicts = _change(stage, tables, lambda c, table: seed(c, table, {"learners": "4"}))
    assert len(tables) == 6
    for table in tables:
        assert "learners.people" in verdicts[table].broken, table


@pytest.mark.parametrize("audience", Audience)
def test_clean_tables_pass(stage: Estate, audience: Audience) -> None:
    verdicts = _verdicts(stage, MAP.with_dimensions(audience))
    assert all(one.passed for one in verdicts.values()), verdicts


@pytest.mark.usefixtures("plainly")
@pytest.mark.parametrize("audience", Audience)
@pytest.mark.parametrize(("column", "kind"), [("occurred_at", "TIMESTAMP"), ("note", "VARCHAR")])
def test_unlisted_column(stage: Estate, audience: Audience, column: str, kind: str) -> None:
    tables, added = list(MAP.with_dimensions(audience)), f"ADD COLUMN {column} {kind}"
    verdicts = _change(stage, tables, lambda c, table: c.execute(f"ALTER TABLE {table} {added}"))
    for table in tables:
        assert "schema.unlisted_columns" in verdicts[table].broken


def test_unlisted_table(stage: Estate) -> None:
    file = _file(stage, "coaching_team")
    with put_back(file):
        with duckdb.connect(str(file)) as c:
            c.execute("CREATE TABLE extra AS SELECT 1 AS one")
        verdict = _verdicts(stage, ["coaching_team"])["coaching_team"]
    assert "database.unlisted_tables" in verdict.broken


# And now with the real run: the same value, put there while the table is built.
PUBLISHING = [key for asset in staged_tables for key in asset.keys] + [
    lineage.published_key("release")
]


def _target(table: str, kind: str) -> tuple[str, str]:
    """A text column of the table that the class of value could leak into, else any column; and the
    value."""
    if MAP.published[table].audience is Audience.HR_LEGAL and kind == "sensitive course":
        return "department", "HLT-404"
    texts = text_columns(table)
    preferred = "course_title" if kind == "sensitive course" else "course_code"
    if preferred in texts:
        return preferred, HIGH_RISK[kind]
    if texts:
        return texts[0], HIGH_RISK[kind]
    return "records", "-1"


KINDS = ("name", "e-mail", "employee number", "free text", "sensitive course", "timestamp")


def _leaks() -> Iterator[Any]:
    """Tables that leak, each with the kind of its leak: all of them, and in a soak those of each
    audience, and each by itself with every kind."""
    kinds = {table: KINDS[n % len(KINDS)] for n, table in enumerate(MAP.published)}
    yield pytest.param(kinds, id="all")
    for audience in Audience:
        own = {table: kinds[table] for table in MAP.with_dimensions(audience)}
        yield pytest.param(own, id=audience.value, marks=pytest.mark.soak)
    for table in MAP.published:
        for kind in KINDS:
            yield pytest.param({table: kind}, id=f"{table}-{kind}", marks=pytest.mark.soak)


@pytest.mark.parametrize("leaks", list(_leaks()))
def test_a_leak_fails_the_run_and_publishes_nothing(
    published: Estate, monkeypatch: pytest.MonkeyPatch, leaks: dict[str, str]
) -> None:
    targets = {table: _target(table, kind) for table, kind in leaks.items()}

    def leaky(table: str, query: Sql) -> Sql:
        if table not in targets:
            return query
        column, value = targets[table]
        replaced = f"'{value}'::{MAP.columns[column].type}"
        return Sql(
            f"(SELECT * REPLACE ({replaced} AS {column}) FROM ({query}) LIMIT 1) "
            f"UNION ALL ({query})"
        )

    row_level, queries = staging.row_level_sql, staging.queries
    monkeypatch.setattr(
        staging, "row_level_sql", lambda of, *given: leaky(of, row_level(of, *given))
    )

    def with_leaks(*given: Any, **more: Any) -> dict[str, Sql]:
        found = queries(*given, **more)
        return {of: leaky(of, query) for of, query in found.items()}

    monkeypatch.setattr(staging, "queries", with_leaks)
    before = (published.layout.current / gate.MANIFEST).read_bytes()
    result = published.run_in_dagster(assets=PUBLISHING)
    assert not result.success
    assert set(failed_checks(result)) == {f"published/{table} no_leak" for table in leaks}
    assert (published.layout.current / gate.MANIFEST).read_bytes() == before
    events = "".join(one.to_json() for one in published.instance.all_logs(result.run_id))
    assert not [value for _, value in targets.values() if len(value) >= 5 and value in events]


def test_the_release_waits_for_the_checks_of_every_audience() -> None:
    """So that tables that leak together stand for each of them."""
    (release,) = (step for step in plain.steps() if lineage.published_key("release") in step.assets)
    assert {f"{audience.value}_no_leak" for audience in Audience} <= release.after


@pytest.mark.parametrize("audience", Audience)
def test_a_leak_into_pseudonymized_rows_is_found(published: Estate, audience: Audience) -> None:
    # Whichever month has rows: the one that shows a state can be of another.
    months = published.layout.pseudonymized_for(audience).glob("*/*.parquet")
    rows = max(months, key=lambda path: path.stat().st_size)
    with duckdb.connect() as c:
        c.execute(f"CREATE TABLE t AS FROM '{rows}'")
        c.execute("UPDATE t SET course_code = $v WHERE rowid = 0", {"v": EMAIL})
        c.execute(f"COPY t TO '{rows}' (FORMAT parquet)")
    verdict = pseudonymized_suite.validate(published.layout, MAP, audience)
    assert "course_code.course" in verdict.broken
    assert "course_code.known_identifier" in verdict.broken


def test_a_table_without_its_check_cannot_leave(published: Estate) -> None:
    folder = staged(published)
    with pytest.raises(PolicyError, match="not checked"):
        gate.require_seals(published.layout, MAP, str(RUN_DATE))
    for table in MAP.published:
        gate.seal(published.layout, MAP, str(RUN_DATE), table)
    gate.require_seals(published.layout, MAP, str(RUN_DATE))
    file = folder / "manager_extract.duckdb"
    with altered(published.home, file, "manager_extract") as connection:
        seed(connection, "manager_extract", {"course_code": NAME})
    with pytest.raises(PolicyError, match="manager_extract"):
        gate.require_seals(published.layout, MAP, str(RUN_DATE))


def test_a_stranger_on_the_stage_stops_the_release(published: Estate) -> None:
    folder = staged(published)
    duckdb.connect(str(folder / "extra.duckdb")).close()
    with pytest.raises(PolicyError, match=r"extra\.duckdb"):
        gate.require_seals(published.layout, MAP, str(RUN_DATE))

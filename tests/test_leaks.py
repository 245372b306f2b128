"""One seeded value in any column of any published table fails the checks and publishes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
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
from tests.company import EMAIL, NAME, NUMBER, TEXT
from tests.conftest import NIGHT, Estate, failed_checks
from tests.estate import context
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
TEXT_COLUMNS = [
    (table, column)
    for table, spec in MAP.published.items()
    for column in spec.columns
    if MAP.columns[column].type == "VARCHAR"
]
# Columns that are not text cannot hold any of these; there a value outside the domain is the leak.
OUTSIDE = {
    "DATE": "1899-12-31",
    "DOUBLE": "7700001",
    "BIGINT": "-1",
    "INTEGER": "7700001",
    "TIMESTAMP": "1899-12-31",
}
OTHER_COLUMNS = [
    (table, column)
    for table, spec in MAP.published.items()
    for column in spec.columns
    if MAP.columns[column].type in OUTSIDE
]


def staged(estate: Estate) -> Path:
    """Put the published files back on the stage, as if they were not out yet."""
    folder = estate.layout.staged(str(NIGHT))
    shutil.copytree(estate.layout.current.resolve(), folder)
    (folder / gate.MANIFEST).unlink()
    return folder


def seed(folder: Path, table: str, column: str, value: str) -> None:
    """Overwrite the column in one row; the row is a copy where the table has but one."""
    file = folder / MAP.published[table].file
    with altered(folder.parent.parent, file, table) as c:
        c.execute(f"CREATE OR REPLACE TEMP TABLE one AS FROM {table} LIMIT 1")
        kind = MAP.columns[column].type
        c.execute(f'UPDATE one SET "{column}" = $value::{kind}', {"value": value})
        c.execute(f"INSERT INTO {table} FROM one")


def _verdict(estate: Estate, table: str) -> SuiteResult:
    """What the suite says of one staged table."""
    audience = MAP.published[table].audience
    return published_suite.validate(context(estate.home), str(NIGHT), audience, [table])[table]


@pytest.fixture(scope="module")
def stage(_good_night: Estate, tmp_path_factory: pytest.TempPathFactory) -> Estate:
    home = tmp_path_factory.mktemp("leaks") / "home"
    shutil.copytree(_good_night.home, home, symlinks=True)
    estate = Estate(home, _good_night.instance)
    staged(estate)
    return estate


@pytest.fixture
def seeded(stage: Estate) -> Callable[[str, str, str], list[str]]:
    """Seed a value, judge the table, put the clean file back; gives the broken rules."""

    def judge(table: str, column: str, value: str) -> list[str]:
        folder = stage.layout.staged(str(NIGHT))
        file = folder / MAP.published[table].file
        with put_back(file):
            seed(folder, table, column, value)
            verdict = _verdict(stage, table)
        assert len(value) < 5 or value not in repr(verdict)
        return [*verdict.broken, *verdict.missing]

    return judge


@pytest.mark.parametrize("table", MAP.published)
def test_clean_tables_pass(stage: Estate, table: str) -> None:
    assert _verdict(stage, table).passed


# The detailed view may name a sensitive course by its code.
@pytest.mark.parametrize(
    ("table", "column", "kind"),
    [
        (table, column, kind)
        for table, column in TEXT_COLUMNS
        for kind in HIGH_RISK
        if (table, column, kind) != (HR_DETAIL, "course_code", "sensitive course")
    ],
)
def test_leak_in_a_text_column(
    seeded: Callable[[str, str, str], list[str]], table: str, column: str, kind: str
) -> None:
    broken = seeded(table, column, HIGH_RISK[kind])
    assert any(rule.startswith(f"{column}.") for rule in broken), broken


@pytest.mark.parametrize(("table", "column"), OTHER_COLUMNS)
def test_value_outside_its_domain(
    seeded: Callable[[str, str, str], list[str]], table: str, column: str
) -> None:
    spec = MAP.columns[column]
    day_for_month = spec.rule == "month"
    broken = seeded(table, column, "2026-10-11" if day_for_month else OUTSIDE[spec.type])
    assert any(rule.startswith(f"{column}.") for rule in broken), broken


@pytest.mark.parametrize("table", [t for t, spec in MAP.published.items() if spec.k])
def test_cell_under_k(seeded: Callable[[str, str, str], list[str]], table: str) -> None:
    assert "learners.people" in seeded(table, "learners", "4")


@pytest.mark.parametrize("table", MAP.published)
@pytest.mark.parametrize(("column", "kind"), [("occurred_at", "TIMESTAMP"), ("note", "VARCHAR")])
def test_unlisted_column(stage: Estate, table: str, column: str, kind: str) -> None:
    file = stage.layout.staged(str(NIGHT)) / MAP.published[table].file
    with put_back(file):
        with altered(stage.home, file, table) as c:
            c.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        verdict = _verdict(stage, table)
    assert "schema.unlisted_columns" in verdict.broken


def test_unlisted_table(stage: Estate) -> None:
    file = stage.layout.staged(str(NIGHT)) / "coaching.duckdb"
    with put_back(file):
        with duckdb.connect(str(file)) as c:
            c.execute("CREATE TABLE extra AS SELECT 1 AS one")
        verdict = _verdict(stage, "coaching_team")
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
    texts = [column for t, column in TEXT_COLUMNS if t == table]
    preferred = "course_title" if kind == "sensitive course" else "course_code"
    if preferred in texts:
        return preferred, HIGH_RISK[kind]
    if texts:
        return texts[0], HIGH_RISK[kind]
    return "records", "-1"


KINDS = ("name", "e-mail", "employee number", "free text", "sensitive course", "timestamp")


def _leaks() -> Iterator[Any]:
    """Tables that leak, each with the kind of its leak: all of an audience, and in a soak each by
    itself with every kind."""
    for at, audience in enumerate(Audience):
        tables = MAP.with_dimensions(audience)
        kinds = {table: KINDS[(at + n) % len(KINDS)] for n, table in enumerate(tables)}
        yield pytest.param(kinds, id=audience.value)
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
        gate.require_seals(published.layout, MAP, str(NIGHT))
    for table in MAP.published:
        gate.seal(published.layout, MAP, str(NIGHT), table)
    gate.require_seals(published.layout, MAP, str(NIGHT))
    seed(folder, "manager_extract", "course_code", NAME)
    with pytest.raises(PolicyError, match="manager_extract"):
        gate.require_seals(published.layout, MAP, str(NIGHT))


def test_a_stranger_on_the_stage_stops_the_release(published: Estate) -> None:
    folder = staged(published)
    duckdb.connect(str(folder / "extra.duckdb")).close()
    with pytest.raises(PolicyError, match=r"extra\.duckdb"):
        gate.require_seals(published.layout, MAP, str(NIGHT))

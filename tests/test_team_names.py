"""Teams are called by their unit where policy has it, and where it names one team and nobody."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from pydantic import ValidationError

from expectations import published as published_suite
from expectations import suite
from pipeline.context import Context
from pipeline.policy.data_map import DataMap
from pipeline.policy.disclosure import load_disclosure
from pipeline.policy.fields import Audience
from pipeline.published import models, team_names
from pipeline.published.stage import stage_database
from pipeline.published.team_names import NONE, PERSONAL, SHARED
from pipeline.raw.deliveries import ingest
from pipeline.retained.rebuild import rebuild_reference_values
from pipeline.storage.engine import engine
from pipeline.storage.layout import PROJECT, Layout
from pipeline.storage.relations import files, roster
from pipeline.storage.sql import Sql
from tests.company import ROSTER, number, person, record, write_csv, write_delivery
from tests.estate import policy_with
from tests.fixtures import RUN_DATE, Estate
from tests.plain import quick

TODAY = dt.date(2026, 11, 8)
TABLE = "coaching_teams"
COACHING_WINDOW = yaml.safe_load((PROJECT / "retention_rules.yaml").read_text("utf-8"))["tables"][
    "coaching_team"
]
UNIT = {"name": "unit", "class": "quasi_identifier", "risk": "medium", "treatment": "keep"}
# Manager to the units of those who report to them, and what the team is called, or why not.
TEAMS: dict[str, tuple[list[str | None], str]] = {
    "one": (["Sales North", "Sales  North ", None], "Sales North"),
    "two": (["Support", "Support"], SHARED),
    "three": (["SUPPORT "], SHARED),  # the same to a reader
    "four": (["Team Wéber"], PERSONAL),  # Anna Weber is on the roster
    "five": (["anna weber"], PERSONAL),
    "six": (["Weber-Team"], PERSONAL),
    "six too": (["佐藤チーム"], PERSONAL),  # written without blanks
    "seven": (["ask x@corp.example"], PERSONAL),
    "eight": (["Young Talents"], "Young Talents"),  # policy: a word of every day
    "eight too": (["Mark Young"], PERSONAL),  # a whole name of such words
    "eight and more": (["Line 770001"], PERSONAL),  # somebody's number
    "nine": ([None, " "], NONE),
    "ten": (["Finance", "Finance", "Tax", "Audit"], NONE),  # half of them is not most
    "eleven": (["x" * 101], PERSONAL),
    "twelve": (["Do"], "Do"),  # of a name, two letters are particles
}


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A roster of TEAMS; `one` is known by an address, and somebody of `two` has left."""
    with engine(tmp_path) as made:
        made.execute(
            "CREATE TABLE roster (learner_id INT, name VARCHAR, manager_id VARCHAR, "
            "unit VARCHAR, left_on DATE)"
        )
        rows = [(m, unit) for m, (units, _) in TEAMS.items() for unit in units]
        for n, (manager, unit) in enumerate(rows):
            known_as = "mbox:mailto:one@corp.example" if manager == "one" else manager
            made.execute(
                "INSERT INTO roster VALUES (?, ?, ?, ?, NULL)", [n, f"P {n}", known_as, unit]
            )
        made.execute(
            "INSERT INTO roster VALUES (90, 'Anna Weber', NULL, NULL, NULL), "
            "(91, 'Neil Young', NULL, NULL, NULL), (92, 'Do Le', NULL, NULL, NULL), "
            "(95, '美咲 佐藤', NULL, NULL, NULL), "
            "(93, 'P', 'two', 'Elsewhere', DATE '2026-01-01'), "
            "(94, 'P', 'two', 'Elsewhere', DATE '2026-01-01')"
        )
        made.execute(
            "CREATE TABLE identifiers AS SELECT 'mbox:mailto:one@corp.example' AS "
            "identifier, 'one' AS person, DATE '2000-01-01' AS valid_from, DATE '2100-01-01' AS "
            "valid_until"
        )
        made.execute("ATTACH ':memory:' AS staged")
        made.execute("CREATE TABLE staged.coaching_team (team_ref VARCHAR)")
        made.execute("CREATE TABLE staged.coaching_team_course (team_ref VARCHAR)")
        made.execute("CREATE TABLE denylist AS SELECT unnest(['mark young', '770001']) AS entry")
        made.execute("CREATE TABLE pseudonyms (person VARCHAR, ref VARCHAR)")
        for manager in TEAMS:
            made.execute("INSERT INTO pseudonyms VALUES ($1, $1 || '-ref')", [manager])
            for table in ("coaching_team", "coaching_team_course"):
                made.execute(f"INSERT INTO staged.{table} VALUES ($1 || '-ref')", [manager])
        yield made


def called(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[str | None, str | None]]:
    relations = team_names.Relations(
        *map(Sql, ("roster", "identifiers", "roster", "denylist", "pseudonyms"))
    )
    beside = [Sql("staged.coaching_team"), Sql("staged.coaching_team_course")]
    query = team_names.teams_sql(beside, relations, TODAY, ["Young", "Mark"])
    connection.execute(
        f"CREATE OR REPLACE TABLE staged.{TABLE} AS SELECT team_ref, unit FROM ({query})"
    )
    found = connection.sql(query).fetchall()
    assert len({ref for ref, _, _ in found}) == len(found)
    return {ref.removesuffix("-ref"): (unit, why) for ref, unit, why in found}


def test_a_team_has_the_unit_that_is_its_own_and_names_nobody(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Whatever is not certain is a pseudonym: a unit of several teams, of half a team, of nobody,
    and any word of a name that is on a roster."""
    found = called(connection)
    reasons = (NONE, SHARED, PERSONAL)
    assert found == {
        manager: (None, said) if said in reasons else (said, None)
        for manager, (_, said) in TEAMS.items()
    }


def test_what_is_not_published_has_no_name_and_who_is_not_on_the_roster_none(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute("DELETE FROM staged.coaching_team WHERE team_ref = 'two-ref'")
    connection.execute("DELETE FROM staged.coaching_team_course WHERE team_ref = 'two-ref'")
    connection.execute("INSERT INTO staged.coaching_team VALUES ('gone-ref'), (NULL)")
    found = called(connection)
    assert "two" not in found
    # A unit does not become somebody's own when the other team is not published.
    assert found["three"] == (None, SHARED)
    assert found["gone"] == (None, NONE)


def policy(**of_table: Any) -> DataMap:
    """The shipped data map with a team dimension, and a roster that releases a unit."""
    given = yaml.safe_load((PROJECT / "data_map.yaml").read_text("utf-8"))
    given["sources"]["roster"]["fields"]["Team"] = UNIT | {"audiences": ["coaching"]}
    given["published"][TABLE] = {
        "description": "What teams are called.",
        "audience": "coaching",
        "database": "coaching",
        "dimension": "team",
        "columns": ["team_ref", "unit"],
    } | of_table
    return DataMap.model_validate(given)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"audience": "analytics", "database": "analytics"}, "for the audience coaching"),
        ({"columns": ["team_ref", "learners"]}, "a team dimension has team_ref"),
        ({"columns": ["unit"]}, "a team dimension has team_ref"),
    ],
)
def test_policy_has_a_team_dimension_or_says_why_not(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        policy(**change)


def test_without_a_roster_column_that_policy_names_teams_have_pseudonyms() -> None:
    """The default; and a column that is not released for coaching is not one that policy names."""
    shipped = yaml.safe_load((PROJECT / "data_map.yaml").read_text("utf-8"))
    DataMap.model_validate(shipped)
    assert not [one for one in shipped["published"].values() if one.get("dimension") == "team"]
    shipped["published"][TABLE] = policy().published[TABLE].model_dump(mode="json")
    with pytest.raises(ValidationError, match=r"coaching_teams\.unit: no source releases unit"):
        DataMap.model_validate(shipped)
    shipped["sources"]["roster"]["fields"]["Team"] = UNIT | {"audiences": ["manager"]}
    with pytest.raises(ValidationError, match=r"coaching_teams\.unit"):
        DataMap.model_validate(shipped)


def test_the_lineage_of_a_name_leads_to_the_roster() -> None:
    rules = load_disclosure(PROJECT / "disclosure_rules.yaml")
    found = models.columns(policy(), rules, TABLE)
    assert {(one.relation, one.column) for one in found["unit"].made_from} == {("roster", "unit")}
    assert [(one.relation, one.column) for one in found["team_ref"].made_from] == [
        ("pseudonymized_coaching", "team_ref")
    ]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("UPDATE {of} SET unit = ' sales north' WHERE team_ref = 'two-ref'", "teams.same_unit"),
        ("INSERT INTO {of} VALUES ('x-ref', NULL)", "dimension.not_named"),
        ("DELETE FROM {of} WHERE team_ref = 'two-ref'", "dimension.missing"),
    ],
)
def test_it_is_compared_with_the_tables_beside_it(
    connection: duckdb.DuckDBPyConnection, change: str, rule: str
) -> None:
    called(connection)
    relation = Sql(f"staged.{TABLE}")
    before = published_suite._dimension_evidence(connection, policy(), TABLE, relation)
    assert not any(before.values())
    connection.execute(change.format(of=relation))
    found = published_suite._dimension_evidence(connection, policy(), TABLE, relation)
    assert [name for name, n in found.items() if n] == [rule]


@pytest.mark.parametrize("delivered", [True, False])
def test_the_store_has_the_unit_if_the_roster_has(tmp_path: Path, delivered: bool) -> None:
    layout = Layout(tmp_path)
    folder = write_delivery(Path(layout.landing) / str(RUN_DATE), [record(0)])
    rows, columns = [person(0) | {"Team": "Sales North"}], [*ROSTER, "Team"]
    if not delivered:
        rows, columns = [person(0)], ROSTER
    write_csv(folder / "hr_roster.csv", rows, columns)
    ingest(layout, policy(), RUN_DATE)
    with engine(layout.work) as connection:
        found = connection.sql(f"SELECT unit FROM {roster(layout)}").fetchall()
    assert found == [("Sales North" if delivered else None,)]


@pytest.fixture
def named(published: Estate, tmp_path: Path) -> Context:
    """The company under a policy that names the column, and a roster that has it."""
    folder = policy_with(
        tmp_path / "policy", "retention_rules.yaml", {"tables": {TABLE: COACHING_WINDOW}}
    )
    given = yaml.safe_load((folder / "data_map.yaml").read_text("utf-8"))
    given["published"][TABLE] = policy().published[TABLE].model_dump(mode="json")
    given["sources"]["roster"]["fields"]["Team"] = UNIT | {"audiences": ["coaching"]}
    (folder / "data_map.yaml").write_text(yaml.safe_dump(given), "utf-8")
    for path in files(published.layout, "roster"):
        with duckdb.connect() as connection:
            connection.execute(f"CREATE TABLE t AS FROM '{path}'")
            connection.execute(
                f"UPDATE t SET unit = CASE manager_id WHEN 'emp:{number(900)}' THEN 'Sales North' "
                "ELSE 'Back office' END"
            )
            connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    return Estate(published.home, published.instance, folder).context


def test_figures_are_the_same_whatever_their_teams_are_called(
    named: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, table = named.layout, "coaching_team"
    with engine(layout.work) as connection:
        rebuild_reference_values(connection, named)
        stage_database(connection, named, Audience.COACHING, str(RUN_DATE), publish_new=False)
        unnamed = team_names.unnamed(connection, named, str(RUN_DATE), TABLE)
    monkeypatch.setattr(suite, "judge", quick)
    verdicts = published_suite.validate(named, str(RUN_DATE), Audience.COACHING)
    assert TABLE in verdicts
    assert all(one.passed for one in verdicts.values()), verdicts
    with duckdb.connect() as connection:
        for name, folder in (("new", layout.staged(str(RUN_DATE))), ("old", layout.current)):
            connection.execute(f"ATTACH '{folder / 'coaching.duckdb'}' AS {name} (READ_ONLY)")
        before, after = (
            connection.sql(f"FROM {name}.{table} ORDER BY ALL").fetchall()
            for name in ("old", "new")
        )
        assert before == after != []
        names = connection.sql(
            f"SELECT DISTINCT n.unit FROM new.{table} AS t JOIN new.{TABLE} AS n USING (team_ref)"
        ).fetchall()
    assert names == [("Sales North",)]
    assert unnamed == {}

"""Column lineage: read from the SQL that runs, every step names what exists, and it follows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from assets import lineage
from pipeline.classified import models as classified_models
from pipeline.definitions import defs
from pipeline.errors import EngineError, PolicyError
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import Audience, Treatment
from pipeline.pseudonymized import models
from pipeline.storage import column_lineage, sql
from pipeline.storage.column_lineage import Origin, query_lineage
from pipeline.storage.schema import CLASSIFIED
from pipeline.storage.sql import Sql

GRAPH = defs.resolve_asset_graph()
LINKED = sorted(
    key for key in GRAPH.get_all_asset_keys() if "dagster/column_lineage" in GRAPH.get(key).metadata
)
T = {"t": ("a", "b", "id"), "u": ("id", "v"), "names": ("id", "name")}


def schema(key: dg.AssetKey) -> set[str]:
    return {one.name for one in GRAPH.get(key).metadata["dagster/column_schema"].columns}


def links(key: dg.AssetKey) -> dict[str, list[dg.TableColumnDep]]:
    found = GRAPH.get(key).metadata["dagster/column_lineage"]
    return {name: list(deps) for name, deps in found.deps_by_column.items()}


def ends(key: dg.AssetKey, column: str) -> set[tuple[str, str]]:
    """The delivered columns that a column leads back to, as source and column."""
    if key.path[0] == "landing":
        return {(key.path[1], column)}
    return {end for dep in links(key)[column] for end in ends(dep.asset_key, dep.column_name)}


@pytest.mark.parametrize("key", LINKED, ids=lambda key: key.to_user_string())
def test_every_dependency_names_an_asset_and_a_column_that_exist(key: dg.AssetKey) -> None:
    """As did not `record_key, deliveries, first_seen, left_on, on_roster` of the classified asset
    while lineage was a dictionary beside the SQL."""
    assert set(links(key)) == schema(key)
    for name, deps in links(key).items():
        assert deps or key == lineage.CANONICAL, f"{name} comes from nowhere"
        for dep in deps:
            assert GRAPH.has(dep.asset_key), f"{name}: no asset {dep.asset_key}"
            assert dep.column_name in schema(dep.asset_key), f"{name}: {dep.column_name}"


def test_the_lineage_has_every_column_of_the_store(data_map: DataMap) -> None:
    assert list(classified_models.columns_from_sources(data_map)) == list(CLASSIFIED)


def test_the_termination_date_comes_from_the_roster() -> None:
    (dep,) = links(lineage.CLASSIFIED)["left_on"]
    assert dep == dg.TableColumnDep(lineage.CANONICAL, "roster.left_on")
    assert ends(lineage.CLASSIFIED, "left_on") == {("roster", "Termination Date")}
    assert ends(lineage.CLASSIFIED, "on_roster") == {("roster", "Employee ID")}
    assert ("roster", "Manager ID") in ends(lineage.CLASSIFIED, "manager")


def test_what_is_looked_up_is_made_of_the_key() -> None:
    key = lineage.pseudonymized_key(Audience.COACHING)
    assert links(key)["learner_ref"] == [dg.TableColumnDep(lineage.CLASSIFIED, "person")]
    assert links(key)["team_ref"] == [dg.TableColumnDep(lineage.CLASSIFIED, "manager")]
    assert {("corporate", "Country"), ("roster", "Country")} <= ends(lineage.CLASSIFIED, "region")


@pytest.mark.parametrize(
    ("query", "made_from", "copy_of"),
    [
        ("SELECT t.a AS x FROM t", "t.a", "t.a"),
        ("SELECT coalesce(a, b) AS x FROM t", "t.a t.b", "t.a t.b"),
        ("SELECT any_value(a) AS x FROM t", "t.a", "t.a"),
        ("SELECT upper(a) AS x FROM t", "t.a", ""),
        ("SELECT score_band(a) AS x FROM t", "t.a", ""),
        ("SELECT CASE WHEN a > 1 THEN b END AS x FROM t", "t.a t.b", "t.b"),
        ("SELECT sum(a) OVER (PARTITION BY b) AS x FROM t", "t.a t.b", ""),
        ("SELECT list_transform([a], LAMBDA i: i || b) AS x FROM t", "t.a t.b", ""),
        ("WITH c AS (SELECT a + b AS s FROM t) SELECT s AS x FROM c", "t.a t.b", ""),
        ("SELECT a AS x FROM t UNION ALL SELECT v FROM u", "t.a u.v", "t.a u.v"),
        ("SELECT a AS x FROM t WHERE b > 1", "t.a", "t.a"),
        ("FROM (SELECT a AS x FROM t)", "t.a", "t.a"),
        ("SELECT n.name AS x FROM t LEFT JOIN names AS n ON n.id = t.b", "t.b", ""),
        (
            "SELECT m.r AS x FROM t JOIN (VALUES (1, 2)) AS m (k, r) ON m.k = t.b",
            "t.b",
            "",
        ),
        ("SELECT u.v AS x FROM t LEFT JOIN u USING (id)", "u.v", "u.v"),
        ("SELECT 1 AS x FROM t", "", ""),
    ],
)
def test_a_column_is_made_of_what_its_sql_names(query: str, made_from: str, copy_of: str) -> None:
    found = query_lineage(query, T, lookups=["names"])["x"]
    assert {".".join(one) for one in found.made_from} == set(made_from.split())
    assert {".".join(one) for one in found.copy_of} == set(copy_of.split())


@pytest.mark.parametrize(
    "query",
    [
        "SELECT t.c AS x FROM t",
        "SELECT w.a AS x FROM w",
        "SELECT (SELECT max(v) FROM u) AS x FROM t",
        "SELECT a FROM t WHERE (",
        "DROP TABLE t",
    ],
)
def test_what_lineage_cannot_follow_is_an_error(query: str) -> None:
    with pytest.raises(EngineError, match="lineage of query"):
        query_lineage(query, T)


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Let a model be rendered from a changed copy of its file."""

    def change(name: str, old: str, new: str) -> None:
        original = Path(str(models.__file__)).parent / name
        path = tmp_path / name
        shutil.copy(original, path)
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")
        template = sql._environment().from_string(path.read_text("utf-8"))
        whole = sql._model

        def model(package: str, file: str) -> object:
            return template if (package, file) == (models.PACKAGE, name) else whole(package, file)

        monkeypatch.setattr(sql, "_model", model)

    return change


def test_lineage_and_policy_follow_a_new_column(
    edited: Callable[[str, str, str], None], data_map: DataMap
) -> None:
    edited(
        "analytics.sql",
        "    r.status, -- keep",
        "    r.status, -- keep\n    r.attempts > 1 AS repeated, -- generalize",
    )
    found = models.columns(Audience.ANALYTICS)
    assert found["repeated"].made_from == {Origin("classified", "attempts")}
    assert lineage.pseudonymized_lineage(Audience.ANALYTICS).deps_by_column["repeated"] == [
        dg.TableColumnDep(lineage.CLASSIFIED, "attempts")
    ]
    assert "attempts" in models.columns_read(Audience.ANALYTICS)
    # No source releases the number of attempts to analysts.
    with pytest.raises(PolicyError, match=r"analytics\.repeated: made of attempts.*drop"):
        models.check_against(data_map, Audience.ANALYTICS)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        # Without a treatment, or with a word that is none.
        ("manager.sql", "r.course_code, -- keep", "r.course_code,", "has to say"),
        ("manager.sql", "r.course_code, -- keep", "r.course_code, -- fine", "has to say"),
        (
            "manager.sql",
            "r.course_code, -- keep\n    r.state, -- generalize\n    r.outcome -- generalize",
            "r.*",
            "has to say",
        ),
        # Said, but not done.
        (
            "analytics.sql",
            "month_of(coalesce(r.event_on, r.assigned_on)) AS",
            "r.event_at AS",
            "made of event_at",
        ),
        ("coaching.sql", "score_band(r.score) AS", "r.score AS", "made of score"),
        ("coaching.sql", "learner.ref AS", "r.person AS", "not treated as `pseudonymize`"),
        ("coaching.sql", "learner.ref AS", "learner.person AS", "not treated as `pseudonymize`"),
        (
            "coaching.sql",
            "learner.ref AS learner_ref, -- pseudonymize",
            "learner.person AS learner_ref, -- generalize",
            "made of learner_id",
        ),
        (
            "coaching.sql",
            "learner.ref AS learner_ref, -- pseudonymize",
            "coalesce(learner.ref, r.person) AS learner_ref, -- pseudonymize",
            "not treated as `pseudonymize`",
        ),
        ("hr_legal.sql", "r.attempts, -- keep", "r.attempts, -- tokenise", "not treated"),
        ("hr_legal.sql", "r.has_comment -- tokenise", "r.has_comment -- keep", "free_text"),
        # Of a field that the audience may not have, however it is treated.
        ("manager.sql", "r.outcome --", "score_band(r.score) AS outcome --", "made of score"),
        (
            "coaching.sql",
            "r.department, -- keep",
            "r.left_on IS NULL AS d, -- generalize",
            "made of left_on",
        ),
    ],
)
def test_a_wrong_or_missing_treatment_stops_the_run(
    edited: Callable[[str, str, str], None],
    data_map: DataMap,
    name: str,
    old: str,
    new: str,
    message: str,
) -> None:
    edited(name, old, new)
    with pytest.raises(PolicyError, match=message):
        models.check_against(data_map, Audience(name.removesuffix(".sql")))


@pytest.mark.parametrize("audience", Audience)
def test_every_column_keeps_to_the_map(data_map: DataMap, audience: Audience) -> None:
    models.check_against(data_map, audience)
    treatments = {one.comment for one in models.columns(audience).values()}
    assert treatments <= {one.value for one in Treatment}


@pytest.mark.parametrize("audience", Audience)
def test_a_column_falls_when_the_map_withdraws_its_field(
    data_map: DataMap, audience: Audience
) -> None:
    for name, column in models.columns_from_canonical(audience, data_map).items():
        for field in models.made_from(column):
            stricter = data_map.model_copy(deep=True)
            for source in stricter.sources.values():
                for key, one in source.fields.items():
                    if one.name == field:
                        kept = tuple(p for p in one.audiences if p is not audience)
                        source.fields[key] = one.model_copy(update={"audiences": kept})
            with pytest.raises(PolicyError, match=audience.value):
                models.check_against(stricter, audience)
        assert models.made_from(column) or name == "source"


def test_lineage_is_quick(data_map: DataMap) -> None:
    """It is read when the definitions load."""
    column_lineage._lineage.cache_clear()
    began = time.process_time()
    lineage.classified_lineage(data_map)
    for audience in Audience:
        lineage.pseudonymized_lineage(audience)
    assert time.process_time() - began < 2  # a third of a second on an idle machine
    began = time.process_time()
    lineage.classified_lineage(data_map)
    assert time.process_time() - began < 0.1
    assert query_lineage(Sql("SELECT a FROM t"), T)["a"].comment == ""

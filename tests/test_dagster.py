"""What an auditor and a scheduler see: definitions, lineage, the schedule and the real web UI."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import dagster as dg
import pytest

from assets import lineage
from pipeline.definitions import defs
from pipeline.policy.data_map import DataMap
from tests.conftest import Estate

GRAPH = defs.resolve_asset_graph()
# Sorted: every process of a test run has to name the tests in the same order.
OURS = sorted(key for key in GRAPH.get_all_asset_keys() if key.path[0] != "landing")
# Deletion is no table of a night.
DATA = [key for key in OURS if key.path[0] != "retained"]
READERS_OWN = {"source", "region", "rank", "revised_at", "delivery_date", "problem", "raw", "file"}


@pytest.mark.parametrize("key", OURS, ids=lambda key: key.to_user_string())
def test_every_asset_tells_who_what_and_how(key: dg.AssetKey) -> None:
    node = GRAPH.get(key)
    assert node.owners
    assert node.kinds
    assert node.description
    assert node.group_name == key.path[0]
    assert (node.partitions_def is not None) == (key in DATA)


@pytest.mark.parametrize("key", DATA, ids=lambda key: key.to_user_string())
def test_every_column_tells_where_it_comes_from(key: dg.AssetKey) -> None:
    if key in (lineage.REFERENCE_VALUES, lineage.published_key("release")):
        return
    columns = GRAPH.get(key).metadata["dagster/column_schema"].columns
    told = {column.name: column.description for column in columns}
    assert told
    unexplained = {name for name, text in told.items() if text.endswith("Made by the reader.")}
    assert unexplained <= (READERS_OWN if key == lineage.CANONICAL else set())
    for column in columns:
        assert key.path[0] != "published" or set(column.tags) == {
            "purpose",
            "domain",
            "class",
            "risk",
        }


def test_every_boundary_has_a_blocking_check() -> None:
    checked = {
        check.asset_key: GRAPH.get(check).blocking
        for check in GRAPH.asset_check_keys
        if check.asset_key in DATA
    }
    assert set(checked) == set(DATA) - {lineage.REFERENCE_VALUES, lineage.published_key("release")}
    assert all(checked.values())


def _origins(
    column: str, key: dg.AssetKey, links: dict[dg.AssetKey, dg.TableColumnLineage]
) -> set[tuple[dg.AssetKey, str]]:
    """Follow one column upstream as an auditor does, to the delivered columns."""
    if key not in links:
        return {(key, column)}
    found: set[tuple[dg.AssetKey, str]] = set()
    for dep in links[key].deps_by_column.get(column, []):
        found |= _origins(dep.column_name, dep.asset_key, links)
    return found


def test_every_published_column_leads_back_to_delivered_columns(
    dagster_night: tuple[Estate, dg.ExecuteInProcessResult], data_map: DataMap
) -> None:
    """By the lineage that the run recorded, and to fields that the map knows as its origin."""
    links = {
        event.materialization.asset_key: event.materialization.metadata[
            "dagster/column_lineage"
        ].value
        for event in dagster_night[1].get_asset_materialization_events()
        for event in [event.step_materialization_data]
        if "dagster/column_lineage" in event.materialization.metadata
    }
    for table, spec in data_map.published.items():
        for column in spec.columns:
            ends = _origins(column, lineage.published_key(table), links)
            if column == "source":
                continue  # named by the reader, delivered by nobody
            assert ends, f"{table}.{column}"
            names = {
                data_map.sources[key.path[1]].fields[name].name
                for key, name in ends
                if key.path[0] == "landing"
            }
            assert all(key.path[0] == "landing" for key, _ in ends), f"{table}.{column}"
            assert names & set(data_map.columns[column].made_from) or column == "region"


def _ask(url: str, query: str) -> Any:
    request = urllib.request.Request(
        f"{url}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        told = json.load(answer)
    assert "errors" not in told, told
    return told["data"]


def test_the_web_ui_serves_assets_checks_and_column_lineage(web: str, data_map: DataMap) -> None:
    nodes = _ask(
        web,
        """{ assetNodes { assetKey { path } groupName kinds
      owners { ... on TeamAssetOwner { team } }
      assetMaterializations(limit: 1) { metadataEntries { label
        ... on TableColumnLineageMetadataEntry { lineage { columnName
              columnDeps { assetKey { path } columnName } } } } } } }""",
    )["assetNodes"]
    by_key = {tuple(node["assetKey"]["path"]): node for node in nodes}
    for table, spec in data_map.published.items():
        node = by_key["published", table]
        assert node["groupName"] == "published"
        assert node["owners"] == [{"team": "learning-data"}]
        (told,) = [
            entry["lineage"]
            for entry in node["assetMaterializations"][0]["metadataEntries"]
            if entry["label"] == "dagster/column_lineage"
        ]
        assert {column["columnName"] for column in told} == set(spec.columns)
        assert all(column["columnDeps"] for column in told)

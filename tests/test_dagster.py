"""What an auditor and a scheduler see: definitions, lineage, the schedule and the real web UI."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets import lineage
from assets.resources import Store
from assets.retained import forged, nothing_is_forged
from pipeline.access.audit import bodies
from pipeline.definitions import definitions, defs
from pipeline.policy.data_map import DataMap
from pipeline.retained import receipts
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from tests.estate import sign_policy
from tests.fixtures import QUIET, Estate

GRAPH = defs.resolve_asset_graph()
# Sorted: every process of a test run has to name the tests in the same order.
OURS = sorted(key for key in GRAPH.get_all_asset_keys() if key.path[0] != "landing")
# Deletion is no table of a run.
DATA = [key for key in OURS if key.path[0] != "retained"]
READERS_OWN = {"source", "region", "rank", "revised_at", "delivery_date", "problem", "raw", "file"}


@pytest.mark.parametrize("key", OURS, ids=lambda key: key.to_user_string())
def test_every_asset_says_who_what_and_how(key: dg.AssetKey) -> None:
    node = GRAPH.get(key)
    assert node.owners
    assert node.kinds
    assert node.description
    assert node.group_name == key.path[0]
    assert (node.partitions_def is not None) == (key in DATA)


@pytest.mark.parametrize("key", DATA, ids=lambda key: key.to_user_string())
def test_every_column_says_where_it_comes_from(key: dg.AssetKey) -> None:
    if key in (lineage.REFERENCE_VALUES, lineage.published_key("release")):
        return
    columns = GRAPH.get(key).metadata["dagster/column_schema"].columns
    output = {column.name: column.description for column in columns}
    assert output
    unexplained = {name for name, text in output.items() if text.endswith("Made by the reader.")}
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
    dagster_company: tuple[Estate, dg.ExecuteInProcessResult], data_map: DataMap
) -> None:
    """By the lineage that the run recorded, and to fields that the map knows as its origin."""
    links = {
        event.materialization.asset_key: event.materialization.metadata[
            "dagster/column_lineage"
        ].value
        for event in dagster_company[1].get_asset_materialization_events()
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
        output = json.load(answer)
    assert "errors" not in output, output
    return output["data"]


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
        (output,) = [
            entry["lineage"]
            for entry in node["assetMaterializations"][0]["metadataEntries"]
            if entry["label"] == "dagster/column_lineage"
        ]
        assert {column["columnName"] for column in output} == set(spec.columns)
        assert all(column["columnDeps"] for column in output)


def _refused(url: str, mutation: str, **variables: object) -> str:
    """What a mutation is answered with; no error of the query itself."""
    body = json.dumps({"query": mutation, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        output = json.load(answer)
    assert "errors" not in output, output
    (found,) = output["data"].values()
    return str(found["__typename"])


def test_the_auditors_webserver_starts_and_changes_nothing(
    web: str, dagster_company: tuple[Estate, dg.ExecuteInProcessResult]
) -> None:
    """As deploy/ starts it: no run, none with another folder, and no materialization by hand."""
    instance = dagster_company[0].instance
    before = instance.get_runs_count(), instance.get_latest_materialization_event(lineage.RELEASE)
    launch = """mutation($job: String!, $config: RunConfigData!) {
      launchRun(executionParams: {mode: "default", runConfigData: $config, selector: {
        repositoryLocationName: "milestones", repositoryName: "__repository__", jobName: $job}})
      { __typename } }"""
    elsewhere = {"resources": {"store": {"config": {"home": "/tmp", "landing_url": "/tmp"}}}}
    for job in ("nightly", "retention"):
        for config in ({}, elsewhere):
            assert _refused(web, launch, job=job, config=config) == "UnauthorizedError"
    report = """mutation($path: [String!]!) { reportRunlessAssetEvents(eventParams: {
      eventType: ASSET_MATERIALIZATION, assetKey: {path: $path}, description: "0 rows left"})
      { __typename } }"""
    for key in (lineage.ERASURE, lineage.RELEASE):
        assert _refused(web, report, path=list(key.path)) == "UnauthorizedError"
        path = "/".join(key.path)
        request = urllib.request.Request(
            f"{web}/report_asset_materialization/{path}",
            b"{}",
            {"Content-Type": "application/json"},
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        assert refused.value.code in (401, 403)
    after = instance.get_runs_count(), instance.get_latest_materialization_event(lineage.RELEASE)
    assert after == before


def test_a_run_brings_neither_folders_nor_policy_of_its_own(
    estate: Estate, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Whoever can start runs, in the operators' UI, starts ours: a job on our list, on our data."""
    sign_policy(estate.home)
    job = definitions(Store(home=str(estate.home))).resolve_job_def("retention")
    other = {"resources": {"store": {"config": {"home": str(tmp_path / "other")}}}}
    result = job.execute_in_process(
        instance=instance, raise_on_error=False, run_config=QUIET | other
    )
    assert not result.success
    assert not (tmp_path / "other").exists()
    assert [one["decision"] for one in bodies(estate.layout)] == []

    @dg.op
    def read_all(store: Store) -> None:
        raise AssertionError("it ran")

    @dg.job(resource_defs={"store": Store(home=str(estate.home))})
    def of_ones_own() -> None:
        read_all()

    result = of_ones_own.execute_in_process(
        instance=instance, raise_on_error=False, run_config=QUIET
    )
    assert not result.success
    (entry,) = bodies(estate.layout)
    assert (entry["actor"], entry["note"]) == ("milestones", "job of_ones_own")
    assert entry["decision"].startswith("refused: no rule lists")


def test_a_forged_receipt_is_shown_as_unverified(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    receipts.write(layout, "r1", {"completed_at": "2026-01-01T00:00:00+00:00"})
    real = {"receipt": "r1", "receipt_sha256": file_sha256(receipts.path(layout, "r1"))}

    def make(instance: dg.DagsterInstance, metadata: dict[str, str]) -> list[str]:
        @dg.asset(key=lineage.ERASURE)
        def erasure() -> dg.MaterializeResult[None]:
            return dg.MaterializeResult(metadata=metadata)

        assert dg.materialize([erasure], instance=instance).success
        return forged(instance, layout)

    def is_shown(instance: dg.DagsterInstance) -> bool:
        looking = dg.build_asset_check_context(instance=instance)
        checked = nothing_is_forged(looking, store=Store(home=str(tmp_path)))
        assert isinstance(checked, dg.AssetCheckResult)
        assert checked.metadata["unverified"].value == forged(instance, layout)
        return not checked.passed

    with dg.DagsterInstance.ephemeral() as instance:
        assert make(instance, real) == []
        assert not is_shown(instance)
        assert len(make(instance, {"receipt": "r9", "receipt_sha256": "0" * 64})) == 1
        assert len(make(instance, {"receipt": "r1", "receipt_sha256": "0" * 64})) == 2
        assert len(make(instance, {})) == 3
        assert is_shown(instance)
        by_hand = dg.AssetMaterialization(lineage.ERASURE, metadata=real)
        instance.report_runless_asset_event(by_hand)
        assert forged(instance, layout)[0] == lineage.ERASURE.to_user_string()
        instance.report_runless_asset_event(dg.AssetMaterialization(lineage.RELEASE))
        assert lineage.RELEASE.to_user_string() in forged(instance, layout)

"""A run as plain functions is the run of Dagster's job."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations.suite import judge
from pipeline.published import gate
from pipeline.storage.layout import Layout
from tests import plain
from tests.company import company, write_delivery
from tests.fixtures import Estate, delivered, errors, failed_checks
from tests.kill_points import named, tables
from tests.spread import stored

# Of the manifest what no two runs share: name, time, and hashes of encrypted and DuckDB files.
OWN = {"run_id", "released_at", "ran_at", "sha256", "made_from", "deliveries", "log"}


def manifest(home: Path) -> dict[str, object]:
    return {k: v for k, v in gate.manifest(Layout(home)).items() if k not in OWN}


def names(home: Path) -> Counter[str]:
    """Every file of the data folder by its place, whatever the release's folder is called. Only a
    run in Dagster is a job of the service, and so in the access log. Commands that others ask of
    this folder make Dagster's own one there."""
    release = Layout(home).current.resolve()
    return Counter(
        str(path.relative_to(home)).replace(release.name, "release")
        for path in home.rglob("*")
        if path.is_file()
        and path.relative_to(home).parts[0] not in ("work", "dagster")
        and not path.is_relative_to(home / "vault" / "access")
        and path.stem != "access-key"
    )


def contents(home: Path) -> dict[str, Any]:
    """By what is in them: tables row by row, all other stores, and the texts."""
    release = Layout(home).current.resolve()
    texts = {
        str(path.relative_to(release)): path.read_text()
        for path in sorted(release.rglob("*"))
        if path.suffix in (".md", ".json", ".html")
        # Hashes of files whose rows are compared: DuckDB writes equal rows in any order.
        and path.name not in (gate.MANIFEST, "_origins.json")
    }
    story = [json.loads(p.read_text()) for p in sorted(Layout(home).reconciliation.iterdir())]
    return {
        "names": names(home),
        "released": tables(home),
        "vault": named(home),
        "stored": stored(home),
        "manifest": manifest(home),
        "texts": texts,
        "story": story,
    }


def _is_as_plain(home: Path, result: dg.ExecuteInProcessResult, finished_run: Estate) -> None:
    found = contents(home)
    for part, output in contents(finished_run.home).items():
        assert found[part] == output, part
    done = {event.step_key for event in result.all_events if event.is_step_success}
    assert done == {step.name for step in plain.steps()}
    checks = {
        f"{e.asset_key.to_user_string()} {e.check_name}"
        for e in result.get_asset_check_evaluations()
        if e.passed
    }
    assert checks == {name for step in plain.steps() for name in step.checks.values()}


def test_a_plain_run_makes_what_dagster_makes(
    finished_run: Estate, dagster_company: tuple[Estate, dg.ExecuteInProcessResult]
) -> None:
    """On an instance in files: the same store, file by file and row by row."""
    run_date, result = dagster_company
    _is_as_plain(run_date.home, result, finished_run)


@pytest.mark.soak
def test_and_so_does_an_instance_in_memory(
    finished_run: Estate, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    estate = delivered(finished_run, Estate(tmp_path / "home", instance))
    result = estate.run_in_dagster()
    assert result.success, errors(result)
    _is_as_plain(estate.home, result, finished_run)


def test_a_plain_run_stops_where_dagster_stops(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a check that does not pass, and at a step that fails: what waits for them is left out,
    and nothing else."""
    estates = [Estate(tmp_path / name, instance) for name in ("plain", "dagster")]
    for estate in estates:
        write_delivery(estate.delivery(), *company())
    ran, result = estates[0].run, estates[1].run_in_dagster

    def broken(*_: object, **__: object) -> None:
        raise ValueError("no room")

    with monkeypatch.context() as patch:
        patch.setattr("assets.published.stage_database", broken)
        plainly, really = ran(), result()
        assert not plainly.success
        assert not really.success
        assert "ValueError: no room" in errors(plainly)
        assert "no room" in errors(really)
        assert set(plainly.steps) == started(really)
    with monkeypatch.context() as patch:
        patch.setattr("assets.checks.classified.validate", lambda *_: plain.quick("c", ["a"], {}))
        plainly, really = ran(), result()
        assert failed_checks(plainly) == failed_checks(really) != []
        assert set(plainly.steps) == started(really)


def started(result: dg.ExecuteInProcessResult) -> set[str]:
    return {str(event.step_key) for event in result.all_events if event.is_step_start}


rules = st.sets(st.sampled_from("abcd"), min_size=1)


@given(rules, st.dictionaries(st.sampled_from("abcde"), st.integers(0, 2), min_size=1))
def test_the_quick_judgement_is_that_of_great_expectations(
    declared: set[str], evidence: dict[str, int]
) -> None:
    expected = sorted(declared)
    assert plain.quick("s", expected, evidence) == judge("s", expected, evidence)

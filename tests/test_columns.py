"""What the auditor reads of every asset: columns in words, classes, smallest groups, the graph."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from assets import columns, lineage
from assets.common import DATA_MAP
from expectations.domains import DOMAINS
from pipeline.definitions import defs
from pipeline.policy.fields import Audience
from pipeline.storage.schema import CANONICAL, CLASSIFIED

GRAPH = defs.resolve_asset_graph()
KEYS = sorted(GRAPH.get_all_asset_keys())
LONGEST_NAME = 20  # characters of a name that the graph's boxes show whole
# Steps whose result is no table.
WITHOUT_COLUMNS = {lineage.REFERENCE_VALUES, lineage.RELEASE, lineage.PLAN, lineage.ERASURE}


def schema(key: dg.AssetKey) -> list[dg.TableColumn]:
    found: Any = GRAPH.get(key).metadata.get("dagster/column_schema")
    return list(found.columns) if found else []


def name(key: dg.AssetKey) -> str:
    return key.to_user_string()


@pytest.mark.parametrize("key", KEYS, ids=name)
def test_every_column_is_described_in_words(key: dg.AssetKey) -> None:
    found = schema(key)
    assert bool(found) == (key not in WITHOUT_COLUMNS)
    for column in found:
        description = (column.description or "").removeprefix(f"Read as {column.name}. ")
        words, _, origin = description.partition(" From ")
        assert len(words.split()) >= 3, column.name
        assert words[0].isupper(), column.name
        assert words.endswith("."), column.name
        if key.path[0] in ("classified", "pseudonymized", "published"):
            assert origin, column.name


def test_descriptions_name_no_column_that_is_gone() -> None:
    assert set(columns.CANONICAL) == set(CANONICAL)
    assert set(columns.CLASSIFIED) == set(CLASSIFIED)
    fields = {
        field.name for source in DATA_MAP.sources.values() for field in source.fields.values()
    }
    assert fields - {"-"} <= set(columns.FIELDS)


@pytest.mark.parametrize("key", KEYS, ids=name)
def test_a_name_fits_its_box(key: dg.AssetKey) -> None:
    assert len(key.path[-1]) <= LONGEST_NAME


@pytest.mark.parametrize("table", DATA_MAP.published)
def test_figures_about_groups_are_no_identifiers(table: str) -> None:
    grouped = DATA_MAP.published[table].k is not None
    for column in schema(lineage.published_key(table)):
        measure = DOMAINS[DATA_MAP.columns[column.name].rule].measure
        assert (column.tags["class"] == "aggregate") == (grouped and measure), column.name


@pytest.mark.parametrize("table", DATA_MAP.published)
def test_a_table_names_its_smallest_group_or_that_it_has_none(table: str) -> None:
    metadata = GRAPH.get(lineage.published_key(table)).metadata
    if DATA_MAP.published[table].dimension:
        assert "k" not in metadata
        assert (
            metadata["minimum group"].value == "none: it has what other tables name, and no people"
        )
    elif DATA_MAP.published[table].audience in (Audience.MANAGER, Audience.HR_LEGAL):
        assert "k" not in metadata
        assert metadata["minimum group"].value == "none: rows are about single people"
    else:
        k = metadata["k"].value
        assert k >= 2
        assert metadata["minimum group"].value.startswith(f"at least {k} people")


def test_deletion_hangs_together_with_what_it_deletes_from() -> None:
    assert GRAPH.get(lineage.ERASURE).parent_keys == {
        lineage.PLAN,
        lineage.CANONICAL,
        lineage.CLASSIFIED,
        lineage.RELEASE,
        *map(lineage.pseudonymized_key, Audience),
    }
    jobs = {name: defs.resolve_job_def(name) for name in ("nightly", "retention")}
    selected = {name: job.asset_layer.executable_asset_keys for name, job in jobs.items()}
    assert selected["retention"] == {lineage.PLAN, lineage.ERASURE}
    assert not selected["nightly"] & selected["retention"]

"""Policy files of another format, and keys that had another name: what the errors say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import PolicyError
from pipeline.policy.access import load_access
from pipeline.policy.data_map import load_data_map
from pipeline.policy.disclosure import load_disclosure
from pipeline.policy.governance import load_governance
from pipeline.policy.retention import load_retention
from pipeline.policy.version import FILES
from pipeline.storage.layout import PROJECT

LOADERS = {
    "access_rules.yaml": load_access,
    "data_map.yaml": load_data_map,
    "disclosure_rules.yaml": load_disclosure,
    "governance.yaml": load_governance,
    "retention_rules.yaml": load_retention,
}
RENAMED = (
    ("retention_rules.yaml", (), "ahead", "publication_lead"),
    ("retention_rules.yaml", (), "keeping", "storage"),
    ("retention_rules.yaml", ("storage",), "raw_drops", "raw_deliveries"),
    (
        "disclosure_rules.yaml",
        ("coaching", "tables", "coaching_team"),
        "but_for",
        "minimum_not_adverse",
    ),
    (
        "disclosure_rules.yaml",
        ("classes", "analytics_milestones"),
        "but_for",
        "minimum_not_adverse",
    ),
    ("disclosure_rules.yaml", ("classes", "analytics_milestones"), "coarsen", "generalize"),
    (
        "disclosure_rules.yaml",
        ("coaching", "noise", "coaching_team"),
        "at_most",
        "max_records_per_person",
    ),
    ("access_rules.yaml", ("roles", "hr"), "opens", "queries"),
    ("data_map.yaml", ("published", "coaching_team"), "purpose", "audience"),
    ("data_map.yaml", ("sources", "xapi", "fields", "id"), "purposes", "audiences"),
)


def content(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROJECT / name).read_text("utf-8"))
    if name == "disclosure_rules.yaml":
        found["coaching"] |= {
            "noise": {"coaching_team": {"epsilon": 1.0, "max_records_per_person": 8}},
            "budget": {"epsilon": 12.0, "per": "P1Y"},
        }
    return found


def refusal(folder: Path, name: str, changed: object) -> str:
    path = folder / name
    path.write_text(yaml.safe_dump(changed), "utf-8")
    with pytest.raises(PolicyError) as refused:
        LOADERS[name](path)
    return str(refused.value)


@pytest.mark.parametrize(("name", "where", "old", "new"), RENAMED)
def test_a_former_key_is_refused_with_the_name_of_the_new_one(
    tmp_path: Path, name: str, where: tuple[str, ...], old: str, new: str
) -> None:
    changed = content(name)
    node = changed
    for key in where:
        node = node[key]
    node[old] = node.pop(new)
    message = refusal(tmp_path, name, changed)
    assert name in message
    assert f"{old}` is now called `" in message
    assert f"{new}`" in message
    assert "\n" not in message


def test_a_fault_in_many_places_is_named_once(tmp_path: Path) -> None:
    changed = content("data_map.yaml")
    for spec in changed["published"].values():
        spec["purpose"] = spec.pop("audience")
    message = refusal(tmp_path, "data_map.yaml", changed)
    assert message.count("is now called") == 1
    assert f"and in {len(changed['published']) - 1} more places" in message


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("version", [0, 7, "1", None])
def test_a_file_of_another_format_is_refused_with_what_to_do(
    tmp_path: Path, name: str, version: object
) -> None:
    message = refusal(tmp_path, name, content(name) | {"version": version, "unheard_of": 1})
    assert message.startswith(f"{name}: it ")
    assert "this version reads format" in message
    assert "Start from the file" in message
    assert "unheard_of" not in message


@pytest.mark.parametrize("name", FILES)
def test_what_is_wrong_is_named_and_not_quoted(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path, name, content(name) | {"unheard_of": "a value"})
    assert message == f"{name}: unheard_of: there is no such key"

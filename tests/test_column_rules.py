"""A column without a rule is refused, wherever it is added; none goes silently unchecked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from assets.resources import Store
from expectations import pseudonymized, published
from expectations.domains import DOMAINS, require_domains
from expectations.suite import judge
from pipeline.errors import PolicyError
from pipeline.policy.data_map import DataMap, load_data_map
from pipeline.policy.fields import Audience
from pipeline.policy.version import FILES
from pipeline.storage.layout import PROJECT

MAP = load_data_map(PROJECT / "data_map.yaml")
NEW = {"type": "VARCHAR", "rule": "region", "from": ["country"], "description": "Where it was."}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    for name in FILES:
        shutil.copy(PROJECT / name, tmp_path / name)
    return tmp_path


def with_column(policy: Path, entry: dict[str, Any]) -> DataMap:
    """The data map with one more column of the analysts' table."""
    path = policy / "data_map.yaml"
    content = yaml.safe_load(path.read_text("utf-8"))
    content["columns"]["place"] = entry
    content["published"]["analytics_milestones"]["columns"].append("place")
    path.write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
    return load_data_map(path)


@pytest.mark.parametrize("key", NEW)
def test_a_column_needs_its_whole_entry(policy: Path, key: str) -> None:
    with pytest.raises(PolicyError, match=rf"columns\.place\.{key}"):
        with_column(policy, {name: value for name, value in NEW.items() if name != key})


def test_a_column_whose_rule_is_no_domain_is_refused(policy: Path) -> None:
    data_map = with_column(policy, NEW | {"rule": "anything"})
    with pytest.raises(PolicyError, match=r"columns\.place: `anything` is not a rule"):
        require_domains(data_map)
    with pytest.raises(PolicyError, match="`anything` is not a rule"):
        published.columns(data_map, "analytics_milestones")
    store = Store(home=str(policy / "home"), policy_folder=str(policy))
    with pytest.raises(PolicyError, match=r"columns\.place"):
        store.require_valid_policy(MAP.earliest_date)


def test_an_entry_is_all_that_its_checks_need(policy: Path) -> None:
    rules = published.rules(with_column(policy, NEW), "analytics_milestones")
    assert "place.region" in rules
    assert set(rules) - {"place.region"} == set(published.rules(MAP, "analytics_milestones"))


def test_a_pseudonymized_column_without_an_entry_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modelled = [*pseudonymized.model_columns(Audience.ANALYTICS), "place"]
    monkeypatch.setattr(pseudonymized, "model_columns", lambda _: modelled)
    with pytest.raises(PolicyError, match=r"analytics\.place has no entry under `columns`"):
        pseudonymized.columns(MAP, Audience.ANALYTICS)


def test_every_domain_is_used_and_every_rule_has_one() -> None:
    assert {column.rule for column in MAP.columns.values()} == set(DOMAINS)


def test_a_suite_wants_every_declared_count_and_no_other() -> None:
    assert judge("s", ["a", "b"], {"a": 0, "b": 0}).passed
    assert judge("s", ["a", "b"], {"a": 3, "b": 0}).broken == {"a": 3}
    assert judge("s", ["a", "b"], {"a": 0}).missing == ["b"]
    assert judge("s", ["a"], {"a": 0, "b": 0}).missing == ["b"]
    assert judge("s", ["a", "b"], {"a": 2**40}).broken == {"a": 2**40}

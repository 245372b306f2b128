"""What assets are given: where data lies, the policy files, the keys."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import dagster as dg

from pipeline.ground import Ground
from pipeline.keys import KeyRing
from pipeline.layout import PROJECT, Layout
from pipeline.policy.data_map import DataMap, load_data_map
from pipeline.policy.disclosure import DisclosureRules, load_disclosure, require_matching
from pipeline.policy.retention import (
    RetentionRules,
    load_retention,
    require_covering,
    require_current,
)
from pipeline.retained import holds


class Store(dg.ConfigurableResource[None]):
    """The data folder and the policy that rules over it.

    Attributes:
        home: the data folder.
        landing_url: fsspec URL of the drops; empty for <home>/landing.
        policy_folder: where data_map.yaml, retention_rules.yaml and disclosure_rules.yaml lie.
    """

    home: str
    landing_url: str = ""
    policy_folder: str = str(PROJECT)

    @property
    def layout(self) -> Layout:
        return Layout(Path(self.home).absolute(), self.landing_url or None)

    @property
    def data_map(self) -> DataMap:
        return load_data_map(Path(self.policy_folder) / "data_map.yaml")

    @property
    def retention(self) -> RetentionRules:
        return load_retention(Path(self.policy_folder) / "retention_rules.yaml")

    @property
    def disclosure(self) -> DisclosureRules:
        return load_disclosure(Path(self.policy_folder) / "disclosure_rules.yaml")

    @property
    def ground(self) -> Ground:
        """What deletions and requests stand on."""
        return Ground(self.layout, self.data_map, self.retention, self.disclosure, self.key_ring)

    @property
    def key_ring(self) -> KeyRing:
        ring = os.environ.get("MILESTONES_KEYRING")
        return KeyRing(Path(ring) if ring else self.layout.key_ring)

    def require_valid_policy(self, today: dt.date) -> None:
        """Raises PolicyError when a policy file is broken, or a rule or a live legal hold is past
        its review."""
        require_covering(self.retention, self.data_map)
        require_matching(self.disclosure, self.data_map)
        require_current(self.retention, today)
        holds.require_reviewed(self.layout, today)


def store_from_environment() -> Store:
    """MILESTONES_HOME (default ./data), MILESTONES_LANDING (default <home>/landing) and
    MILESTONES_POLICY (default: the project's own files)."""
    return Store(
        home=os.environ.get("MILESTONES_HOME", "data"),
        landing_url=os.environ.get("MILESTONES_LANDING", ""),
        policy_folder=os.environ.get("MILESTONES_POLICY", str(PROJECT)),
    )

"""What assets are given: where data lies, the policy files, the keys."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg

from pipeline.context import Context, key_ring, load_context
from pipeline.governance import validity
from pipeline.keys.ring import KeyRing
from pipeline.policy.data_map import DataMap, load_data_map
from pipeline.policy.disclosure import DisclosureRules, load_disclosure
from pipeline.settings import settings
from pipeline.storage.layout import PROJECT, Layout


class Store(dg.ConfigurableResource[None]):
    """The data folder and its policy, as a Dagster resource.

    Attributes:
        home: the data folder.
        landing_url: fsspec URL of the deliveries; empty for <home>/landing.
        policy_folder: where the policy files lie (pipeline/policy/version.py lists them).
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
    def disclosure(self) -> DisclosureRules:
        return load_disclosure(Path(self.policy_folder) / "disclosure_rules.yaml")

    @property
    def context(self) -> Context:
        """Data folder, policy and keys together."""
        return load_context(Path(self.home), self.landing_url or None, Path(self.policy_folder))

    @property
    def key_ring(self) -> KeyRing:
        return key_ring(self.layout)

    def require_valid_policy(self, today: dt.date) -> None:
        """As `pipeline.governance.validity.require_valid_policy`."""
        validity.require_valid_policy(self.context, today)

    def require_lawful_use(self, today: dt.date) -> None:
        """As `pipeline.governance.validity.require_lawful_use`."""
        validity.require_lawful_use(self.context, today)


def store_from_environment() -> Store:
    """The data folder and policy that the settings name (pipeline/settings.py)."""
    given = settings()
    return Store(
        home=str(given.home),
        landing_url=given.landing or "",
        policy_folder=str(given.policy or PROJECT),
    )

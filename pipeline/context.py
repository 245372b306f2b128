"""One data folder and the policy that applies to it; most functions take both together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.keys.ring import KeyRing
from pipeline.policy.access import AccessRules, load_access
from pipeline.policy.data_map import DataMap, load_data_map
from pipeline.policy.disclosure import DisclosureRules, load_disclosure
from pipeline.policy.governance import Governance, load_governance
from pipeline.policy.retention import RetentionRules, load_retention
from pipeline.policy.version import version
from pipeline.settings import settings
from pipeline.storage import store_format, throw_away
from pipeline.storage.layout import Layout, default_policy


@dataclass(frozen=True)
class Context:
    """A data folder with its validated policy files.

    Attributes:
        ring: creates and destroys keys.
        version: SHA-256 of the policy files, which legal and HR sign.
        policy_folder: where the policy files were read from.
    """

    layout: Layout
    data_map: DataMap
    rules: RetentionRules
    disclosure: DisclosureRules
    ring: KeyRing
    access: AccessRules
    governance: Governance
    version: str
    policy_folder: Path

    @cached_property
    def rules_sha256(self) -> str:
        return hashlib.sha256(self.rules.model_dump_json().encode()).hexdigest()


def open_layout(home: Path, landing: str | None = None) -> Layout:
    """The data folder, opened for work: whatever reads or writes it comes through here.

    Args:
        home: the data folder.
        landing: fsspec URL of the deliveries; None for <home>/landing.

    Raises:
        PolicyError: it has another format than this version reads.
    """
    layout = Layout(home.absolute(), landing)
    store_format.require(layout.root)
    layout.put_back()
    throw_away.remove_left(layout)
    return layout


def key_ring(layout: Layout) -> KeyRing:
    """The key ring in use: MILESTONES_KEYRING, or the data folder's own."""
    return KeyRing(settings().keyring or layout.key_ring)


def load_context(home: Path, landing: str | None, policy: Path) -> Context:
    """Read and validate the policy files for one data folder.

    Args:
        home: the data folder.
        landing: fsspec URL of the deliveries; None for <home>/landing.
        policy: folder of the policy files.

    Raises:
        PolicyError: a policy file is missing or broken.
        SettingsError: an environment variable has a wrong value.
    """
    layout = open_layout(home, landing)
    return Context(
        layout=layout,
        data_map=load_data_map(policy / "data_map.yaml"),
        rules=load_retention(policy / "retention_rules.yaml"),
        disclosure=load_disclosure(policy / "disclosure_rules.yaml"),
        ring=key_ring(layout),
        access=load_access(policy / "access_rules.yaml"),
        governance=load_governance(policy / "governance.yaml"),
        version=version(policy),
        policy_folder=policy,
    )


def context_from_settings(home: Path | None = None, policy: Path | None = None) -> Context:
    """The context that the environment names; raises as `load_context`.

    Args:
        home: another data folder than MILESTONES_HOME.
        policy: another folder of policy files than MILESTONES_POLICY.
    """
    given = settings()
    return load_context(
        home or given.home, given.landing, policy or given.policy or default_policy()
    )

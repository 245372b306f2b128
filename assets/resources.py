"""What assets are given: where data lies, the policy files, the keys."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from expectations.domains import require_domains
from pipeline.access import approval
from pipeline.access.suspension import require_not_suspended
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.keys.ring import KeyRing
from pipeline.policy import access, governance, governance_checks
from pipeline.policy.data_map import DataMap, load_data_map
from pipeline.policy.disclosure import DisclosureRules, load_disclosure, require_matching
from pipeline.policy.retention import RetentionRules, load_retention, require_current
from pipeline.policy.retention_coverage import require_coverage
from pipeline.policy.version import version
from pipeline.storage.layout import PROJECT, Layout
from pipeline.subjects import legal_holds

POLICY = "milestones/policy"  # run tag: version of the policy that the run's job was defined by
CHANGED = (
    "the policy files have changed since this code location was loaded: reload it (restart "
    "`dagster dev` or the code server, or run the command again) and start the run again"
)


class Store(dg.ConfigurableResource[None]):
    """The data folder and the policy that rules over it. Within a run the policy is loaded once.

    Attributes:
        home: the data folder.
        landing_url: fsspec URL of the deliveries; empty for <home>/landing.
        policy_folder: where the policy files lie (pipeline/access/approval.py lists them).
    """

    home: str
    landing_url: str = ""
    policy_folder: str = str(PROJECT)
    _run: dg.DagsterRun | None = PrivateAttr(default=None)
    _loaded: Context | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Remember the run, whose policy `context` then is."""
        self._run = context.run

    @property
    def layout(self) -> Layout:
        return Layout(Path(self.home).absolute(), self.landing_url or None)

    @property
    def data_map(self) -> DataMap:
        return self.context.data_map

    @property
    def retention(self) -> RetentionRules:
        return self.context.rules

    @property
    def disclosure(self) -> DisclosureRules:
        return self.context.disclosure

    @property
    def context(self) -> Context:
        """Data folder, policy and keys together.

        Raises:
            PolicyError: a policy file is broken, or, within a run, the files are another version
                than the one that the run's job, assets and checks were made from.
        """
        if self._run is None:
            return self._load()
        if self._loaded is None:
            loaded = self._load()
            if self._run.tags.get(POLICY, loaded.version) != loaded.version:
                raise PolicyError(CHANGED)
            self._loaded = loaded
        return self._loaded

    def _load(self) -> Context:
        folder = Path(self.policy_folder)
        return Context(
            layout=self.layout,
            data_map=load_data_map(folder / "data_map.yaml"),
            rules=load_retention(folder / "retention_rules.yaml"),
            disclosure=load_disclosure(folder / "disclosure_rules.yaml"),
            ring=self.key_ring,
            access=access.load_access(folder / "access_rules.yaml"),
            governance=governance.load_governance(folder / "governance.yaml"),
            version=version(folder),
        )

    @property
    def key_ring(self) -> KeyRing:
        ring = os.environ.get("MILESTONES_KEYRING")
        return KeyRing(Path(ring) if ring else self.layout.key_ring)

    def require_loaded_policy(self) -> None:
        """The first thing that the first step of a job does.

        Raises:
            PolicyError: as `context`.
        """
        _ = self.context

    def require_valid_policy(self, today: dt.date) -> None:
        """Raises PolicyError when a policy file is broken or contradicts another one, a column's
        rule is no domain, a rule or a legal hold in force is past its review, or legal and HR have
        not signed the files as they are."""
        context = self.context
        require_domains(context.data_map)
        require_coverage(context.rules, context.data_map)
        require_matching(context.disclosure, context.data_map)
        governance_checks.require_lawful_basis(context.governance, context.data_map)
        access.require_consistent(context.access, context.data_map, context.governance)
        require_current(context.rules, today)
        legal_holds.require_reviewed(context.layout, today)
        approval.require_approved(context.layout, context.access, context.version)

    def require_lawful_use(self, today: dt.date) -> None:
        """Raises PolicyError as `require_valid_policy`, when a purpose, contract or transfer has
        expired, and while an incident has suspended everything. Deletions do not ask this: what may
        not be used must still be erased."""
        self.require_valid_policy(today)
        context = self.context
        require_not_suspended(context.layout)
        governance_checks.require_current(context.governance, today)


def store_from_environment() -> Store:
    """MILESTONES_HOME (default ./data), MILESTONES_LANDING (default <home>/landing) and
    MILESTONES_POLICY (default: the project's own files)."""
    return Store(
        home=os.environ.get("MILESTONES_HOME", "data"),
        landing_url=os.environ.get("MILESTONES_LANDING", ""),
        policy_folder=os.environ.get("MILESTONES_POLICY", str(PROJECT)),
    )

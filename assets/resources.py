"""What assets are given: where data lies, the policy files, the keys."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from pipeline.access import acting
from pipeline.context import Context, key_ring, load_context, open_layout
from pipeline.errors import PolicyError
from pipeline.governance import validity
from pipeline.keys.ring import KeyRing
from pipeline.policy.data_map import DataMap
from pipeline.policy.disclosure import DisclosureRules
from pipeline.policy.retention import RetentionRules
from pipeline.settings import settings
from pipeline.storage.layout import Layout, default_policy

POLICY = "milestones/policy"  # run tag: version of the policy that the run's job was defined by
CHANGED = (
    "the policy files have changed since this code location was loaded: reload it (restart "
    "`dagster dev` or the code server, or run the command again) and start the run again"
)

CONFIGURED = (
    "a run cannot bring configuration: folders and policy are those of the settings "
    "(docs/production.md)"
)


class Store(dg.ConfigurableResource[None]):
    """The data folder and its policy, as a Dagster resource. Within a run the policy is loaded
    once.

    Attributes:
        home: the data folder.
        landing_url: fsspec URL of the deliveries; empty for <home>/landing.
        policy_folder: where the policy files lie (pipeline/policy/version.py lists them).
    """

    home: str
    landing_url: str = ""
    policy_folder: str = str(default_policy())
    _run: dg.DagsterRun | None = PrivateAttr(default=None)
    _loaded: Context | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Remember the run, whose policy `context` then is, and ask whether it may begin: a job
        acts as the service, whoever started it.

        Raises:
            PolicyError: the run brings configuration of its own: folders and policy are those of
                the settings.
            ActionDenied: no rule lists the job.
        """
        self._run = context.run
        if context.run is None:
            return
        if set(context.run.run_config) - {"loggers", "execution"}:
            raise PolicyError(CONFIGURED)
        loaded = self._load()
        if context.run.tags.get(POLICY, loaded.version) != loaded.version:
            return  # the first step says so, and nothing is written down for it
        if not acting.founded(loaded.layout):
            return  # nobody has signed the policy, as the first step says
        job = f"job {context.run.job_name}"
        acting.require(loaded, acting.service(acting.rules_in_force(loaded)), job)

    @property
    def layout(self) -> Layout:
        """As `pipeline.context.open_layout`."""
        return open_layout(Path(self.home), self.landing_url or None)

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
        return load_context(Path(self.home), self.landing_url or None, Path(self.policy_folder))

    @property
    def key_ring(self) -> KeyRing:
        return key_ring(self.layout)

    def require_loaded_policy(self) -> None:
        """The first thing that the first step of a job does.

        Raises:
            PolicyError: as `context`.
        """
        _ = self.context

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
        policy_folder=str(given.policy or default_policy()),
    )

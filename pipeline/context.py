"""One data folder and the policy that applies to it; most functions take both together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from pipeline.keys.ring import KeyRing
from pipeline.policy.access import AccessRules
from pipeline.policy.data_map import DataMap
from pipeline.policy.disclosure import DisclosureRules
from pipeline.policy.governance import Governance
from pipeline.policy.retention import RetentionRules
from pipeline.storage.layout import Layout


@dataclass(frozen=True)
class Context:
    """A data folder with its validated policy files.

    Attributes:
        ring: creates and destroys keys.
        version: SHA-256 of the policy files, which legal and HR sign.
    """

    layout: Layout
    data_map: DataMap
    rules: RetentionRules
    disclosure: DisclosureRules
    ring: KeyRing
    access: AccessRules
    governance: Governance
    version: str

    @cached_property
    def rules_sha256(self) -> str:
        return hashlib.sha256(self.rules.model_dump_json().encode()).hexdigest()

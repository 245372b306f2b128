"""What everything beyond a single transform stands on: one data folder, and the policy that rules
over it."""

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
    """The policy files, validated; `ring` makes and destroys keys, `version` is the SHA-256 that
    legal and HR sign."""

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

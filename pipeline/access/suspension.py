"""Is everything suspended by an incident (GDPR Art. 33(3)(d))?"""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.errors import PolicyError
from pipeline.storage.layout import Layout


def suspension_file(layout: Layout) -> Path:
    """The file that is there while everything is frozen (pipeline/governance/suspension.py)."""
    return layout.governance / "frozen.json"


def require_not_suspended(layout: Layout) -> None:
    """Raises PolicyError while an incident has frozen everything: since when, and why."""
    if suspension_file(layout).exists():
        told = json.loads(suspension_file(layout).read_text("utf-8"))
        raise PolicyError(f"frozen since {told['at']} by {told['by']}: {told['because']}")

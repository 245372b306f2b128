"""Has an incident suspended all reading and publishing (GDPR Art. 33(3)(d))?"""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.errors import PolicyError
from pipeline.storage.layout import Layout


def suspension_file(layout: Layout) -> Path:
    """The file that exists during a suspension (pipeline/governance/suspension.py)."""
    return layout.governance / "suspended.json"


def require_not_suspended(layout: Layout) -> None:
    """Stop during a suspension.

    Raises:
        PolicyError: since when, by whom and why.
    """
    if suspension_file(layout).exists():
        found = json.loads(suspension_file(layout).read_text("utf-8"))
        raise PolicyError(
            f"suspended since {found['at']} by {found['by']}: {found['because']}. "
            "`milestones incident resume` ends it"
        )

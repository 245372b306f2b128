"""Is there an OpenLineage backend to send lineage to? The client, which only an installation with
one needs, is loaded by openlineage_events.py.

The client has its own variables: OPENLINEAGE_URL and OPENLINEAGE_API_KEY, or OPENLINEAGE_CONFIG.
"""

from __future__ import annotations

import os

SETTINGS = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG")


def wanted() -> bool:
    """Is a receiver configured?"""
    return any(os.environ.get(name) for name in SETTINGS)

"""Containment: while frozen, nothing is read, received or published (GDPR Art. 33(3)(d))."""

from __future__ import annotations

import datetime as dt
import json
import shutil

from pipeline.access import approval
from pipeline.context import Ground
from pipeline.policy.base import PolicyError
from pipeline.published import exports
from pipeline.storage.layout import settle, write_settled


def freeze(ground: Ground, because: str, by: str, now: dt.datetime) -> None:
    """Stop all reading and publishing, and take every role's files away; the next night after
    the thaw makes them again."""
    layout = ground.layout
    with layout.locked():
        write_settled(approval.frozen(layout), json.dumps(
            {"at": now.isoformat(timespec="seconds"), "by": by, "because": because}
        ))  # fmt: skip
        shutil.rmtree(layout.current.resolve() / exports.FOLDER, ignore_errors=True)


def thaw(ground: Ground) -> None:
    """Let reading and publishing go on.

    Raises:
        PolicyError: nothing is frozen.
    """
    path = approval.frozen(ground.layout)
    with ground.layout.locked():
        if not path.exists():
            raise PolicyError("nothing is frozen")
        path.unlink()
        settle(path.parent)

"""Containment: during a suspension nothing is read, received or published (GDPR Art. 33(3)(d))."""

from __future__ import annotations

import datetime as dt
import json

from pipeline.access.suspension import suspension_file
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.published import exports
from pipeline.storage.files import fsync, replace_text


def suspend(context: Context, because: str, by: str, now: dt.datetime) -> None:
    """Stop all reading and publishing, and remove every role's files; the first run after `resume`
    makes them again."""
    layout = context.layout
    with layout.locked():
        replace_text(
            suspension_file(layout),
            json.dumps({"at": now.isoformat(timespec="seconds"), "by": by, "because": because}),
        )
        exports.remove(layout.current.resolve())


def resume(context: Context) -> None:
    """Allow reading and publishing again.

    Raises:
        PolicyError: nothing is suspended.
    """
    path = suspension_file(context.layout)
    with context.layout.locked():
        if not path.exists():
            raise PolicyError("nothing is suspended")
        path.unlink()
        fsync(path.parent)

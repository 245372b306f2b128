"""Who is it? On the command line, whoever the operating system says, and no variable.

A real user id, which a program that runs under another one (setuid) cannot change; and where
people share an account with `sudo -u`, the account that they logged in with, as the kernel's audit
keeps it (proc_pid_loginuid(5)). Only in the demo's folder, whose people are made up, is
MILESTONES_ACTOR somebody's choice.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from pipeline.access import staff
from pipeline.settings import settings, variable
from pipeline.storage.layout import Layout

LOGIN = Path("/proc/self/loginuid")
NOBODY = 2**32 - 1  # nobody has logged in: a container, a service
DEMO = "demo-"  # begins the names of all of the demo's people
DEMO_KEYS = "demo-keys"


def account() -> str:
    """The operating system's account, or its number where it has no name."""
    return _named(_login() or os.getuid())


def _named(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


def _login() -> int | None:
    """Who logged in, where that is known and is not the administrator."""
    try:
        found = int(LOGIN.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return found if 0 < found < NOBODY else None


def is_demo(layout: Layout) -> bool:
    """Is that the demo's folder, with made-up people and nobody else?"""
    if not (layout.vault / DEMO_KEYS).is_dir():
        return False
    members = staff.everyone(layout)
    return bool(members) and all(name.startswith(DEMO) for name in members)


def actor(layout: Layout) -> str:
    """Who runs the command: the account, or MILESTONES_ACTOR in the demo's folder."""
    chosen = settings().actor
    return chosen if chosen and is_demo(layout) else account()


def remark(layout: Layout) -> str | None:
    """What is to be said about MILESTONES_ACTOR."""
    chosen, demo = settings().actor, is_demo(layout)
    if chosen is None and demo and staff.find(layout, account()) is None:
        return f"the demo's folder: {variable('actor')} says as whom you act, such as demo-hr"
    if chosen is None:
        return None
    if demo:
        return f"the demo's folder: you act as {chosen}, since {variable('actor')} says so"
    counts = f"{variable('actor')} counts in the demo's folder only"
    return f"{counts}; you act as your account, {account()}"

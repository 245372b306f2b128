"""Environments of their own for what tests need in other versions than the product has.

tests/locks has a lock for each. They are made once, and kept beside pytest's cache.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from pipeline.storage.layout import PROJECT

LOCKS = PROJECT / "tests" / "locks"


def environment(cache: Path, name: str) -> Path:
    """The Python of an environment; the test is skipped where it cannot be installed."""
    lock = LOCKS / f"{name}.lock"
    folder = cache / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    python, done = folder / "bin" / "python", folder / "done"
    if not done.exists():
        # By our own pip: one of its own would take most of the time.
        venv.create(folder, clear=True)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-compile"]
        try:
            subprocess.run(
                [*pip, "-q", "--no-deps", "-r", str(lock)],
                check=True,
                capture_output=True,
                timeout=300,
            )
        except subprocess.SubprocessError as error:
            pytest.skip(f"{name} cannot be installed here: {type(error).__name__}")
        done.touch()
    return python

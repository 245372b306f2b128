"""How much of what is drawn at random a run of the tests does.

The normal run does a little of it, and always the same. A soak (`pytest -m soak`) does much of it,
from a seed of its own, which it prints: `pytest -m soak --seed 123` is that soak once more.
"""

from __future__ import annotations

import numpy as np

# Set by tests/conftest.py before any test is read; None in the normal run.
seed: int | None = None


def times(normal: int, soak: int) -> int:
    """How often to do something."""
    return normal if seed is None else soak


def rng(number: int = 0) -> np.random.Generator:
    """Random numbers: of the soak's seed, or the same ones each time.

    Args:
        number: of the generator, where a test has several.
    """
    return np.random.default_rng(number if seed is None else [seed, number])

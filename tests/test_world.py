"""Random histories of a company, each state compared with the delivered files.

The kind of fault: whatever order people, deliveries, requests and mishaps come in, what is
published afterwards is what the accepted files say, and nothing is stuck.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests import soak
from tests.fixtures import Estate
from tests.story import OPERATIONS, Story
from tests.world import World

FIRST = dt.date(2025, 3, 3)  # eighty steps later it is still before today
# In the normal run; the others have tests of their own there.
SOME = ("correct", "withdraw", "erase", "retention", "restore")


# Four histories of 80 steps; more, and each runs into the limit for a test that hangs.
@pytest.mark.more
@pytest.mark.long
@pytest.mark.parametrize(
    "number", [0, *(pytest.param(n, marks=pytest.mark.soak) for n in range(1, 4))]
)
def test_what_is_published_is_what_the_accepted_files_say(
    estate: Estate, tmp_path: Path, number: int
) -> None:
    world = World(soak.rng(number), tmp_path / "archive", FIRST)
    world.archive.mkdir()
    world.hire(3)
    world.hire(14)
    story = Story(estate, world)
    story.do("deliver")
    every = SOME if soak.seed is None else tuple(OPERATIONS)
    order = [str(one) for one in world.rng.permutation(every)]
    for name in [*order, *world.rng.choice(list(OPERATIONS), soak.times(0, 80))]:
        story.do(str(name))

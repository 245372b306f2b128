"""Cut something off on a prepared data folder (tests/kill_points.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.storage.layout import PROJECT
from tests import soak
from tests.kill_points import KILLS, SITES, at_sites, quicker

# Each time one point for every place in the code that changes a name, as a copy of what a kill
# there would leave; in a soak many of them, and real kills. These are several tests, which are
# done at once, and none of which takes so long that it looks as if it hung.
SHARES = 4
POINTS = pytest.mark.parametrize(
    "points",
    [
        pytest.param(SITES, marks=pytest.mark.xdist_group("killed")),
        *(
            pytest.param(f"{KILLS} {share + 1} of {SHARES}", marks=pytest.mark.soak)
            for share in range(SHARES)
        ),
    ],
)


@dataclass(frozen=True)
class Killed:
    """What was before and what a run that nobody killed leads to, and every killed one.

    Attributes:
        chosen: how many points were chosen for all shares; a share may have none of a few.
    """

    before: dict[str, Any]
    whole: dict[str, Any]
    points: list[dict[str, Any]]
    chosen: int


def killed(deed: str, template: Path, work: Path, points: str, moments: int = 0) -> Killed:
    """Kill at all chosen points.

    Args:
        moments: how many moments of the run to kill at besides, in a soak.
    """
    if points == SITES:
        first, output = _sites(deed, template, work)
        expected = first["points"]
    else:
        share = int(points.split()[1]) - 1
        first, output = _kills(deed, template, work, moments, share)
        expected = sum(len(range(n)[share::SHARES]) for n in (first["points"], first["moments"]))
    assert len(output) == expected
    assert all(point["code"] == (0 if points == SITES else -9) for point in output)
    chosen = first["points"] + first["moments"]
    return Killed(first["before"], first["end"], output, chosen)


def _sites(deed: str, template: Path, work: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with quicker():
        first, *rest = at_sites(deed, template, work / "cut")
    return first, [{**point, "whole": first["end"]} for point in rest]


def _kills(
    deed: str, template: Path, work: Path, moments: int, share: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """By a process that forks, as none that has threads should."""
    numbers = [str(n) for n in (moments, share, SHARES, soak.seed)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.kill_points"),
            *(deed, str(template), str(work / "kills"), *numbers),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *rest = map(json.loads, done.stdout.splitlines())
    return first, [{**point, "whole": first["end"]} for point in rest]

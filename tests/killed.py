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
from tests.kill_points import EVERY, SITES, at_sites, quicker

# Each time one point for every place in the code that changes a name, as a copy of what a kill
# there would leave; in a soak all of them, and real kills.
POINTS = pytest.mark.parametrize("points", [SITES, pytest.param(EVERY, marks=pytest.mark.soak)])


@dataclass(frozen=True)
class Killed:
    """What was before and what a run that nobody killed leads to, and every killed one."""

    before: dict[str, Any]
    whole: dict[str, Any]
    points: list[dict[str, Any]]


def killed(deed: str, template: Path, work: Path, points: str, moments: int = 0) -> Killed:
    """Kill at all chosen points.

    Args:
        moments: how many moments of the run to kill at besides, in a soak.
    """
    first, output = (
        _every(deed, template, work, moments) if points == EVERY else _sites(deed, template, work)
    )
    assert len(output) == first["points"] + first["moments"]
    assert all(point["code"] == (-9 if points == EVERY else 0) for point in output)
    return Killed(first["before"], first["end"], output)


def _sites(deed: str, template: Path, work: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with quicker():
        first, *rest = at_sites(deed, template, work / "cut")
    return first, [{**point, "whole": first["end"]} for point in rest]


def _every(
    deed: str, template: Path, work: Path, moments: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """By two processes, as nothing else runs beside a soak."""
    processes = []
    for share in range(2):
        numbers = [str(n) for n in (moments, share, 2)]
        # Into a file: a pipe that nobody reads yet would hold the process up.
        with (work / f"{share}.jsonl").open("w") as out, (work / f"{share}.log").open("w") as log:
            processes.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "tests.kill_points",
                        deed,
                        str(template),
                        str(work / str(share)),
                        *numbers,
                    ],
                    cwd=PROJECT,
                    stdout=out,
                    stderr=log,
                )
            )
    output: list[dict[str, Any]] = []
    for share, process in enumerate(processes):
        assert process.wait() == 0, (work / f"{share}.log").read_text()
        first, *rest = map(json.loads, (work / f"{share}.jsonl").read_text().splitlines())
        output += [{**point, "whole": first["end"]} for point in rest]
    return first, output

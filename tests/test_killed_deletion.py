"""A deletion that dies at any point is made good by one more run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.storage.layout import PROJECT
from tests.conftest import Estate

POINTS = {"": 215, "emp:7700001": 24}
SHARES = 2


def killed(template: Path, work: Path, person: str, share: int) -> subprocess.Popen[str]:
    # Into a file: a pipe that nobody reads yet would hold the process up.
    told = work.with_suffix(".jsonl")
    arguments = [str(template), str(work), str(POINTS[person]), str(share), str(SHARES)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.kill_points", *arguments, *filter(None, [person])],
        cwd=PROJECT, stdout=told.open("w"), stderr=subprocess.DEVNULL, text=True,
        env=os.environ | {"MILESTONES_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("person", POINTS)
def test_a_killed_deletion_reaches_the_same_end(
    with_a_past: Estate, tmp_path: Path, person: str
) -> None:
    """SIGKILL before every swap and at moments all along: the release is whole all the time, one
    re-run by itself reaches the end state of a run that was never killed, with nothing lost."""
    processes = [
        killed(with_a_past.home, tmp_path / str(share), person, share) for share in range(SHARES)
    ]
    told: list[dict[str, Any]] = []
    for share, process in enumerate(processes):
        assert process.wait() == 0
        text = (tmp_path / f"{share}.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        whole, *points = lines
        told += [{**point, "whole": whole["end"]} for point in points]
    died = [point for point in told if point["code"] == -9]
    assert len(died) >= (200 if not person else 18)
    for point in told:
        whole, middle, end = point["whole"], point["middle"], point["end"]
        assert "unreadable" not in middle, "readers saw half a release"
        assert point["again"] == 0
        for part in ("records", "tables", "named", "open", "work", "releases", "landing"):
            assert end[part] == whole[part], (point["point"], part)
        assert end["open"] == end["work"] == []
        # No receipt before everything was gone, and none that counts too little.
        if middle["receipts"]:
            assert middle["records"] == whole["records"]
            assert middle["tables"] == whole["tables"]
        rows = whole["receipts"][0]["rows"]
        for place in ("canonical records", "classified"):
            gone = sum(
                told["rows"][place]["before"] - told["rows"][place]["after"]
                for told in end["receipts"]
                if place in told["rows"]
            )
            assert gone == rows[place]["before"] - rows[place]["after"]

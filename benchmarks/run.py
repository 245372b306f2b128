"""Run the benchmark: `python -m benchmarks.run 1000000 10000000`.

Each contender runs in a process of its own on the same drop; its wall time and peak resident
memory come from the operating system. Results are merged into benchmarks/results.json, and
`python -m benchmarks.report` makes docs/benchmark.md of them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.data import write_drop

RESULTS = Path(__file__).with_name("results.json")
CONTENDERS = ("floor", "night", "script", "structured", "spark")
# A contender that wants more fails by itself, before the machine does.
MOST_MEMORY = 18 << 30


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))


def measure(contender: str, folder: Path, work: Path, limit_seconds: int) -> dict[str, object]:
    """One contender on one drop: seconds, peak MiB, whether it finished, its own stages."""
    shutil.rmtree(work, ignore_errors=True)
    given = folder.parent if contender == "night" else folder
    environment = {"MILESTONES_MEMORY": "2GB", "MILESTONES_THREADS": "2"} | dict(os.environ)
    environment.pop("DAGSTER_HOME", None)
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{contender}", str(given), str(work)],
        stdout=subprocess.PIPE, env=environment, text=True, preexec_fn=_limit_memory,
    )  # fmt: skip
    ended = "finished"
    try:
        output, _ = process.communicate(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        ended = f"not within {limit_seconds} s"
    seconds = time.monotonic() - started
    if ended == "finished" and process.returncode:
        ended = f"failed (exit {process.returncode})"
    shutil.rmtree(work, ignore_errors=True)
    found: dict[str, object] = {"seconds": round(seconds, 1), "ended": ended}
    if contender == "night" and ended == "finished":
        found["stages"] = json.loads(output.strip().splitlines()[-1])
    return found


def peak(contender: str, folder: Path, work: Path, limit_seconds: int) -> dict[str, object]:
    """`measure` in a child of its own, so that the children's peak memory is this one's."""

    def call(pipe: object) -> None:
        found = measure(contender, folder, work, limit_seconds)
        found["peak_mib"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        pipe.send(found)  # type: ignore[attr-defined]

    context = multiprocessing.get_context("fork")
    mine, its = context.Pipe()
    child = context.Process(target=call, args=(its,))
    child.start()
    found: dict[str, object] = mine.recv()
    child.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", nargs="+", type=int)
    parser.add_argument("--only", choices=CONTENDERS, action="append")
    parser.add_argument("--work", type=Path, default=Path("data/benchmark"))
    parser.add_argument("--limit-seconds", type=int, default=3600)
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": {}}
    results["machine"] = f"{platform.machine()}, {os.cpu_count()} cores"
    for records in arguments.records:
        folder = write_drop(arguments.work.absolute() / f"drop-{records}", records)
        for contender in arguments.only or CONTENDERS:
            found = peak(contender, folder, arguments.work.absolute() / "run",
                         arguments.limit_seconds)  # fmt: skip
            results["runs"].setdefault(str(records), {})[contender] = found
            print(records, contender, found, flush=True)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

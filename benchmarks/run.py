"""Run the benchmark: `python -m benchmarks.run 1000000 10000000`.

Each contender runs in a process of its own on the same delivery; peak memory is that of the process
and all that it starts, looked at ten times a second. Results are merged into
benchmarks/results.json, and `python -m benchmarks.report` makes docs/benchmark.md of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.data import NEXT_DATE, RUN_DATE, write_delivery

RESULTS = Path(__file__).with_name("results.json")
# Their packages lie apart (`pip install --target`): Great Expectations imports a PySpark that it
# finds, and that would cost the others their time.
FOREIGN = ("structured", "spark")
RUNS = {"first_run": RUN_DATE, "next_run": NEXT_DATE}
CONTENDERS = ("floor", *RUNS, "script", *FOREIGN)
# A contender that wants more fails by itself, before the machine does.
MOST_MEMORY = 18 << 30


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))


def measure(
    contender: str, folder: Path, work: Path, limit_seconds: int, also: Path | None
) -> dict[str, object]:
    """One contender on one delivery: seconds, peak MiB, whether it finished, its own stages.
    `next_run` goes on with what `first_run` left."""
    if contender != "next_run":
        shutil.rmtree(work, ignore_errors=True)
    elif not work.exists():
        raise SystemExit("the next run comes after a first one")
    program, given = contender, [str(folder), str(work)]
    if contender in RUNS:
        program, given = "nightly", [str(folder.parent), str(work), str(RUNS[contender])]
    environment = {"MILESTONES_MEMORY": "2GB", "MILESTONES_THREADS": "2"} | dict(os.environ)
    environment.pop("DAGSTER_HOME", None)
    if also and contender in FOREIGN:
        environment["PYTHONPATH"] = str(also)
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{program}", *given],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        preexec_fn=_limit_memory,
    )
    peak, ended = _Peak(process.pid), "finished"
    try:
        output, _ = process.communicate(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        ended = f"not within {limit_seconds} s"
    seconds = time.monotonic() - started
    if ended == "finished" and process.returncode:
        ended = f"failed (exit {process.returncode})"
    found: dict[str, object] = {
        "seconds": round(seconds, 1),
        "ended": ended,
        "peak_mib": peak.mib,
    }
    if contender in RUNS and ended == "finished":
        found["stages"] = json.loads(output.strip().splitlines()[-1])
    return found


class _Peak(threading.Thread):
    """The most resident memory that a process and its descendants have at once."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process, self.mib = psutil.Process(pid), 0
        self.start()

    def run(self) -> None:
        while self._process.is_running():
            used = 0
            # A process can end between being listed and being looked at.
            with suppress(psutil.NoSuchProcess):
                for one in (self._process, *self._process.children(recursive=True)):
                    used += one.memory_info().rss
            self.mib = max(self.mib, used >> 20)
            time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", nargs="+", type=int)
    parser.add_argument("--only", choices=CONTENDERS, action="append")
    parser.add_argument("--work", type=Path, default=Path("data/benchmark"))
    parser.add_argument("--limit-seconds", type=int, default=3600)
    parser.add_argument("--also", type=Path, help="folder of pyspark and presidio-structured")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": {}}
    results["machine"] = f"{platform.machine()}, {os.cpu_count()} cores"
    for records in arguments.records:
        folder = write_delivery(arguments.work.absolute() / f"delivery-{records}", records)
        for contender in arguments.only or CONTENDERS:
            found = measure(
                contender,
                folder,
                arguments.work.absolute() / "run",
                arguments.limit_seconds,
                arguments.also,
            )
            results["runs"].setdefault(str(records), {})[contender] = found
            print(records, contender, found, flush=True)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        shutil.rmtree(arguments.work / "run", ignore_errors=True)


if __name__ == "__main__":
    main()

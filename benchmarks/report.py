"""docs/benchmark.md from benchmarks/results.json: `python -m benchmarks.report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.ticker import NullFormatter

from benchmarks.run import CONTENDERS, RESULTS, RUNS

DOCS = Path(__file__).parent.parent / "docs"
PAGE, PLOT = DOCS / "benchmark.md", DOCS / "images" / "benchmark.svg"
Runs = dict[str, dict[str, dict[str, Any]]]
INTRODUCTION = """\
# Benchmark

One delivery of corporate learning history (CSV, {rows} bytes per record) and its roster, fifty
records per person, from a fixed seed. Each contender runs in a process of its own on {machine};
DuckDB gets 2 GB and two threads. Wall time includes starting Python and importing everything;
memory is that of all processes that a contender starts. Produced by
`python -m benchmarks.run {sizes} && python -m benchmarks.report`.

- **floor**: the same outputs in plain DuckDB SQL, with no privacy work at all
- **first run**: the pipeline, as the Dagster job `nightly` with all its checks; it chooses which of
  nine months of coaching figures may be published, and attacks the choice
- **next run**: the run after it, with one more day's delivery, a three-hundredth of the records;
  the other contenders keep nothing between runs and would take the same time again
- **script**: one straightforward pandas script with Great Expectations at the end
- **structured**: the same script with pseudonyms by presidio-structured
- **spark**: the script's work as Spark SQL on this machine, with a heap of 4 GB

![Seconds and memory by records](images/benchmark.svg)

"""
TITLES = {"first_run": "first run", "next_run": "next run"}  # of contenders, where not their names
STAGES = {
    "raw": ("raw__",),
    "classified": ("classified__",),
    "pseudonymized": ("pseudonymized__",),
    "published": ("staged_for_",),
    "release and reconciliation": ("published__release",),
}
CHECK = ("_canonical_schema", "_everything_classified", "_no_identifier", "_no_leak")


def _stage(step: str) -> str:
    if step.endswith(CHECK):
        return "checks"
    return next(name for name, starts in STAGES.items() if step.startswith(starts))


def plot(runs: Runs) -> None:
    """Seconds and memory of every contender that finished, both axes logarithmic."""
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "milestones"  # the same figures give the same file
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    sizes = sorted(runs, key=int)
    for name in CONTENDERS:
        ended = [n for n in sizes if runs[n].get(name, {}).get("ended") == "finished"]
        for axis, measure in zip(axes, ("seconds", "peak_mib"), strict=True):
            axis.plot(
                [int(n) for n in ended],
                [runs[n][name][measure] for n in ended],
                marker="o",
                label=TITLES.get(name, name),
            )
    for axis, title in zip(axes, ("seconds", "peak memory (MiB)"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="records", title=title)
        axis.grid(alpha=0.3, which="both")
        axis.yaxis.set_major_formatter("{x:,.0f}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    axes[0].legend()
    figure.savefig(PLOT, metadata={"Date": None})


def page(runs: Runs) -> str:
    """The page as Markdown."""
    lines = [
        "| records | contender | seconds | times the floor | peak memory (MiB) | ended |",
        "| ---: | --- | ---: | ---: | ---: | --- |",
    ]
    for records, contenders in sorted(runs.items(), key=lambda item: int(item[0])):
        floor = contenders["floor"]
        for name in CONTENDERS:
            if (run := contenders.get(name)) is None:
                continue
            ratio = float(str(run["seconds"])) / float(str(floor["seconds"]))
            ended = run["ended"] == floor["ended"] == "finished"
            shown = f"{ratio:.1f}" if ended else "–"
            cells = (
                f"{int(records):,}",
                TITLES.get(name, name),
                run["seconds"],
                shown,
                f"{run['peak_mib']:,}",
                run["ended"],
            )
            lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "## Seconds per stage of a run", ""]
    names = [*STAGES, "checks"]
    lines += [
        "| records | | " + " | ".join(names) + " |",
        "| ---: | --- |" + " ---: |" * len(names),
    ]
    for records, contenders in sorted(runs.items(), key=lambda item: int(item[0])):
        for run in RUNS:
            stages = contenders.get(run, {}).get("stages", {})
            sums = dict.fromkeys(names, 0.0)
            for step, seconds in stages.items():
                sums[_stage(step)] += seconds
            if stages:
                cells = " | ".join(f"{sums[name]:.1f}" for name in names)
                lines.append(f"| {int(records):,} | {TITLES[run]} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    results = json.loads(RESULTS.read_text("utf-8"))
    runs: Runs = results["runs"]
    sizes = " ".join(sorted(runs, key=int))
    introduction = INTRODUCTION.format(machine=results["machine"], rows=174, sizes=sizes)
    plot(runs)
    closing = Path(__file__).with_name("reading.md").read_text("utf-8")
    PAGE.write_text(introduction + page(runs) + "\n" + closing, "utf-8")


if __name__ == "__main__":
    main()

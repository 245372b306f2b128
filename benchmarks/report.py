"""docs/benchmark.md from benchmarks/results.json: `python -m benchmarks.report`."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.run import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "benchmark.md"
INTRODUCTION = """\
# Benchmark

One drop of corporate learning history (CSV, {rows} bytes a record) and its roster, fifty records a
person, seeded. Each contender runs in a process of its own on {machine}; DuckDB gets 2 GB and two
threads. Wall time includes starting Python and importing everything. Made by
`python -m benchmarks.run 1000000 10000000 50000000 && python -m benchmarks.report`.

- **floor**: the same outputs in plain DuckDB SQL, with no privacy work at all
- **night**: the pipeline, as the Dagster job `nightly` with all its checks
- **script**: one straightforward pandas script with Great Expectations at the end

"""
STAGES = {
    "raw": ("raw__canonical_milestones",),
    "classified": ("classified__classified_milestones", "classified__known_values"),
    "pseudonymized": ("pseudonymized__milestones_for_",),
    "published": ("staged_for_",),
    "release and reconciliation": ("published__release",),
}
CHECK = ("_canonical_schema", "_everything_classified", "_no_identifier", "_no_leak")


def _stage(step: str) -> str:
    if step.endswith(CHECK):
        return "checks"
    return next(name for name, starts in STAGES.items() if step.startswith(starts))


def page(results: dict[str, dict[str, dict[str, dict[str, object]]]]) -> str:
    """The page as Markdown."""
    runs = results["runs"]
    lines = ["| records | contender | seconds | times the floor | peak memory (MiB) | ended |",
             "| ---: | --- | ---: | ---: | ---: | --- |"]  # fmt: skip
    for records, contenders in sorted(runs.items(), key=lambda item: int(item[0])):
        floor = float(str(contenders["floor"]["seconds"]))
        for name, told in contenders.items():
            ratio = float(str(told["seconds"])) / floor
            shown = f"{ratio:.1f}" if told["ended"] == "finished" else "–"
            lines.append(f"| {int(records):,} | {name} | {told['seconds']} | {shown} | "
                         f"{told['peak_mib']:,} | {told['ended']} |")  # fmt: skip
    lines += ["", "## Seconds per stage of the night", ""]
    names = [*STAGES, "checks"]
    lines += ["| records | " + " | ".join(names) + " |", "| ---: |" + " ---: |" * len(names)]
    for records, contenders in sorted(runs.items(), key=lambda item: int(item[0])):
        sums = dict.fromkeys(names, 0.0)
        stages = contenders["night"]["stages"]
        assert isinstance(stages, dict)
        for step, seconds in stages.items():
            sums[_stage(step)] += seconds
        cells = " | ".join(f"{sums[name]:.1f}" for name in names)
        lines.append(f"| {int(records):,} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    results = json.loads(RESULTS.read_text("utf-8"))
    introduction = INTRODUCTION.format(machine=results["machine"], rows=174)
    closing = Path(__file__).with_name("reading.md").read_text("utf-8")
    PAGE.write_text(introduction + page(results) + "\n" + closing, "utf-8")


if __name__ == "__main__":
    main()

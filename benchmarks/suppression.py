"""Complementary suppression of a large period, beside tau-Argus on the same table.

    python -m benchmarks.suppression [TEAMS COURSES PEOPLE]

tau-Argus (pytauargus, which has to be installed for the comparison) sees the same hierarchies and a
minimum frequency of k; its result is attacked by the same attackers. It protects magnitudes of
cells by intervals and knows nothing of people who stand in several cells.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.disclosure.margins import Margins
from pipeline.disclosure.pattern import Pattern, protect
from pipeline.disclosure.period import Period
from pipeline.policy.disclosure import DisclosureRule
from tests.tables import RULE, period_of, plain, solved, worked_out


def large_period(teams: int, courses: int, people: int, seed: int = 1) -> Period:
    """Teams of about people / teams, who took a third of the courses each; ten teams a department,
    a dozen courses a category."""
    rng = np.random.default_rng(seed)
    team_of = np.sort(rng.integers(0, teams, people))
    person, course = np.nonzero(rng.random((people, courses)) < rng.beta(1.2, 2.4, courses))
    records = 1 + (rng.random(len(person)) < 0.1).astype(np.int64)
    complete = rng.binomial(records, 0.8)
    due = rng.binomial(records, 0.8)
    counts = {
        "records": records,
        "complete": complete,
        "due": due,
        "on_time": rng.binomial(np.minimum(due, complete), 0.8),
        "low": rng.binomial(records, 0.2),
    }
    return period_of(
        team_of[person], course, person, counts, np.arange(teams) // 10, np.arange(courses) // 12
    )


def _hierarchy(folder: Path, name: str, group: np.ndarray) -> str:
    """A tau-Argus hierarchy file: leaves with @ under their group."""
    lines = []
    for of in range(int(group.max()) + 1):
        lines += [f"g{of:03d}", *(f"@{leaf:04d}" for leaf in np.flatnonzero(group == of))]
    path = folder / f"{name}.hrc"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def tau_argus(period: Period, how: str) -> Pattern:
    """What tau-Argus tells of the same period: status S (safe) cells of the hierarchical table."""
    from pytauargus import protect as protected

    rows = pl.DataFrame(
        {
            "team": period.team[period.cell],
            "course": period.course[period.cell],
            "records": period.records,
        }
    ).with_columns(pl.col("team", "course").cast(pl.String).str.zfill(4))
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        found = protected(
            rows.to_dict(as_series=False),
            ["team", "course"],
            "records",
            safety_rules=f"FREQ({RULE.k},20)",
            suppress=how,
            hrc={
                "team": _hierarchy(folder, "team", period.teams.group),
                "course": _hierarchy(folder, "course", period.courses.group),
            },
            hierleadstring="@",
            totcode="Total",
            workdir=work,
        ).tables[0]
        told = {
            (row["team"], row["course"])
            for row, status in zip(found.rows, found.status(), strict=True)
            if status in ("S", "V")
        }

    def leaves(size: int, of: str) -> np.ndarray:
        return np.array(
            [
                ((f"{n:04d}", "Total") if of == "team" else ("Total", f"{n:04d}")) in told
                for n in range(size)
            ]
        )

    def groups(size: int, of: str) -> np.ndarray:
        return np.array(
            [
                ((f"g{n:03d}", "Total") if of == "team" else ("Total", f"g{n:03d}")) in told
                for n in range(size)
            ]
        )

    teams, courses = period.teams, period.courses
    return Pattern(
        Margins(True, groups(len(teams.group_named), "team"), leaves(len(teams.group), "team")),
        Margins(
            True, groups(len(courses.group_named), "course"), leaves(len(courses.group), "course")
        ),
        np.array(
            [
                (f"{t:04d}", f"{c:04d}") in told
                for t, c in zip(period.team, period.course, strict=True)
            ]
        ),
    )


def _line(name: str, period: Period, pattern: Pattern, seconds: float) -> str:
    records = period.per_cell(period.records)
    began = time.perf_counter()
    found = solved(period, pattern)
    return (
        f"| {name} | {period.cells:,} | {seconds:.1f} | {pattern.cells.mean():.1%} | "
        f"{records[pattern.cells].sum() / records.sum():.1%} | {found.narrowed} | "
        f"{found.learned} | {worked_out(period, pattern)} | "
        f"{time.perf_counter() - began:.1f} |"
    )


def main(teams: int = 100, courses: int = 100, people: int = 3000) -> None:
    """Print a Markdown table of all contenders."""
    period = large_period(teams, courses, people)
    print(
        "| contender | cells | seconds | cells told | records told | narrowed below k | learned "
        "| worked out | attack (s) |"
    )
    print("| --- |" + " ---: |" * 8)
    # Of what tau-Argus looks at as well: people, and no shares in time of a few of them.
    alone = replace(period, due=period.records)
    contenders = {
        "this pipeline": lambda: protect(period, RULE),
        "this pipeline, k alone": lambda: protect(alone, DisclosureRule(RULE.k, 0, 1.0)),
        "plain thresholding": lambda: plain(period, RULE.k),
        "tau-Argus, modular": lambda: tau_argus(period, "MOD(1,5,1,1,1)"),
    }
    for name, make in contenders.items():
        began = time.perf_counter()
        pattern = make()
        print(_line(name, period, pattern, time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

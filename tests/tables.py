"""Random periods for the disclosure tests, and the attacks on what is published of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from pipeline.disclosure.attack import Figures, Found, attack
from pipeline.disclosure.margins import Margins
from pipeline.disclosure.pattern import Pattern
from pipeline.disclosure.period import COUNTED, Bools, Ints, Period, Tree, tally
from pipeline.policy.disclosure import DisclosureRule

RULE = DisclosureRule(k=5, minimum_not_adverse=2, dominance=0.5)


def period_of(
    team: Ints, course: Ints, person: Ints, counts: dict[str, Ints], group: Ints, category: Ints
) -> Period:
    """A period from contributions: team, course and person of each, counts of records (those that
    are missing are zero); `group` and `category` of all teams and courses."""
    pairs, cell = np.unique(team * len(category) + course, return_inverse=True)
    teams, at_team = np.unique(pairs // len(category), return_inverse=True)
    courses, at_course = np.unique(pairs % len(category), return_inverse=True)
    order = np.lexsort((person, cell))

    def tree(of: Ints) -> Tree:
        groups, at = np.unique(of, return_inverse=True)
        return Tree(at, np.ones(len(of), bool), np.ones(len(groups), bool))

    return Period(
        tree(group[teams]),
        tree(category[courses]),
        at_team,
        at_course,
        cell[order],
        person[order],
        *(counts.get(name, 0 * person)[order] for name in COUNTED),
    )


def random_period(rng: np.random.Generator) -> Period:
    """A small company: skewed teams, popular and rare courses, few or many who fail."""
    teams, courses, people = (int(n) for n in rng.integers([2, 2, 15], [8, 7, 100]))
    team_of = np.minimum(rng.gamma(1.5, teams / 4, people).astype(int), teams - 1)
    popular = rng.beta(1.2, 1.2, courses) * rng.choice([0.4, 1.0, 1.6])
    person, course = np.nonzero(rng.random((people, courses)) < popular)
    if not len(person):
        return random_period(rng)
    records = 1 + (rng.random(len(person)) < 0.15).astype(np.int64)
    complete = rng.binomial(records, rng.choice([0.5, 0.8, 0.95]))
    due = rng.binomial(records, rng.choice([0.2, 0.8]))
    counts = {
        "records": records,
        "complete": complete,
        "due": due,
        "on_time": rng.binomial(np.minimum(due, complete), 0.8),
        # Many a record has no days or no score, and then a figure's has few.
        "timed": rng.binomial(complete, rng.choice([0.3, 0.9])),
        "scored": (scored := rng.binomial(records, rng.choice([0.3, 0.9]))),
        "not_low": rng.binomial(scored, 0.7),
    }
    group = np.sort(rng.integers(0, rng.integers(1, 4), teams))
    category = np.sort(rng.integers(0, rng.integers(1, 3), courses))
    return period_of(team_of[person], course, person, counts, group, category)


def plain(period: Period, k: int) -> Pattern:
    """What thresholding every figure by itself would tell."""

    def enough(group: Ints, size: int) -> Bools:
        return np.asarray(tally(period, group, size).people >= k)

    teams, courses = period.teams, period.courses
    return Pattern(
        Margins(
            True,
            enough(teams.group[period.team], len(teams.group_named)),
            enough(period.team, len(teams.group)),
        ),
        Margins(
            True,
            enough(courses.group[period.course], len(courses.group_named)),
            enough(period.course, len(courses.group)),
        ),
        enough(np.arange(period.cells), period.cells),
    )


def totals(period: Period, pattern: Pattern) -> Bools:
    """One row a published total, one column a cell: is it in the total?"""
    teams, courses = period.teams, period.courses
    rows = [np.ones(period.cells, bool)] if pattern.teams.root else []
    rows += [teams.group[period.team] == g for g in np.flatnonzero(pattern.teams.groups)]
    rows += [period.team == t for t in np.flatnonzero(pattern.teams.leaves)]
    rows += [courses.group[period.course] == g for g in np.flatnonzero(pattern.courses.groups)]
    rows += [period.course == c for c in np.flatnonzero(pattern.courses.leaves)]
    return np.array(rows, bool).reshape(len(rows), period.cells)


def solved(period: Period, pattern: Pattern) -> Found:
    """What linear programming gets out of the published figures."""
    members = csr_array(totals(period, pattern).astype(float))
    values = {name: period.per_cell(getattr(period, name)) for name in ("records", "complete")}
    output = {name: np.rint(members @ counts).astype(np.int64) for name, counts in values.items()}
    return attack(period, Figures(members, output, pattern.cells, values), RULE.k)


def worked_out(period: Period, pattern: Pattern) -> int:
    """Figures on fewer than k people that elimination finds: by brute force over the rows of the
    reduced echelon form of all published totals, less the published cells in them."""
    withheld = np.flatnonzero(~pattern.cells)
    matrix = totals(period, pattern)[:, withheld].astype(float)
    rank, found = 0, 0
    for column in range(matrix.shape[1]):
        if rank == len(matrix):
            break
        pivot = rank + int(np.argmax(np.abs(matrix[rank:, column])))
        if abs(matrix[pivot, column]) < 1e-9:
            continue
        matrix[[rank, pivot]] = matrix[[pivot, rank]]
        matrix[rank] /= matrix[rank, column]
        others = np.arange(len(matrix)) != rank
        matrix[others] -= np.outer(matrix[others, column], matrix[rank])
        rank += 1
    people = np.zeros((len(withheld), int(period.person.max()) + 1), bool)
    at = np.full(period.cells, -1)
    at[withheld] = np.arange(len(withheld))
    mine = at[period.cell] >= 0
    people[at[period.cell[mine]], period.person[mine]] = True
    for row in matrix[:rank]:
        found += int(people[np.abs(row) > 1e-9].any(axis=0).sum() < RULE.k)
    return found


def about(
    period: Period, patterns: dict[str, Pattern], measure: str
) -> tuple[Period, Pattern] | None:
    """What one measure counts, and what is published of it; None if it counts nothing."""
    part, cells = period.about(measure)
    found = patterns[measure]
    assert not np.delete(found.cells, cells).any()
    return (part, replace(found, cells=found.cells[cells])) if len(cells) else None

"""What is published cannot be turned back into people: attackers with all that ever was."""

from __future__ import annotations

import datetime as dt
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from pathlib import Path
from unittest import mock

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csr_array

from pipeline.disclosure import audit
from pipeline.disclosure import pattern as pattern_module
from pipeline.disclosure.attack import attack
from pipeline.disclosure.audit import bounds
from pipeline.disclosure.cuts import shared_weights, thin_cuts
from pipeline.disclosure.pattern import Pattern, cross_of, protect, protect_all
from pipeline.disclosure.period import MEASURES, Period, tally
from pipeline.disclosure.solver import AuditError, Quiet, Statements
from pipeline.errors import PolicyError
from pipeline.policy.data_map import load_data_map
from pipeline.policy.disclosure import (
    DisclosureRule,
    DisclosureRules,
    load_disclosure,
    require_matching,
)
from pipeline.policy.fields import Audience
from pipeline.storage.layout import PROJECT
from tests import plain as night_plain
from tests import soak
from tests.company import record, write_delivery
from tests.estate import context
from tests.fixtures import RUN_DATE, Estate, errors
from tests.tables import RULE, about, period_of, plain, random_period, solved, totals, worked_out

TABLES = soak.times(60, 10_000)
SEQUENCES = soak.times(30, 1_000)
WORKERS = 2


def _in_parts(attacks: Callable[[int, np.random.Generator], np.ndarray], size: int) -> np.ndarray:
    """The sum of some attacks: a soak has many of them, for all cores."""
    if soak.seed is None:
        return attacks(size, soak.rng())
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = [pool.submit(attacks, size // WORKERS, soak.rng(n)) for n in range(WORKERS)]
        return np.sum([part.result() for part in parts], axis=0)


def _attack_tables(tables: int, rng: np.random.Generator) -> np.ndarray:
    """Recoveries from protected tables, of figures and of each of their measures: narrowed,
    learned, worked out."""
    got = np.zeros(3, int)
    for _ in range(tables):
        period = random_period(rng)
        patterns = protect_all(period, RULE, exact=False)
        parts = [about(period, patterns, measure) for measure in MEASURES]
        for one, pattern in [(period, patterns["figures"]), *filter(None, parts)]:
            found = solved(one, pattern)
            got += (found.narrowed, found.learned, worked_out(one, pattern))
    return got


@pytest.mark.more
def test_tables_give_nobody_away() -> None:
    """Ten thousand of them in a soak."""
    assert _in_parts(_attack_tables, TABLES).tolist() == [0, 0, 0]


def test_the_same_attackers_win_against_plain_thresholding() -> None:
    rng = np.random.default_rng(0)
    got = np.zeros(3, int)
    for _ in range(50):
        period = random_period(rng)
        pattern = plain(period, RULE.k)
        found = solved(period, pattern)
        got += (found.narrowed, found.learned, worked_out(period, pattern))
    assert (got > 25).all()


def test_a_period_of_which_no_total_is_safe_is_not_published() -> None:
    """Two teams with one course: too few are in each of them to stand alone, and one person has
    most of the records."""
    people = np.arange(9)
    first = (people < 7).astype(np.int64)
    ones = np.ones(9, np.int64)
    ones[0] = 20
    counts = {
        "records": ones,
        "complete": ones,
    }
    period = period_of(1 - first, 0 * ones, people, counts, np.array([0, 1]), np.array([0]))
    pattern = protect(period, RULE)
    assert not totals(period, pattern).any()
    assert not pattern.cells.any()


def test_thin_teams_give_way_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of each team's ten people take a course that nowhere has k, so that no cell is left to
    withhold beside it: every team's total has to go, and not one a round."""
    teams = 40
    team = np.repeat(np.arange(teams), 12)
    person = np.arange(teams)[:, None] * 10 + np.array([*range(10), 0, 1])
    course = np.tile(np.repeat([0, 1], [10, 2]), teams)
    ones = np.ones(len(team), np.int64)
    counts = {"records": ones, "complete": ones}
    period = period_of(team, course, person.ravel(), counts, np.zeros(teams, int), np.array([0, 1]))
    rounds: list[int] = []
    honest = pattern_module.published_cells
    monkeypatch.setattr(
        pattern_module,
        "published_cells",
        lambda cross: rounds.append(cross.points) or honest(cross),
    )
    pattern = protect(period, RULE)
    assert not pattern.teams.leaves.any()
    assert pattern.teams.root
    assert pattern.courses.leaves.all()
    assert worked_out(period, pattern) == solved(period, pattern).narrowed == 0
    assert len(rounds) < 5


@pytest.mark.more
def test_published_figures_keep_the_rule_themselves() -> None:
    rng = soak.rng(7)
    for _ in range(soak.times(10, 1_000)):
        period = random_period(rng)
        pattern = protect(period, RULE)
        output = tally(period, np.where(pattern.cells, np.arange(period.cells), -1), period.cells)
        assert output.may_be_published(RULE)[pattern.cells].all()
        teams = tally(period, period.team, len(period.teams.group))
        assert teams.may_be_published(RULE)[pattern.teams.leaves].all()
        courses = tally(period, period.course, len(period.courses.group))
        assert courses.may_be_published(RULE)[pattern.courses.leaves].all()


@pytest.mark.more
def test_small_periods_withhold_the_least() -> None:
    """Against every subset, tried one by one."""
    rng = soak.rng(3)
    seen = 0
    while seen < soak.times(5, 200):
        period = random_period(rng)
        pattern = protect(period, RULE)
        cross = cross_of(period, pattern.teams, pattern.courses, RULE)
        able = np.flatnonzero(cross.may_be_published)
        if not pattern.teams.root or not 3 <= len(able) <= 11:
            continue
        if not cross.unsafe(cross.may_be_published):
            continue
        seen += 1
        costs = []
        for size in range(len(able) + 1):
            for gone in combinations(able, size):
                output = cross.may_be_published.copy()
                output[list(gone)] = False
                if not cross.unsafe(output):
                    costs.append(cross.cost[list(gone)].sum() if gone else 0)
        assert cross.cost[cross.may_be_published & ~pattern.cells].sum() == min(costs)


def test_the_solver_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    highs = Quiet()
    highs.addVariable(lb=0, ub=1)
    highs.solve()
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.parametrize("part", [2, audit.PART])
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=soak.times(40, 1_000))
def test_the_bounds_are_those_of_plain_linear_programming(part: int, seed: int) -> None:
    """With cells that lie in the same totals, in one, in none; each target solved by itself.
    From the truth, or from another table that the solver finds; in parts, or all at once."""
    rng = np.random.default_rng(seed)
    totals, cells, targets = (int(n) for n in rng.integers(1, (4, 10, 8)))
    members = (rng.random((totals, cells)) < 0.5).astype(float)
    members[:, rng.random(cells) < 0.3] = members[:, :1]
    most = rng.integers(0, 6, cells).astype(float)
    truth = np.floor(most * rng.random(cells) + 0.3).clip(max=most)
    rest = members @ truth
    among = (rng.random((targets, cells)) < 0.3).astype(float)
    within = np.column_stack([np.zeros(cells), most])
    plain = np.array(
        [
            [
                sign * linprog(sign * one, A_eq=members, b_eq=rest, bounds=within).fun
                for sign in (1, -1)
            ]
            for one in among
        ]
    )
    output = Statements(csr_array(members), rest, most)
    start = truth if rng.random() < 0.5 else truth + 1
    with mock.patch.object(audit, "PART", part):
        exact = bounds(output, csr_array(among), np.full(targets, np.inf), start)
        low, high = bounds(output, csr_array(among), np.full(targets, 2.0), start)
    assert np.column_stack(exact) == pytest.approx(plain, abs=1e-5)
    # Told how far apart is far enough, the audit may stop there, and never says more than is so.
    assert (low > plain[:, 0] - 1e-5).all()
    assert (high < plain[:, 1] + 1e-5).all()
    narrow = plain[:, 1] - plain[:, 0] < 2 - 1e-5
    assert np.column_stack([low, high])[narrow] == pytest.approx(plain[narrow], abs=1e-5)
    assert (high - low)[~narrow] == pytest.approx((high - low)[~narrow].clip(min=2), abs=1e-5)


@pytest.mark.more
def test_thin_cuts_are_those_of_all_cuts() -> None:
    """Against every way to part the points of small graphs."""
    rng = soak.rng(5)
    for _ in range(soak.times(100, 3_000)):
        points = int(rng.integers(2, 8))
        edges = int(rng.integers(1, 14))
        tails, heads = rng.integers(0, points, (2, edges))
        weights = rng.choice([0.5, 1.0, 2.0, 3.0, np.inf], edges)
        found = thin_cuts(points, tails, heads, weights, 5)
        thin = set()
        for mask in range(1, 2**points - 1):
            side = np.array([mask >> point & 1 for point in range(points)], bool)
            across = side[tails] != side[heads]
            if across.any() and weights[across].sum() < 5:
                thin.add(side.tobytes())
        assert bool(found) == bool(thin)
        for side in found:
            assert side.tobytes() in thin


def test_shared_weights_never_count_a_person_twice() -> None:
    edge, person = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 2, 0])
    weights = shared_weights(edge, person, 3, np.zeros(3, bool))
    assert weights.sum() == pytest.approx(3)
    assert weights[2] == pytest.approx(1 / 3)


class _Company:
    """People who join, leave, take courses and finish them, run by run."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.team = rng.integers(0, 5, 60)
        self.here = np.ones(60, bool)
        self.took: dict[tuple[int, int], list[int]] = {}

    def run_date(self, at: int) -> None:
        rng = self.rng
        for _ in range(int(rng.integers(0, 3))):
            self.here[rng.integers(0, len(self.here))] = False
        if rng.random() < 0.6:
            self.team = np.append(self.team, rng.integers(0, 5))
            self.here = np.append(self.here, True)
        for who in rng.choice(np.flatnonzero(self.here), 12):
            self.took.setdefault((int(who), int(rng.integers(0, 4))), [at, 0])
        for one in self.took.values():
            one[1] |= int(rng.random() < 0.2)

    def rows(self, first: int, last: int) -> tuple[np.ndarray, ...]:
        output = [
            (who, course, done)
            for (who, course), (at, done) in self.took.items()
            if first <= at < last and self.here[who]
        ]
        return tuple(np.array(part, np.int64) for part in zip(*output, strict=True))


def _attack_sequences(sequences: int, rng: np.random.Generator) -> np.ndarray:
    """Differences of two runs that show fewer than k people: of tables published once, and of
    tables published anew each run."""
    got = np.zeros(2, int)
    for _ in range(sequences):
        company = _Company(rng)
        last: dict[tuple[int, int], frozenset[tuple[int, int]]] = {}
        for run_date in range(30):
            company.run_date(run_date)
            who, course, done = company.rows(0, 30)
            now = {}
            for team in range(5):
                for one in range(4):
                    cell = (company.team[who] == team) & (course == one)
                    if len(set(who[cell])) >= RULE.k:
                        now[team, one] = frozenset(zip(who[cell], done[cell], strict=True))
            got[1] += sum(
                0 < len({w for w, _ in now[cell] ^ last[cell]}) < RULE.k
                for cell in now.keys() & last.keys()
            )
            last = now
            if run_date % 10 == 9:  # the period is over: published now and never again
                who, course, done = company.rows(run_date - 9, run_date + 1)
                ones = np.ones(len(who), np.int64)
                counts = {
                    "records": ones,
                    "complete": done,
                }
                period = period_of(
                    company.team[who],
                    course,
                    who,
                    counts,
                    np.array([0, 0, 1, 1, 1]),
                    np.array([0, 0, 1, 1]),
                )
                pattern = protect(period, RULE, exact=False)
                found = solved(period, pattern)
                got[0] += found.narrowed + found.learned + worked_out(period, pattern)
    return got


@pytest.mark.more
def test_joiners_and_leavers_of_thirty_runs_stay_hidden() -> None:
    """A thousand companies in a soak."""
    once, nightly = _in_parts(_attack_sequences, SEQUENCES)
    assert once == 0
    assert nightly > SEQUENCES


def test_the_audit_refuses_figures_that_no_table_has() -> None:
    rng = np.random.default_rng(1)
    period = random_period(rng)
    pattern = plain(period, 1)
    from pipeline.disclosure.attack import Figures

    members = csr_array(totals(period, pattern).astype(float))
    values = {n: period.per_cell(getattr(period, n)) for n in ("records", "complete")}
    output = {name: np.rint(members @ counts).astype(np.int64) for name, counts in values.items()}
    output["records"][0] += 1
    hidden = pattern.cells.copy()
    hidden[0] = False
    with pytest.raises(AuditError):
        attack(period, Figures(members, output, hidden, values), RULE.k)


# And the pipeline itself.
COACHING = (
    "coaching_period",
    "coaching_department",
    "coaching_team",
    "coaching_category",
    "coaching_course",
    "coaching_team_course",
)


def told_tables(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    with duckdb.connect(str(folder / "coaching.duckdb"), read_only=True) as c:
        return {name: c.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in COACHING}


def staged_tables(
    estate: Estate, run_date: dt.date = RUN_DATE
) -> dict[str, list[tuple[object, ...]]]:
    """The coaching tables that a run would release."""
    result = estate.run(run_date, night_plain.staged_for(Audience.COACHING))
    assert result.success, errors(result)
    return told_tables(estate.layout.staged(str(run_date)))


def test_a_month_is_published_once_whatever_comes_later(published: Estate) -> None:
    before = told_tables(published.layout.current)
    later = RUN_DATE + dt.timedelta(days=1)
    # A joiner, a correction to failure, and a late record, all in October.
    write_delivery(
        published.delivery(later),
        [
            record(40),
            record(0, Status="Failed", Score="1"),
            record(1, Course_Code="SQL-220"),
        ],
    )
    assert staged_tables(published, later) == before


def test_a_small_rest_takes_its_neighbour_with_it(estate: Estate) -> None:
    """Twelve in Sales, three in Legal: Sales could be subtracted from the company."""
    rows = [record(p) for p in range(12)]
    rows += [record(p, Department="Legal", Manager_ID="7700902") for p in range(12, 15)]
    write_delivery(estate.delivery(), rows)
    output = staged_tables(estate)
    assert [row[1] for row in output["coaching_period"]] == [15]
    assert output["coaching_department"] == []
    assert output["coaching_team"] == []


def test_a_team_where_everybody_failed_is_not_published(estate: Estate) -> None:
    rows = [record(p) for p in range(24)]
    rows += [record(p, Manager_ID="7700902", Status="Failed", Score="5") for p in range(24, 36)]
    write_delivery(estate.delivery(), rows)
    output = staged_tables(estate)
    assert [row[1] for row in output["coaching_period"]] == [36]
    # Nor can the other team be shown, which would leave it.
    assert output["coaching_team"] == []


def test_a_figure_too_many_fails_the_attack_and_is_not_published(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.published import coaching

    def careless(period: Period, rule: DisclosureRule) -> dict[str, Pattern]:
        return dict.fromkeys(["figures", *MEASURES], plain(period, rule.k))

    monkeypatch.setattr(coaching, "protect_all", careless)
    rows = [record(p) for p in range(12)]
    rows += [
        record(p, Department="Legal", Manager_ID="7700902", Status="Failed") for p in range(12, 15)
    ]
    write_delivery(estate.delivery(), rows)
    result = estate.run()
    assert not result.success
    (broken,) = (result.checks[name] for name in result.failed_checks)
    assert broken.description == "broken: attack.narrowed, attack.learned"
    assert not estate.layout.current.exists()


def test_every_coaching_table_has_its_rule() -> None:
    data_map = load_data_map(PROJECT / "data_map.yaml")
    rules = load_disclosure(PROJECT / "disclosure_rules.yaml")
    require_matching(rules, data_map)
    raw = rules.model_dump()
    del raw["coaching"]["tables"]["coaching_team"]
    with pytest.raises(PolicyError, match="coaching_team"):
        require_matching(DisclosureRules.model_validate(raw), data_map)
    assert context(PROJECT).disclosure.rule(data_map) == RULE

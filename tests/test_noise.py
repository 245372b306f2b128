"""Differential privacy of a coaching table: proven epsilon, spent once, within a budget."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import duckdb
import numpy as np
import pytest

from pipeline.errors import PolicyError
from pipeline.policy.disclosure import Budget, Coaching, Noise, load_disclosure
from pipeline.policy.fields import Audience
from pipeline.published import noise
from pipeline.storage.layout import PROJECT
from tests import plain
from tests.company import company, record, write_delivery
from tests.estate import policy_with
from tests.fixtures import RUN_DATE, Estate, errors

FINEST = "coaching_team_course"
ASKED = {FINEST: {"epsilon": 1.0, "max_records_per_person": 2}}


def rules(epsilon: float) -> Coaching:
    asked = load_disclosure(PROJECT / "disclosure_rules.yaml").coaching
    return asked.model_copy(
        update={
            "noise": {FINEST: Noise(epsilon=1.0, max_records_per_person=2)},
            "budget": Budget(epsilon=epsilon, per="P1Y"),
        }
    )


def private(estate: Estate, tmp_path: Path, epsilon: float) -> Estate:
    """The same estate under a policy that wants noise on the finest table."""
    folder = policy_with(
        tmp_path / "policy",
        "disclosure_rules.yaml",
        {"coaching": {"noise": ASKED, "budget": {"epsilon": epsilon, "per": "P1Y"}}},
    )
    return Estate(estate.home, estate.instance, folder)


def figures(folder: Path, table: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(folder / "coaching.duckdb"), read_only=True) as c:
        return c.execute(f"FROM {table} ORDER BY ALL").fetchall()


def stage(estate: Estate, run_date: dt.date = RUN_DATE) -> Path:
    """Make the coaching tables that a run would release; their folder, with the ledger as it will
    be."""
    result = estate.run(run_date, plain.staged_for(Audience.COACHING))
    assert result.success, errors(result)
    return estate.layout.staged(str(run_date))


def test_opendp_proves_the_epsilon_that_policy_asks_for() -> None:
    made, epsilon = noise.mechanism(Noise(epsilon=0.5, max_records_per_person=3), 18)
    assert epsilon == pytest.approx(0.5, rel=1e-6)
    drawn = np.array(made([1000] * 4000))
    # Integer Laplace of scale 36: the mean absolute deviation is its scale; 4,000 draws tell it to
    # a few per cent, and a fifth off does not happen by chance.
    assert np.abs(drawn - 1000).mean() == pytest.approx(36, rel=0.2)


def test_noise_is_off_by_default(finished_run: Estate) -> None:
    assert noise.read_ledger(finished_run.layout.publication_history) == []
    assert not load_disclosure(PROJECT / "disclosure_rules.yaml").coaching.noise


def test_only_the_asked_table_is_noisy_and_its_period_is_paid_for_once(
    estate: Estate, finished_run: Estate, tmp_path: Path
) -> None:
    estate = private(estate, tmp_path, 4.0)
    write_delivery(estate.delivery(), *company())
    result = estate.run()
    assert result.success, errors(result)
    (spent,) = noise.read_ledger(estate.layout.publication_history)
    assert (spent.table, spent.period, spent.max_records_per_person) == (FINEST, "2026-10-01", 2)
    assert spent.epsilon == pytest.approx(1.0, rel=1e-6)
    exact = ("coaching_period", "coaching_course", "coaching_category")
    assert [figures(estate.layout.current, t) for t in exact] == [
        figures(finished_run.layout.current, t) for t in exact
    ]
    output = figures(estate.layout.current, FINEST)
    # Which cells are published is as without noise; 16 numbers with noise of scale 12 are not the
    # same.
    assert len(output) == len(figures(finished_run.layout.current, FINEST)) == 2
    assert [row[4:7] for row in output] != [
        row[4:7] for row in figures(finished_run.layout.current, FINEST)
    ]
    assert all(row[4] >= 5 and row[8] is None for row in output)  # type: ignore[operator]
    for row in json.loads((estate.layout.reconciliation / f"{RUN_DATE}.json").read_text()):
        assert row["balanced"]
    # A later run publishes the same numbers and pays nothing.
    later = RUN_DATE + dt.timedelta(days=1)
    write_delivery(estate.delivery(later), [record(20)])
    staged = stage(estate, later)
    assert figures(staged, FINEST) == output
    assert noise.read_ledger(staged) == [spent]


def test_a_period_that_the_budget_does_not_cover_is_not_published(
    estate: Estate, tmp_path: Path
) -> None:
    estate = private(estate, tmp_path, 0.5)
    write_delivery(estate.delivery(), *company())
    staged = stage(estate)
    assert figures(staged, FINEST) == []
    assert figures(staged, "coaching_course")
    assert noise.read_ledger(staged) == []


def test_the_budget_counts_the_periods_around() -> None:
    def spent(period: str) -> noise.Spent:
        return noise.Spent("2026-11-08", FINEST, period, 1.0, 2, "")

    ledger = [spent("2025-09-01"), spent("2026-01-01"), spent("2026-02-01")]
    # A year before October 2026 nothing of September 2025 counts any more.
    assert noise.affordable(ledger, rules(3.0), FINEST, dt.date(2026, 10, 1))
    assert not noise.affordable(ledger, rules(2.9), FINEST, dt.date(2026, 10, 1))
    assert not noise.affordable(ledger, rules(3.0), FINEST, dt.date(2026, 8, 1))
    # One that was published before its predecessor counts as well.
    assert not noise.affordable([spent("2026-12-01")], rules(1.5), FINEST, dt.date(2026, 10, 1))


def test_noise_without_a_budget_or_on_no_table_is_refused() -> None:
    asked = load_disclosure(PROJECT / "disclosure_rules.yaml").coaching.model_dump()
    for wrong in (
        {"noise": ASKED},
        {"noise": {"nothing": ASKED[FINEST]}, "budget": {"epsilon": 1, "per": "P1Y"}},
    ):
        with pytest.raises(ValueError, match=r"budget|no coaching table"):
            Coaching.model_validate(asked | wrong)


def test_without_opendp_the_run_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opendp.prelude", None)
    with pytest.raises(PolicyError, match=r"lms-milestones\[privacy\]"):
        noise.mechanism(Noise(epsilon=1, max_records_per_person=1), 6)

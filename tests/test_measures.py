"""No published measure rests on fewer than k people: neither a figure's, nor what is left of it
after its parts, nor one that is all adverse.

The attacker has the raw rows and the published tables, and knows none of the code that chose them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import chain, combinations

import duckdb
import numpy as np
import polars as pl
import pytest

from pipeline.policy.disclosure import DisclosureRules, load_disclosure
from pipeline.published import coaching
from pipeline.storage.layout import PROJECT
from pipeline.storage.sql import Sql
from tests import soak

K, NOT_ADVERSE = 5, 2
MONTH = dt.date(2026, 10, 1)
# Published column to whose values it is made of, and to which of them are not adverse.
MEASURES = {
    "completion_rate": (pl.lit(True), pl.col("complete")),
    "on_time_rate": (pl.col("on_time").is_not_null(), pl.col("on_time").fill_null(value=False)),
    "median_days": (pl.col("days").is_not_null(), pl.lit(True)),
    "share_low": (
        pl.col("score_band") != "unscored",
        pl.col("score_band").is_in(["mid", "high"]),
    ),
}
LEVELS = {
    "coaching_period": (),
    "coaching_department": ("department",),
    "coaching_team": ("department", "team_ref"),
    "coaching_category": ("category",),
    "coaching_course": ("category", "course_code"),
    "coaching_team_course": ("department", "team_ref", "course_code"),
}
# Which tables' rows are parts of another's that do not overlap.
NESTED = (
    ("coaching_period", "coaching_department", "coaching_team", "coaching_team_course"),
    ("coaching_period", "coaching_category", "coaching_course", "coaching_team_course"),
)


def company(rng: np.random.Generator, people: int = 160, teams: int = 12) -> pl.DataFrame:
    """A month's rows: few courses have scores, few records have days, some teams are all late."""
    team = np.minimum(rng.gamma(1.6, teams / 4, people).astype(int), teams - 1)
    popular = rng.beta(1.2, 1.2, 9)
    person, course = np.nonzero(rng.random((people, 9)) < popular)
    of = team[person]
    complete = rng.random(len(person)) < 0.8
    on_time = np.where(of % 4 == 3, False, rng.random(len(person)) < 0.7)
    scored = rng.random(len(person)) < np.where(course % 3 == 0, 0.9, 0.1)
    low = rng.random(len(person)) < np.where(course == 3, 0.99, 0.3)
    days = rng.integers(0, 60, len(person))
    return pl.DataFrame(
        {
            "period": [MONTH] * len(person),
            "learner_ref": [f"p{one}" for one in person],
            "department": [f"d{one // 4}" for one in of],
            "team_ref": [f"t{one}" for one in of],
            "course_code": [("SEC-", "GDP-", "NEG-")[one % 3] + str(one) for one in course],
            "complete": complete,
            "on_time": [
                bool(done) if due else None
                for done, due in zip(on_time, rng.random(len(person)) < 0.5, strict=True)
            ],
            "days": [
                int(day) if there else None
                for day, there in zip(days, complete & (rng.random(len(person)) < 0.3), strict=True)
            ],
            "score_band": np.where(~scored, "unscored", np.where(low, "low", "high")),
        }
    ).with_columns(
        category=pl.col("course_code")
        .str.slice(0, 4)
        .replace({"SEC-": "security", "GDP-": "compliance", "NEG-": "skills"})
    )


@pytest.fixture(scope="module")
def rules() -> DisclosureRules:
    return load_disclosure(PROJECT / "disclosure_rules.yaml")


def published(rows: pl.DataFrame, rules: DisclosureRules) -> dict[str, pl.DataFrame]:
    """The coaching tables of a month."""
    from pipeline.policy.data_map import load_data_map

    rule = rules.rule(load_data_map(PROJECT / "data_map.yaml"))
    assert (rule.k, rule.minimum_not_adverse) == (K, NOT_ADVERSE)
    with duckdb.connect() as connection:
        connection.register("raw", rows.drop("category"))
        found = coaching.make_rows(connection, Sql("raw"), rules, [MONTH])
        cells = coaching.choose_cells(connection, found, rule)
        figures = coaching.make_figures(connection, found, cells)
        return {
            table: connection.sql(coaching.named_sql(table, found, of)).pl()
            for table, of in figures.items()
        }


def _figures(rows: pl.DataFrame, table: pl.DataFrame, key: tuple[str, ...]) -> pl.DataFrame:
    """The rows that are in a table's figures, with the figure as `at`."""
    if not key:
        return rows.head(rows.height if table.height else 0).with_columns(at=pl.lit(""))
    cells = table.select(key).with_columns(at=pl.concat_str(key, separator="/"))
    return rows.join(cells, on=key)


def attacked(rows: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> Iterator[tuple[str, str]]:
    """Measures that rest on fewer than K people, or of which fewer than NOT_ADVERSE are not
    adverse: of each figure, and of each figure less its published parts."""
    for measure, (has, fine) in MEASURES.items():
        shown = {
            name: table.filter(pl.col(measure).is_not_null())
            for name, table in tables.items()
            if measure in table.columns
        }
        mine = rows.filter(has).with_columns(fine=fine).with_row_index("row")
        for nested in NESTED:
            there = [name for name in nested if name in shown]
            for at, name in enumerate(there):
                whole = _figures(mine, shown[name], LEVELS[name])
                for parts in _subsets(there[at + 1 :]):
                    rest = whole
                    for part in parts:
                        inside = _figures(mine, shown[part], LEVELS[part])
                        rest = rest.join(inside, on="row", how="anti")
                    counted = rest.group_by("at").agg(
                        people=pl.col("learner_ref").n_unique(),
                        fine=pl.col("learner_ref").filter("fine").n_unique(),
                    )
                    if ((counted["people"] < K) | (counted["fine"] < NOT_ADVERSE)).any():
                        yield measure, f"{name} less {parts}"


def _subsets(names: list[str]) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(names, n) for n in range(len(names) + 1))


@pytest.mark.more
def test_no_measure_rests_on_too_few(rules: DisclosureRules) -> None:
    rng = soak.rng(11)
    shown = dict.fromkeys(MEASURES, 0)
    for _ in range(soak.times(2, 120)):
        rows = company(rng)
        tables = published(rows, rules)
        assert list(attacked(rows, tables)) == []
        for measure in MEASURES:
            shown[measure] += sum(
                table[measure].is_not_null().sum()
                for table in tables.values()
                if measure in table.columns
            )
    assert all(shown.values()), shown


def test_the_same_attacker_wins_where_people_are_counted_for_the_whole_figure(
    rules: DisclosureRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the tables were before: a figure of k people had all of its measures."""
    monkeypatch.setattr(coaching, "withhold", lambda *_: None)
    rows = company(np.random.default_rng(5))
    won = {measure for measure, _ in attacked(rows, published(rows, rules))}
    assert won == set(MEASURES) - {"completion_rate"}


def test_what_falls_short_is_null_and_the_figure_stays(rules: DisclosureRules) -> None:
    """One team has six people with a due date, one has four, one has six who are all late."""
    team = np.repeat(["a", "b", "c"], 10)
    dated = np.concatenate([np.arange(10) < n for n in (6, 4, 6)])
    rows = pl.DataFrame(
        {
            "period": [MONTH] * 30,
            "learner_ref": [f"p{n}" for n in range(30)],
            "department": ["d"] * 30,
            "team_ref": team,
            "course_code": ["SEC-1"] * 30,
            "complete": [True] * 30,
            "on_time": [
                (None if not due else one != "c") for one, due in zip(team, dated, strict=True)
            ],
            "days": [7 if n % 10 < 5 else None for n in range(30)],
            "score_band": ["unscored"] * 26 + ["high"] * 4,
            "category": ["security"] * 30,
        }
    )
    tables = published(rows, rules)
    teams = tables["coaching_team"].sort("team_ref")
    assert teams["learners"].to_list() == [10, 10, 10]
    # Four of one team and six of another, whose result would follow from what is left, go together.
    assert teams["on_time_rate"].to_list() == [1.0, None, None]
    assert teams["median_days"].to_list() == [7, 7, 7]
    assert tables["coaching_course"]["share_high"].to_list() == [None]
    assert not list(attacked(rows, tables))

"""What is withdrawn from the publication history is not given back by the totals that stay.

The attacker has the figures that stay and the names of those that went, subtracts whatever lies in
a total from it, and looks whether what is left are the records that went.
"""

from __future__ import annotations

from itertools import combinations

import duckdb
import polars as pl
import pytest

from pipeline.policy.disclosure import DisclosureRule
from pipeline.published import withdrawn
from pipeline.storage.sql import Sql
from tests import soak
from tests.test_measures import LEVELS, MONTH, company, published
from tests.test_measures import rules as rules  # the fixture

Tables = dict[str, pl.DataFrame]
CELLS = "coaching_team_course"
COURSES = ("coaching_category", "coaching_course", CELLS)
NESTED = (
    ("coaching_period", "coaching_department", "coaching_team", CELLS),
    ("coaching_period", "coaching_category", "coaching_course", CELLS),
)


def carried(
    tables: Tables, k: int, sensitive: str = "", not_adverse: int = 2, before: int | None = 5
) -> Tables:
    """What the next run shows of published tables.

    Args:
        before: the k that they were published with; None if that is not known.
    """
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(f"raw_{name}", table)
            connection.execute(f"CREATE TABLE {name} AS FROM raw_{name}")
        history = {name: Sql(name) for name in tables}
        ordinary = Sql(
            "(SELECT DISTINCT course_code FROM coaching_course UNION "
            "SELECT DISTINCT course_code FROM coaching_team_course "
            f"EXCEPT SELECT '{sensitive}')"
        )
        known = {str(MONTH): DisclosureRule(before, 2, 0.5)} if before else {}
        rule = DisclosureRule(k, not_adverse, 0.5)
        shown = withdrawn.shown(connection, history, ordinary, rule, known, "shown")
        return {name: connection.sql(f"FROM {of}").pl() for name, of in shown.items()}


def given_back(before: Tables, after: Tables, bad: pl.Expr) -> int:
    """How many of the figures that had to go are left of a total that stays, less what stays in it;
    and how many stay themselves."""
    found = 0
    category = before["coaching_course"].select("course_code", "category").unique()
    before, after = (
        one | {CELLS: one[CELLS].join(category, on="course_code", how="left")}
        for one in (before, after)
    )
    for chain in NESTED:
        for name in chain:
            key = LEVELS[name]
            if {"course_code"} & set(bad.meta.root_names()) - set(before[name].columns):
                continue
            targets = before[name].filter(bad)
            found += after[name].filter(bad).height
            for total in chain[: chain.index(name)]:
                within = chain[chain.index(total) + 1 : chain.index(name) + 1]
                for parts in (
                    c for n in range(1, len(within) + 1) for c in combinations(within, n)
                ):
                    for target in targets.iter_rows(named=True):
                        left = _left(after, total, parts, target, key)
                        found += left is not None and left == target["records"]
    return found


def _left(
    after: Tables,
    total: str,
    parts: tuple[str, ...],
    target: dict[str, object],
    key: tuple[str, ...],
) -> int | None:
    """Records of a target's total that are in none of its published parts; a part that lies in
    another one counts once. None where the target lies in a part itself, or its total went."""
    names = [name for name in LEVELS[total] if name in key]
    if len(names) < len(LEVELS[total]):
        return None
    whole = after[total].filter(*(pl.col(n).eq_missing(pl.lit(target[n])) for n in names))
    if not whole.height or any(_lies_in(after[part], LEVELS[part], target, key) for part in parts):
        return None
    left = int(whole["records"].sum())
    done: list[tuple[tuple[str, ...], pl.DataFrame]] = []
    for part in parts:
        inside = after[part].filter(*(pl.col(n).eq_missing(pl.lit(target[n])) for n in names))
        for upper, rows in done:
            inside = inside.join(rows.select(upper), on=list(upper), how="anti", nulls_equal=True)
        left -= int(inside["records"].sum())
        done.append((LEVELS[part], inside))
    return left


def _lies_in(
    part: pl.DataFrame, level: tuple[str, ...], target: dict[str, object], key: tuple[str, ...]
) -> bool:
    """Is the target in a figure of this level that stays? What is left without it is others'."""
    same = [pl.col(name).eq_missing(pl.lit(target[name])) for name in level if name in key]
    return len(same) == len(level) and part.filter(*same).height > 0


@pytest.fixture(scope="module")
def months(rules: object) -> list[Tables]:
    rng = soak.rng(23)
    return [published(company(rng), rules) for _ in range(soak.times(1, 100))]  # type: ignore[arg-type]


@pytest.mark.more
def test_a_course_that_becomes_sensitive_is_not_given_back(months: list[Tables]) -> None:
    naive = 0
    for tables in months:
        for code in tables["coaching_course"]["course_code"].unique().to_list():
            bad = pl.col("course_code") == code
            assert given_back(tables, carried(tables, 5, code), bad) == 0
            careless = {
                name: table.filter(~bad) if "course_code" in table.columns else table
                for name, table in tables.items()
            }
            naive += given_back(tables, careless, bad)
    assert naive > 0, "whoever leaves out the course only"


@pytest.mark.more
def test_a_raised_k_is_not_given_back(months: list[Tables]) -> None:
    naive = kept = 0
    for tables in months:
        for k in (8, 12, 20):
            bad = pl.col("learners") < k
            after = carried(tables, k)
            assert given_back(tables, after, bad) == 0
            kept += sum(table.height for table in after.values())
            careless = {name: table.filter(~bad) for name, table in tables.items()}
            naive += given_back(tables, careless, bad)
    assert naive > 0
    assert kept > 0


def test_what_was_withdrawn_once_changes_nothing_more(months: list[Tables]) -> None:
    """The next run has what this one left, and takes no more; without a reason, none goes."""
    (tables, *_) = months
    code = tables["coaching_course"]["course_code"][0]
    once = carried(tables, 8, code)
    again = carried(once, 8, code, before=8)
    assert all(once[name].sort(pl.all()).equals(again[name].sort(pl.all())) for name in once)
    same = carried(tables, 5)
    assert all(same[name].equals(tables[name]) for name in tables)


def test_as_many_records_of_others_give_nothing_back() -> None:
    """A soak took the four records of a team that is not published for those of a course in one
    that is."""
    rows: dict[str, list[tuple[object, ...]]] = {
        "coaching_period": [(10, 10)],
        "coaching_department": [("x", 10, 10)],
        "coaching_team": [("x", "a", 6, 6)],
        "coaching_category": [("skills", 10, 10)],
        "coaching_course": [("skills", "c", 5, 5)],
        CELLS: [("x", "a", "c", 4, 4)],
    }
    before = {name: table(name, of) for name, of in rows.items()}
    after = before | {name: before[name].clear() for name in COURSES}
    bad = pl.col("course_code") == "c"
    assert given_back(before, after, bad) == 0
    others = after | {"coaching_team": table("coaching_team", [("x", "b", 6, 6)])}
    assert given_back(before, others, bad) > 0, "now they can be theirs"


def table(name: str, rows: list[tuple[object, ...]], complete: float = 0.9) -> pl.DataFrame:
    """A table of the month, of rows with the names of a figure, learners and records."""
    columns = ["period", *LEVELS[name], "learners", "records"]
    made = pl.DataFrame([(MONTH, *row) for row in rows], columns, orient="row")
    return made.with_columns(completion_rate=pl.lit(complete), on_time_rate=0.5, median_days=7.0)


def test_a_team_that_took_nothing_else_goes_with_its_course() -> None:
    tables = {
        "coaching_period": table("coaching_period", [(40, 60)]),
        "coaching_department": table("coaching_department", [("d", 40, 60)]),
        "coaching_team": table(
            "coaching_team", [("d", "a", 10, 10), ("d", "b", 10, 20), ("d", "c", 20, 30)]
        ),
        "coaching_category": table("coaching_category", [("x", 40, 60)]),
        "coaching_course": table(
            "coaching_course", [("x", "S", 10, 10), ("x", "T", 10, 20), ("x", "U", 20, 30)]
        ),
        "coaching_team_course": table("coaching_team_course", [("d", "a", "S", 10, 10)]),
    }
    after = carried(tables, 5, "S")
    assert after["coaching_team"]["team_ref"].to_list() == ["c"], "and the next one beside it"
    assert after["coaching_course"]["course_code"].to_list() == ["U"]
    assert [after[name].height for name in ("coaching_period", "coaching_department")] == [1, 1]


def of_two_teams(complete: float = 0.9) -> Tables:
    """Of a department of 27 people, two teams of ten: of seven, nothing else is published."""
    rows: dict[str, list[tuple[object, ...]]] = {
        "coaching_period": [(27, 27)],
        "coaching_department": [("d", 27, 27)],
        "coaching_team": [("d", "a", 10, 10), ("d", "b", 10, 10)],
        "coaching_category": [("x", 27, 27)],
        "coaching_course": [("x", "S", 27, 27)],
        CELLS: [],
    }
    return {name: table(name, of, complete) for name, of in rows.items()}


@pytest.mark.parametrize("before", [5, None])
def test_a_raised_k_is_noticed_by_what_is_left_of_a_total_alone(before: int | None) -> None:
    """No figure has fewer than eight, but the seven who are left of the department have: so one
    team goes, and there are seventeen. Also where it is not known what k was."""
    tables = of_two_teams()
    assert carried(tables, 5)["coaching_team"].height == 2
    after = carried(tables, 8, before=before)
    assert after["coaching_team"]["team_ref"].to_list() == ["b"]
    assert after["coaching_department"].height == after["coaching_period"].height == 1
    again = carried(after, 8, before=8)
    assert all(again[name].equals(after[name]) for name in after)


def test_measures_of_before_do_not_outlive_a_raised_k() -> None:
    """A median can rest on five of ten, and nobody knows any more on how many it does."""
    after = carried(of_two_teams(), 8)
    for name in ("coaching_period", "coaching_department", "coaching_team", "coaching_course"):
        assert after[name]["median_days"].is_null().all()
        assert after[name]["on_time_rate"].is_null().all()
        assert after[name]["completion_rate"].is_not_null().all()


def test_so_does_a_raised_number_of_people_who_are_not_adverse() -> None:
    """Of ten people with nine records that are complete, one at most has none: nine may be asked
    for. A tenth may not."""
    tables = of_two_teams()
    assert carried(tables, 5, not_adverse=9)["coaching_team"]["team_ref"].to_list() == ["b"]
    assert carried(tables, 5, not_adverse=10)["coaching_team"].height == 0
    low = carried(of_two_teams(complete=0.2), 5, not_adverse=4)
    assert low["coaching_team"].height == 0

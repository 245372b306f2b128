"""The managers' view and the analysts' rows cannot be joined by content: whoever finds a row by how
somebody stands learns nothing else of this person. What a row says beyond its result was drawn from
k people with the same result."""

from __future__ import annotations

import random
from dataclasses import replace

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings

from pipeline.policy.disclosure import ClassRule
from pipeline.published import equivalence_classes, row_history, shuffled_details
from pipeline.storage.engine import engine
from pipeline.storage.sql import Sql
from tests import analysts, soak
from tests.company import record, write_delivery
from tests.fixtures import Estate, failed_checks
from tests.test_classes import CATEGORY, COLUMNS, RULE, Row, company_of, people, rows

RESULT = ["period", "record_type", "result"]


def shuffled(given: pl.DataFrame, rule: ClassRule = RULE) -> pl.DataFrame:
    """The rows with the details that are published with each of them as drawn_<name>, and their
    lot."""
    frame = given.with_row_index("record_key").with_columns(pl.col("record_key").cast(pl.String))
    with duckdb.connect() as connection:
        connection.register("given", frame)
        connection.execute("CREATE TEMP TABLE brought AS FROM given")
        of = shuffled_details.shuffle(connection, Sql("brought"), rule)
        found = connection.sql(f"FROM {of}").pl()
    drawn = found.select(
        "record_key",
        *shuffled_details.LOT,
        *(pl.col(n).alias(f"drawn_{n}") for n in shuffled_details.SHUFFLED),
    )
    return frame.join(drawn, on="record_key", validate="1:1")


def frame_of(given: list[Row]) -> pl.DataFrame:
    category = pl.col("course_code").replace_strict(CATEGORY, default="other")
    shape = {n: t for n, t in analysts.SHAPE.items() if n != "category"}
    return pl.DataFrame(given, shape).with_columns(category=category)


def in_classes(drawn: pl.DataFrame) -> pl.DataFrame:
    """Drawn rows with what is published of each as published_<name>."""
    with duckdb.connect() as connection:
        connection.register("given", drawn)
        connection.execute("CREATE TEMP TABLE brought AS FROM given")
        of = equivalence_classes.choose_classes(connection, Sql("brought"), RULE, COLUMNS)
        found = connection.sql(f"FROM {of}").pl()
    names = (*equivalence_classes.LEFT_OUT, "detail")
    return found.rename({f"generalized_{n}": f"published_{n}" for n in names})


def by_quarter(events: pl.DataFrame) -> pl.DataFrame:
    """Events as rows; whoever failed has tried more often."""
    chance = random.Random(4)
    tries = [chance.choice((1, 2, 3) if s == "failed" else (1, 1, 2)) for s in events["status"]]
    return events.select(
        pl.exclude("month"),
        period=pl.col("month").dt.truncate("1q"),
        record_type=pl.lit("milestone_flag"),
        tries=pl.Series(tries, dtype=pl.Int32),
    )


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    return by_quarter(company_of(500))


def test_whoever_finds_a_row_learns_no_more_than_by_chance(events: pl.DataFrame) -> None:
    """Row by row, over many drawings: and the same attacker is always right about whoever is alone
    with a result, where a row has its own details."""
    numbered = events.with_columns(tries=pl.int_range(pl.len(), dtype=pl.Int32))
    was = in_classes(numbered).with_columns(drawn_tries="tries")
    then = analysts.found_by_content(was)
    alone = then.filter(pl.col("candidates") == 1)
    assert alone["right"].all()
    assert alone.height > 10
    times = soak.times(12, 100)
    key = ["person", "course_code"]
    again = [
        analysts.found_by_content(
            was.select(pl.exclude("drawn_tries")).join(
                shuffled(numbered).select(*key, "period", "drawn_tries"), on=[*key, "period"]
            )
        )
        for _ in range(times)
    ]
    now = pl.concat(again).group_by(key).agg(pl.col("right").sum(), pl.col("candidates").first())
    assert now.height == events.height, "all details are there"
    # Of those who are alone, at most one in k is right; and of nobody is it more often than chance
    # would have it, once among millions.
    assert now.filter(candidates=1)["right"].mean() / times <= 1 / RULE.k
    assert now["right"].max() <= times / RULE.k + 6 * (times * 0.2 * 0.8) ** 0.5


@given(rows)
@settings(max_examples=soak.times(10, 600))
def test_details_are_drawn_from_enough_people_with_the_same_result(given: list[Row]) -> None:
    """Counted by the attackers' own rule, with and without any one team. Everybody's details are
    somewhere, once, as far as they are published; and the result stays with the person."""
    found = shuffled(frame_of(given)).with_columns(analysts.RESULT)
    placed = found.filter(pl.col("lot").is_not_null())
    for _, lot in placed.group_by("lot"):
        assert lot.select(RESULT).n_unique() == 1
        # Who failed is known to have failed: a low score is no worse.
        known = lot.with_columns(
            status=pl.lit("known"),
            score_band=pl.when(pl.col("status") != "failed").then("score_band"),
        )
        assert analysts.holds_without_any_team(known)
        for name in ("status", "score_band", "tries"):
            assert sorted(lot[name]) == sorted(lot[f"drawn_{name}"])
    left = found.filter(pl.col("lot").is_null())
    assert left["drawn_tries"].null_count() == left["drawn_score_band"].null_count() == left.height
    same = pl.col("drawn_status").replace("waived", "completed") == pl.col("result")
    assert found.select(same.all()).item()


def test_a_lot_is_as_narrow_as_it_can_be() -> None:
    """Five who passed stay among themselves; one who failed in a course is with those who failed in
    others like it."""
    given = [
        *people(0, 8),
        *people(10, 8, region="US"),
        *people(20, 1, status="failed", score_band="low"),
        *people(30, 4, status="failed", score_band="low", course_code="SEC-2"),
        *people(40, 4, status="failed", score_band="unscored", course_code="GDP-1"),
    ]
    found = shuffled(frame_of(given))
    lots = {tuple(one["person"].sort()): lot for (lot,), one in found.group_by("lot")}
    sizes = sorted((len(one), lot is None) for one, lot in lots.items())
    # Nobody has a score in GDP-1: the four are in no lot with those who have, and too few.
    assert sizes == [(4, True), (5, False), (8, False), (8, False)]
    assert tuple(sorted(["p20", *(f"p{n}" for n in range(30, 34))])) in lots


def test_how_it_was_completed_is_shuffled_too_and_left_out_where_few_share_it() -> None:
    waived = shuffled(frame_of([*people(0, 9), *people(10, 1, status="waived")]))
    assert waived["lot"].n_unique() == 1
    assert waived.filter(drawn_status="waived").height == 1
    few = shuffled(frame_of([*people(0, 2), *people(10, 1, status="waived")]))
    assert few["drawn_status"].unique().to_list() == ["completed"]


def test_two_drawings_differ() -> None:
    given = frame_of([one | {"tries": n} for n, one in enumerate(people(0, 30))])
    one, other = (shuffled(given)["drawn_tries"].to_list() for _ in range(2))
    assert sorted(one) == sorted(other)
    assert one != other


@pytest.mark.parametrize(
    ("key", "of"),
    [
        # docs/analysts.md: how courses end, and whether people who try again pass.
        (["course_code", "period"], (pl.col("score_band") == "low")),
        (["course_code", "tries"], (pl.col("status") == "passed")),
        (["region", "course_code", "period"], (pl.col("score_band") == "low")),
    ],
)
def test_questions_about_details_are_answered_as_by_the_raw_rows(
    events: pl.DataFrame, key: list[str], of: pl.Expr
) -> None:
    """Within 5 points for groups of 50."""
    raw = events.group_by(key).agg(of.mean().alias("raw"), pl.len().alias("n"))
    raw = raw.filter(pl.col("n") >= 50)
    names = {f"drawn_{n}": n for n in shuffled_details.SHUFFLED}
    drawn = shuffled(events).drop(names.values()).rename(names)
    now = drawn.group_by(key).agg(of.mean().alias("now"))
    both = raw.join(now, on=key)
    assert both.height == raw.height > 0
    assert (both["now"] - both["raw"]).abs().max() <= 0.05


def test_a_raised_k_takes_the_details_that_too_few_share(published: Estate) -> None:
    """And nothing else, where the classes are large enough."""
    stand, layout = published.context, published.layout
    with engine(layout.work) as connection:

        def details(k: int) -> list[tuple[object, ...]]:
            rule = RULE.model_copy(update={"k": k})
            rules = stand.disclosure.model_copy(update={"classes": {"analytics_milestones": rule}})
            raised = replace(stand, disclosure=rules)
            history = row_history.stored(connection, raised, row_history.files(layout))
            return connection.sql(
                f"SELECT DISTINCT published_status, published_tries FROM {history} WHERE shown"
            ).fetchall()

        assert (None,) not in [one[1:] for one in details(5)]
        assert {one[1] for one in details(20)} == {None}
        assert {one[0] for one in details(20)} == {one[0] for one in details(5)}


def test_a_row_with_its_own_details_stops_the_run(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lots that claim more people than they have: the run counts them anew."""
    days = {"Completed_Date": "2026-09-30"}
    write_delivery(
        estate.delivery(),
        [record(p, Status="Failed" if p == 3 else "Completed", **days) for p in range(12)],
    )
    strict = shuffled_details.shuffle

    def careless(connection: duckdb.DuckDBPyConnection, rows: Sql, rule: ClassRule) -> Sql:
        weak = rule.model_copy(update={"k": 1, "minimum_not_adverse": 0})
        own = strict(connection, rows, weak)
        connection.execute(f"UPDATE {own} SET lot_people = 99, lot_not_adverse = 99")
        return own

    monkeypatch.setattr("pipeline.published.shuffled_details.shuffle", careless)
    result = estate.run()
    assert not result.success
    assert [one for one in failed_checks(result) if "analytics" in one] == failed_checks(result)
    assert not estate.layout.current.exists()

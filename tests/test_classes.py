"""Rows that are told of people: every class of equal quasi-identifiers has k of them."""

from __future__ import annotations

import duckdb
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycanon import anonymity

from pipeline.errors import PolicyError
from pipeline.policy.data_map import load_data_map
from pipeline.policy.disclosure import ClassRule, Generalization, load_disclosure, require_matching
from pipeline.published import equivalence_classes
from pipeline.storage.layout import PROJECT
from pipeline.storage.sql import Sql
from tests import soak
from tests.company import record, write_drop
from tests.conftest import Estate, failed_checks

RULES = load_disclosure(PROJECT / "disclosure_rules.yaml")
RULE = RULES.classes["analytics_milestones"]

row = st.fixed_dictionaries(
    {
        "learner_ref": st.integers(0, 25).map(lambda n: f"p{n}"),
        "record_type": st.sampled_from(["milestone_flag", "communications_log"]),
        "source": st.just("lms"),
        "region": st.sampled_from(["EU", "US", None]),
        "department": st.sampled_from(["Sales", "Legal", None]),
        "course_code": st.sampled_from(["SEC-101", "SEC-2", "GDP-1", "SQL-220"]),
        "event_month": st.sampled_from(
            ["2026-01-01", "2026-02-01", "2026-09-01", "2025-02-01", None]
        ),
        "status": st.sampled_from(["completed", "failed", None]),
        "score_band": st.sampled_from(["low", "high", "unscored"]),
    }
)
COLUMNS = load_data_map(PROJECT / "data_map.yaml").published["analytics_milestones"].columns
SHAPE = dict.fromkeys(
    (*equivalence_classes.QUASI_IDENTIFIERS, *equivalence_classes.OUTSIDE), pl.String
)
rows = st.lists(row, min_size=1, max_size=150)


def told(
    connection: duckdb.DuckDBPyConnection,
    given: list[dict[str, str | None]],
    columns: tuple[str, ...] = COLUMNS,
) -> pd.DataFrame:
    """Make the table that analysts would get of some rows, as `told` and as a frame."""
    shape = dict.fromkeys((*SHAPE, *columns[len(COLUMNS) :]), pl.String)
    frame = pl.DataFrame(given, shape).with_columns(pl.col("event_month").str.to_date())
    connection.register("given", frame)
    connection.execute("CREATE OR REPLACE TEMP TABLE brought AS FROM given")
    brought = Sql("brought")
    chosen = equivalence_classes.choose_generalization(connection, brought, RULES, RULE, columns)
    generalized = equivalence_classes.generalized_sql(brought, chosen, columns)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE told AS {generalized}")
    return connection.sql("FROM told").df()


@given(rows)
@settings(max_examples=soak.times(25, 1_000))
def test_every_class_has_k_people(given: list[dict[str, str | None]]) -> None:
    with duckdb.connect() as connection:
        frame = told(connection, given)
        assert equivalence_classes.too_small(connection, Sql("told"), RULE, COLUMNS) == 0
        query = equivalence_classes.suppressed_sql(Sql("brought"), Sql("told"))
        withheld = connection.sql(query).fetchall()
    assert len(frame) + withheld[0][0] == len(given)
    # Any subset of the quasi-identifiers is a union of classes: attack them all by hand.
    for name in ("region", "department", "course_code", "event_period"):
        for _, found in frame.groupby([name, "detail"], dropna=False):
            assert found["learner_ref"].nunique() >= RULE.k


@given(rows)
@settings(max_examples=soak.times(12, 400))
def test_pycanon_finds_the_same_k(given: list[dict[str, str | None]]) -> None:
    """pycanon counts rows: with one row a person and class, rows are people."""
    with duckdb.connect() as connection:
        frame = told(connection, given)
    key = list(equivalence_classes.GENERALIZED)
    once = frame[[*key, "learner_ref"]].astype(object).fillna("-").drop_duplicates()
    if len(once):
        least = once.groupby(key)["learner_ref"].nunique().min()
        assert anonymity.k_anonymity(once, key) == least >= RULE.k


def test_the_same_rows_untreated_give_people_away() -> None:
    frame = pl.DataFrame(
        [
            {
                "learner_ref": f"p{n}",
                "record_type": "milestone_flag",
                "source": "lms",
                "region": "EU",
                "department": "Sales",
                "course_code": "SEC-101" if n else "SQL-220",
                "event_month": "2026-01-01",
                "status": "completed",
                "score_band": "high",
            }
            for n in range(12)
        ]
    )
    with duckdb.connect() as connection:
        connection.register("frame", frame)
        connection.execute(
            "CREATE TEMP TABLE plain AS SELECT *, 'x' AS category, event_month AS event_period, "
            "'full' AS detail FROM frame"
        )
        assert equivalence_classes.too_small(connection, Sql("plain"), RULE, COLUMNS) == 1
    assert anonymity.k_anonymity(frame.to_pandas(), ["department", "course_code"]) == 1


def people(first: int, count: int, **changes: str | None) -> list[dict[str, str | None]]:
    base: dict[str, str | None] = {
        "record_type": "milestone_flag",
        "source": "lms",
        "region": "EU",
        "department": "Sales",
        "course_code": "SEC-101",
        "event_month": "2026-01-01",
        "status": "completed",
        "score_band": "high",
    }
    return [base | changes | {"learner_ref": f"p{n}"} for n in range(first, first + count)]


def test_a_row_loses_only_what_its_own_class_must() -> None:
    given = [
        *people(0, 6),  # enough as they are
        *people(10, 3, event_month="2026-02-01"),
        *people(20, 2, event_month="2026-03-01"),
        *people(30, 4, course_code="GDP-1"),
        *people(40, 1, course_code="LAW-2"),
        *people(50, 3, record_type="communications_log"),  # never enough
    ]
    with duckdb.connect() as connection:
        frame = told(connection, given)
    assert frame.groupby("detail").size().to_dict() == {"full": 6, "quarter": 5, "category": 5}
    quarter = frame[frame["detail"] == "quarter"]
    assert set(quarter["course_code"]) == {"SEC-101"}
    assert {str(day)[:10] for day in quarter["event_period"]} == {"2026-01-01"}
    category = frame[frame["detail"] == "category"]
    assert set(category["category"]) == {"compliance"}
    assert category["course_code"].isna().all()


def test_a_class_of_failures_is_not_told_as_one() -> None:
    with duckdb.connect() as connection:
        frame = told(connection, [*people(0, 6, status="failed"), *people(6, 1)])
        assert frame.empty
        # Two of others, and nobody knows of anyone.
        frame = told(connection, [*people(0, 6, status="failed"), *people(6, 2)])
        assert len(frame) == 8


def test_a_column_that_is_added_distinguishes_classes() -> None:
    """Whatever its own rule says, it could single people out in a class that ignored it."""
    given = [*people(0, 6, site="north"), *people(10, 6, site="south"), *people(20, 1, site="own")]
    with duckdb.connect() as connection:
        frame = told(connection, given, (*COLUMNS, "site"))
        assert frame.groupby("site").size().to_dict() == {"north": 6, "south": 6}
        # Merged by hand, so that whoever is alone in "own" is released: the check counts them.
        connection.register("given", pl.DataFrame(given).drop("event_month"))
        connection.execute(
            "CREATE TEMP TABLE plain AS SELECT *, 'x' AS category, NULL::DATE AS event_period, "
            "'full' AS detail FROM given"
        )
        plain = Sql("plain")
        assert equivalence_classes.too_small(connection, plain, RULE, COLUMNS) == 0
        assert equivalence_classes.too_small(connection, plain, RULE, (*COLUMNS, "site")) == 1


@given(rows, st.lists(row, max_size=40))
@settings(max_examples=soak.times(12, 400))
def test_of_two_nights_the_finer_telling_implies_the_coarser(
    given: list[dict[str, str | None]], later: list[dict[str, str | None]]
) -> None:
    """A row is a point on one chain each night, so both together are no more than the finer."""
    order = [equivalence_classes.FULL, *RULE.generalize]
    names = ("region", "department", "category", "course_code", "event_period")
    with duckdb.connect() as connection:
        for night, table in ((given, "first"), (given + later, "second")):
            told(connection, night)
            connection.execute(f"CREATE TEMP TABLE {table} AS FROM chosen_generalization")
        same = " AND ".join(
            f"a.{name} IS NOT DISTINCT FROM b.{name}"
            for name in equivalence_classes.QUASI_IDENTIFIERS
        )
        both = [
            connection.sql(f"SELECT {side}.* FROM first a JOIN second b ON {same} ORDER BY hash(a)")
            .pl()
            .to_dicts()
            for side in ("a", "b")
        ]
    for pair in zip(*both, strict=True):
        fine, coarse = sorted(pair, key=lambda one: order.index(one["generalized_detail"]))
        for name in names:
            had, left = fine[f"generalized_{name}"], coarse[f"generalized_{name}"]
            # A quarter begins no later than its months.
            assert left is None or left == had or (name == "event_period" and left <= had)


def test_loss_grows_with_every_step() -> None:
    losses = list(equivalence_classes.loss_of(RULE).values())
    assert losses == sorted(losses)
    assert losses[0] == 0
    assert losses[-1] == 1


def test_a_chain_out_of_order_is_refused() -> None:
    for wrong in (["year", "quarter"], ["course", "category"], ["year", "year"]):
        with pytest.raises(ValueError, match=r"order|twice"):
            ClassRule(
                k=5,
                minimum_not_adverse=2,
                generalize=tuple(map(Generalization, wrong)),
                owner="x",
                reason="y",
            )


def test_a_class_too_small_fails_the_run_and_is_not_published(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_drop(estate.drop(), [record(p) for p in range(7)] + [record(7, Course_Code="SQL-220")])
    strict = equivalence_classes.choose_generalization
    monkeypatch.setattr(
        "pipeline.published.equivalence_classes.choose_generalization",
        lambda connection, rows, rules, rule, columns: strict(
            connection,
            rows,
            rules,
            rule.model_copy(update={"k": 1, "minimum_not_adverse": 0}),
            columns,
        ),
    )
    result = estate.run()
    assert not result.success
    assert [one for one in failed_checks(result) if "analytics" in one] == failed_checks(result)
    assert failed_checks(result)
    assert not estate.layout.current.exists()


def test_a_row_lost_on_the_way_to_the_analysts_does_not_reconcile(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_drop(estate.drop(), [record(p) for p in range(7)])
    whole = equivalence_classes.generalized_sql
    monkeypatch.setattr(
        "pipeline.published.equivalence_classes.generalized_sql",
        lambda *arguments: Sql(
            f"SELECT * FROM ({whole(*arguments)}) UNION ALL (FROM ({whole(*arguments)}) LIMIT 1)"
        ),
    )
    result = estate.run()
    assert not result.success
    assert not estate.layout.current.exists()


def test_policy_without_a_rule_for_the_analysts_table_stops_the_run() -> None:
    bare = RULES.model_copy(update={"classes": {}})
    with pytest.raises(PolicyError, match="analytics_milestones"):
        require_matching(bare, load_data_map(PROJECT / "data_map.yaml"))

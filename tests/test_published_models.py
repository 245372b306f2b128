"""The .sql models of the published tables: what they compute, and what sqlglot reads of them."""

from __future__ import annotations

import datetime as dt

import duckdb
import polars as pl
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.policy.data_map import load_data_map
from pipeline.policy.disclosure import load_disclosure
from pipeline.published import coaching, models
from pipeline.storage.layout import PROJECT
from pipeline.storage.sql import Sql

MAP = load_data_map(PROJECT / "data_map.yaml")
RULES = load_disclosure(PROJECT / "disclosure_rules.yaml")
row = st.fixed_dictionaries(
    {
        "learner_ref": st.integers(0, 8).map(lambda n: f"p{n}"),
        "team_ref": st.sampled_from(["t1", "t2", "t3", None]),
        "department": st.sampled_from(["Sales", "Legal", None]),
        "course_code": st.sampled_from(["SEC-101", "SEC-2", "SQL-220"]),
        "period": st.sampled_from(["2026-01-01", "2026-02-01", "2026-03-01", None]),
        "complete": st.booleans(),
        "on_time": st.sampled_from([True, False, None]),
        "days": st.sampled_from([0.5, 3.0, 10.25, None]),
        "score_band": st.sampled_from(coaching.BANDS),
    }
)
SHAPE: dict[str, pl.DataType | type[pl.DataType]] = {
    **dict.fromkeys(("learner_ref", "team_ref", "department", "course_code", "period"), pl.String),
    "complete": pl.Boolean,
    "on_time": pl.Boolean,
    "days": pl.Float64,
    "score_band": pl.String,
}


def by_name(table: str, where: str) -> str:
    """SQL: a coaching table's figures without any number in between."""
    key = ", ".join(("period", *coaching.CELL[table]))
    bands = "".join(
        f", count(*) FILTER (score_band = '{band}') / count(*) AS share_{band}"
        for band in (coaching.BANDS if table in coaching.WITH_BANDS else ())
    )
    return f"""
    SELECT {key}, count(DISTINCT learner_ref) AS learners, count(*) AS records,
      avg(complete::INT) AS completion_rate, avg(on_time::INT) AS on_time_rate,
      round(median(days)) AS median_days{bands}
    FROM (SELECT *, {RULES.category_sql("course_code")} AS category FROM given
          WHERE period IS NOT NULL AND {where}) GROUP BY ALL ORDER BY ALL"""


@given(st.lists(row, max_size=60))
@settings(max_examples=40, deadline=None)
def test_coaching_figures_are_those_of_the_named_rows(given: list[dict[str, object]]) -> None:
    frame = pl.DataFrame(given, SHAPE).with_columns(pl.col("period").str.to_date())
    january, february = dt.date(2026, 1, 1), dt.date(2026, 2, 1)
    with duckdb.connect() as connection:
        connection.register("given", frame)
        rows = coaching.make_rows(connection, Sql("given"), RULES, [february, january])
        assert rows.periods == (january, february)
        # Every cell of January is chosen, with all measures, and none of February.
        flags = ", ".join(f"true AS {measure}" for measure in coaching.COLUMNS)
        chosen = {}
        for table, key in coaching.KEY.items():
            chosen[table] = Sql(f"{table}_some")
            connection.execute(
                f"CREATE TEMP TABLE {chosen[table]} AS SELECT DISTINCT "
                f"{', '.join(('period', *key))}, {flags} FROM {rows.rows} "
                f"WHERE period = DATE '{january}'"
            )
        figures = coaching.make_figures(connection, rows, chosen)
        for table in coaching.CELL:
            plain = connection.sql(by_name(table, f"period = DATE '{january}'"))
            named = coaching.named_sql(table, rows, figures[table])
            found = connection.sql(f"SELECT {', '.join(plain.columns)} FROM ({named}) ORDER BY ALL")
            assert found.fetchall() == plain.fetchall(), table


@pytest.mark.parametrize("table", MAP.published)
def test_sqlglot_reads_the_queries_of_every_table(table: str) -> None:
    chain = models.lineage_models(MAP, RULES, table)
    assert list(chain)[-1] == table
    for name, query in chain.items():
        assert sqlglot.parse_one(query, read="duckdb").named_selects, name
    last = sqlglot.parse_one(chain[table], read="duckdb")
    assert tuple(last.named_selects) == MAP.published[table].columns


def test_published_columns_are_made_of_pseudonymized_ones() -> None:
    def made_from(table: str) -> dict[str, set[str]]:
        found = models.columns(MAP, RULES, table)
        return {name: {o.column for o in one.made_from} for name, one in found.items()}

    team = made_from("coaching_team")
    assert team["team_ref"] == {"team_ref"}
    assert team["learners"] == team["records"] == {"learner_ref"}
    assert team["completion_rate"] == {"complete"}
    rows = made_from("analytics_milestones")
    assert rows["category"] == {"course_code"}
    assert rows["period"] == {"period"}
    assert rows["tries"] == {"learner_ref"}
    assert rows["detail"] == {"course_code", "department", "region"}
    for table, spec in MAP.published.items():
        assert tuple(made_from(table)) == spec.columns
        assert all(made_from(table).values()), table

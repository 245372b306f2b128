"""Coaching figures are those that SQL over the named rows gives, of the chosen cells only."""

from __future__ import annotations

import duckdb
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.policy.disclosure import load_disclosure
from pipeline.published import coaching
from pipeline.storage.layout import PROJECT
from tests import soak

RULES = load_disclosure(PROJECT / "disclosure_rules.yaml")
row = st.fixed_dictionaries({
    "learner_ref": st.integers(0, 8).map(lambda n: f"p{n}"),
    "team_ref": st.sampled_from(["t1", "t2", "t3", None]),
    "department": st.sampled_from(["Sales", "Legal", None]),
    "course_code": st.sampled_from(["SEC-101", "SEC-2", "SQL-220"]),
    "period": st.sampled_from(["2026-01-01", "2026-02-01", "2026-03-01", None]),
    "complete": st.booleans(),
    "on_time": st.sampled_from([True, False, None]),
    "days": st.sampled_from([0.5, 3.0, 10.25, None]),
    "score_band": st.sampled_from(coaching.BANDS),
})  # fmt: skip
SHAPE: dict[str, pl.DataType | type[pl.DataType]] = {
    **dict.fromkeys(("learner_ref", "team_ref", "department", "course_code", "period"), pl.String),
    "complete": pl.Boolean, "on_time": pl.Boolean, "days": pl.Float64, "score_band": pl.String,
}  # fmt: skip


def by_name(table: str, where: str) -> str:
    """SQL: the same figures without any number in between."""
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
@settings(max_examples=soak.times(15, 400))
def test_figures_are_those_of_the_named_rows(given: list[dict[str, object]]) -> None:
    frame = pl.DataFrame(given, SHAPE).with_columns(pl.col("period").str.to_date())
    # Of January everything is chosen, of February nothing, and March is not to be told at all.
    told, chosen = "{period} < DATE '2026-03-01'", "period = DATE '2026-01-01'"
    with duckdb.connect() as connection:
        connection.register("given", frame)
        coaching.make_rows(connection, "given", RULES, told)
        assert set(coaching.periods(connection)) == {
            day for day in frame["period"] if day is not None and day.month < 3
        }
        for table, key in coaching.KEY.items():
            connection.execute(
                f"CREATE TEMP TABLE chosen_{table} AS SELECT DISTINCT "
                f"{', '.join(('period', *key))} FROM coaching_row WHERE {chosen}"
            )
        coaching.make_figures(connection, coaching.CELL)
        for table, cell in coaching.CELL.items():
            plain = connection.sql(by_name(table, chosen))
            names = ", ".join(plain.columns)
            named = f"SELECT {names} FROM ({coaching.named_sql(table)}) ORDER BY ALL"
            assert connection.sql(named).fetchall() == plain.fetchall(), (table, cell)

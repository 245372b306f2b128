"""The Great Expectations suite over counts, and its result."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from expectations.evidence import Evidence

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class SuiteResult:
    """What a suite found: counts by rule name, never a value.

    Attributes:
        suite: name of the boundary or table.
        expected: how many rules were declared.
        broken: rules that do not hold, with the number of rows (or columns, or groups) that break
            them.
        details: what breaks them, by source, file and line, in words without a value.
        missing: rules without a count, and counts without a rule.
    """

    suite: str
    expected: int
    broken: dict[str, int]
    missing: list[str]
    details: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.broken and not self.missing


def _load() -> None:
    """Import Great Expectations, which takes seconds."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    import great_expectations  # noqa: F401


@cache
def preload() -> Future[None]:
    """Load Great Expectations in a thread, while the first steps of a run are busy in DuckDB.

    Returns:
        What ends when it is loaded; `judge` waits for it, and raises what went wrong in it.
    """
    loader = ThreadPoolExecutor(1, "great-expectations")
    loading = loader.submit(_load)
    loader.shutdown(wait=False)
    return loading


def judge(suite: str, declared: Iterable[str], evidence: Evidence) -> SuiteResult:
    """Validate counts with Great Expectations: every declared rule has one, and it is zero.

    Deny by default: a count that is missing (the table lacked the column) fails the suite, and
    so does a count that nobody declared.
    """
    # Loaded here: only checks need it.
    import polars as pl

    rules = list(declared)
    # One row a rule: the number of expectations, and with it the time, does not grow with them.
    counts = pl.DataFrame(
        {"rule": list(evidence), "count": list(evidence.values())},
        schema={"rule": pl.String, "count": pl.Int64},
    )
    failed = _failed_columns(suite, rules, counts)
    return SuiteResult(
        suite,
        expected=len(rules),
        broken={name: n for name, n in evidence.items() if n} if "count" in failed else {},
        missing=sorted(set(rules) ^ set(evidence)) if "rule" in failed else [],
    )


def _failed_columns(suite: str, rules: list[str], counts: pl.DataFrame) -> set[str]:
    """Which columns of the counts fail: `rule` (one is missing or undeclared), `count` (not 0)."""
    # Imported here: only checks need it.
    preload().result()
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.core.expect_column_distinct_values_to_equal_set import (
        ExpectColumnDistinctValuesToEqualSet,
    )
    from great_expectations.expectations.core.expect_column_values_to_be_between import (
        ExpectColumnValuesToBeBetween,
    )

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        context.data_sources.add_pandas("evidence")
        .add_dataframe_asset(suite)
        .add_batch_definition_whole_dataframe(suite)
        # Great Expectations takes no Polars frame; this one has a row a rule.
        .get_batch({"dataframe": counts.to_pandas()})
    )
    result = batch.validate(
        gx.ExpectationSuite(
            name=suite,
            expectations=[
                ExpectColumnDistinctValuesToEqualSet(column="rule", value_set=rules),
                ExpectColumnValuesToBeBetween(column="count", min_value=0, max_value=0),
            ],
        ),
        result_format="BOOLEAN_ONLY",
    )
    return {
        outcome.expectation_config.kwargs["column"]
        for outcome in result.results
        if outcome.expectation_config is not None and not outcome.success
    }

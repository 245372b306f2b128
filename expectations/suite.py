"""The suites themselves, and their judgement."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from expectations.evidence import Evidence


@dataclass(frozen=True)
class Verdict:
    """What a suite said: counts by rule name, never a value."""

    suite: str
    expected: int
    broken: dict[str, int]
    missing: list[str]

    @property
    def passed(self) -> bool:
        return not self.broken and not self.missing


def _load() -> None:
    """Import Great Expectations, which takes seconds."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    import pandas  # noqa: F401


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


def judge(suite: str, declared: list[str], evidence: Evidence) -> Verdict:
    """Validate evidence with Great Expectations: every declared count is there and is nought.

    Deny by default: a count that is missing (the table lacked the column) fails the suite, and
    so does a count that nobody declared.
    """
    # Imported here: only checks need it.
    preload().result()
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.core.expect_column_distinct_values_to_equal_set import (
        ExpectColumnDistinctValuesToEqualSet,
    )
    from great_expectations.expectations.core.expect_column_values_to_be_between import (
        ExpectColumnValuesToBeBetween,
    )

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    # One row a rule: the number of expectations, and with it the time, does not grow with them.
    frame = pd.DataFrame({"rule": list(evidence), "count": list(evidence.values())})
    batch = (
        context.data_sources.add_pandas("evidence")
        .add_dataframe_asset(suite)
        .add_batch_definition_whole_dataframe(suite)
        .get_batch({"dataframe": frame})
    )
    every = ExpectColumnDistinctValuesToEqualSet(column="rule", value_set=declared)
    nought = ExpectColumnValuesToBeBetween(column="count", min_value=0, max_value=0)
    result = batch.validate(
        gx.ExpectationSuite(name=suite, expectations=[every, nought]), result_format="BOOLEAN_ONLY"
    )
    failed = {
        outcome.expectation_config.kwargs["column"]
        for outcome in result.results
        if outcome.expectation_config is not None and not outcome.success
    }
    return Verdict(
        suite,
        expected=len(declared),
        broken={n: c for n, c in evidence.items() if c} if "count" in failed else {},
        missing=sorted(set(declared) ^ set(evidence)) if "rule" in failed else [],
    )

"""The suites themselves, and their judgement."""

from __future__ import annotations

import os
from dataclasses import dataclass

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


def judge(suite: str, declared: list[str], evidence: Evidence) -> Verdict:
    """Validate evidence with Great Expectations: every declared count is there and is nought.

    Deny by default: a count that is missing (the table lacked the column) fails the suite, and
    so does a count that nobody declared.
    """
    # Imported here: Great Expectations takes seconds to load and only checks need it.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.core.expect_column_values_to_be_between import (
        ExpectColumnValuesToBeBetween,
    )
    from great_expectations.expectations.core.expect_table_columns_to_match_set import (
        ExpectTableColumnsToMatchSet,
    )
    from great_expectations.expectations.expectation import Expectation

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    frame = pd.DataFrame([evidence])
    batch = (
        context.data_sources.add_pandas("evidence")
        .add_dataframe_asset(suite)
        .add_batch_definition_whole_dataframe(suite)
        .get_batch({"dataframe": frame})
    )
    rules: list[Expectation] = [ExpectTableColumnsToMatchSet(column_set=declared, exact_match=True)]
    rules += [
        ExpectColumnValuesToBeBetween(column=name, min_value=0, max_value=0)
        for name in declared
        if name in evidence
    ]
    result = batch.validate(
        gx.ExpectationSuite(name=suite, expectations=rules), result_format="BOOLEAN_ONLY"
    )
    failed = {
        outcome.expectation_config.kwargs.get("column")
        for outcome in result.results
        if outcome.expectation_config is not None and not outcome.success
    }
    return Verdict(
        suite,
        expected=len(rules),
        broken={name: int(evidence[name]) for name in declared if name in failed},
        missing=sorted(set(declared) ^ set(evidence)) if None in failed else [],
    )

"""Blocking asset checks at every boundary. A failed one stops the run before the gate."""

import dagster as dg

from assets import lineage
from assets.common import DATA_MAP, run_date
from assets.resources import Store
from expectations import canonical, classified, pseudonymized, published
from expectations.suite import SuiteResult
from pipeline.policy.fields import Audience

Context = dg.AssetCheckExecutionContext


def as_check_result(found: SuiteResult) -> dg.AssetCheckResult:
    """A suite's result as Dagster shows it: rules and counts."""
    return dg.AssetCheckResult(
        passed=found.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description="every rule held"
        if found.passed
        else "broken: " + ", ".join([*found.broken, *found.missing]),
        metadata={
            "suite": found.suite,
            "expectations": found.expected,
            "broken_rules": found.broken,
            "missing_evidence": found.missing,
        },
    )


@dg.asset_check(asset=lineage.CANONICAL, blocking=True)
def canonical_schema(context: Context, store: Store) -> dg.AssetCheckResult:
    """The delivery's rows keep to the canonical schema, vocabularies and scales."""
    return as_check_result(canonical.validate(store.layout, store.data_map, run_date(context)))


@dg.asset_check(asset=lineage.CLASSIFIED, blocking=True)
def everything_classified(store: Store) -> dg.AssetCheckResult:
    """Every row has a person, and every sensitive course is tagged."""
    return as_check_result(classified.validate(store.layout, store.data_map))


def _no_identifier(audience: Audience) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=lineage.pseudonymized_key(audience),
        name="no_identifier",
        blocking=True,
        description=f"Only the columns, pseudonyms and courses that {audience.value} may see.",
    )
    def check(store: Store) -> dg.AssetCheckResult:
        return as_check_result(pseudonymized.validate(store.layout, store.data_map, audience))

    return check


def _no_leak(table: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=lineage.published_key(table),
        name="no_leak",
        blocking=True,
        description="Every value lies in its domain, no identifier from the reference values, no "
        "unlisted column, no group below its minimum. Only a table that passes can be released.",
    )
    def check(context: Context, store: Store) -> dg.AssetCheckResult:
        return as_check_result(
            published.validate_and_seal(store.context, str(run_date(context)), table)
        )

    return check


checks = [
    canonical_schema,
    everything_classified,
    *(_no_identifier(audience) for audience in Audience),
    *(_no_leak(table) for table in DATA_MAP.published),
]

"""Blocking asset checks at every boundary. A failed one stops the run before the gate."""

import datetime as dt
from collections.abc import Callable

import dagster as dg

from assets import lineage
from assets.common import DATA_MAP, run_date
from assets.resources import Store
from expectations import boundaries
from expectations.suite import Verdict
from pipeline.policy.fields import Audience


def result(verdict: Verdict) -> dg.AssetCheckResult:
    """A verdict as Dagster shows it: rules and counts."""
    return dg.AssetCheckResult(
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description="every rule held"
        if verdict.passed
        else "broken: " + ", ".join([*verdict.broken, *verdict.missing]),
        metadata={
            "suite": verdict.suite,
            "expectations": verdict.expected,
            "broken_rules": verdict.broken,
            "missing_evidence": verdict.missing,
        },
    )


def _check(
    asset: dg.AssetKey, name: str, judge: Callable[[Store, str], Verdict], about: str
) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset, name=name, blocking=True, description=about)
    def check(context: dg.AssetCheckExecutionContext, store: Store) -> dg.AssetCheckResult:
        return result(judge(store, str(run_date(context))))

    return check


def _sealing(table: str) -> Callable[[Store, str], Verdict]:
    return lambda store, partition: boundaries.sealed(store.context, partition, table)


def _purpose(audience: Audience) -> Callable[[Store, str], Verdict]:
    return lambda store, _: boundaries.pseudonymized(store.layout, store.data_map, audience)


checks = [
    _check(
        lineage.CANONICAL,
        "canonical_schema",
        lambda store, run_date: boundaries.canonical(
            store.layout, store.data_map, dt.date.fromisoformat(run_date)
        ),
        "The drop's rows keep to the canonical schema, vocabularies and scales.",
    ),
    _check(
        lineage.CLASSIFIED,
        "everything_classified",
        lambda store, _: boundaries.classified(store.layout, store.data_map),
        "Every row has a person, every sensitive course is tagged.",
    ),
    *(
        _check(
            lineage.pseudonymized_key(audience),
            "no_identifier",
            _purpose(audience),
            f"Only the columns, pseudonyms and courses that {audience.value} may see.",
        )
        for audience in Audience
    ),
    *(
        _check(
            lineage.published_key(table),
            "no_leak",
            _sealing(table),
            "Every value in its closed domain, no known identifier, no unlisted column, k people.",
        )
        for table in DATA_MAP.published
    ),
]

"""Blocking asset checks at every boundary. A failed one stops the run before the gate, and refuses
the deliveries that the run was for."""

import datetime as dt
from collections.abc import Iterable, Iterator

import dagster as dg

from assets import lineage
from assets.common import DATA_MAP, run_date, run_of
from assets.resources import Store
from expectations import canonical, classified, losses, pseudonymized, published
from expectations.suite import SuiteResult
from pipeline.policy.fields import Audience
from pipeline.raw import register

Context = dg.AssetCheckExecutionContext


def as_check_result(found: SuiteResult, asset: dg.AssetKey | None = None) -> dg.AssetCheckResult:
    """A suite's result as Dagster shows it: rules and counts.

    Args:
        asset: what was checked, where a step checks several.
    """
    return dg.AssetCheckResult(
        asset_key=asset,
        passed=found.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(
            ["broken: " + ", ".join([*found.broken, *found.missing]), *found.details]
        )
        if not found.passed
        else "every rule held",
        metadata={
            "suite": found.suite,
            "expectations": found.expected,
            "broken_rules": found.broken,
            "missing_evidence": found.missing,
        },
    )


def _refuse_broken(
    context: Context,
    store: Store,
    found: Iterable[SuiteResult],
    days: Iterable[dt.date] | None = None,
) -> None:
    """The deliveries of the run, or those named, are refused by a suite that does not pass."""
    reasons = []
    for one in found:
        if not one.passed:
            # The details can name files.
            rules = ", ".join(f"{rule} {n}" for rule, n in one.broken.items())
            reasons.append(f"{one.suite}: {', '.join([rules, *one.missing])}")
    if reasons:
        with store.layout.locked():
            mine = register.of_run(store.layout, run_of(context))
            chosen = mine if days is None else [day for day in days if day in mine]
            register.refuse(store.layout, chosen, "; ".join(reasons))


def _judged(
    context: Context, store: Store, found: SuiteResult, days: Iterable[dt.date] | None = None
) -> dg.AssetCheckResult:
    """The result for Dagster; deliveries are refused by it."""
    _refuse_broken(context, store, [found], days)
    return as_check_result(found)


@dg.asset_check(asset=lineage.CANONICAL, blocking=True)
def canonical_schema(context: Context, store: Store) -> dg.AssetCheckResult:
    """The delivery's rows keep to the canonical schema, vocabularies and scales, and few of them
    are lost."""
    delivery = run_date(context)
    found = canonical.validate(store.layout, store.data_map, delivery)
    absent = losses.absent(store.layout, store.data_map.deliveries, delivery)
    if found.passed:
        for one in absent:
            context.log.warning(one)
        with store.layout.locked():
            register.admit(store.layout, delivery, "; ".join(absent))
    result = _judged(context, store, found, [delivery])
    return result.with_metadata({**result.metadata, "absent_sources": absent})


@dg.asset_check(asset=lineage.CLASSIFIED, blocking=True)
def everything_classified(context: Context, store: Store) -> dg.AssetCheckResult:
    """Every row has a person, and every course that nobody decided to be ordinary is tagged."""
    return _judged(context, store, classified.validate(store.context))


def _no_identifier(audience: Audience) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=lineage.pseudonymized_key(audience),
        name="no_identifier",
        blocking=True,
        description=f"Only the columns, pseudonyms and courses that {audience.value} may see.",
    )
    def check(context: Context, store: Store) -> dg.AssetCheckResult:
        found = pseudonymized.validate(store.layout, store.data_map, audience)
        return _judged(context, store, found)

    return check


NO_LEAK = (
    "Every value lies in its domain, no identifier from the reference values, no unlisted column, "
    "no group below its minimum. Only a table that passes can be released."
)


def _no_leak(audience: Audience) -> dg.AssetChecksDefinition:
    """The checks of an audience's tables, in one step: they lie in one file, and what was published
    of them before is worked out once."""
    assets = {table: lineage.published_key(table) for table in DATA_MAP.with_dimensions(audience)}

    @dg.multi_asset_check(
        name=f"{audience.value}_no_leak",
        specs=[
            dg.AssetCheckSpec("no_leak", asset=asset, blocking=True, description=NO_LEAK)
            for asset in assets.values()
        ],
    )
    def check(context: Context, store: Store) -> Iterator[dg.AssetCheckResult]:
        found = published.validate_and_seal(store.context, str(run_date(context)), audience)
        _refuse_broken(context, store, found.values())
        for table, one in found.items():
            yield as_check_result(one, assets[table])

    return check


checks = [
    canonical_schema,
    everything_classified,
    *(_no_identifier(audience) for audience in Audience),
    *(_no_leak(audience) for audience in Audience),
]

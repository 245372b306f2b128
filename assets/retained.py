"""Retained: what is past retention, its erasure with a receipt, and the checks of both."""

import datetime as dt
from typing import Any

import dagster as dg

from assets import lineage
from assets.common import OWNERS, POOL, transient
from assets.resources import Store
from pipeline.policy.fields import Audience
from pipeline.requests.fulfil import conflicts
from pipeline.retained import clock, job, receipts
from pipeline.retained.dagster_storage import DagsterStorage
from pipeline.retained.past_retention import PlanItem
from pipeline.retained.plan import dry_run
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.subjects import request_register

# What a deletion deletes from. Dependencies only connect the graph: neither job selects the
# other's assets, so neither of them runs the other's.
DELETES_FROM = [
    lineage.CANONICAL,
    lineage.CLASSIFIED,
    *(lineage.pseudonymized_key(audience) for audience in Audience),
    lineage.RELEASE,
]
LOOKED_AT = 200  # materializations of erasures
PLAN_SCHEMA = dg.TableSchema(
    [
        dg.TableColumn("place", description="Store that the rows are in."),
        dg.TableColumn("what", description="What the rows are."),
        dg.TableColumn("rule", description="Rule of retention_rules.yaml."),
        dg.TableColumn("due", "int", description="Rows past retention."),
        dg.TableColumn("held", "int", description="Rows that a legal hold keeps."),
        dg.TableColumn("where", description="Files or tables that the rows are in."),
    ]
)
RECEIPT_SCHEMA = dg.TableSchema(
    [
        dg.TableColumn("place", description="Store that rows were erased from."),
        dg.TableColumn("before", "int", description="Rows before the erasure."),
        dg.TableColumn("after", "int", description="Rows after the erasure."),
        dg.TableColumn("erased", "int", description="Rows erased."),
    ]
)


def plan_table(lines: list[PlanItem]) -> dg.TableMetadataValue:
    """A plan as the UI shows it."""
    return dg.MetadataValue.table([dg.TableRecord(vars(line)) for line in lines], PLAN_SCHEMA)


@dg.asset(
    key=lineage.PLAN,
    group_name="retained",
    deps=[lineage.CLASSIFIED],
    owners=OWNERS,
    kinds={"duckdb"},
)
def deletion_plan(store: Store) -> dg.MaterializeResult[None]:
    """A dry run: what is past retention now, under which rule, and where it is."""
    store.require_loaded_policy()
    now = dt.datetime.now(dt.UTC)
    clock.require_sane(store.layout, now)
    store.require_valid_policy(now.date())
    lines = dry_run(store.context, now)
    return dg.MaterializeResult(
        metadata={
            "plan": plan_table(lines),
            "records_due": sum(line.due for line in lines if line.by_record),
            "records_held": sum(line.held for line in lines if line.by_record),
        }
    )


def _receipt_metadata(store: Store, receipt: dict[str, Any]) -> dict[str, Any]:
    """A receipt as the UI shows it; the receipt itself is in receipts/, and whether it is, the
    check `nothing_is_forged` says of what the UI shows."""
    path = receipts.path(store.layout, receipt["receipt"])
    sha256, chain = file_sha256(path), len(receipts.newest_first(store.layout))
    rows: dict[str, dict[str, int]] = receipt["rows"]
    return {
        "receipt": receipt["receipt"],
        "receipt_sha256": sha256,
        "verified": f"the receipt is stored, and {chain} receipts are a whole chain",
        "rules_sha256": receipt["rules_sha256"],
        "rows": dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {"place": place, **counts, "erased": counts["before"] - counts["after"]}
                )
                for place, counts in rows.items()
            ],
            RECEIPT_SCHEMA,
        ),
        "files_rewritten": len(receipt["files"]),
        "found_afterwards": receipt["found_afterwards"],
    }


@dg.asset(
    key=lineage.ERASURE,
    group_name="retained",
    deps=[lineage.PLAN, *DELETES_FROM],
    owners=OWNERS,
    kinds={"duckdb"},
    pool=POOL,
)
def erasure(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
    """Erases what is past retention, after checking holds and rules once more, and verifies it.

    Erasures that were interrupted are completed first. The run succeeds only if every store,
    searched again afterwards, holds nothing that is past retention. The receipt is in receipts/.
    """
    now = dt.datetime.now(dt.UTC)
    clock.require_sane(store.layout, now)
    store.require_valid_policy(now.date())
    with transient(context):
        done = job.retain(store.context, now, DagsterStorage(context.instance))
    set_aside = dg.MetadataValue.json(job.set_aside(store.layout))
    return dg.MaterializeResult(
        metadata={**_receipt_metadata(store, done[-1]), "set aside": set_aside}
    )


@dg.asset_check(asset=lineage.ERASURE, blocking=True)
def receipts_are_whole(store: Store) -> dg.AssetCheckResult:
    """No receipt was changed or removed: each one holds the hash of the one before it."""
    broken = receipts.broken(store.layout)
    return dg.AssetCheckResult(passed=not broken, metadata={"broken": broken})


def forged(instance: dg.DagsterInstance, layout: Layout) -> list[str]:
    """What Dagster shows and no run of ours made: the newest materializations that somebody
    reported by hand, and erasures without their receipt. Those of receipts past retention are not
    looked for."""
    keys = instance.get_asset_keys()
    latest = {key: instance.get_latest_materialization_event(key) for key in keys}
    by_hand = [key.to_user_string() for key, one in latest.items() if one and not one.run_id]
    known = {path.stem: file_sha256(path) for path in receipts.newest_first(layout)}
    oldest = min((receipts.read(layout, name)["completed_at"] for name in known), default="")
    made = instance.fetch_materializations(lineage.ERASURE, limit=LOOKED_AT).records
    at = {one.storage_id: dt.datetime.fromtimestamp(one.timestamp, dt.UTC) for one in made}
    return sorted(by_hand) + [
        f"erasure of {at[one.storage_id]:%Y-%m-%d %H:%M:%S} UTC"
        for one in made
        if at[one.storage_id].isoformat() >= oldest and not _has_receipt(one, known)
    ]


def _has_receipt(one: dg.EventLogRecord, known: dict[str, str]) -> bool:
    """Was it made by a run, and is its receipt stored as the materialization says? (Earlier ones
    do not say its hash.)"""
    found = one.asset_materialization.metadata if one.asset_materialization else {}
    name, sha256 = (
        str(found[key].value) if key in found else None for key in ("receipt", "receipt_sha256")
    )
    return bool(one.run_id) and name in known and sha256 in (None, known[name])


@dg.asset_check(asset=lineage.ERASURE)
def nothing_is_forged(context: dg.AssetCheckExecutionContext, store: Store) -> dg.AssetCheckResult:
    """Everything that the UI shows as made was made by a run, and every erasure has its receipt."""
    found = forged(context.instance, store.layout)
    return dg.AssetCheckResult(passed=not found, metadata={"unverified": found})


@dg.asset_check(asset=lineage.ERASURE)
def requests_are_answered_in_time(store: Store) -> dg.AssetCheckResult:
    """No request of a data subject is past its legal deadline (GDPR Art. 12(3))."""
    today = dt.datetime.now(dt.UTC).date()
    late = [one.name for one in request_register.every(store.layout) if one.overdue(today)]
    return dg.AssetCheckResult(
        passed=not late, severity=dg.AssetCheckSeverity.WARN, metadata={"overdue": late}
    )


@dg.asset_check(asset=lineage.ERASURE)
def nothing_is_set_aside(store: Store) -> dg.AssetCheckResult:
    """No erasure waits for somebody to mend what keeps it from being completed."""
    waiting = job.set_aside(store.layout)
    return dg.AssetCheckResult(
        passed=not waiting, severity=dg.AssetCheckSeverity.WARN, metadata={"set aside": waiting}
    )


@dg.asset_check(asset=lineage.ERASURE)
def rectifications_hold(store: Store) -> dg.AssetCheckResult:
    """No source contradicts what was corrected at a person's request (GDPR Art. 16)."""
    found = conflicts(store.context)
    return dg.AssetCheckResult(
        passed=not found, severity=dg.AssetCheckSeverity.WARN, metadata={"contradicted": found}
    )


checks = [
    nothing_is_forged,
    rectifications_hold,
    receipts_are_whole,
    requests_are_answered_in_time,
    nothing_is_set_aside,
]

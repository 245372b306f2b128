"""Retained and erased: the plan of a deletion, the deletion with its receipt, and their checks."""

import datetime as dt
from typing import Any

import dagster as dg

from assets import lineage
from assets.common import OWNERS, POOL, transient
from assets.resources import Store
from pipeline.retained import clock, job, receipts
from pipeline.retained.dagster_storage import DagsterStorage
from pipeline.retained.past_retention import PlanItem
from pipeline.subjects import request_register


def plan_table(lines: list[PlanItem]) -> dg.TableMetadataValue:
    """A plan as the UI shows it."""
    return dg.MetadataValue.table(
        [dg.TableRecord(vars(line)) for line in lines],
        schema=dg.TableSchema([
            dg.TableColumn("place"), dg.TableColumn("what"), dg.TableColumn("rule"),
            dg.TableColumn("due", "int"), dg.TableColumn("held", "int"), dg.TableColumn("where"),
        ]),
    )  # fmt: skip


@dg.asset(key=lineage.PLAN, group_name="retained", owners=OWNERS, kinds={"duckdb"})
def deletion_plan(store: Store) -> dg.MaterializeResult[None]:
    """A dry run: what is past its window now, by which rule, and where it lies."""
    now = dt.datetime.now(dt.UTC)
    clock.require_sane(store.layout, now)
    store.require_valid_policy(now.date())
    lines = job.dry_run(store.context, now)
    return dg.MaterializeResult(
        metadata={
            "plan": plan_table(lines),
            "records_due": sum(line.due for line in lines if line.by_record),
            "records_held": sum(line.held for line in lines if line.by_record),
        }
    )


def _told(receipt: dict[str, Any]) -> dict[str, Any]:
    rows: dict[str, dict[str, int]] = receipt["rows"]
    return {
        "receipt": receipt["receipt"],
        "rules_sha256": receipt["rules_sha256"],
        "rows": dg.MetadataValue.table(
            [
                dg.TableRecord({"place": place, **counts, "erased": counts["before"]
                                - counts["after"]})
                for place, counts in rows.items()
            ],
            schema=dg.TableSchema([
                dg.TableColumn("place"), dg.TableColumn("before", "int"),
                dg.TableColumn("after", "int"), dg.TableColumn("erased", "int"),
            ]),
        ),
        "files_rewritten": len(receipt["files"]),
        "found_afterwards": receipt["found_afterwards"],
    }  # fmt: skip


@dg.asset(
    key=lineage.ERASURE,
    group_name="retained",
    deps=[lineage.PLAN],
    owners=OWNERS,
    kinds={"duckdb"},
    pool=POOL,
)
def erasure(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
    """Erases what is past its window, after a last look at holds and rules, and proves it.

    Finishes erasures that were cut off before. Succeeds only when the stores themselves, asked
    afterwards, hold nothing that is due; the receipt lies in receipts/.
    """
    now = dt.datetime.now(dt.UTC)
    clock.require_sane(store.layout, now)
    store.require_valid_policy(now.date())
    with transient(context):
        done = job.retain(store.context, now, DagsterStorage(context.instance))
    return dg.MaterializeResult(metadata=_told(done[-1]))


@dg.asset_check(asset=lineage.ERASURE, blocking=True)
def receipts_are_whole(store: Store) -> dg.AssetCheckResult:
    """No receipt was changed or taken out: each names the hash of the one before."""
    broken = receipts.broken(store.layout)
    return dg.AssetCheckResult(passed=not broken, metadata={"broken": broken})


@dg.asset_check(asset=lineage.ERASURE)
def requests_are_answered_in_time(store: Store) -> dg.AssetCheckResult:
    """No request of a data subject is past its legal deadline (GDPR Art. 12(3))."""
    today = dt.datetime.now(dt.UTC).date()
    late = [one.name for one in request_register.every(store.layout) if one.overdue(today)]
    return dg.AssetCheckResult(
        passed=not late, severity=dg.AssetCheckSeverity.WARN, metadata={"overdue": late}
    )


checks = [receipts_are_whole, requests_are_answered_in_time]

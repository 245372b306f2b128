"""Classified: who it is, how sensitive the course is, which record is current."""

import datetime as dt

import dagster as dg

from assets import lineage
from assets.common import DATA_MAP, OWNERS, POOL, RUN_DATES
from assets.resources import Store
from pipeline.classified import population, reference_values
from pipeline.classified.steps import classify, list_reference_values
from pipeline.storage.engine import count, engine
from pipeline.storage.relations import classified
from pipeline.storage.schema import CLASSIFIED

LINEAGE = lineage.classified_lineage(DATA_MAP)


@dg.asset(
    key=lineage.CLASSIFIED,
    group_name="classified",
    deps=[lineage.CANONICAL],
    partitions_def=RUN_DATES,
    owners=OWNERS,
    kinds={"duckdb", "parquet"},
    tags={"personal_data": "raw"},
    pool=POOL,
    metadata={
        "dagster/column_schema": lineage.typed_schema(CLASSIFIED, LINEAGE),
        "dagster/column_lineage": LINEAGE,
    },
)
def classified_milestones(store: Store) -> dg.MaterializeResult[None]:
    """The current record of every enrolment, exam and message, over all deliveries so far.

    People are resolved through the roster, sensitive courses tagged, revisions superseded. The
    result depends on the set of deliveries only, so repeated and late ones change nothing else.
    """
    layout = store.layout
    classify(store.context, dt.datetime.now(dt.UTC))
    with engine(layout.work) as connection:
        population.load(connection, layout)
        ((people, rows),) = connection.sql(population.TOTAL).fetchall()
        sensitive = count(connection, f"SELECT count(sensitivity) FROM {classified(layout)}")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "people": people,
            "records_on_sensitive_courses": sensitive,
            "dagster/column_lineage": LINEAGE,
        }
    )


@dg.asset(
    key=lineage.REFERENCE_VALUES,
    group_name="classified",
    deps=[lineage.CLASSIFIED],
    partitions_def=RUN_DATES,
    owners=OWNERS,
    kinds={"duckdb"},
    tags={"personal_data": "raw"},
    pool=POOL,
)
def known_values(store: Store) -> dg.MaterializeResult[None]:
    """What the leak checks compare with: known courses, departments, and the deny-list.

    Lies in the vault, since the deny-list is made of raw identifiers.
    """
    layout = store.layout
    list_reference_values(store.context)
    with engine(layout.work) as connection:
        reference_values.attach(connection, layout)
        ((courses, sensitive, denied),) = connection.sql(
            "SELECT (SELECT count(*) FROM reference.course), (SELECT count(sensitivity) FROM "
            "reference.course), (SELECT count(*) FROM reference.denylist)"
        ).fetchall()
    return dg.MaterializeResult(
        metadata={"courses": courses, "sensitive_courses": sensitive, "deny_list": denied}
    )

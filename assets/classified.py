"""Classified: the person resolved, the course's sensitivity tagged, one current record each."""

import datetime as dt

import dagster as dg

from assets import lineage, schemas
from assets.common import DATA_MAP, OWNERS, POOL, RUN_DATES
from assets.resources import Store
from pipeline.classified import population
from pipeline.classified.reference_values import attach
from pipeline.classified.steps import classify, list_reference_values, refuse_returned
from pipeline.policy.data_map import UNKNOWN_REGION
from pipeline.storage.engine import engine
from pipeline.storage.relations import classified
from pipeline.storage.sql import literal

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
        "dagster/column_schema": schemas.classified(DATA_MAP),
        "dagster/column_lineage": LINEAGE,
    },
)
def milestones(store: Store) -> dg.MaterializeResult[None]:
    """The current record of every enrolment, exam and message, over all deliveries so far.

    People are resolved through the HR roster, sensitive courses are tagged, and the latest revision
    of each record supersedes the others. The result depends only on which deliveries there are, so
    a repeated or late delivery changes nothing else.
    """
    layout = store.layout
    refused = refuse_returned(store.context)
    classify(store.context, dt.datetime.now(dt.UTC))
    with engine(layout.work) as connection:
        population.load_people(connection, layout)
        ((people, rows),) = connection.execute(population.TOTAL).fetchall()
        ((sensitive, unreviewed, courses, unknown),) = connection.execute(
            "SELECT count(sensitivity) FILTER (reviewed), count(*) FILTER (NOT reviewed), "
            "count(DISTINCT course_code) FILTER (NOT reviewed), "
            f"count(*) FILTER (region = {literal(UNKNOWN_REGION)}) FROM {classified(layout)}"
        ).fetchall()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "people": people,
            "records_of_erased_people_refused": refused,
            "records_on_sensitive_courses": sensitive,
            "records_on_unreviewed_courses": unreviewed,
            "courses_to_review": courses,
            "records_of_unknown_country": unknown,
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
def reference_values(store: Store) -> dg.MaterializeResult[None]:
    """What the checks compare published values with: courses, titles, departments, and a denylist
    of people's names and identifiers.

    It is kept encrypted in the vault, since the denylist is made from raw identifiers.
    """
    layout = store.layout
    list_reference_values(store.context)
    with engine(layout.work) as connection:
        attach(connection, layout)
        ((courses, sensitive, entries),) = connection.execute(
            "SELECT (SELECT count(*) FROM reference.course), (SELECT count(sensitivity) FROM "
            "reference.course), (SELECT count(*) FROM reference.denylist)"
        ).fetchall()
    return dg.MaterializeResult(
        metadata={"courses": courses, "sensitive_courses": sensitive, "denylist_entries": entries}
    )

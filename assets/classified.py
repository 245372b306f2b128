"""Classified: who it is, how sensitive the course is, which record holds."""

import datetime as dt

import dagster as dg

from assets import lineage
from assets.common import NIGHTS, OWNERS, POOL
from assets.resources import Store
from pipeline.classified import population, reference_values
from pipeline.pseudonymized import steps
from pipeline.storage.engine import count, engine
from pipeline.storage.relations import CLASSIFIED, classified


@dg.asset(
    key=lineage.CLASSIFIED,
    group_name="classified",
    deps=[lineage.CANONICAL],
    partitions_def=NIGHTS,
    owners=OWNERS,
    kinds={"duckdb", "parquet"},
    tags={"personal_data": "raw"},
    pool=POOL,
    metadata={
        "dagster/column_schema": lineage.typed_schema(
            CLASSIFIED, lineage.classified_lineage(CLASSIFIED)
        ),
        "dagster/column_lineage": lineage.classified_lineage(CLASSIFIED),
    },
)
def classified_milestones(store: Store) -> dg.MaterializeResult[None]:
    """The record that holds of every enrolment, exam and message, over all drops so far.

    People are resolved through the roster, sensitive courses tagged, revisions superseded. The
    result depends on the set of drops only, so repeated and late drops change nothing else.
    """
    layout = store.layout
    steps.classify(store.ground, dt.datetime.now(dt.UTC))
    with engine(layout.work) as connection:
        population.load(connection, layout)
        ((people, rows),) = connection.sql(population.TOTAL).fetchall()
        sensitive = count(connection, f"SELECT count(sensitivity) FROM {classified(layout)}")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "people": people,
            "records_on_sensitive_courses": sensitive,
            "dagster/column_lineage": lineage.classified_lineage(CLASSIFIED),
        }
    )


@dg.asset(
    key=lineage.KNOWN,
    group_name="classified",
    deps=[lineage.CLASSIFIED],
    partitions_def=NIGHTS,
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
    steps.know(store.ground)
    with engine(layout.work) as connection:
        reference_values.attach(connection, layout)
        ((courses, sensitive, denied),) = connection.sql(
            "SELECT (SELECT count(*) FROM known.course), (SELECT count(sensitivity) FROM "
            "known.course), (SELECT count(*) FROM known.denied)"
        ).fetchall()
    return dg.MaterializeResult(
        metadata={"courses": courses, "sensitive_courses": sensitive, "deny_list": denied}
    )

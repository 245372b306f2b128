"""Classified: what must hold of the current record of every milestone."""

from __future__ import annotations

from expectations import suite
from expectations.evidence import SCHEMA_RULES, count_broken, schema_evidence
from pipeline.classified.sensitivity import course_sensitivity
from pipeline.context import Context
from pipeline.storage import relations
from pipeline.storage.engine import engine
from pipeline.storage.schema import CLASSIFIED, STATUSES, namespaced
from pipeline.storage.sql import Sql

# Rule to the SQL test that every row must pass. `ordinary` says, worked out anew from the decisions
# and from the course codes and titles in the table, whether the row's course may be.
RULES = {
    "person.namespaced": namespaced("person"),
    "status.vocabulary": f"status IN {STATUSES}",
    "course_code.sensitivity_tagged": "ordinary OR sensitivity IS NOT NULL",
    "course_code.reviewed_or_tagged": "reviewed OR sensitivity IS NOT NULL",
}


def validate(context: Context) -> suite.SuiteResult:
    """The classified rows: schema and RULES."""
    layout = context.layout
    rows = relations.classified(layout)
    titles = Sql(f"(SELECT DISTINCT course_code, course_title FROM {rows})")
    with engine(layout.work) as connection:
        connection.execute(
            "CREATE TEMP TABLE course AS SELECT course_code, sensitivity IS NULL AS ordinary "
            f"FROM {course_sensitivity(connection, context, titles)}"
        )
        found = schema_evidence(connection, rows, CLASSIFIED)
        found |= count_broken(connection, f"{rows} LEFT JOIN course USING (course_code)", RULES)
    return suite.judge("classified", [*SCHEMA_RULES, *RULES], found)

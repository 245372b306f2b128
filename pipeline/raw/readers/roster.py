"""The HR roster: who works where, who reports to whom, and everybody's aliases.

Columns of the roster file in the store: learner_id, name, email, manager_id (namespaced as in
the canonical record), department, unit, country (VARCHAR), left_on and delivery_date (DATE),
discarded (VARCHAR[]: the rule that a leaving date breaks, which the row has lost).
Names and addresses are used for two things only: to resolve xAPI actors, and for the leak checks'
denylist.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.policy.fields import Source
from pipeline.raw.forms.readable import Readable
from pipeline.raw.readers import tabular
from pipeline.raw.readers.base import DeliveryContext
from pipeline.raw.readers.canonical import employee
from pipeline.raw.readers.moments import discarded, with_moments
from pipeline.storage.schema import PARQUET
from pipeline.storage.sql import literal

REQUIRED = ("learner_id", "learner_email", "manager_id", "department", "country")
NAMES = ("first_name", "last_name")


def read(files: list[Readable], out: Path, context: DeliveryContext) -> None:
    """Read one roster into <out>.parquet; a row without an employee id is set aside."""
    (file,) = files
    given = tabular.delivered_columns(file, context.source, REQUIRED)
    number, email, manager, department, country = (given[field] for field in REQUIRED)
    name = _name(file, context.source, given)
    left_on, unit = (given.get(field, "NULL::VARCHAR") for field in ("left_on", "unit"))
    left = f"coalesce(leaving.day, wall_time(leaving.instant, {literal(context.zone)})::DATE)"
    rows = with_moments(tabular.scan(file), {"leaving": left_on}, context)
    context.connection.execute(f"""
      COPY (SELECT {employee(number)} AS learner_id, {name} AS name,
              mail_address({email}) AS email, {employee(manager)} AS manager_id,
              {department} AS department, {unit} AS unit, upper({country}) AS country,
              {left} AS left_on, {discarded(["leaving_fault"])} AS discarded,
              DATE '{context.delivery}' AS delivery_date
            FROM {rows} WHERE {employee(number)} IS NOT NULL)
      TO {literal(out.with_suffix(".parquet"))} ({PARQUET})""")
    tabular.take_rejects(context.connection, out, files)


def _name(file: Readable, source: Source, given: dict[str, str]) -> str:
    """SQL: the full name, from one column or from two.

    Raises:
        MalformedFile: the file has neither.
    """
    in_two = "learner_name" not in given and source.delivered().keys() & {*NAMES}
    given = tabular.delivered_columns(file, source, NAMES if in_two else ("learner_name",))
    if not in_two:
        return given["learner_name"]
    return f"nullif(concat_ws(' ', {', '.join(given[one] for one in NAMES)}), '')"

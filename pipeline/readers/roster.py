"""The HR roster: who works where and reports to whom, and by which aliases they are known.

Columns of the roster file in the store: learner_id, name, email, manager_id (namespaced as in
the canonical record), department, country (VARCHAR) and drop_date (DATE). Names and addresses
serve two ends only: resolving xAPI actors, and the deny-list of the leak checks.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.engine import literal
from pipeline.readers import tabular
from pipeline.readers.base import DropContext
from pipeline.readers.canonical import PARQUET

COLUMNS = ["Employee ID", "Full Name", "Email", "Manager ID", "Department", "Country"]


def read(files: list[Path], out: Path, context: DropContext) -> None:
    """Read one roster into <out>.parquet; a row without an employee id counts as a reject."""
    (path,) = files
    tabular.require_columns(path, COLUMNS)
    context.connection.execute(f"""
      COPY (SELECT 'emp:' || trim("Employee ID") AS learner_id, trim("Full Name") AS name,
              lower(trim("Email")) AS email, 'emp:' || trim("Manager ID") AS manager_id,
              trim("Department") AS department, upper(trim("Country")) AS country,
              DATE '{context.drop}' AS drop_date
            FROM {tabular.csv_scan(path)} WHERE trim("Employee ID") <> '')
      TO {literal(out.with_suffix(".parquet"))} ({PARQUET})""")
    tabular.take_rejects(context.connection, out)

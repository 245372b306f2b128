"""The floor: the same outputs in plain DuckDB SQL with no privacy work at all.

Same input, same memory limit and threads as the pipeline; no data map, no pseudonyms, no leak
checks, no quarantine, no reconciliation, no staged release. What it costs is what the question
itself costs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import duckdb

ROWS = """
CREATE TEMP VIEW typed AS SELECT
  CASE lower("Item Type") WHEN 'exam' THEN 'assessment_record'
    WHEN 'message' THEN 'communications_log' ELSE 'milestone_flag' END AS record_type,
  h."Employee ID" AS learner, coalesce(p."Manager ID", h."Manager ID") AS manager,
  coalesce(p."Department", h."Department") AS department,
  coalesce(p."Country", h."Country") AS country,
  "Course Code" AS course, "Course Title" AS title,
  try_cast("Assigned Date" AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS assigned_at,
  try_cast("Started Date" AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS started_at,
  try_cast(coalesce("Completed Date", "Started Date", "Assigned Date") AS TIMESTAMPTZ)
    AT TIME ZONE 'UTC' AS event_at,
  try_cast("Due Date" AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS due_at,
  replace(lower("Status"), ' ', '_') AS status,
  100 * try_cast("Score" AS DOUBLE) / coalesce(try_cast("Max Score" AS DOUBLE), 100) AS score,
  try_cast("Attempts" AS INTEGER) AS attempts, "Comments" IS NOT NULL AS has_comment,
  "Assigned Date" AS occurrence
FROM history h LEFT JOIN roster p ON p."Employee ID" = h."Employee ID"
WHERE h."Employee ID" IS NOT NULL AND "Status" <> '???';
CREATE TABLE detail AS FROM typed
  QUALIFY row_number() OVER (PARTITION BY learner, course, record_type, occurrence
                             ORDER BY event_at DESC, status, score) = 1;
"""
COACHING = """
CREATE TABLE out.coaching_{name} AS
  SELECT {cell}, count(DISTINCT learner) AS learners, count(*) AS records,
    avg((status IN ('completed', 'passed', 'waived'))::DOUBLE) AS completion_rate,
    avg((status IN ('completed', 'passed', 'waived') AND event_at <= due_at)::DOUBLE)
      AS on_time_rate,
    median(epoch(event_at - assigned_at) / 86400)
      FILTER (status IN ('completed', 'passed', 'waived')) AS median_days,
    count(*) FILTER (score < 50) / count(*) AS share_low,
    count(*) FILTER (score >= 50 AND score < 80) / count(*) AS share_mid,
    count(*) FILTER (score >= 80) / count(*) AS share_high,
    count(*) FILTER (score IS NULL) / count(*) AS share_unscored
  FROM detail WHERE {cell} IS NOT NULL GROUP BY {cell};
"""
INDIVIDUAL = """
CREATE TABLE out.manager_extract AS SELECT manager, learner, course,
  status IN ('completed', 'passed', 'waived') AS complete, status AS outcome FROM detail;
CREATE TABLE out.analytics_milestones AS SELECT learner, record_type, country, department, course,
  date_trunc('month', event_at)::DATE AS event_month, status, score FROM detail;
CREATE TABLE out.hr_legal_detail AS FROM detail;
"""
CELLS = {
    "team": "manager",
    "course": "course",
    "department": "department",
    "period": "date_trunc('month', event_at)",
}


def main(folder: Path, work: Path) -> None:
    """Compute all outputs of the delivery in `folder` into DuckDB files below `work`."""
    work.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        str(work / "detail.duckdb"),
        config={
            "memory_limit": os.environ["MILESTONES_MEMORY"],
            "threads": os.environ["MILESTONES_THREADS"],
            "temp_directory": str(work / "spill"),
            "preserve_insertion_order": "false",
        },
    )
    connection.execute("SET TimeZone = 'Europe/Berlin'")
    connection.execute(f"ATTACH '{work / 'out.duckdb'}' AS out")
    for name, file in (("history", "learning_history"), ("roster", "hr_roster")):
        connection.execute(
            f"CREATE TEMP VIEW {name} AS FROM read_csv('{folder / file}.csv', all_varchar=true, "
            "header=true, nullstr='')"
        )
    connection.execute(ROWS)
    for name, cell in CELLS.items():
        connection.execute(COACHING.format(name=name, cell=cell))
    connection.execute(INDIVIDUAL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""The same outputs by Spark on this machine: `local[*]`, SQL, exact counts of people and medians.

The work of benchmarks/script.py: pseudonyms by HMAC (sha2 twice, as RFC 2104 has it), cells of
fewer than five people left out, and the same rules looked at over each table before it is kept.
Spark reads the delivery as one CSV of text columns, caches the typed rows on disk and writes
Parquet.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from benchmarks.script import KEY, SENSITIVE, K

BLOCK = 64
HEAP = "4g"
COMPLETE = "status IN ('completed', 'passed', 'waived')"
TYPED = """
SELECT h.`Employee ID` AS employee, h.`Course Code` AS course, h.`Course Title` AS title,
  h.`Item Type` AS item, p.`Manager ID` AS manager, p.Department AS department,
  p.Country AS country, h.`Assigned Date` AS occurrence,
  try_to_timestamp(h.`Assigned Date`) AS assigned_at,
  try_to_timestamp(h.`Started Date`) AS started_at, try_to_timestamp(h.`Due Date`) AS due_at,
  try_to_timestamp(coalesce(h.`Completed Date`, h.`Started Date`, h.`Assigned Date`)) AS event_at,
  replace(lower(h.Status), ' ', '_') AS status,
  100 * try_cast(h.Score AS DOUBLE) / try_cast(h.`Max Score` AS DOUBLE) AS score,
  h.Comments IS NOT NULL AS has_comment
FROM history h LEFT JOIN roster p ON p.`Employee ID` = h.`Employee ID`
WHERE h.`Employee ID` IS NOT NULL AND h.Status <> '???'
"""
ROWS = f"""
SELECT *, {{learner}} AS learner_ref, {{manager}} AS manager_ref, {COMPLETE} AS complete,
  date_format(event_at, 'yyyy-MM') AS period,
  CASE WHEN score < 50 THEN 'low' WHEN score < 80 THEN 'mid' WHEN score IS NOT NULL THEN 'high' END
    AS score_band
FROM (SELECT *, row_number() OVER (PARTITION BY employee, course, item, occurrence
        ORDER BY event_at DESC) AS place FROM typed) WHERE place = 1
"""
COACHING = """
SELECT {cell}, count(DISTINCT learner_ref) AS learners, count(*) AS records,
  avg(CAST(complete AS INT)) AS completion_rate,
  avg(CAST(complete AND event_at <= due_at AS INT)) AS on_time_rate,
  median((unix_seconds(event_at) - unix_seconds(assigned_at)) / 86400) FILTER (WHERE complete)
    AS median_days,
  avg(CAST(score_band <=> 'low' AS INT)) AS share_low,
  avg(CAST(score_band <=> 'mid' AS INT)) AS share_mid,
  avg(CAST(score_band <=> 'high' AS INT)) AS share_high
FROM ordinary WHERE {cell} IS NOT NULL GROUP BY {cell} HAVING count(DISTINCT learner_ref) >= {k}
"""
TABLES = {
    **{
        f"coaching_{name}": COACHING.format(cell=cell, k=K)
        for name, cell in {
            "team": "manager_ref",
            "course": "course",
            "department": "department",
            "period": "period",
        }.items()
    },
    "manager_extract": "SELECT manager_ref, learner_ref, course, complete, status FROM ordinary",
    "analytics_milestones": "SELECT learner_ref, item, country, department, course, period, "
    "status, score_band FROM ordinary",
    "hr_legal_detail": "SELECT * EXCEPT (employee, manager, place) FROM rows",
}


def pseudonym(column: str) -> str:
    """SQL: HMAC-SHA256 of a column, cut to 128 bits."""
    padded = KEY.ljust(BLOCK, b"\0")
    inner, outer = (bytes(byte ^ mask for byte in padded).hex() for mask in (0x36, 0x5C))
    inside = f"unhex(sha2(concat(X'{inner}', encode({column}, 'UTF-8')), 256))"
    return f"left(sha2(concat(X'{outer}', {inside}), 256), 32)"


def validate(name: str, table: DataFrame) -> None:
    """The script's rules: shapes of references, no address in a text, rates from 0 to 1."""
    tests = []
    for column, kind in table.dtypes:
        if column.endswith("_ref"):
            tests.append(f"NOT {column} RLIKE '^[0-9a-f]{{32}}$'")
        elif column.startswith(("share_", "completion_rate", "on_time_rate")):
            tests.append(f"{column} NOT BETWEEN 0 AND 1")
        elif kind == "string":
            tests.append(f"{column} LIKE '%@%'")
    if table.where(" OR ".join(tests)).limit(1).count():
        raise SystemExit(f"{name}: leak")


def main(folder: Path, work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    spark = (
        SparkSession.builder.master(f"local[{os.environ['MILESTONES_THREADS']}]")
        .config("spark.driver.memory", HEAP)
        .config("spark.sql.session.timeZone", "Europe/Berlin")
        .config("spark.sql.shuffle.partitions", "16")
        .config("spark.local.dir", str(work / "spill"))
        .config("spark.sql.warehouse.dir", str(work / "warehouse"))
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    for name, file in (("history", "learning_history"), ("roster", "hr_roster")):
        spark.read.csv(
            str(folder / f"{file}.csv"), header=True, escape='"', multiLine=False
        ).createOrReplaceTempView(name)
    spark.sql(TYPED).createOrReplaceTempView("typed")
    rows = spark.sql(ROWS.format(learner=pseudonym("employee"), manager=pseudonym("manager")))
    rows.persist(StorageLevel.DISK_ONLY).createOrReplaceTempView("rows")
    spark.sql(f"SELECT * FROM rows WHERE NOT title RLIKE '{SENSITIVE}'").createOrReplaceTempView(
        "ordinary"
    )
    for name, query in TABLES.items():
        table = spark.sql(query)
        validate(name, table)
        table.write.parquet(str(work / name))
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

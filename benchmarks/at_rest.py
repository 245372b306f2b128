"""What encryption at rest costs: the detail and the vault's references, written and read.

python -m benchmarks.at_rest [ROWS]   prints a Markdown table; plain Parquet by DuckDB beside it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.storage import encryption
from pipeline.storage.engine import count, engine
from pipeline.storage.layout import Layout
from pipeline.storage.sql import literal

DETAIL = """SELECT 'v1h1_' || md5((i // 20)::VARCHAR) AS learner_ref,
  'v1h1_' || md5((i // 200)::VARCHAR) AS manager_ref, 'milestone_flag' AS record_type,
  'corporate' AS source, 'EU' AS region, 'Sales' AS department, 'C-' || i % 300 AS course_code,
  'A course about ' || i % 300 AS course_title, NULL::VARCHAR AS sensitivity,
  TIMESTAMP '2026-01-01' + INTERVAL (i % 20000000) SECOND AS event_at,
  'completed' AS status, (i * 7919 % 10000) / 100 AS score FROM range({rows}) r(i)"""
REFERENCES = """SELECT 'emp:' || i AS person, 'v1h1_' || md5(i::VARCHAR) AS ref
  FROM range({rows} // 20) r(i)"""
ONE = "learner_ref = 'v1h1_' || md5('77')"


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory(prefix="at-rest") as made:
        layout = Layout(Path(made))
        print("| what | rows | plain | encrypted |\n| --- | ---: | ---: | ---: |")
        with engine(layout.work) as connection:

            def seconds(what: Callable[[], object]) -> str:
                start = time.perf_counter()
                what()
                return f"{time.perf_counter() - start:.2f} s"

            for name, query in (("detail", DETAIL), ("references", REFERENCES)):
                connection.execute(f"CREATE OR REPLACE TABLE t AS {query.format(rows=rows)}")
                number = f"{count(connection, 'SELECT count(*) FROM t'):,}"
                plain, closed = Path(made) / f"{name}.plain", Path(made) / f"{name}.parquet"

                def copy(to: Path = plain) -> None:
                    connection.execute(
                        f"COPY t TO {literal(to)} (FORMAT parquet, COMPRESSION zstd)"
                    )

                def write(to: Path = closed) -> None:
                    encryption.write_table(connection, layout, "FROM t", to)

                print(f"| write the {name} | {number} | {seconds(copy)} | {seconds(write)} |")
                tests = {"read all of it": "sum(hash(r))", "read one person": "count(*)"}
                for what, told in tests.items():
                    where = f"WHERE {ONE}" if "one" in what and name == "detail" else ""
                    if "one" in what and not where:
                        continue
                    times = [
                        seconds(
                            lambda q=f"SELECT {told} FROM {relation} r {where}": connection.sql(
                                q
                            ).fetchall()
                        )
                        for relation in (
                            f"read_parquet({literal(plain)})",
                            encryption.rows(connection, layout, closed),
                        )
                    ]
                    print(f"| {what}, {name} | {number} | {times[0]} | {times[1]} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)

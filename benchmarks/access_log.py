"""The access log: single appends a second, each on the disk, and the verification of a long log.

python -m benchmarks.access_log [FOLDER]   prints a Markdown table. Put FOLDER where the vault will
be: what is measured is mostly that disk's fdatasync. With MILESTONES_LOG set, PostgreSQL's.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from pipeline.access.log import AccessLog
from pipeline.access.verify import verify
from pipeline.storage.layout import Layout

APPENDS, ENTRIES, BATCH = 3_000, 1_000_000, 100_000
BODY: dict[str, object] = {
    "at": "2026-11-25T10:00:00.000",
    "actor": "somebody",
    "role": "manager",
    "table": "manager_extract",
    "purpose": "one_to_one",
    "people": [f"v1m1_{n:032x}" for n in range(3)],
    "everybody": False,
    "fields": ["manager_ref", "learner_ref", "course_code", "completion", "outcome"],
    "rows": 10,
    "note": "",
    "sign_off": None,
    "decision": "granted",
    "policy": "0123456789abcdef",
}


def main(folder: Path) -> None:
    log = AccessLog(Layout(folder))
    log.append(BODY)
    start = time.perf_counter()
    for _ in range(APPENDS):
        log.append(BODY)
    rate = APPENDS / (time.perf_counter() - start)
    today = dt.datetime.now(dt.UTC).date()
    for day in range(1, ENTRIES // BATCH + 1):
        log.append(*[BODY] * BATCH, today=today + dt.timedelta(days=day))
    os.sync()  # the disk is not to be busy with what was just written
    start = time.perf_counter()
    found = verify(log, dt.date(2020, 1, 1))
    seconds = time.perf_counter() - start
    assert found.broken is None
    print("| what | measured |\n| --- | ---: |")
    print(f"| appends a second, one by one | {rate:,.0f} |")
    print(f"| verification of {found.entries:,} entries | {seconds:.1f} s |")


if __name__ == "__main__":
    made = Path(tempfile.mkdtemp(prefix="log", dir=sys.argv[1] if len(sys.argv) > 1 else None))
    try:
        main(made)
    finally:
        shutil.rmtree(made)

"""The shapes in which files hold xAPI statements.

- NDJSON: a statement a line; a line that is none does not harm the others.
- A JSON array of statements.
- Objects over several lines, one after another: a single statement, printed to be read.
- Answers of an LRS to GET /statements, `{"statements": […], "more": "…"}`: one, several one after
  another, or in an array. A set `more` says that the answer goes on elsewhere.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.raw.readers.base import MalformedFile
from pipeline.raw.readers.tabular import line_scan
from pipeline.storage.engine import count
from pipeline.storage.sql import Sql, literal

HEAD = 64 * 1024  # bytes, of which the shape is seen
MAX_STATEMENT = 16 * 1024 * 1024  # bytes
MAX_ANSWER = 256 * 1024 * 1024
INVALID = "not a valid JSON array of statements, or no valid JSON objects"
# Before its statements, an answer can have some plain values of the server's own.
ANSWER = re.compile(
    r'\[?\s*\{(?:\s*"\w+"\s*:\s*(?:"[^"\\]*"|[\w.+-]+)\s*,)*\s*"(?:statements|more)"\s*:'
)


@dataclass(frozen=True)
class Shape:
    """How a file holds its statements.

    Attributes:
        format: as DuckDB calls it; None: by line.
        answers: the objects are answers of an LRS.
    """

    format: str | None
    answers: bool


def _shape(path: Path) -> Shape:
    with path.open("rb") as stream:
        head = stream.read(HEAD).decode("utf-8-sig", errors="replace").lstrip()
    if not head:
        raise MalformedFile(f"{path.name}: empty file")
    answers = ANSWER.match(head) is not None
    if head.startswith("["):
        return Shape("array", answers)
    return Shape("unstructured" if answers or _over_lines(head) else None, answers)


def _over_lines(head: str) -> bool:
    """Does the first object end on another line than it begins?"""
    first, _, rest = head.partition("\n")
    if not rest or rest.lstrip().startswith("{"):
        return False
    try:
        json.loads(first)
    except ValueError:
        return True
    except RecursionError:
        return False
    return False


def by_line(path: Path) -> bool:
    """Are the file's statements on lines of their own?"""
    return _shape(path).format is None


def _objects(path: Path, shape: Shape) -> Sql:
    """SQL relation: one column `json`."""
    most = MAX_ANSWER if shape.answers else MAX_STATEMENT
    size = max(min(path.stat().st_size, most), MAX_STATEMENT)
    return Sql(
        f"read_json_objects({literal(path)}, format={literal(shape.format)}, "
        f"maximum_object_size={size})"
    )


def scan(path: Path) -> Sql:
    """SQL relation: one text column `line`, one row per statement.

    Raises:
        MalformedFile: the file is empty.
    """
    shape = _shape(path)
    if shape.format is None:
        return Sql(f"(SELECT line FROM {line_scan(path)} WHERE line IS NOT NULL)")
    objects = _objects(path, shape)
    if not shape.answers:
        return Sql(f"(SELECT CAST(json AS VARCHAR) AS line FROM {objects})")
    return Sql(
        "(SELECT CAST(unnest(CASE WHEN json_type(json, '$.statements') = 'ARRAY' "
        f"THEN json_extract(json, '$.statements[*]') ELSE [json] END) AS VARCHAR) AS line "
        f"FROM {objects})"
    )


def require_complete(connection: duckdb.DuckDBPyConnection, path: Path, incomplete: str) -> None:
    """Stop if a file is a part of what an LRS had, unless policy admits it.

    Raises:
        MalformedFile: its last answer goes on elsewhere.
    """
    shape = _shape(path)
    if not shape.answers or incomplete == "admit":
        return
    going_on = "coalesce(json_extract_string(json, '$.more'), '') <> ''"
    answers = count(connection, f"SELECT count(*) FROM {_objects(path, shape)}")
    open_ends = count(connection, f"SELECT count(*) FROM {_objects(path, shape)} WHERE {going_on}")
    if answers and open_ends == answers:
        raise MalformedFile(
            f"{path.name}: an incomplete export: the LRS' last answer goes on at `more`. Nothing "
            "was written. Follow `more` and deliver all answers in one file, one after another; or "
            "admit parts with `incomplete: admit` of the source in data_map.yaml"
        )

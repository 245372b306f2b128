"""xAPI statements (1.0.3; 2.0 is IEEE 9274.1.1-2023) as a JSON array or as NDJSON.

A learner is an inverse functional identifier (mbox, mbox_sha1sum, openid or account); a verb
maps by its cmi5 or ADL meaning; a `voided` statement removes the one that it names.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from pipeline.policy.fields import EMPTY
from pipeline.raw.readers.base import DeliveryContext, MalformedFile
from pipeline.raw.readers.canonical import lookup, problem, write_records
from pipeline.raw.readers.moments import day_and_instant, with_moments
from pipeline.raw.readers.tabular import line_scan, take_rejects
from pipeline.storage.sql import literal

VERBS = {
    "voided": "voided",
    "passed": "passed",
    "failed": "failed",
    "completed": "completed",
    "satisfied": "completed",
    "waived": "waived",
    "abandoned": "withdrawn",
    "terminated": "in_progress",
    "launched": "in_progress",
    "initialized": "in_progress",
    "progressed": "in_progress",
    "attempted": "in_progress",
    "scored": "completed",
    "registered": "not_started",
    "commented": "in_progress",
    "responded": "in_progress",
}
RANK = {"passed": 4, "failed": 4, "completed": 3, "waived": 3, "withdrawn": 2, "in_progress": 1}
ASSESSMENT = ("passed", "failed", "scored")
MESSAGE = ("commented", "responded")
# Language tags of the title that is shown, the first one that there is, or else any.
TITLES = ("en", '"en-US"', '"en-GB"', "de")
MAX_STATEMENT = 16 * 1024 * 1024


def _is_array(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        raise MalformedFile(f"{path.name}: empty file")
    return head.startswith(b"[")


def _scan(path: Path) -> str:
    """SQL: a query with one text column `line`, one row per statement."""
    if _is_array(path):
        objects = (
            f"read_json_objects({literal(path)}, format='array', "
            f"maximum_object_size={MAX_STATEMENT})"
        )
        return f"(SELECT CAST(json AS VARCHAR) AS line FROM {objects})"
    return f"(SELECT line FROM {line_scan(path)} WHERE line IS NOT NULL)"


def _paths(structure: object, prefix: str = "") -> set[str]:
    """Dotted leaf paths of a json_structure; an array's elements count as their array, and an
    empty object or null as its path with EMPTY behind."""
    if isinstance(structure, dict):
        return set().union(*(_paths(v, f"{prefix}.{k}") for k, v in structure.items()), set())
    if isinstance(structure, list) and structure != ["JSON"]:
        return set().union(*(_paths(v, prefix) for v in structure), set())
    # One statement's structure calls an empty object JSON.
    return {prefix.lstrip(".") + (EMPTY if structure in ("JSON", "NULL") else "")}


def columns(path: Path) -> list[str]:
    """JSON paths of all statements.

    Raises:
        MalformedFile: an array that is not valid JSON, as a whole.
    """
    shapes = (
        "SELECT DISTINCT CAST(json_structure(line) AS VARCHAR) "
        f"FROM {_scan(path)} WHERE json_valid(line) AND json_type(line) = 'OBJECT'"
    )
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        try:
            found = [json.loads(shape) for (shape,) in connection.execute(shapes).fetchall()]
        except duckdb.Error:
            # The engine's message quotes the text around the fault.
            raise MalformedFile(f"{path.name}: not a valid JSON array of statements") from None
    return sorted(set().union(*map(_paths, found), set()))


def typed_sql(path: Path, context: DeliveryContext) -> str:
    """SQL: the statements in canonical columns."""

    def text(json_path: str) -> str:
        return f"stripped(j ->> '$.{json_path}')"

    verb = f"lower(regexp_extract({text('verb.id')}, '[^/#]+$'))"
    account = ", ".join(text(f"actor.account.{part}") for part in ("homePage", "name"))
    raw_score = f"coalesce({text('result.score.scaled')}, {text('result.score.raw')})"

    def number(part: str, default: str = "NULL") -> str:
        return f"coalesce(try_cast({text('result.score.' + part)} AS DOUBLE), {default})"

    # `scaled` comes from the sender; `raw` lies between min and max, or 0 and 100 without them.
    floor, top = number("min", "0"), number("max", "100")
    score = (
        f"CASE WHEN {text('result.score.scaled')} IS NOT NULL THEN 100 * {number('scaled')} "
        f"WHEN {top} > {floor} THEN 100 * ({number('raw')} - {floor}) / ({top} - {floor}) END"
    )
    # A plain `completed` may carry the outcome beside it.
    status = (
        f"CASE WHEN verb = 'completed' AND {text('result.success')} = 'true' THEN 'passed' "
        f"WHEN verb = 'completed' AND {text('result.success')} = 'false' THEN 'failed' "
        f"ELSE {lookup('verb', VERBS)} END"
    )
    ranks = " ".join(f"WHEN '{status}' THEN {rank}" for status, rank in RANK.items())
    parsed = f"""(SELECT line, j, {text("timestamp")} AS raw_time, {verb} AS verb FROM (
      SELECT line, CASE WHEN json_valid(line) AND json_type(line) = 'OBJECT'
        THEN line::JSON END AS j FROM {_scan(path)}))"""
    return f"""
    SELECT *, CASE WHEN j IS NULL THEN 'line:not_a_json_object'
      WHEN raw_time IS NULL THEN 'event_at:missing'
      ELSE {problem("raw_score", "event_fault")} END AS problem,
      CASE status {ranks} ELSE 0 END AS rank, coalesce(event_at, event_on) AS revised_at
    FROM (
      SELECT *, {literal(context.name)} AS source,
        {literal(path.name)} AS file,
        CASE WHEN verb IN {ASSESSMENT} THEN 'assessment_record'
             WHEN verb IN {MESSAGE} THEN 'communications_log' ELSE 'milestone_flag' END
          AS record_type,
        coalesce(same_form('mbox:' || {text("actor.mbox")}),
                 same_form('sha1:' || {text("actor.mbox_sha1sum")}),
                 same_form('openid:' || {text("actor.openid")}),
                 account_identifier({account})) AS learner_id,
        NULL AS manager_id, NULL AS department, NULL AS country,
        {text("object.id")} AS course_code,
        coalesce({", ".join(text(f"object.definition.name.{tag}") for tag in TITLES)},
                 stripped((j ->> '$.object.definition.name.*')[1])) AS course_title,
        CASE json_type(j, '$.object.definition.name')
             WHEN 'OBJECT' THEN CAST(j -> '$.object.definition.name' AS VARCHAR) END
          AS course_titles,
        {day_and_instant({"event": "event"})}, {status} AS status,
        {raw_score} AS raw_score, {score} AS score, NULL::INTEGER AS attempts,
        {text("result.response")} IS NOT NULL AS has_comment,
        CASE WHEN verb = 'voided' THEN {text("object.id")} ELSE {text("id")} END AS record_id,
        coalesce({text("context.registration")}, '') AS occurrence, NULL AS discarded
      FROM {with_moments(parsed, {"event": "raw_time"}, context)})"""


def read(files: list[Path], out: Path, context: DeliveryContext) -> None:
    """Read one file of statements into <out>.parquet and <out>.rejects.parquet."""
    (path,) = files
    # Statements repeat the same few paths, so the text is parsed once per path, vectorized.
    write_records(context.connection, typed_sql(path, context), "line", out, context)
    if not _is_array(path):
        take_rejects(context.connection, out)

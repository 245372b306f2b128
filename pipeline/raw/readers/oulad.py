"""Open University Learning Analytics Dataset: five related CSVs.

Kuzilek, Hlosta, Zdrahal: Open University Learning Analytics dataset, Scientific Data 4:170171
(2017), CC BY 4.0. Days are relative to the presentation's start: B begins in February, J in
October. The pass mark of an assessment is 40. '?' or an empty field is a missing value.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.raw.forms.readable import Readable
from pipeline.raw.readers import tabular
from pipeline.raw.readers.base import DeliveryContext, MalformedFile
from pipeline.raw.readers.canonical import lookup, problem, write_records
from pipeline.raw.readers.moments import day_and_instant, discarded, with_moments
from pipeline.storage.sql import identifier, literal

FILES = ("assessments", "courses", "studentAssessment", "studentInfo", "studentRegistration")
RESULT = {"pass": "passed", "distinction": "passed", "fail": "failed", "withdrawn": "withdrawn"}
PASS_MARK = 40


def _table(file: Readable) -> str:
    names = ", ".join(
        f"nullif({tabular.raw(n)}, '?') AS {identifier(n)}" for n in tabular.header(file)
    )
    return f"(SELECT {names} FROM {tabular.scan(file)})"


def _day(start: str, days: str) -> str:
    """SQL: the date at so many days after the start, as text; what gives none, as it is."""
    # Ninety years either way are a SMALLINT; with more, the sum itself could fail.
    return f"coalesce(({start} + try_cast({days} AS SMALLINT)::INTEGER)::VARCHAR, {days})"


def typed_sql(tables: dict[str, str], context: DeliveryContext) -> str:
    """SQL: module results as milestone flags, assessments as assessment records."""
    start = (
        "(try_cast(left(code_presentation, 4) || CASE right(code_presentation, 1) "
        "WHEN 'B' THEN '-02-01' WHEN 'J' THEN '-10-01' END AS DATE))"
    )
    person = tables["studentInfo"]
    results = f"""(
      SELECT 'milestone_flag' AS record_type, id_student, i.region AS department,
        code_module || '-' || code_presentation AS course_code, '' AS occurrence,
        {lookup("final_result", RESULT)} AS status,
        {_day(start, "coalesce(date_unregistration, module_presentation_length)")} AS raw_event,
        {_day(start, "module_presentation_length")} AS raw_due,
        {_day(start, "date_registration")} AS raw_assigned,
        NULL AS raw_score, NULL::DOUBLE AS score,
        try_cast(num_of_prev_attempts AS INTEGER) AS attempts, 'studentInfo.csv' AS file
      FROM {person} i
      LEFT JOIN {tables["courses"]} USING (code_module, code_presentation)
      LEFT JOIN {tables["studentRegistration"]} USING (code_module, code_presentation, id_student)
      UNION ALL BY NAME
      SELECT 'assessment_record' AS record_type, s.id_student, i.region AS department,
        code_module || '-' || code_presentation || '/' || id_assessment AS course_code,
        '' AS occurrence,
        CASE WHEN s.score IS NULL THEN 'completed'
             WHEN try_cast(s.score AS DOUBLE) >= {PASS_MARK} THEN 'passed' ELSE 'failed' END
          AS status,
        {_day(start, "date_submitted")} AS raw_event, {_day(start, 'a."date"')} AS raw_due,
        {start}::VARCHAR AS raw_assigned,
        s.score AS raw_score, try_cast(s.score AS DOUBLE) AS score, NULL::INTEGER AS attempts,
        'studentAssessment.csv' AS file
      FROM {tables["studentAssessment"]} s
      LEFT JOIN {tables["assessments"]} a USING (id_assessment)
      LEFT JOIN {person} i USING (code_module, code_presentation, id_student))"""
    texts = {"event": "raw_event", "due": "raw_due", "assigned": "raw_assigned"}
    return f"""
    SELECT *, {problem("raw_score", "event_fault")} AS problem,
      {discarded(["due_fault", "assigned_fault"])} AS discarded FROM (
      SELECT *, {day_and_instant({name: name for name in texts})},
        {literal(context.name)} AS source, 'ou:' || id_student AS learner_id,
        NULL AS manager_id, NULL AS course_title, NULL AS course_titles,
        false AS has_comment, NULL AS record_id, 0 AS rank,
        {context.delivery_instant} AS revised_at, 'GB' AS country
      FROM {with_moments(results, texts, context)})"""


def read(files: list[Readable], out: Path, context: DeliveryContext) -> None:
    """Read the five files together into <out>.parquet and <out>.rejects.parquet."""
    found = {file.path.name.split(".")[0]: file for file in files}
    missing = [name for name in FILES if name not in found]
    if missing:
        raise MalformedFile(
            f"oulad: the delivery has no {', '.join(f'{name}.csv' for name in missing)}"
        )
    # Each CSV is parsed once; the rejected lines of all of them are stored together.
    for name in FILES:
        context.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {identifier('oulad_' + name)} AS "
            f"FROM {_table(found[name])}"
        )
    tables: dict[str, str] = {name: identifier("oulad_" + name) for name in FILES}
    raw = (
        "to_json(struct_pack(id_student, course_code, raw_event, raw_due, raw_assigned, raw_score))"
    )
    write_records(context.connection, typed_sql(tables, context), raw, out, context)
    tabular.take_rejects(context.connection, out, files)
    for table in tables.values():
        context.connection.execute(f"DROP TABLE {table}")

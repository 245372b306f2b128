"""xAPI statements (1.0.3; 2.0 is IEEE 9274.1.1-2023), cmi5's among them.

A learner is an inverse functional identifier (mbox, mbox_sha1sum, openid or account); what a verb
means is the policy's (`verbs` of the source); a voiding statement removes the one that it names.
Statements that are no milestones, or are about something else than a learner's activity, are
counted by reason and not stored. docs/xapi.md says what becomes of which statement.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.policy import paths
from pipeline.policy.fields import Verb
from pipeline.raw.readers import statements
from pipeline.raw.readers.base import DeliveryContext, MalformedFile
from pipeline.raw.readers.canonical import problem, write_records
from pipeline.raw.readers.moments import day_and_instant, with_moments
from pipeline.raw.readers.tabular import take_rejects
from pipeline.storage.relations import left_out_of, subquery
from pipeline.storage.schema import CANONICAL, LEFT_OUT, PARQUET
from pipeline.storage.sql import Sql, identifiers, literal, render

PACKAGE = "pipeline.raw.readers"
UNKNOWN_VERB, NOT_A_MILESTONE = "unknown verb", "not a milestone"
VOIDED = "adlnet.gov/expapi/verbs/voided"  # as verb_key has it
CMI5 = '"https://w3id.org/xapi/cmi5/context/categories/cmi5"'
SESSION = '$.context.extensions."https://w3id.org/xapi/cmi5/context/extensions/sessionid"'
# How final a status is. Whoever abandons a session can begin another.
RANK = {"passed": 4, "failed": 4, "waived": 4, "completed": 3, "withdrawn": 1, "in_progress": 1}
# Language tags of the title that is shown, the first one that there is, or else any.
TITLES = ("en", "en-US", "en-GB", "de")
FIELDS = {
    "id": "$.id",
    "timestamp": "$.timestamp",
    "stored": "$.stored",
    "actor_type": "$.actor.objectType",
    "members": "$.actor.member",
    "mbox": "$.actor.mbox",
    "sha1": "$.actor.mbox_sha1sum",
    "openid": "$.actor.openid",
    "home_page": "$.actor.account.homePage",
    "account": "$.actor.account.name",
    "verb": "$.verb.id",
    "object_type": "$.object.objectType",
    "object_id": "$.object.id",
    "titles": "$.object.definition.name",
    "scaled": "$.result.score.scaled",
    "raw": "$.result.score.raw",
    "low": "$.result.score.min",
    "high": "$.result.score.max",
    "success": "$.result.success",
    "completion": "$.result.completion",
    "response": "$.result.response",
    "registration": "$.context.registration",
    "category": "$.context.contextActivities.category",
    "session": SESSION,
    **{tag: f'$.object.definition.name."{tag}"' for tag in TITLES},
}


def columns(path: Path) -> list[str]:
    """JSON paths of all statements.

    Raises:
        MalformedFile: a file that is not valid JSON, as a whole.
    """
    shapes = (
        f"SELECT DISTINCT CAST(json_structure(line) AS VARCHAR) FROM {statements.scan(path)} "
        "WHERE CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' END"
    )
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        try:
            found = connection.execute(shapes).fetchall()
        except duckdb.Error:
            # The engine's message quotes the text around the fault.
            raise MalformedFile(f"{path.name}: {statements.INVALID}") from None
    return sorted({leaf for (shape,) in found for leaf in paths.leaves(shape)})


def typed_sql(path: Path, context: DeliveryContext) -> Sql:
    """SQL: the statements in canonical columns, with left_out and left_verb."""
    fields = render(PACKAGE, "xapi_fields.sql", lines=statements.scan(path), fields=FIELDS)
    meant = _meant(subquery(fields), context.source.verbs)
    return render(
        PACKAGE,
        "xapi.sql",
        statements=with_moments(subquery(meant), {"event": "moment"}, context),
        moments=Sql(day_and_instant({"event": "event"})),
        problem=Sql(problem("raw_score", "event_fault")),
        source=context.name,
        file=path.name,
        titles=TITLES,
        ranks=RANK.items(),
    )


def _meant(fields: Sql, verbs: dict[str, Verb]) -> Sql:
    """SQL: the fields of statements and what they mean, by the policy's verbs: what is more exact
    goes before, and of two patterns the longer one."""
    keys = [_verb_key(verb) for verb in verbs]
    numbered = sorted(enumerate(keys, 1), key=lambda one: -len(one[1]))
    return render(
        PACKAGE,
        "xapi_meant.sql",
        fields=fields,
        keys=[key for _, key in numbered if "*" not in key],
        places=[place for place, key in numbered if "*" not in key],
        patterns=[(_like(key), place) for place, key in numbered if "*" in key],
        statuses=[verb.status for verb in verbs.values()],
        record_types=[verb.record_type for verb in verbs.values()],
        need_result=[verb.needs_result for verb in verbs.values()],
        voided=VOIDED,
        cmi5=CMI5,
        unknown_verb=UNKNOWN_VERB,
        not_a_milestone=NOT_A_MILESTONE,
        value=f"(?i:{paths.VALUE.pattern})",
    )


def _verb_key(verb: str) -> str:
    """An IRI or a pattern of the policy, as the macro verb_key has a statement's."""
    return verb.rstrip("/").lower().removeprefix("https://").removeprefix("http://")


def _like(pattern: str) -> str:
    """A pattern of the policy as one of LIKE."""
    for mark in ("\\", "%", "_"):
        pattern = pattern.replace(mark, f"\\{mark}")
    return pattern.replace("*", "%")


def read(files: list[Path], out: Path, context: DeliveryContext) -> None:
    """Read one file of statements into <out>.parquet and <out>.rejects.parquet; what is counted
    only goes beside them (`left_out_of`), by reason."""
    (path,) = files
    connection = context.connection
    statements.require_complete(connection, path, context.source.incomplete)
    every = out.with_name(f"{out.name}-all")
    # Once through the statements, however many are left out; what stays is quickly written anew.
    beside = ("left_out", "left_verb")
    write_records(connection, typed_sql(path, context), "line", every, context, beside)
    rows = Sql(literal(every.with_suffix(".parquet")))
    _copy(connection, f"SELECT {identifiers(CANONICAL)} FROM {rows} WHERE left_out IS NULL", out)
    counted = (
        f"SELECT {literal(context.name)} AS source, left_out AS reason, left_verb AS name, "
        f"count(*) AS records FROM {rows} WHERE left_out IS NOT NULL GROUP BY ALL ORDER BY ALL"
    )
    _copy(connection, f"SELECT {identifiers(LEFT_OUT)} FROM ({counted})", left_out_of(out))
    every.with_suffix(".parquet").unlink()
    if statements.by_line(path):
        take_rejects(connection, out)


def _copy(connection: duckdb.DuckDBPyConnection, query: str, out: Path) -> None:
    connection.execute(f"COPY ({query}) TO {literal(out.with_suffix('.parquet'))} ({PARQUET})")

"""A run of everything that publishes nothing: on a throw-away data folder, under a policy that
nobody has to have signed. What it found is counts and names of columns; no row, and no number that
is about fewer people than the smallest k.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import polars as pl

from expectations import canonical
from pipeline.access import courses, staff
from pipeline.classified import reference_values, run_snapshot
from pipeline.classified.steps import classify, list_reference_values
from pipeline.context import Context
from pipeline.errors import BadInput, PolicyError
from pipeline.governance.courses import courses as courses_of
from pipeline.governance.courses import waiting
from pipeline.governance.preview import verdicts
from pipeline.keys.ring import KeyRing
from pipeline.policy.data_map import DataMap
from pipeline.policy.detect import looks_personal
from pipeline.policy.fields import TABLES, Audience
from pipeline.policy.windows import make_cutoffs
from pipeline.pseudonymized import steps
from pipeline.pseudonymized.models import eligible
from pipeline.pseudonymized.training_states import make_states
from pipeline.published import row_history
from pipeline.published.reconciliation import reconcile
from pipeline.published.stage import stage_database
from pipeline.raw import landing
from pipeline.raw.deliveries import ingest
from pipeline.raw.readers.base import MalformedFile
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from pipeline.storage.relations import classified, records, rejects, temp_table
from pipeline.storage.sql import literal
from pipeline.storage.throw_away import throw_away
from pipeline.subjects.denylist import grams_sql
from pipeline.subjects.restrictions import make_restrictions

LONGEST_WORD = 60  # characters; what is longer is no word for a status
UNKNOWN_STATUS = "status:unknown"


@dataclass
class Rehearsal:
    """What a run would do.

    Attributes:
        read: the files that were read, by source and bytes.
        refused: why a delivery or an audience's rows would be refused, or a table not published.
        quarantined: rule, source and unknown word to rows that are set aside.
        few: those of them, and reasons of suppression, that are about fewer than k people.
        counts: one row per table, as `reconcile` makes it; None if a run would not get so far.
        unresolved: people of whom nobody can say who they are.
        waiting: courses that wait for a decision.
    """

    read: list[tuple[str, int]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    quarantined: dict[str, int] = field(default_factory=dict)
    few: set[str] = field(default_factory=set)
    counts: pl.DataFrame | None = None
    unresolved: int = 0
    waiting: int = 0

    def parts(self) -> dict[str, dict[str, int]]:
        """Table to what becomes of its received records, in parts that add up to all of them; only
        what is set aside, if there are no tables."""
        if self.counts is None:
            return {"set aside": self.quarantined}
        rows = self.counts.iter_rows(named=True)
        return {
            row["table"]: {
                **self.quarantined,
                "superseded": row["superseded"],
                **{one["reason"]: one["records"] for one in row["suppressed"]},
                "published": row["published"],
            }
            for row in rows
        }


def rehearse(
    context: Context, files: Sequence[Path], day: dt.date | None, now: dt.datetime
) -> Rehearsal:
    """Run everything on a throw-away data folder.

    Args:
        files: files of one delivery; none for what is in the landing folder.
        day: the day of the delivery of these files, or the only one to be read.

    Raises:
        BadInput: two files have one name, or there is no delivery.
    """
    layout, members = context.layout, staff.everyone(context.layout)
    with throw_away(layout) as root:
        place = None if files else layout.landing
        scratch = Layout(root, place, root / "vault" / "storage.key")
        trial = replace(context, layout=scratch, ring=KeyRing(scratch.key_ring))
        scratch.vault.mkdir(parents=True, mode=0o700)
        trial.ring.create()
        # Their signatures make the decisions about courses count.
        for member in members.values():
            staff.put(scratch, member)
        courses.copy(layout, scratch)
        _deliver(scratch, files, day or now.date())
        found = Rehearsal()
        for delivery in _deliveries(scratch, None if files else day):
            _read(trial, delivery, found)
        if found.read:
            _make(trial, now, found)
        return found


def _deliver(scratch: Layout, files: Sequence[Path], day: dt.date) -> None:
    """Copy files into a landing folder, as a delivery that is complete."""
    twice = [name for name, n in Counter(path.name for path in files).items() if n > 1]
    if twice:
        raise BadInput(f"two files have one name: {', '.join(twice)}")
    for path in files:
        try:
            with path.open("rb") as stream, landing.writing(scratch, day, path.name) as copy:
                shutil.copyfileobj(stream, copy)
        except OSError as error:
            raise BadInput(f"{path.name}: {(error.strerror or 'cannot be read').lower()}") from None
    if files:
        with landing.writing(scratch, day, "_COMPLETE"):
            pass


def _deliveries(scratch: Layout, day: dt.date | None) -> list[dt.date]:
    found = [one for one in landing.deliveries(scratch) if day in (None, one)]
    if not found:
        raise BadInput("there is no delivery: name files, or put some into the landing folder")
    return found


def _read(trial: Context, delivery: dt.date, found: Rehearsal) -> None:
    """Read one delivery and check its rows; another one is read whatever becomes of it."""
    layout, data_map = trial.layout, trial.data_map
    try:
        files = ingest(layout, data_map, delivery, trial.ring)
    except (PolicyError, MalformedFile) as refusal:
        found.refused.append(f"delivery of {delivery}: {refusal}")
        return
    found.read += [(str(one["source"]), int(str(one["bytes"]))) for one in files]
    checked = canonical.validate(layout, data_map, delivery)
    if not checked.passed:
        rules = [*checked.broken, *checked.missing]
        found.refused.append(f"delivery of {delivery}: its rows break {', '.join(rules)}")


def _make(trial: Context, now: dt.datetime, found: Rehearsal) -> None:
    """Make all tables of what was read, check them, and count."""
    partition = str(now.date())
    classify(trial, now)
    list_reference_values(trial)
    with engine(trial.layout.work) as connection:
        rows = _quarantined(connection, trial)
    k = trial.data_map.least_people
    found.quarantined = {name: n for name, n, _ in rows}
    found.few |= {name for name, _, people in rows if people < k}
    found.waiting = len(waiting(courses_of(trial)))
    stopped = [why for one in Audience if (why := _stopped(trial, one, partition))]
    found.refused += stopped
    if stopped:
        return
    found.refused += [
        f"{table}: its rows break {', '.join(rules)}"
        for table, rules in verdicts(trial, partition).items()
    ]
    with engine(trial.layout.work) as connection:
        analysts = row_history.with_staged(connection, trial, partition)
        found.counts = reconcile(connection, trial, partition, analysts)
        people = _people_suppressed(connection, trial)
    found.few |= {reason for reason, n in people if n < k}
    found.unresolved = max(found.counts["unresolved_people"].to_list(), default=0)


def _stopped(trial: Context, audience: Audience, partition: str) -> str | None:
    """Make an audience's tables; why that is refused, if it is."""
    try:
        steps.pseudonymize(trial, audience)
    except PolicyError as refusal:
        return f"{audience.value}: {refusal}"
    with engine(trial.layout.work) as connection:
        stage_database(connection, trial, audience, partition)
    return None


def _people_suppressed(
    connection: duckdb.DuckDBPyConnection, trial: Context
) -> list[tuple[str, int]]:
    """Reason and people, for everything that an audience does not get at all."""
    make_restrictions(connection, trial)
    until = run_snapshot.read(trial.layout).until
    found: list[tuple[str, int]] = []
    for audience in Audience:
        cutoffs = make_cutoffs(connection, "cutoffs", trial.rules, trial.data_map, until, audience)
        if audience is Audience.MANAGER:
            make_states(connection, trial, cutoffs)
        rows = eligible(classified(trial.layout), audience, cutoffs)
        query = f"SELECT withheld, count(DISTINCT person) FROM {rows} WHERE withheld IS NOT NULL"
        found += connection.execute(f"{query} GROUP BY 1").fetchall()
    return found


def _quarantined(
    connection: duckdb.DuckDBPyConnection, trial: Context
) -> list[tuple[str, int, int]]:
    """Rule and source, with the word for a status that no map knows; rows that are set aside, and
    people, where known. Words that are not shown count as one."""
    layout, k = trial.layout, trial.data_map.least_people
    rows = temp_table(
        connection,
        "set_aside",
        f"SELECT problem, source, learner_id, {_word_sql(trial.data_map)} AS text "
        f"FROM {records(layout)} WHERE problem IS NOT NULL",
    )
    reference_values.attach(connection, layout)
    shown = temp_table(
        connection,
        "shown_words",
        f"SELECT text FROM {rows} WHERE length(text) <= {LONGEST_WORD} "
        f"AND NOT {looks_personal('text')} AND text NOT IN (SELECT text FROM "
        f"({grams_sql('set_aside')}) JOIN reference.denylist ON gram = entry) "
        f"GROUP BY text HAVING count(DISTINCT learner_id) >= {k}",
    )
    query = (
        "SELECT problem || ' (' || source || CASE WHEN problem <> $rule THEN ')' "
        "WHEN shown.text IS NULL THEN ', other words)' ELSE ', ' || shown.text || ')' END, "
        "count(*), count(DISTINCT learner_id) "
        f"FROM {rows} LEFT JOIN {shown} AS shown USING (text) GROUP BY 1 "
        f"UNION ALL SELECT 'line:' || rule, count(*), count(*) FROM {rejects(layout)} GROUP BY 1"
    )
    found = connection.execute(query, {"rule": UNKNOWN_STATUS}).fetchall()
    return sorted((str(name), int(n), int(people)) for name, n, people in found)


def _word_sql(data_map: DataMap) -> str:
    """SQL: what a row that is set aside has for its status, as it was delivered."""
    cases = " ".join(
        f"WHEN {literal(name)} THEN {_value_sql(column, in_table=source.reader in TABLES)}"
        for name, source in data_map.sources.items()
        if (column := source.delivered().get("status")) is not None
    )
    word = f"CASE source {cases} END" if cases else "NULL"
    return f"CASE problem WHEN {literal(UNKNOWN_STATUS)} THEN lower(trim({word})) END"


def _value_sql(column: str, *, in_table: bool) -> str:
    """SQL: one value of the JSON column `raw`, by a table's column in any case, or by its path."""
    if not in_table:
        return "raw ->> '$.verb.id'"
    plain = literal(" ".join(column.casefold().split()))
    name = f"list_filter(json_keys(raw), lambda k: lower(trim(k)) = {plain})[1]"
    return f"json_extract_string(raw, '$.\"' || {name} || '\"')"

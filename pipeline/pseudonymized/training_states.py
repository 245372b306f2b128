"""Which record stands for a person's training, and how that stands: for all months at once, since
the record that decides can be of another one.

The rule is `training_state` in data_map.yaml; as SQL it is training_states.sql beside this.
"""

from __future__ import annotations

import datetime as dt

import duckdb

from pipeline.access.courses import like
from pipeline.classified import run_snapshot
from pipeline.context import Context
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import Audience
from pipeline.policy.retention import RetentionRules
from pipeline.policy.windows import OTHER, Cutoffs, last_over
from pipeline.pseudonymized.models import STATES, Calendar, eligible_before_states, states_model
from pipeline.storage.relations import classified, subquery, temp_table
from pipeline.storage.sql import Sql


def calendar(data_map: DataMap, rules: RetentionRules, as_of: dt.datetime) -> Calendar:
    """The days of an instant (aware) in the calendars of the regions."""
    days = {name: as_of.astimezone(rules.zone(name)).date() for name in data_map.regions}
    today = as_of.astimezone(rules.zone(None)).date()
    recurring = tuple(
        (like(pattern.lower()), region, last_over(validity, day))
        for pattern, validity in data_map.training_state.validities.items()
        for region, day in (*days.items(), (OTHER, today))
    )
    return Calendar(days, today, recurring)


def make_states(connection: duckdb.DuckDBPyConnection, context: Context, cutoffs: Cutoffs) -> Sql:
    """Make the temporary table STATES as of the run, by which managers' rows are chosen.

    Args:
        cutoffs: which records managers may see. The connection has RESTRICTIONS.
    """
    rows = eligible_before_states(classified(context.layout), Audience.MANAGER, cutoffs)
    seen = subquery(f"SELECT * EXCLUDE (withheld) FROM {rows} WHERE withheld IS NULL")
    as_of = run_snapshot.read(context.layout).classified_at
    found = calendar(context.data_map, context.rules, as_of)
    return temp_table(connection, STATES, states_model(seen, found))

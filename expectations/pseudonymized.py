"""Pseudonymized: what must hold of one audience's rows.

The columns are those that pipeline/pseudonymized makes for the audience; the rule of each is in
data_map.yaml under `columns`.
"""

from __future__ import annotations

from dataclasses import replace

from expectations import suite
from expectations.domains import CheckedColumn, Scope, described_column
from expectations.evidence import column_rules, table_evidence
from pipeline.classified import reference_values
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import Audience
from pipeline.pseudonymized.models import columns as model_columns
from pipeline.storage import relations
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout

# Columns that may be empty although their domain may not: a person need not have a manager.
MAY_BE_EMPTY = {"team_ref", "manager_ref"}


def columns(data_map: DataMap, audience: Audience) -> list[CheckedColumn]:
    """One audience's pseudonymized columns as the suite sees them.

    Raises:
        PolicyError: a column has no entry in data_map.yaml, or no domain.
    """
    found = [described_column(data_map, name, audience.value) for name in model_columns(audience)]
    return [replace(one, nullable=one.nullable or one.name in MAY_BE_EMPTY) for one in found]


def validate(layout: Layout, data_map: DataMap, audience: Audience) -> suite.SuiteResult:
    """One audience's rows: only its columns, only its pseudonyms, only courses it may see."""
    checked = columns(data_map, audience)
    relation = relations.pseudonymized(layout, audience)
    with engine(layout.work) as connection:
        reference_values.attach(connection, layout)
        found = table_evidence(connection, relation, checked, layout, Scope(data_map, audience))
    return suite.judge(f"pseudonymized_{audience.value}", column_rules(checked), found)

"""The steps of a night between the canonical store and the staged tables, on one ground.

The assets are these steps with metadata; a preview of another policy takes the same ones.
"""

from __future__ import annotations

import datetime as dt

from pipeline.engine import engine
from pipeline.governed.lawful import require_flows_of
from pipeline.ground import Ground
from pipeline.keys import PurposeKey
from pipeline.layout import built_beside
from pipeline.policy.data_map import Purpose
from pipeline.policy.windows import due_sql
from pipeline.subjects.withheld import make_withheld
from pipeline.transforms import basis
from pipeline.transforms.classify import write_classified
from pipeline.transforms.known import write_known
from pipeline.transforms.pseudonymize import check_against, write_pseudonymized, write_references


def classify(ground: Ground, as_of: dt.datetime) -> None:
    """The record that holds of every milestone, over all drops in the store."""
    layout = ground.layout
    with (
        layout.locked(),
        engine(layout.work) as connection,
        built_beside(layout.classified, layout.work) as beside,
    ):
        write_classified(connection, layout, ground.data_map, beside)
        basis.write(layout, beside, as_of)


def know(ground: Ground) -> None:
    """What the leak checks compare with."""
    layout = ground.layout
    with (
        layout.locked(),
        engine(layout.work) as connection,
        built_beside(layout.known, layout.work) as beside,
    ):
        write_known(connection, ground, beside)


def pseudonymize(ground: Ground, purpose: Purpose) -> PurposeKey:
    """One purpose's references and rows; returns the key that made them.

    Raises:
        PolicyError: a column tells more than the data map allows, there is no key, or some rows
            may not go to a recipient.
    """
    layout = ground.layout
    check_against(ground.data_map, purpose)
    key = ground.ring.key(purpose)
    due = due_sql(ground.rules, ground.data_map, basis.read(layout).as_of, purpose)
    with layout.locked(), engine(layout.work) as connection:
        require_flows_of(connection, ground, purpose)
        make_withheld(connection, ground)
        with built_beside(layout.references(purpose), layout.work) as beside:
            write_references(connection, layout, key, beside)
        with built_beside(layout.pseudonymized_for(purpose), layout.work) as beside:
            write_pseudonymized(connection, layout, purpose, due, beside)
    return key

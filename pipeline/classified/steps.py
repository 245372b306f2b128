"""The steps that classify a run: the current record of every milestone, and reference values."""

from __future__ import annotations

import datetime as dt

from pipeline.classified import population, run_snapshot
from pipeline.classified.classify import write_classified
from pipeline.classified.reference_values import write
from pipeline.classified.sensitivity import fingerprint_of_hidden
from pipeline.context import Context
from pipeline.storage.engine import engine
from pipeline.storage.files import atomic_build
from pipeline.subjects import tombstones


def classify(context: Context, as_of: dt.datetime) -> None:
    """Classify the current record of every milestone, over all deliveries in the store."""
    layout = context.layout
    with (
        layout.locked(),
        engine(layout.work) as connection,
        atomic_build(layout.classified, layout.work) as beside,
    ):
        courses = write_classified(connection, context, beside)
        population.write(connection, layout, beside)
        run_snapshot.write(context, beside, as_of, fingerprint_of_hidden(connection, courses))


def refuse_returned(context: Context) -> int:
    """Remove erased people's records that only a roster which is in use no longer had made somebody
    else's; before rows are classified. Returns how many."""
    layout = context.layout
    with layout.locked(), engine(layout.work) as connection:
        pages = context.data_map.identity.company_home_pages
        return tombstones.refuse_returned(connection, layout, context.ring, pages)


def list_reference_values(context: Context) -> None:
    """List what the leak checks compare with."""
    layout = context.layout
    with (
        layout.locked("known"),
        engine(layout.work) as connection,
        atomic_build(layout.reference_values, layout.work) as beside,
    ):
        write(connection, context, beside)

"""The classified store is the index of what there is to erase or restrict, so it has to be made of
the deliveries that are accepted, and of no others.

A run that did not publish leaves it made of what it tried. Then it is made anew before anything is
erased, restricted or rectified; what one delivery did wrong holds up nobody's request.
"""

from __future__ import annotations

import datetime as dt

from pipeline.classified import names, run_snapshot
from pipeline.context import Context
from pipeline.errors import Unfinished
from pipeline.policy.fields import Audience
from pipeline.raw import register
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout


def is_current(layout: Layout) -> bool:
    """Is the classified store made of what the canonical store holds?"""
    return run_snapshot.read(layout).deliveries == run_snapshot.deliveries(layout)


def require_current(layout: Layout) -> None:
    """Stop where the index does not know what there is.

    Raises:
        Unfinished: no run has classified the store as it is now.
    """
    if not is_current(layout):
        raise Unfinished(
            "retention: some deliveries in the store are not classified yet; run the pipeline first"
        )


def refresh(context: Context, now: dt.datetime) -> None:
    """Set aside what no run has published, and make the derived stores anew if they show it.

    Raises:
        PolicyError: some of the rows may not go to a recipient.
    """
    layout = context.layout
    with layout.locked():
        register.settle(layout)
    classified = (layout.classified / run_snapshot.NAME).exists()
    # Before the first delivery there is nothing to classify.
    if is_current(layout) if classified else not register.known(layout):
        return
    # Loaded here: hardly any erasure needs them.
    from pipeline.classified.steps import classify, list_reference_values, refuse_returned
    from pipeline.pseudonymized.steps import pseudonymize

    refuse_returned(context)
    classify(context, now)
    for audience in Audience:
        if layout.references(audience).exists():
            pseudonymize(context, audience)
    if layout.reference_values.exists():
        list_reference_values(context)


def publish(context: Context, now: dt.datetime) -> None:
    """Publish what the accepted deliveries make, after one of them was withdrawn."""
    from pipeline.retained import rebuild
    from pipeline.retained.journal import fresh_name

    refresh(context, now)
    with context.layout.locked(), engine(context.layout.work) as connection:
        rebuild.publish_survivors(connection, context, fresh_name(now))
        names.refresh(connection, context)

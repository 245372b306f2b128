"""Correcting the published figures of a period, such as a month that was published from an
incomplete delivery."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import duckdb
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.access import corrections
from pipeline.context import Context
from pipeline.errors import BadInput, PolicyError
from pipeline.policy.fields import Audience
from pipeline.published import coaching, corrected, publication_history
from pipeline.raw import register
from pipeline.retained import index, rebuild
from pipeline.retained.journal import fresh_name
from pipeline.retained.remembered import require_remembered
from pipeline.storage.engine import count, engine
from pipeline.storage.relations import pseudonymized
from pipeline.storage.sql import Sql, literal


@dataclass(frozen=True)
class Effect:
    """What a correction does to a period's figures: how many get new values, stay as they are,
    and are withdrawn."""

    replaced: int
    kept: int
    withdrawn: int


def preview(context: Context, period: dt.date, now: dt.datetime) -> Effect:
    """What a correction would do; nothing is changed.

    Raises:
        BadInput: the period is not published.
        PolicyError: it was corrected before, or its figures have noise.
    """
    index.refresh(context, now)
    _require_correctable(context, period)
    with context.layout.locked(), engine(context.layout.work) as connection:
        return _effect(connection, context, period)


def correct(
    context: Context,
    period: dt.date,
    because: str,
    actor: str,
    key: Ed25519PrivateKey,
    now: dt.datetime,
) -> Effect:
    """Withdraw a period's figures, and publish those again of which the two versions together say
    too little about anybody; all others stay withdrawn. After a crash, the correction is on record,
    and the next run, deletion or attempt publishes it.

    Raises:
        BadInput: the period is not published, or no figure of it could be published again.
        PolicyError: as `corrections.sign` and `preview`; or the store has lost something.
        ErasureError: a check failed, and the figures stay as they were.
    """
    layout = context.layout
    signed = corrections.sign(context, actor, key, period, because, now)
    index.publish(context, now)  # what was killed after it was recorded
    _require_correctable(context, period)
    with layout.locked(), engine(layout.work) as connection:
        require_remembered(layout)
        register.require_content(layout)
        effect = _effect(connection, context, period)
        if not effect.replaced:
            raise BadInput(
                f"no figure of {period} can be published again: the new ones are as before, or too "
                "few people make the difference. All figures stay as they are"
            )
        rebuild.publish_survivors(connection, context, fresh_name(now), signed)
    return effect


def _require_correctable(context: Context, period: dt.date) -> None:
    if str(period) not in publication_history.periods(context.layout):
        raise BadInput(
            f"no figures of {period} are published; `milestones history list` shows the periods, "
            "each by its first day"
        )
    if str(period) in publication_history.corrections(context.layout):
        raise PolicyError(
            f"the figures of {period} were corrected before. A third version could be subtracted "
            "from both, so there is one correction of a period"
        )
    if context.disclosure.coaching.noise:
        raise PolicyError("figures with noise are not corrected: two of them can be averaged")


def _effect(connection: duckdb.DuckDBPyConnection, context: Context, period: dt.date) -> Effect:
    carried = publication_history.carry_forward(connection, context)
    source = Sql(pseudonymized(context.layout, Audience.COACHING))
    rows = coaching.make_rows(connection, source, context.disclosure, [period])
    cells, staying = corrected.choose(connection, context, rows, period, carried)

    def total(tables: dict[str, Sql]) -> int:
        return sum(
            count(connection, f"SELECT count(*) FROM {one} WHERE period = {literal(period)}")
            for one in tables.values()
        )

    replaced, kept = total(cells), total(staying)
    return Effect(replaced, kept, total(carried) - kept - replaced)

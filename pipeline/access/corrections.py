"""Corrections of published figures: who may have a month's figures withdrawn and published again.

A correction is a statement, signed by somebody whose role signs `figures` in access_rules.yaml. It
counts while its signer has that role and key; the publication history keeps it.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field

from pipeline.access import staff
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.keys import signing
from pipeline.policy.access import AccessRules, Signing
from pipeline.policy.base import Strict
from pipeline.storage.layout import Layout

KIND = "correction of figures"


class Correction(Strict):
    """What is signed.

    Attributes:
        period: first day of the period.
        version: of the policy.
    """

    period: dt.date
    because: Annotated[str, Field(pattern=r"\S")]
    by: str
    at: dt.datetime
    version: str


class SignedCorrection(Strict):
    correction: Correction
    signature: str


def sign(
    context: Context,
    actor: str,
    key: Ed25519PrivateKey,
    period: dt.date,
    because: str,
    now: dt.datetime,
) -> SignedCorrection:
    """Sign a correction.

    Raises:
        PolicyError: the actor does not have the role or the key.
        ValidationError: there is no reason.
    """
    made = Correction(
        period=period,
        because=because,
        by=actor,
        at=now.replace(microsecond=0),
        version=context.version,
    )
    signature = signing.sign(key, KIND, made.model_dump(mode="json"))
    signed = SignedCorrection(correction=made, signature=signature)
    if not is_valid(context.layout, context.access, signed):
        raise PolicyError(
            f"{actor} may not sign corrections of figures, or this is not the key that the staff "
            "list has; access_rules.yaml says which role signs `figures`"
        )
    return signed


def is_valid(layout: Layout, rules: AccessRules, found: SignedCorrection) -> bool:
    """Is it signed by somebody who may sign it?"""
    member = staff.find(layout, found.correction.by)
    return (
        member is not None
        and member.key is not None
        and any(Signing.FIGURES in rules.roles[role].signs for role in member.roles)
        and signing.signed(
            member.key, KIND, found.correction.model_dump(mode="json"), found.signature
        )
    )

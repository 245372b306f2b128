"""What governance.yaml demands of a run: a lawful basis for every audience, documents that are in
force, and a lawful transfer to every recipient's country.

Everything with a date can expire, and an expired document stops the run. Transfers are judged by
the people's region and the recipient's country.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.errors import PolicyError
from pipeline.policy.data_map import UNKNOWN_REGION, DataMap
from pipeline.policy.fields import Audience
from pipeline.policy.governance import Governance, LawfulBasis, Recipient


def require_lawful_basis(governance: Governance, data_map: DataMap) -> None:
    """Refuse a policy in which an audience has no purpose or shows sensitive courses without a
    condition of Art. 9(2), or that names a region that does not exist.

    Raises:
        PolicyError: naming the audience, the purpose or the region.
    """
    for audience in Audience:
        purposes = governance.purposes_of(audience)
        if not purposes:
            raise PolicyError(f"governance.yaml: the audience {audience.value} has no purpose")
        sensitive = any(
            "sensitivity" in spec.columns for spec in data_map.tables_of(audience).values()
        )
        bare = [name for name, one in purposes.items() if sensitive and one.special is None]
        if bare:
            raise PolicyError(
                f"governance.yaml: {', '.join(bare)}: special-category data "
                "needs a condition of GDPR Art. 9(2)"
            )
        if len({one.basis is LawfulBasis.CONSENT for one in purposes.values()}) > 1:
            raise PolicyError(
                f"governance.yaml: {audience.value}: one purpose rests on "
                "consent and another does not; give both the same basis"
            )
        if not any(audience in one.audiences for one in governance.recipients):
            raise PolicyError(f"governance.yaml: no recipient has the audience {audience.value}")
    moves = governance.transfers
    origins = {one.origin for one in (*moves.unrestricted, *moves.adequacy, *moves.scc)}
    named = {*moves.home, *moves.home.values(), moves.unknown_region} | (origins - {UNKNOWN_REGION})
    unknown = sorted(named - set(data_map.regions))
    if unknown:
        raise PolicyError(
            f"governance.yaml: transfers: regions not in data_map.yaml: {', '.join(unknown)}"
        )
    homeless = sorted(set(data_map.regions) - set(moves.home))
    if homeless:
        raise PolicyError(f"governance.yaml: transfers.home has no entry for {', '.join(homeless)}")


@dataclass(frozen=True)
class Document:
    """A document with a date: in force from `since` to `until`, its last day."""

    name: str
    since: dt.date | None
    until: dt.date | None


def documents(governance: Governance) -> Iterator[Document]:
    """Every document of the policy that has a date."""
    for name, purpose in governance.purposes.items():
        test = purpose.balancing
        yield Document(f"purpose {name}", test.assessed_on if test else None, purpose.review_by)
    for recipient in governance.recipients:
        if one := recipient.processor:
            yield Document(f"contract {one.contract}", one.signed_on, one.valid_until)
    moves = governance.transfers
    for free in moves.unrestricted:
        yield Document(f"assessment of {free.origin}", free.assessed_on, free.review_by)
    for decision in moves.adequacy:
        yield Document(f"adequacy for {decision.origin}", decision.decided_on, decision.review_by)
    for clauses in moves.scc:
        made = clauses.assessment
        yield Document(f"clauses {clauses.contract}", clauses.signed_on, None)
        yield Document(f"assessment {made.name}", made.assessed_on, made.review_by)


def expired(governance: Governance, today: dt.date) -> list[str]:
    """Documents whose last day is over, with that day."""
    return [
        f"{one.name} ({one.until})"
        for one in documents(governance)
        if one.until and one.until < today
    ]


def require_current(governance: Governance, today: dt.date) -> None:
    """Stop the run on anything that has expired or is not in force yet.

    Raises:
        PolicyError: naming every such document and its date.
    """
    early = [
        f"{one.name} ({one.since})"
        for one in documents(governance)
        if one.since and one.since > today
    ]
    if late := expired(governance, today):
        raise PolicyError(f"governance.yaml: expired: {', '.join(late)}")
    if early:
        raise PolicyError(f"governance.yaml: not in force yet: {', '.join(early)}")


def mechanism(governance: Governance, data_map: DataMap, region: str, country: str) -> str | None:
    """The mechanism that allows a transfer of a region's data to a country; None without one."""
    moves = governance.transfers
    home = moves.home.get(region)
    if home is not None and country in data_map.regions[home]:
        return "within the region"
    for kind, ways in (
        ("unrestricted", moves.unrestricted),
        ("adequacy", moves.adequacy),
        ("scc", moves.scc),
    ):
        for way in ways:
            if way.origin == region and country in way.to:
                return kind
    return None


def unreachable(
    governance: Governance, data_map: DataMap, audience: Audience, region: str
) -> list[Recipient]:
    """The audience's recipients to whom nothing lets data of a region be transferred."""
    return [
        recipient
        for recipient in governance.recipients
        if audience in recipient.audiences
        and mechanism(governance, data_map, region, recipient.country) is None
    ]


def require_flows(
    governance: Governance, data_map: DataMap, audience: Audience, regions: Iterable[str | None]
) -> None:
    """Refuse to give rows of some regions to an audience with a recipient that they may not be
    transferred to (GDPR Art. 44). Rows without a country count as those of `unknown_region`; rows
    of an unknown one are suppressed instead (pipeline/subjects/restrictions.py), so that a single
    typing error does not stop everybody's tables.

    Raises:
        PolicyError: naming region, audience and recipient.
    """
    known = {region or governance.transfers.unknown_region for region in regions}
    for region in sorted(known - {UNKNOWN_REGION}):
        for recipient in unreachable(governance, data_map, audience, region):
            raise PolicyError(
                f"governance.yaml: {audience.value}: nothing lets data of {region} go to "
                f"{recipient.name} ({recipient.country}); add a mechanism under transfers, or "
                "remove the audience from the recipient"
            )

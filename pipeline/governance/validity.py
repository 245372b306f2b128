"""Is the policy valid today, and may data be used under it?"""

from __future__ import annotations

import datetime as dt
from functools import partial

from expectations.domains import require_domains
from pipeline.access import approval
from pipeline.access.suspension import require_not_suspended
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy import access, governance_checks
from pipeline.policy.disclosure import require_matching
from pipeline.policy.fields import Audience
from pipeline.policy.retention import require_current
from pipeline.policy.retention_coverage import require_coverage
from pipeline.pseudonymized.models import check_against
from pipeline.subjects import legal_holds


def require_consistent_policy(context: Context) -> None:
    """Stop under a policy that means nothing, signed or not.

    Raises:
        PolicyError: a policy file contradicts another one, or the rule of a column is not a domain.
    """
    require_domains(context.data_map)
    require_coverage(context.rules, context.data_map)
    require_matching(context.disclosure, context.data_map)
    governance_checks.require_lawful_basis(context.governance, context.data_map)
    access.require_consistent(context.access, context.data_map, context.governance)


def require_runnable_policy(context: Context) -> None:
    """Stop under a policy that a run would stop at; the lineage that this takes is derived from the
    SQL of every column, which is too slow for a command that only reads.

    Raises:
        PolicyError: as `require_consistent_policy`; or a column shows more of a field than the data
            map allows.
    """
    require_consistent_policy(context)
    for audience in Audience:
        check_against(context.data_map, audience)


def require_valid_policy(context: Context, today: dt.date) -> None:
    """Stop under a policy that is not valid today.

    Raises:
        PolicyError: as `require_consistent_policy`; a rule or a legal hold in force is past its
            review date, or legal and HR have not signed the files as they are.
    """
    require_consistent_policy(context)
    require_current(context.rules, today)
    legal_holds.require_reviewed(context.layout, today)
    approval.require_approved(context.layout, context.access, context.version)


def require_lawful_use(context: Context, today: dt.date) -> None:
    """Stop before personal data is used unlawfully. Deletions do not require this: what may not be
    used must still be erased.

    Raises:
        PolicyError: as `require_valid_policy`; a purpose, contract or transfer has expired; or an
            incident has suspended everything.
    """
    require_valid_policy(context, today)
    require_not_suspended(context.layout)
    governance_checks.require_current(context.governance, today)


def obstacles(context: Context, today: dt.date) -> list[str]:
    """Why a run would be refused today, although its policy is consistent."""
    layout = context.layout
    found = []
    for require in (
        partial(require_current, context.rules, today),
        partial(legal_holds.require_reviewed, layout, today),
        partial(governance_checks.require_current, context.governance, today),
        partial(require_not_suspended, layout),
        partial(approval.require_approved, layout, context.access, context.version),
    ):
        try:
            require()
        except PolicyError as refusal:
            found.append(str(refusal))
    return found

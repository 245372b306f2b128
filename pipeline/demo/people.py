"""The demo's staff: one person in every role, and the signatures of its legal and HR.

Only an empty staff list is filled, so that a real one is never added to.
"""

from __future__ import annotations

import datetime as dt

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.access import account, approval, audit, courses, staff
from pipeline.access import go_live as live
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.keys import signing
from pipeline.policy.access import Role, deciding_role
from pipeline.policy.fields import Audience
from pipeline.raw import landing
from pipeline.storage import encryption, relations
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout

SIGNERS = (Role.LEGAL, Role.HR)
ORDINARY = ("SEC-*", "GDP-*", "COC-*", "NEG-*", "SQL-*", "FRK-*", "MNT-*")
SENSITIVE = {"HLT-404": "health", "UNI-007": "union"}


def name(role: Role, second: bool = False) -> str:
    return f"demo-{role.value.replace('_', '-')}{'-2' if second else ''}"


def require_demo(layout: Layout) -> None:
    """Stop before made-up people get among real ones.

    Raises:
        PolicyError: somebody's own staff works with the data folder, or MILESTONES_LANDING has
            deliveries and the data folder has never been a demo's.
    """
    if account.is_demo(layout):
        return
    if staff.everyone(layout) or (layout.landing_url and landing.deliveries(layout)):
        raise PolicyError(
            "the demo's people are made up, and here are a company's own staff or deliveries: "
            "choose an empty data folder (--home) and an empty MILESTONES_LANDING, or none"
        )


def create_staff(context: Context, now: dt.datetime) -> bool:
    """Fill the staff list and have the policy signed; false if there is staff already."""
    if staff.everyone(context.layout):
        return False
    keys = context.layout.vault / "demo-keys"
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Two for HR, since nobody signs for themselves.
    for role, second in [*((role, False) for role in Role), (Role.HR, True)]:
        actor = name(role, second)
        public = audit.new_key_pair(keys / f"{actor}.pem") if role in SIGNERS else None
        staff.put(context.layout, staff.Member(actor=actor, roles=(role,), key=public))
    for role in SIGNERS:
        signer = (name(role), role, _key(context, role))
        approval.sign(context.layout, context.policy_folder, context.access, *signer, now)
    decide_courses(context, now)
    audit.note_change(context, "the demo's staff, and its decisions about courses")
    return True


def go_live(context: Context, now: dt.datetime) -> None:
    """Sign for the demo's legal and HR that it is live, unless they have."""
    for role in SIGNERS:
        live.sign(context.layout, context.access, name(role), role, _key(context, role), now)


def _key(context: Context, role: Role) -> Ed25519PrivateKey:
    path = context.layout.vault / "demo-keys" / f"{name(role)}.pem"
    return signing.load_private_key(path.read_bytes())


def decide_courses(context: Context, now: dt.datetime) -> None:
    """Decide about the demo's courses as its legal would: most by how their codes begin, and one by
    one those of which something is suggested."""
    role = deciding_role(context.access)
    actor, key = name(role), _key(context, role)
    courses.decide(
        context,
        actor,
        key,
        now,
        category=None,
        because="no course of these says more than its title",
        patterns=(*ORDINARY, "https://lms.corp.example/*"),
    )
    for code, category in SENSITIVE.items():
        courses.decide(
            context, actor, key, now, category=category, because="GDPR Art. 9", codes={code: ()}
        )


def assign_manager(context: Context) -> None:
    """Let the demo's manager be whoever has the most reports, so that there is an extract."""
    rows = relations.pseudonymized(context.layout, Audience.MANAGER)
    with engine(context.layout.work) as connection:
        refs = encryption.rows(
            connection, context.layout, context.layout.references(Audience.MANAGER)
        )
        found = connection.execute(
            f"SELECT person FROM {refs} JOIN (SELECT manager_ref AS ref, "
            f"count(DISTINCT learner_ref) AS n FROM {rows} GROUP BY 1) "
            "USING (ref) ORDER BY n DESC, ref LIMIT 1"
        ).fetchall()
    actor = name(Role.MANAGER)
    if found and staff.find(context.layout, actor) is not None:
        staff.put(
            context.layout,
            staff.Member(actor=actor, roles=(Role.MANAGER,), person=str(found[0][0])),
        )

"""A policy is in force once legal and HR have signed its hash; a changed file needs both again.

governance/<day>-<version>/   a copy of the policy files, and a signed statement for each role
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.access import staff
from pipeline.access.log import AccessLog
from pipeline.errors import PolicyError
from pipeline.keys import signing
from pipeline.policy.access import AccessRules, Role, RoleRule, Signing
from pipeline.policy.version import contents, version
from pipeline.storage.files import atomic_build, replace_text
from pipeline.storage.layout import Layout

NEEDED = (Role.LEGAL, Role.HR)
KIND = "policy"


@dataclass(frozen=True)
class Approval:
    """One valid signature."""

    role: Role
    actor: str
    signed_at: str


def _folder(layout: Layout, hash_: str) -> Path | None:
    return next(iter(sorted(layout.governance.glob(f"????????-{hash_[:16]}"))), None)


def copy_of(layout: Layout, hash_: str) -> Path | None:
    """The policy files as they were signed; None if nobody signed that version."""
    return _folder(layout, hash_)


def newest_first(layout: Layout) -> list[Path]:
    """The copies of all versions that anybody signed."""
    return sorted(layout.governance.glob("????????-????????????????"), reverse=True)


def approvals(layout: Layout, rules: AccessRules, hash_: str) -> list[Approval]:
    """The signatures over this version that are valid now: the signer still has the role and the
    key, and the role signs policies."""
    folder = _folder(layout, hash_)
    found = []
    for path in sorted(folder.glob("*.json")) if folder else []:
        signed = json.loads(path.read_text("utf-8"))
        statement = signed["statement"]
        member = staff.find(layout, str(statement["actor"]))
        if (
            member is not None
            and member.key is not None
            and statement["version"] == hash_
            and statement["role"] in member.roles
            and signs_policies(rules, Role(statement["role"]))
            and signing.signed(member.key, KIND, statement, signed["signature"])
        ):
            found.append(Approval(Role(statement["role"]), member.actor, statement["signed_at"]))
    return found


def signs_policies(rules: AccessRules, role: Role) -> bool:
    return Signing.POLICY in rules.roles.get(role, RoleRule()).signs


def missing(layout: Layout, rules: AccessRules, hash_: str) -> list[Role]:
    """Roles whose signature is missing."""
    return unsigned(approvals(layout, rules, hash_))


def unsigned(valid: list[Approval]) -> list[Role]:
    """Roles whose signature is missing among some. One person cannot sign for both."""
    left = [role for role in NEEDED if role not in {one.role for one in valid}]
    if not left and len({one.actor for one in valid}) < len(NEEDED):
        return [Role.HR]
    return left


def require_approved(layout: Layout, rules: AccessRules, hash_: str) -> None:
    """Stop on a policy that legal and HR have not signed as it is.

    Raises:
        PolicyError: naming the version and the roles whose signature is missing.
    """
    left = missing(layout, rules, hash_)
    if left:
        raise PolicyError(
            f"policy {hash_[:12]}: not signed by {' and '.join(left)}. See what it changes with "
            "`milestones policy diff`, then have it signed with `milestones policy sign`"
        )


def require_signer(
    layout: Layout,
    rules: AccessRules,
    actor: str,
    role: Role,
    key: Ed25519PrivateKey,
    what: str = "policy",
) -> None:
    """Stop whoever signs for a role that is not theirs, or does not sign policies.

    Raises:
        PolicyError: saying what is to be signed, and the first reason against it.
    """
    member = staff.find(layout, actor)
    if member is None or role not in member.roles:
        raise PolicyError(f"{what}: {actor} does not have the role {role.value}")
    if not signs_policies(rules, role):
        raise PolicyError(f"{what}: the role {role.value} does not sign policies")
    if member.key is None:
        raise PolicyError(
            f"{what}: {actor} has no key that counts. Founding signers make one (`milestones staff "
            "key`) and confirm each other's (`milestones staff confirm`)"
        )
    if member.key != signing.public_pem(key):
        raise PolicyError(f"{what}: this is not the key that the staff list has for {actor}")


def sign(
    layout: Layout,
    folder: Path,
    rules: AccessRules,
    actor: str,
    role: Role,
    key: Ed25519PrivateKey,
    now: dt.datetime,
) -> str:
    """Sign the policy files as they are; returns their version.

    Raises:
        PolicyError: the actor does not have that role or key, or the role does not sign policies.
    """
    require_signer(layout, rules, actor, role, key)
    hash_ = version(folder)
    statement = {
        "version": hash_,
        "role": role.value,
        "actor": actor,
        "signed_at": now.isoformat(timespec="seconds"),
        "log": AccessLog(layout).head(),
    }
    with layout.locked():
        target = _folder(layout, hash_)
        if target is None:
            target = layout.governance / f"{now:%Y%m%d}-{hash_[:16]}"
            with atomic_build(target, layout.work, durable=True) as beside:
                beside.mkdir(mode=0o700)
                for name, content in contents(folder).items():
                    (beside / name).parent.mkdir(exist_ok=True, mode=0o700)
                    (beside / name).write_bytes(content)
        replace_text(
            target / f"{role.value}.json",
            json.dumps({"statement": statement, "signature": signing.sign(key, KIND, statement)}),
        )
    return hash_

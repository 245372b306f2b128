"""A changed policy, first for a pilot group: only their files are made under it.

pilot/<version>/<actor>/<role>/<database>.duckdb, and pilot.json with the hashes that prove it. A
pilot ends with the next release, whatever its policy.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

from pipeline.access import audit, go_live, staff
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.governance.preview import rebuilt, verdicts
from pipeline.policy.access import RoleRule
from pipeline.published import exports, gate
from pipeline.read import service
from pipeline.storage.files import atomic_build
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout


def hashes(layout: Layout) -> dict[str, str]:
    """Every file of the release with its hash."""
    root = layout.current.resolve()
    return {
        str(p.relative_to(root)): file_sha256(p) for p in sorted(root.rglob("*")) if p.is_file()
    }


def start(candidate: Context, actors: tuple[str, ...], now: dt.datetime) -> Path:
    """Create the pilot group's files under a candidate policy that legal and HR have signed.

    Raises:
        PolicyError: the policy is not signed, an actor is unknown, or the candidate's checks fail;
            nothing is written then.
    """
    layout = candidate.layout
    go_live.require_open(layout, candidate.access, candidate.version)
    members = staff.everyone(layout)
    if not actors or not set(actors) <= set(members):
        raise PolicyError("pilot: every actor must be on the staff list; name at least one")
    before = hashes(layout)
    target = layout.pilot / candidate.version[:16]
    with rebuilt(candidate, now) as (trial, partition):
        broken = verdicts(trial, partition)
        if broken:
            raise PolicyError(f"pilot: a run under this policy would stop at {', '.join(broken)}")
        gate.require_seals(trial.layout, trial.data_map, partition)
        staged = trial.layout.staged(partition)
        exports.write(trial, staged, partition)
        with atomic_build(target, layout.work) as beside:
            beside.mkdir(mode=0o700)
            for actor in actors:
                _hand_out(trial, staged, members[actor], beside / actor)
            proof = {
                "version": candidate.version,
                "actors": sorted(actors),
                "at": now.isoformat(timespec="seconds"),
                "release_before": before,
                "release_after": hashes(layout),
            }
            if proof["release_after"] != before:
                raise PolicyError("pilot: a new release was published meanwhile; start again")
            (beside / "pilot.json").write_text(json.dumps(proof, indent=1), "utf-8")
    audit.note_change(
        candidate, f"pilot of policy {candidate.version[:12]} for {', '.join(sorted(actors))}"
    )
    return target


def _hand_out(trial: Context, staged: Path, member: staff.Member, folder: Path) -> None:
    """Copy the files that one member's roles receive."""
    for role in member.roles:
        (folder / role.value).mkdir(parents=True, mode=0o700)
        rule = trial.access.roles.get(role, RoleRule())
        for audience in rule.receives:
            own = audience in trial.access.own_reports
            ref = service.reference(trial, member.person, audience) if own else None
            if own and ref is None:
                continue
            for name in exports.names(trial, audience):
                source = staged / exports.FOLDER / role.value / (f"{ref}.duckdb" if own else name)
                shutil.copyfile(source, folder / role.value / name)

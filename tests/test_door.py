"""The door: role x table x purpose x sign-off, the four eyes, and what a role's files hold."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.access import sign_off, staff
from pipeline.access.audit import bodies
from pipeline.access.authorize import AccessDenied, AccessRequest, authorize
from pipeline.access.sign_off import SignOff
from pipeline.context import Context
from pipeline.errors import PolicyError, Unfinished
from pipeline.policy.access import Role
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import Audience
from pipeline.pseudonymized import steps
from pipeline.published import exports
from pipeline.published.reports import coaching_page
from pipeline.read import service
from pipeline.read.receive import receive
from pipeline.storage.hashing import file_sha256
from tests import soak
from tests.company import EMAIL, NAME, number
from tests.estate import KEYS, STAFF, context, policy_with, sign_policy
from tests.fixtures import Estate

DETAIL, CASE = "hr_legal_detail", "case 2026-17, works council told"
RAW = {
    "course_title",
    "sensitivity",
    "assigned_on",
    "assigned_at",
    "started_on",
    "started_at",
    "event_on",
    "event_at",
    "event_zone",
    "due_on",
    "due_at",
    "score",
    "attempts",
    "has_comment",
}
# What each role sees, by purpose, written down by hand: the policy is tested against this, and
# whatever is not here is refused.
COACHING = {
    "coaching_period",
    "coaching_department",
    "coaching_team",
    "coaching_category",
    "coaching_course",
    "coaching_team_course",
    "coaching_courses",
}
OPEN: dict[tuple[str, str], set[str]] = {
    ("analyst", "team_coaching"): COACHING,
    ("analyst", "training_quality"): {"analytics_milestones", "analytics_courses"},
    ("manager", "team_coaching"): COACHING,
    ("manager", "one_to_one"): {"manager_extract"},
    ("hr", "team_coaching"): COACHING,
    ("hr", "misconduct_case"): {DETAIL},
    ("hr", "legal_claim"): {DETAIL},
    ("legal", "team_coaching"): COACHING,
    ("legal", "legal_claim"): {DETAIL},
    ("dpo", "team_coaching"): COACHING,
}
ACTOR = {
    "analyst": "ana",
    "manager": "max",
    "hr": "hana",
    "legal": "lea",
    "auditor": "audrey",
    "data_engineer": "eddy",
    "dpo": "dora",
}


@pytest.fixture
def stand(published: Estate) -> Context:
    return context(published.home)


def subject(stand: Context, at: int = 1) -> str:
    found = service.reference(stand, f"emp:{number(at)}", Audience.HR_LEGAL)
    assert found is not None
    return found


def detail_ask(stand: Context, **changes: Any) -> AccessRequest:
    output = AccessRequest("hana", Role.HR, "misconduct_case", DETAIL, (subject(stand),), note=CASE)
    return replace(output, **changes)


def leave(stand: Context, **changes: Any) -> SignOff:
    """Henry's sign-off for what `detail_ask` asks."""
    signer = changes.pop("signer", "henry")
    given: dict[str, Any] = {
        "asker": "hana",
        "signer": signer,
        "table": DETAIL,
        "people": changes.get("people") or (subject(stand),),
        "fields": tuple(RAW),
        "purpose": "misconduct_case",
        "version": stand.version,
        "now": dt.datetime.now(dt.UTC),
    } | changes
    return sign_off.issue(
        KEYS.get(signer, KEYS["henry"]), stand.access.detail[Audience.HR_LEGAL].sign_off, **given
    )


def granted(stand: Context, ask: AccessRequest) -> bool:
    """The decision by itself."""
    members = staff.everyone(stand.layout)
    signer = members.get(ask.sign_off.authorization.signer) if ask.sign_off else None
    own = {"max": "v1m1_" + "0" * 32}.get(ask.actor)
    try:
        authorize(stand, ask, members.get(ask.actor), own, signer, None, dt.datetime.now(dt.UTC))
    except AccessDenied:
        return False
    return True


@pytest.mark.more
def test_the_whole_matrix(stand: Context) -> None:
    """Every role with every table, purpose and kind of sign-off; 0 open that are not in OPEN. The
    decision is asked for all; rows, where they are to open, and for a fifth of what is refused
    without a sign-off: in a soak for all of it."""
    purposes = [*stand.governance.purposes, "", "one_to_one' OR true --"]
    kinds = ("none", "valid", "another's", "forged")
    person, tried = subject(stand), 0
    for role, table, purpose, kind in itertools.product(
        Role, stand.data_map.published, purposes, kinds
    ):
        made = None
        if kind != "none":
            asker = "someone" if kind == "another's" else ACTOR[role]
            signer = "audrey" if kind == "forged" else "henry"
            made = leave(stand, asker=asker, purpose=purpose, signer=signer, people=(person,))
        single = table == DETAIL
        ask = AccessRequest(
            ACTOR[role],
            role,
            purpose,
            table,
            (person,) if single else (),
            note=CASE if single else "",
            sign_off=made,
        )
        expected = table in OPEN.get((role.value, purpose), set()) and (
            not single or kind in ("none", "valid")
        )
        assert granted(stand, ask) == expected, (role, table, purpose, kind)
        asked = kind == "none" and tried // len(kinds) % soak.times(5, 1) == 0
        if asked or (expected and (kind == "none" or single)):
            try:
                page = service.read(stand, ask, 3)
                opened = True
            except AccessDenied:
                opened = False
            assert opened == expected, (role, table, purpose, kind)
            if opened and single:
                assert bool(RAW & set(page.columns)) == (kind == "valid")
        tried += 1
    assert tried == 7 * 11 * 7 * 4


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"actor": "stranger"}, "does not have the role"),
        ({"actor": "ana"}, "does not have the role"),
        ({"people": ()}, "named people only"),
        ({"people": (f"emp:{number(1)}",)}, "by their pseudonyms"),
        ({"people": ("v1h1_' OR true --",)}, "by their pseudonyms"),
        ({"note": "because"}, "note of at least 12"),
        ({"note": " " * 40}, "note of at least 12"),
        ({"note": f"about {EMAIL}"}, "identifies a person"),
        ({"note": f"about {NAME} of Sales"}, "identifies a person"),
        ({"note": f"about person {number(1)}"}, "identifies a person"),
        ({"note": "Zzyzx asked for a review"}, "word 1 is part"),
        ({"note": "a question of QUENTIN's"}, "word 4 is part"),
        ({"note": f"case of no. {number(1)[:5]}"}, "word 4 is part"),
        ({"note": "what quentin.z did in May"}, "word 2 is part"),
        ({"note": "what person 1 has done, as told"}, "refer to a case"),
        ({"fields": ("score",)}, "require a sign-off"),
        ({"fields": ("score; DROP TABLE hr_legal_detail",)}, "does not have all of these fields"),
        ({"table": "../vault/known"}, "no published table"),
        ({"table": "hr_legal_detail; --"}, "no published table"),
        ({"purpose": "curiosity"}, "not in the register"),
    ],
)
def test_the_detail_is_refused(stand: Context, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(AccessDenied, match=why):
        service.read(stand, detail_ask(stand, **changes))
    last = list(bodies(stand.layout))[-1]
    assert last["decision"].startswith("refused: ")
    assert last["rows"] == 0
    assert not [one for one in (NAME, EMAIL, number(1), "DROP") if one in json.dumps(last)]


def test_without_a_sign_off_nothing_raw_or_sensitive_opens(stand: Context) -> None:
    """Person 1 took a course on burnout: neither it nor a score, a date or a title shows."""
    page = service.read(stand, detail_ask(stand))
    assert page.rows
    assert not RAW & set(page.columns)
    assert "HLT-404" not in {row[page.columns.index("course_code")] for row in page.rows}
    found = service.read(stand, detail_ask(stand, sign_off=leave(stand)))
    assert set(found.columns) > RAW
    assert "HLT-404" in {row[found.columns.index("course_code")] for row in found.rows}
    assert found.total == page.total + 1
    # A sign-off for scores alone does not show that there is a sensitive course.
    scores = detail_ask(stand, sign_off=leave(stand, fields=("score",)))
    assert service.read(stand, scores).total == page.total


NOW = dt.datetime.now(dt.UTC)
LATER, EARLIER = NOW + dt.timedelta(days=1), NOW - dt.timedelta(days=30)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"signer": "hana"}, "signed by the asker"),
        ({"signer": "lea"}, "may not sign raw records"),
        ({"signer": "stranger"}, "may not sign raw records"),
        ({"asker": "lea"}, "for somebody else"),
        ({"table": "coaching_team"}, "for another table"),
        ({"purpose": "legal_claim"}, "for another purpose"),
        ({"people": ()}, "does not name all of these people"),
        ({"fields": ("attempts",), "ask": {"fields": ("score",)}}, "not name all of these fields"),
        ({"version": "0" * 64}, "under another policy"),
        ({"now": LATER}, "not in force yet"),
        ({"now": EARLIER}, "has expired"),
        ({"until": NOW + dt.timedelta(days=60)}, "for longer than a sign-off may"),
    ],
)
def test_a_sign_off_is_bound(stand: Context, changes: dict[str, Any], why: str) -> None:
    asked = changes.pop("ask", {})
    with pytest.raises(AccessDenied, match=why):
        service.read(stand, detail_ask(stand, sign_off=leave(stand, **changes), **asked))


def test_nobody_signs_or_looks_up_their_own_records(stand: Context) -> None:
    own = subject(stand, 6)  # Henry's
    with pytest.raises(AccessDenied, match="about the signer's own records"):
        service.read(stand, detail_ask(stand, people=(own,), sign_off=leave(stand, people=(own,))))
    with pytest.raises(AccessDenied, match="access request"):
        service.read(stand, detail_ask(stand, people=(subject(stand, 5),)))


def test_every_change_of_a_sign_off_breaks_its_signature(stand: Context) -> None:
    """Whoever has a sign-off and edits any part of it has none."""
    honest = leave(stand, fields=("score",), people=(subject(stand), subject(stand, 2)))
    output = honest.authorization.model_dump()
    for name, value in output.items():
        if name in ("signer", "asker", "table", "purpose", "version", "name"):
            changed: Any = (
                "hana" if name == "asker" else value[:-1] + ("0" if value[-1] != "0" else "1")
            )
        elif isinstance(value, tuple):
            changed = (*value, "attempts") if name == "fields" else (*value, subject(stand, 3))
        else:
            changed = value + dt.timedelta(minutes=1)
        forged = SignOff(
            authorization=honest.authorization.model_copy(update={name: changed}),
            signature=honest.signature,
        )
        if forged.authorization != honest.authorization:
            with pytest.raises(AccessDenied):
                service.read(stand, detail_ask(stand, fields=("score",), sign_off=forged))
    assert service.read(stand, detail_ask(stand, fields=("score",), sign_off=honest)).rows


def test_a_sign_off_opens_once(stand: Context, tmp_path: Path) -> None:
    sign_off.write(leave(stand), tmp_path / "leave.json")
    ask = detail_ask(stand, sign_off=sign_off.read(tmp_path / "leave.json"))
    assert service.read(stand, ask).rows
    with pytest.raises(PolicyError, match="used before"):
        service.read(stand, ask)
    decisions = [one["decision"] for one in bodies(stand.layout)]
    refused = "refused: sign-off: it was used before; it allows one reading"
    assert decisions == ["used", "granted", refused]
    (tmp_path / "leave.json").write_text('{"authorization": {"name": "../../x"}}')
    with pytest.raises(PolicyError, match="not a sign-off"):
        sign_off.read(tmp_path / "leave.json")


def test_a_used_sign_off_opens_nothing_whatever_is_deleted(stand: Context, tmp_path: Path) -> None:
    """What remembers it is the log itself: without its end, or without all of it, none opens."""
    ask = detail_ask(stand, sign_off=leave(stand))
    service.read(stand, AccessRequest("max", Role.MANAGER, "one_to_one", "manager_extract"))
    folder = stand.layout.vault / "access"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert service.read(stand, ask).rows
    after = {path: path.read_bytes() for path in folder.iterdir()}
    for log, anchor in ((before, after), ({}, after), (after, after)):
        for path in after:
            path.unlink(missing_ok=True)
            kept = anchor if path.name == "anchor" else log
            if path in kept:
                path.write_bytes(kept[path])
        with pytest.raises(PolicyError, match=r"used before|does not end as its anchor"):
            service.read(stand, ask)


def test_between_two_keys_whoever_reads_is_published_so(stand: Context) -> None:
    """A run that was killed after a change of keys leaves new pseudonyms in the vault and old ones
    in the release: nobody would be found, and no answer would say why."""
    manager = AccessRequest("max", Role.MANAGER, "one_to_one", "manager_extract")
    asks = (manager, detail_ask(stand, sign_off=leave(stand)))
    stand.ring.rotate(dt.date(2026, 11, 20))
    assert service.read(stand, manager).rows, "no run has begun with the new keys"
    for audience in Audience:
        steps.pseudonymize(stand, audience)
    for ask in asks:
        with pytest.raises(Unfinished, match="the keys were changed"):
            service.read(stand, ask)
    assert "used" not in [one["decision"] for one in bodies(stand.layout)]


def test_a_role_that_was_taken_away_opens_nothing(stand: Context) -> None:
    ask = AccessRequest("max", Role.MANAGER, "one_to_one", "manager_extract")
    assert service.read(stand, ask).rows
    staff.remove(stand.layout, "max")
    with pytest.raises(AccessDenied, match="does not have the role"):
        service.read(stand, ask)


def test_an_expired_purpose_opens_nothing(published: Estate, tmp_path: Path) -> None:
    purposes = {"one_to_one": _one_to_one() | {"review_by": "2026-11-01"}}
    folder = policy_with(tmp_path / "policy", "governance.yaml", {"purposes": purposes})
    stand = Estate(published.home, published.instance, folder).context
    with pytest.raises(PolicyError, match="not signed by legal and hr"):
        service.read(stand, AccessRequest("max", Role.MANAGER, "one_to_one", "manager_extract"))
    sign_policy(published.home, folder)
    with pytest.raises(AccessDenied, match="has expired"):
        service.read(stand, AccessRequest("max", Role.MANAGER, "one_to_one", "manager_extract"))


def _one_to_one() -> dict[str, Any]:
    import yaml

    from pipeline.storage.layout import PROJECT

    output: dict[str, Any] = yaml.safe_load((PROJECT / "governance.yaml").read_text())
    found: dict[str, Any] = output["purposes"]["one_to_one"]
    return found


def everything_in(path: Path) -> dict[str, tuple[set[str], list[tuple[object, ...]]]]:
    """Every table of a DuckDB file, views and other schemas included: columns and rows."""
    with duckdb.connect(str(path), read_only=True) as c:
        names = c.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_catalog NOT IN ('system', 'temp')"
        ).fetchall()
        return {
            table: (
                {str(row[0]) for row in c.execute(f'DESCRIBE "{schema}"."{table}"').fetchall()},
                c.execute(f'FROM "{schema}"."{table}"').fetchall(),
            )
            for schema, table in names
        }


def test_a_roles_files_hold_nothing_beyond_its_right(stand: Context, data_map: DataMap) -> None:
    """Every column and row of every file that a role gets, against what it may have."""
    root = stand.layout.current / exports.FOLDER
    allowed = {
        role.value: set().union(*(t for (r, _), t in OPEN.items() if r == role.value)) - {DETAIL}
        for role in Role
    }
    assert {path.name for path in root.iterdir()} == {role.value for role in Role}
    for role, tables in allowed.items():
        seen: set[str] = set()
        for path in (root / role).glob("*.duckdb"):
            for table, (columns, _) in everything_in(path).items():
                assert table in tables, (role, path.name, table)
                assert columns <= set(data_map.published[table].columns)
                seen.add(table)
        assert seen == tables, role
        others = {path.name for path in (root / role).iterdir() if path.suffix != ".duckdb"}
        beside = {f"{table}.parquet" for table in tables if table != "manager_extract"}
        assert others == beside | ({coaching_page.PAGE} if "coaching_team" in tables else set())
    own = {
        actor: service.reference(stand, f"emp:{number(at)}", Audience.MANAGER)
        for actor, (role, at) in STAFF.items()
        if role is Role.MANAGER and at
    }
    files = {path.stem: path for path in (root / "manager").glob("v1m*.duckdb")}
    # Staff who are known to the run, managers or not, have a file; others' rows are in none.
    assert {own["max"], own["mia"]} <= set(files)
    for ref, path in files.items():
        assert {row[0] for row in everything_in(path)["manager_extract"][1]} <= {ref}
    whole = everything_in(stand.layout.current / "manager_extract.duckdb")["manager_extract"][1]
    (mine,) = (everything_in(files[str(own["max"])])["manager_extract"][1],)
    assert sorted(map(str, mine)) == sorted(str(r) for r in whole if r[0] == own["max"])
    assert not everything_in(files[str(own["idle"])])["manager_extract"][1]


def test_a_role_receives_its_files_and_no_others(stand: Context, tmp_path: Path) -> None:
    def get(actor: str, role: Role, purpose: str, table: str, own: str | None = None) -> list[Path]:
        ask = AccessRequest(actor, role, purpose, table)
        return receive(stand, ask, own, tmp_path / actor / purpose)

    found = get("ana", Role.ANALYST, "training_quality", "analytics_milestones")
    tables = ("analytics_milestones.parquet", "analytics_courses.parquet")
    assert [path.name for path in found] == ["analytics.duckdb", *tables]
    assert file_sha256(found[0]) == file_sha256(stand.layout.current / "analytics.duckdb")
    with pytest.raises(PolicyError, match="contains a file of that name"):
        get("ana", Role.ANALYST, "training_quality", "analytics_milestones")
    found[0].write_bytes(b"of another release")
    ask = AccessRequest("ana", Role.ANALYST, "training_quality", "analytics_milestones")
    assert receive(stand, ask, None, found[0].parent, replace=True) == found
    assert file_sha256(found[0]) == file_sha256(stand.layout.current / "analytics.duckdb")
    own = service.reference(stand, f"emp:{number(900)}", Audience.MANAGER)
    (path,) = get("max", Role.MANAGER, "one_to_one", "manager_extract", own)
    assert {row[0] for row in everything_in(path)["manager_extract"][1]} == {own}
    entries = list(bodies(stand.layout))
    assert not entries[0]["everybody"]  # the rows name nobody, not even by a pseudonym
    assert len(entries[-1]["people"]) == 12
    refused: list[Callable[[], object]] = [
        lambda: get("max", Role.MANAGER, "one_to_one", "manager_extract"),
        lambda: get("max", Role.MANAGER, "training_quality", "analytics_milestones"),
        lambda: get("eddy", Role.DATA_ENGINEER, "team_coaching", "coaching_team"),
        lambda: get("hana", Role.HR, "misconduct_case", DETAIL),
        lambda: get("hana", Role.ANALYST, "training_quality", "analytics_milestones"),
    ]
    for attempt in refused:
        with pytest.raises(AccessDenied):
            attempt()
    assert [one["decision"][:7] for one in list(bodies(stand.layout))[-5:]] == ["refused"] * 5


def test_a_managers_file_goes_with_the_role(stand: Context) -> None:
    own = service.reference(stand, f"emp:{number(900)}", Audience.MANAGER)
    path = stand.layout.current / exports.FOLDER / "manager" / f"{own}.duckdb"
    assert path.exists()
    exports.withdraw(stand, own)
    assert not path.exists()


HOSTILE = (
    "../../../etc/passwd",
    "..\\..\\vault",
    "/etc/passwd",
    "x\0y",
    "'; DROP TABLE t; --",
    '" UNION SELECT * FROM reference.denied --',
    "$own",
    "{0}",
    "%s",
    "a' OR 'a'='a",
    "*",
    "\n\n",
    "read_text('/etc/passwd')",
    "read_parquet('vault/reference_values.parquet')",
    NAME,
    EMAIL,
    f"emp:{number(1)}",
)


@pytest.mark.more
def test_no_argument_reaches_further(stand: Context, tmp_path: Path) -> None:
    """Every argument of a reading, with paths, SQL and names in it: refused, or answered as if it
    were not there; nothing is written but the log, and the log repeats none of it."""
    honest = {
        "coaching": AccessRequest("ana", Role.ANALYST, "team_coaching", "coaching_team"),
        "own": AccessRequest("max", Role.MANAGER, "one_to_one", "manager_extract"),
        "detail": detail_ask(stand, sign_off=leave(stand)),
    }
    allowed = {name: set(map(str, service.read(stand, ask).rows)) for name, ask in honest.items()}
    files = {p for p in stand.layout.root.rglob("*") if "access" not in p.parts}
    tried = 0
    # Each text in every argument of one reading; in a soak, of all three.
    asks, of_each = list(honest.items()), soak.times(1, 3)
    for (at, text), more in itertools.product(enumerate(HOSTILE), range(of_each)):
        name, ask = asks[(at + more) % len(asks)]
        changes: list[dict[str, Any]] = [
            {"actor": text},
            {"purpose": text},
            {"table": text},
            {"people": (text,)},
            {"fields": (text,)},
            {"note": text},
        ]
        for change in changes:
            # The honest sign-off is used up: whatever opens, opens without it.
            page, output = None, ""
            try:
                page = service.read(stand, replace(ask, **change))
            except PolicyError as refusal:
                output = str(refusal)
            assert text.strip() in ("", "*") or text not in output
            if page is not None:
                assert set(change) == {"note"}
                assert set(map(str, page.rows)) <= allowed[name]
            tried += 1
        own = service.reference(stand, text, Audience.MANAGER) if name == "own" else text
        with pytest.raises(PolicyError):
            receive(stand, replace(ask, purpose=text), own, tmp_path / "files")
    assert tried == of_each * 6 * len(HOSTILE)
    assert {p for p in stand.layout.root.rglob("*") if "access" not in p.parts} == files
    assert not (tmp_path / "files").exists()
    log = "".join(str(one) for one in bodies(stand.layout))
    assert not [text for text in (NAME, EMAIL, number(1)) if text in log]
    for text in HOSTILE:
        with pytest.raises(ValueError, match="an actor's name"):
            staff.Member(actor=text, roles=(Role.HR,))

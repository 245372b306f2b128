"""Policy as law: unsigned, expired, groundless or without a way abroad, and the run stops."""

from __future__ import annotations

import copy
import datetime as dt
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from assets.resources import Store
from pipeline.access import approval, staff
from pipeline.errors import PolicyError
from pipeline.policy import access, governance_checks
from pipeline.policy.access import AccessRules, Role, load_access
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import Audience
from pipeline.policy.governance import Governance, load_governance
from pipeline.policy.version import FILES, version
from pipeline.requests import fulfil
from pipeline.storage.layout import PROJECT
from pipeline.subjects import restrictions
from tests import plain
from tests.company import company, number, record, write_delivery
from tests.estate import KEYS, context, sign_policy
from tests.fixtures import RUN_DATE, Estate, errors

TODAY = dt.datetime.now(dt.UTC).date()
RULES = load_access(PROJECT / "access_rules.yaml")
# Dates of the plan tell its state and expire nothing.
DATES = {"review_by", "valid_until", "assessed_on", "signed_on", "decided_on"}


def shipped(name: str = "governance.yaml") -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((PROJECT / name).read_text(), yaml.CSafeLoader)
    # Shared parts of the file become separate, so that one of them can be changed alone.
    return copy.deepcopy(json.loads(json.dumps(found, default=str)))


def dates(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all dates of a policy file but those of its plan."""
    pairs = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in pairs:
        if key in DATES:
            yield (*path, key)
        elif key != "plan":
            yield from dates(value, (*path, key))


def policy(folder: Path, changed: dict[str, Any], name: str = "governance.yaml") -> Path:
    folder.mkdir()
    for file in FILES:
        shutil.copy(PROJECT / file, folder)
    (folder / name).write_text(yaml.dump(changed, Dumper=yaml.CSafeDumper, sort_keys=False))
    return folder


@pytest.mark.parametrize("path", list(dates(shipped())), ids=lambda path: ".".join(map(str, path)))
def test_every_date_in_the_file_stops_the_run(path: tuple[Any, ...], tmp_path: Path) -> None:
    """Whatever ends, ended yesterday; whatever begins, begins tomorrow. A date that the code does
    not ask for would let the run through, and fail here."""
    changed = shipped()
    *parents, leaf = path
    at = changed
    for key in parents:
        at = at[key]
    ends = leaf in ("review_by", "valid_until")
    at[leaf] = str(TODAY + dt.timedelta(days=-1 if ends else 1))
    folder = policy(tmp_path / "policy", changed)
    sign_policy(tmp_path / "home", folder)
    store = Store(home=str(tmp_path / "home"), policy_folder=str(folder))
    store.require_valid_policy(TODAY)  # what must be erased is erased all the same
    with pytest.raises(PolicyError, match="expired" if ends else "not in force"):
        store.require_lawful_use(TODAY)
    at[leaf] = str(TODAY)
    (folder / "governance.yaml").write_text(yaml.dump(changed, Dumper=yaml.CSafeDumper))
    sign_policy(tmp_path / "home", folder)
    store.require_lawful_use(TODAY)


def test_an_expired_contract_stops_a_real_run(published: Estate, tmp_path: Path) -> None:
    changed = shipped()
    changed["recipients"][1]["processor"]["valid_until"] = "2026-11-01"
    stand = Estate(published.home, published.instance, policy(tmp_path / "policy", changed))
    before = stand.layout.current.resolve()
    result = stand.run()
    assert not result.success
    assert "expired: contract DPA-2025-017 (2026-11-01)" in errors(result)
    assert stand.layout.current.resolve() == before


def test_an_unsigned_policy_stops_the_run_before_anything_is_written(estate: Estate) -> None:
    write_delivery(estate.delivery(), *company())
    store = Store(home=str(estate.home))
    with pytest.raises(PolicyError, match="not signed by legal and hr"):
        store.require_lawful_use(TODAY)
    sign_policy(estate.home)
    store.require_lawful_use(TODAY)


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_needs_both_signatures_again(name: str, tmp_path: Path) -> None:
    folder = policy(tmp_path / "policy", shipped())
    sign_policy(tmp_path / "home", folder)
    Store(home=str(tmp_path / "home"), policy_folder=str(folder)).require_valid_policy(TODAY)
    (folder / name).write_bytes((folder / name).read_bytes() + b"#")
    with pytest.raises(PolicyError, match="not signed by legal and hr"):
        Store(home=str(tmp_path / "home"), policy_folder=str(folder)).require_valid_policy(TODAY)
    (folder / name).unlink()
    with pytest.raises(PolicyError, match=f"{name}: missing"):
        version(folder)


def left(home: Path) -> list[Role]:
    return approval.missing(context(home).layout, RULES, version(PROJECT))


def test_a_signature_counts_by_role_key_and_person(tmp_path: Path) -> None:
    layout, now = context(tmp_path).layout, dt.datetime.now(dt.UTC)
    sign_policy(tmp_path)
    assert left(tmp_path) == []

    def sign(actor: str, role: Role, key: Ed25519PrivateKey) -> None:
        approval.sign(layout, PROJECT, RULES, actor, role, key, now)

    for actor, role, key, why in (
        ("stranger", Role.HR, KEYS["hana"], "does not have the role"),
        ("hana", Role.LEGAL, KEYS["hana"], "does not have the role"),
        ("dora", Role.DPO, KEYS["hana"], "does not sign policies"),
        ("hana", Role.HR, KEYS["henry"], "not the key"),
        ("hana", Role.HR, Ed25519PrivateKey.generate(), "not the key"),
    ):
        with pytest.raises(PolicyError, match=why):
            sign(actor, role, key)
    # One person with both roles is still one pair of eyes.
    both = staff.everyone(layout)["hana"].model_copy(update={"roles": (Role.HR, Role.LEGAL)})
    staff.put(layout, both)
    sign("hana", Role.LEGAL, KEYS["hana"])
    assert left(tmp_path) == [Role.HR]
    sign_policy(tmp_path)
    assert left(tmp_path) == []
    # Who left has signed nothing any more.
    staff.remove(layout, "lea")
    assert left(tmp_path) == [Role.LEGAL]


def test_a_forged_or_moved_signature_counts_for_nothing(tmp_path: Path) -> None:
    sign_policy(tmp_path)
    layout = context(tmp_path).layout
    folder = approval.copy_of(layout, version(PROJECT))
    assert folder is not None
    path = folder / "legal.json"
    honest = json.loads(path.read_text())
    for name, value in (
        ("actor", "hana"),
        ("role", "hr"),
        ("signed_at", "2026-01-01"),
        ("version", "0" * 64),
    ):
        path.write_text(json.dumps(honest | {"statement": honest["statement"] | {name: value}}))
        assert Role.LEGAL in left(tmp_path), name
    path.write_text(json.dumps(honest | {"signature": "00" * 64}))
    assert left(tmp_path) == [Role.LEGAL]
    path.write_text(json.dumps(honest))
    assert left(tmp_path) == []


def test_what_was_signed_is_kept_beside_its_signatures(tmp_path: Path) -> None:
    sign_policy(tmp_path)
    folder = approval.copy_of(context(tmp_path).layout, version(PROJECT))
    assert folder is not None
    assert version(folder) == version(PROJECT)


def test_rows_do_not_go_where_nothing_lets_them(estate: Estate, tmp_path: Path) -> None:
    rows, people, statements = company()
    rows += [record(p, Country="JP", Course_Code="SEC-102") for p in range(6)]
    people[0]["Country"] = "JP"
    write_delivery(estate.delivery(), rows, people, statements)
    changed = shipped()
    changed["transfers"]["scc"] = []
    stand = Estate(estate.home, estate.instance, policy(tmp_path / "policy", changed))
    result = stand.run()
    assert not result.success
    assert "nothing lets data of APAC go to Example AG" in errors(result)
    assert not (stand.layout.pseudonymized_for(Audience.COACHING)).exists()
    assert not stand.layout.current.exists()
    assert estate.run(RUN_DATE, plain.STORES).success


@pytest.mark.parametrize(
    ("region", "country", "way"),
    [
        ("EU", "IE", "within the region"),
        ("UK", "GB", "within the region"),
        ("UK", "DE", "adequacy"),
        ("US", "DE", "unrestricted"),
        ("APAC", "DE", "scc"),
        ("EU", "US", None),
        ("EU", "GB", None),
        ("UK", "FR", None),
        ("APAC", "US", None),
    ],
)
def test_ways_abroad(region: str, country: str, way: str | None, data_map: DataMap) -> None:
    found = load_governance(PROJECT / "governance.yaml")
    assert governance_checks.mechanism(found, data_map, region, country) == way


def change(path: str, value: Any) -> dict[str, Any]:
    changed = shipped()
    at = changed
    *parents, leaf = path.split(".")
    for key in parents:
        at = at[int(key)] if isinstance(at, list) else at[key]
    if value is None:
        del at[leaf]
    else:
        at[leaf] = value
    return changed


CONSENT = {"basis": "6(1)(a)", "freely_given": "a study outside work, with no effect on it"}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (change("sector", "public"), "public authority"),
        (change("sector", "health"), "condition of Art. 9"),
        (change("purposes.one_to_one.balancing", None), "balancing test"),
        (change("purposes.one_to_one.basis", "6(1)(d)"), "basis"),
        (change("purposes.one_to_one.basis", "6(1)(a)"), "balancing test"),
        (change("purposes.legal_claim.basis", "6(1)(a)"), "imbalance of power"),
        (change("purposes.legal_claim.freely_given", "yes"), "6\\(1\\)\\(a\\) only"),
        (change("purposes.misconduct_case.special", None), "Art. 9\\(2\\)"),
        (
            change("purposes.legal_claim", shipped()["purposes"]["legal_claim"] | CONSENT),
            "give both the same basis",
        ),
        (change("purposes.one_to_one", None), "manager has no purpose"),
        (change("recipients.0.audiences", ["coaching"]), "no recipient has"),
        (change("transfers.home.APAC", None), "home has no entry for APAC"),
        (change("transfers.unknown_region", "MARS"), "MARS"),
        (change("transfers.scc.0.module", 5), "less than or equal to 4"),
        (change("purposes.one_to_one.source", " "), "pattern"),
        (change("escalation", []), "at least 1"),
        (change("wishes", "more"), "Extra inputs"),
    ],
)
def test_a_groundless_policy_is_refused(
    changed: dict[str, Any], why: str, data_map: DataMap
) -> None:
    with pytest.raises(ValueError, match=why):
        governance_checks.require_lawful_basis(Governance.model_validate(changed), data_map)


def rules(path: str, value: Any) -> dict[str, Any]:
    changed = shipped("access_rules.yaml")
    at = changed
    *parents, leaf = path.split(".")
    for key in parents:
        at = at[key]
    at[leaf] = value
    return changed


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (rules("roles.analyst.purposes", ["curiosity"]), "not in the register"),
        (rules("roles.analyst.receives", ["manager"]), "no purpose for the audience manager"),
        (rules("roles.hr.receives", ["coaching", "hr_legal"]), "not received as files"),
        (rules("detail", {}), "no rules for querying hr_legal"),
        (rules("detail.hr_legal.raw", ["salary"]), "has no salary"),
        (rules("detail.hr_legal.sign_off.by", "dpo"), "dpo does not sign"),
        (rules("detail.hr_legal.sign_off.within", "a week"), "ISO 8601"),
        (rules("own_reports", ["analytics"]), "has no manager_ref"),
        (rules("roles.janitor", {}), "analyst"),
        (rules("version", 2), "1"),
    ],
)
def test_contradicting_access_rules_are_refused(
    changed: dict[str, Any], why: str, data_map: DataMap
) -> None:
    found = load_governance(PROJECT / "governance.yaml")
    with pytest.raises(ValueError, match=why):
        access.require_consistent(AccessRules.model_validate(changed), data_map, found)


def analysed(estate: Estate) -> int:
    """Rows of the analysts' table: of one course and period, so as many as people."""
    with duckdb.connect(str(estate.layout.current / "analytics.duckdb"), read_only=True) as c:
        ((found,),) = c.execute("SELECT count(*) FROM analytics_milestones").fetchall()
        return int(found)


@pytest.mark.usefixtures("plainly")
def test_consent_is_needed_one_by_one_and_its_end_is_honoured(
    estate: Estate, tmp_path: Path
) -> None:
    changed = shipped()
    del changed["purposes"]["training_quality"]["balancing"]
    changed["purposes"]["training_quality"] |= CONSENT
    stand = Estate(estate.home, estate.instance, policy(tmp_path / "policy", changed))
    write_delivery(stand.delivery(), *company())
    assert stand.run().success
    assert analysed(stand) == 0
    now = dt.datetime.now(dt.UTC)
    for at in range(5):
        restrictions.consent(stand.layout, f"emp:{number(at)}", "training_quality")
    fulfil.consent(stand.context, f"emp:{number(5)}", "training_quality", now, given=True)
    # Rows of a period are published once, all together, by a run.
    assert analysed(stand) == 0
    assert stand.run(RUN_DATE).success
    assert analysed(stand) == 6
    # With whoever ends the consent the whole class leaves: five would show whose row was the sixth.
    fulfil.consent(stand.context, f"emp:{number(5)}", "training_quality", now, given=False)
    assert analysed(stand) == 0
    with pytest.raises(PolicyError, match="rests on consent"):
        fulfil.consent(stand.context, f"emp:{number(5)}", "one_to_one", now, given=True)

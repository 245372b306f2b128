"""Until legal and HR have signed to go live, nobody reads anything and nothing is published."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from assets.resources import Store
from pipeline.access import go_live, staff
from pipeline.access.authorize import AccessRequest
from pipeline.access.go_live import Signed, Statement
from pipeline.context import Context
from pipeline.errors import BadInput, PolicyError
from pipeline.policy.access import Role
from pipeline.policy.fields import Audience
from pipeline.published import exports, publication_history
from pipeline.published.reconciliation import WAITING
from pipeline.read.receive import receive
from pipeline.read.service import read
from pipeline.retained import backup
from pipeline.retained.remembered import missing as forgotten
from pipeline.storage.layout import Layout
from tests import plain
from tests.command import milestones
from tests.company import company, write_delivery
from tests.estate import KEYS, STAFF, decide_courses, policy_with, sign_policy
from tests.fixtures import RUN_DATE, Estate, errors
from tests.opened import released

NOW = dt.datetime(2026, 11, 8, 12, tzinfo=dt.UTC)
ROLES = {actor: STAFF[actor][0] for actor in KEYS}
REQUEST = AccessRequest("ana", Role.ANALYST, "team_coaching", "coaching_period")


def sign(context: Context, actor: str, hour: int = 0, *, live: bool = True) -> bool:
    at = NOW + dt.timedelta(hours=hour)
    return go_live.sign(
        context.layout,
        context.access,
        actor,
        ROLES[actor],
        KEYS[actor],
        at,
        live=live,
        because="" if live else "wrong figures",
    )


def is_live(context: Context) -> bool:
    return go_live.is_live(context.layout, context.access)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A company of which nobody has gone live."""
    sign_policy(tmp_path / "home", live=False)
    return Store(home=str(tmp_path / "home")).context


def test_legal_and_hr_go_live_together_and_one_of_them_withdraws_it(context: Context) -> None:
    assert not is_live(context)
    assert sign(context, "lea")
    assert not is_live(context)
    assert sign(context, "hana", 1)
    assert is_live(context)
    assert not sign(context, "lea", 2), "twice changes nothing"
    assert sign(context, "henry", 3, live=False)
    assert not is_live(context)
    assert not sign(context, "henry", 4, live=False), "it is withdrawn"
    assert sign(context, "lea", 5)
    assert not is_live(context), "what HR signed before the withdrawal does not count"
    assert sign(context, "hana", 6)
    assert is_live(context)


def test_whoever_is_not_entitled_signs_nothing(context: Context) -> None:
    layout, rules = context.layout, context.access
    for actor, role, key in (
        ("lea", Role.HR, "lea"),
        ("ana", Role.ANALYST, "lea"),
        ("lea", Role.LEGAL, "hana"),
        ("nobody", Role.LEGAL, "lea"),
    ):
        with pytest.raises(PolicyError, match=r"^go live: "):
            go_live.sign(layout, rules, actor, role, KEYS[key], NOW)
    with pytest.raises(BadInput, match="reason"):
        go_live.sign(layout, rules, "lea", Role.LEGAL, KEYS["lea"], NOW, live=False, because=" ")
    assert not go_live.statements(layout)


def test_one_person_does_not_sign_for_both(context: Context) -> None:
    both = staff.everyone(context.layout)["lea"].model_copy(update={"roles": tuple(Role)})
    staff.put(context.layout, both)
    for role in (Role.LEGAL, Role.HR):
        go_live.sign(context.layout, context.access, "lea", role, KEYS["lea"], NOW)
    assert not is_live(context)


def test_a_signature_counts_while_its_signer_has_role_and_key(context: Context) -> None:
    sign(context, "lea")
    sign(context, "hana")
    staff.remove(context.layout, "hana")
    assert not is_live(context)
    assert sign(context, "henry", 1)
    assert is_live(context)


def test_nothing_that_is_copied_behind_a_withdrawal_takes_it_back(context: Context) -> None:
    sign(context, "lea")
    sign(context, "hana")
    sign(context, "henry", 1, live=False)
    staff.remove(context.layout, "henry")
    found = go_live.statements(context.layout)
    assert go_live.since_withdrawal([*found, *found[:2]]) == []
    forged = Statement(live=True, role=Role.LEGAL, by="lea", at=NOW + dt.timedelta(hours=2))
    go_live.cases.write(
        context.layout,
        go_live.path(context.layout),
        json.dumps(
            [
                one.model_dump(mode="json")
                for one in (*found, Signed(statement=forged, signature=found[0].signature))
            ]
        ),
    )
    sign(context, "hana", 3)
    assert not is_live(context)


def test_a_lost_register_is_noticed_and_closes(context: Context) -> None:
    sign(context, "lea")
    sign(context, "hana")
    go_live.path(context.layout).unlink()
    assert not is_live(context)
    assert forgotten(context.layout) == ["vault/live.json.enc (2 of 2 changes)"]
    with pytest.raises(PolicyError, match="missing"):
        sign(context, "lea")


def test_a_backup_neither_opens_nor_closes_what_was_decided_since(context: Context) -> None:
    layout = context.layout
    layout.canonical.mkdir(parents=True)
    before = backup.make(context, NOW)
    sign(context, "lea")
    sign(context, "hana")
    live = backup.make(context, NOW + dt.timedelta(seconds=1))
    backup.restore(context, before)
    assert is_live(context)
    sign(context, "henry", 1, live=False)
    backup.restore(context, live)
    assert not is_live(context)
    # In an empty data folder, what the backup says counts.
    for source, expected in ((before, False), (live, True)):
        home = Layout(layout.root.parent / source.name)
        home.vault.mkdir(parents=True)
        shutil.copy(layout.storage_key, home.storage_key)
        again = replace(context, layout=home)
        backup.restore(again, source)
        assert is_live(again) is expected


def refusals(context: Context, folder: Path) -> list[str]:
    """How every way of reading is refused."""
    found = []
    for read_it in (
        lambda: read(context, REQUEST),
        lambda: receive(context, REQUEST, None, folder),
    ):
        with pytest.raises(PolicyError) as refused:
            read_it()
        found.append(str(refused.value))
    assert not folder.exists()
    return found


def test_before_go_live_nothing_is_read_published_or_remembered(
    estate: Estate, tmp_path: Path
) -> None:
    write_delivery(estate.delivery(), *company())
    sign_policy(estate.home, live=False)
    store = Store(home=str(estate.home))
    decide_courses(store.context)
    layout = estate.layout
    assert (ran := plain.run(store, RUN_DATE)).success, errors(ran)
    assert all("not live" in why for why in refusals(store.context, tmp_path / "files"))
    assert publication_history.periods(layout) == {}
    assert not (layout.current / exports.FOLDER).exists()
    assert not (layout.current / "coaching.html").exists()
    with released(estate.home) as connection:
        for table in estate.context.data_map.tables_of(Audience.COACHING):
            assert connection.sql(f"SELECT count(*) FROM coaching_db.{table}").fetchall() == [(0,)]
    (counts,) = json.loads((layout.reconciliation / f"{RUN_DATE}.json").read_text())[:1]
    assert counts["balanced"]
    assert counts["suppressed"][WAITING] > 0
    # Everything can change so far: another k, other categories, and the figures are the new ones.
    folder = policy_with(
        tmp_path / "other", "disclosure_rules.yaml", {"categories": {"all": ["*"]}}
    )
    changed = Estate(estate.home, estate.instance, folder)
    assert (ran := changed.run()).success, errors(ran)
    assert publication_history.periods(layout)
    with released(estate.home) as connection:
        found = connection.sql(
            "SELECT DISTINCT category FROM coaching_db.coaching_category"
        ).fetchall()
    assert ("security",) not in found
    assert read(changed.context, REQUEST).total > 0


def test_what_was_published_is_not_read_after_a_withdrawal_and_not_forgotten(
    published: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, periods = published.layout, publication_history.periods(published.layout)
    assert periods
    (tmp_path / "lea.pem").write_text(go_live.signing.private_pem(KEYS["lea"]))
    monkeypatch.setenv("MILESTONES_ACTOR", "lea")
    mine = ("go-live", "--role", "legal", "--key", str(tmp_path / "lea.pem"))
    done = milestones(published.home, *mine, "--withdraw", "--because", "wrong figures")
    assert done.returncode == 0, done.stderr
    assert milestones(published.home, "go-live").returncode == 3
    assert all("not live" in why for why in refusals(published.context, tmp_path / "files"))
    assert not (layout.current / exports.FOLDER).exists()
    assert publication_history.periods(layout) == periods
    assert milestones(published.home, *mine).returncode == 0
    sign(published.context, "hana", hour=10**6)
    assert milestones(published.home, "go-live").returncode == 0
    assert read(published.context, REQUEST).total > 0

"""What `milestones init` writes for a company, and how its founding signers come to their keys."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.access import approval, staff
from pipeline.cli import start
from pipeline.context import Context, load_context
from pipeline.errors import BadInput, PolicyError
from pipeline.governance.validity import require_runnable_policy
from pipeline.keys import signing
from pipeline.policy.access import Role
from pipeline.policy.founding import ALWAYS, PEOPLE, Company, for_company, with_drafts
from pipeline.policy.preset import shipped
from pipeline.policy.version import FILES
from pipeline.storage.layout import PROJECT, Layout
from tests.command import Done, milestones
from tests.estate import KEYS, NOW

TODAY = dt.date(2026, 11, 28)
TEXTS = {name: (PROJECT / name).read_text("utf-8") for name in FILES}
COMPANY = Company(
    'Beispiel & Söhne GmbH: "Nord"', "DE", "Europe/Berlin", "lea@b.de", "hana", "no", "eddy@b.de"
)
FLAGS = (
    *("--company", COMPANY.name, "--legal", COMPANY.legal, "--hr", COMPANY.hr),
    *("--dpo", "dora", "--engineer", COMPANY.engineer),
)


def written(folder: Path, company: Company) -> Context:
    folder.mkdir(exist_ok=True)
    for name, text in for_company(TEXTS, company, TODAY).items():
        (folder / name).write_text(text, "utf-8")
    return load_context(folder / "data", None, folder)


@pytest.mark.parametrize(
    "company",
    [
        COMPANY,
        replace(COMPANY, country="GB", zone="Europe/London", home_pages=("https://a", "https://b")),
        replace(COMPANY, sources=("corporate",)),
        replace(COMPANY, sources=("xapi", *shipped())),
    ],
)
def test_the_files_of_a_company_are_consistent_and_its_own(
    tmp_path: Path, company: Company
) -> None:
    context = written(tmp_path, company)
    require_runnable_policy(context)
    found = context.governance
    assert found.controller.name == company.name
    assert (found.controller.dpo, found.escalation[0].who) == (company.dpo, company.engineer)
    assert [one.country for one in found.recipients] == [company.country]
    assert found.transfers.unknown_region == {"DE": "EU", "GB": "UK"}[company.country]
    assert not found.transfers.scc
    assert not [step for step in found.plan.steps if step.done_on]
    assert context.data_map.identity.company_home_pages == company.home_pages
    zones = {
        context.data_map.default_zone,
        context.access.hours.zone,
        context.rules.zones["default"],
    }
    assert zones == {company.zone}
    if company.sources:
        chosen = {one.replace("-", "_") for one in company.sources}
        assert set(context.data_map.sources) == chosen | set(ALWAYS)
    texts = [(tmp_path / name).read_text("utf-8") for name in FILES]
    assert not [who for who in PEOPLE if any(who in text for text in texts)]
    # What explains the files is still there.
    for name, text in zip(FILES, texts, strict=True):
        head = TEXTS[name].partition("\nversion:")[0]
        assert text.startswith(head)


def test_a_country_or_source_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match=r"--country.*AT, AU, BE"):
        for_company(TEXTS, replace(COMPANY, country="XX"), TODAY)
    with pytest.raises(BadInput, match=r"no workdya; choose of corporate, .*learndash-courses"):
        for_company(TEXTS, replace(COMPANY, sources=("workdya",)), TODAY)


def test_drafts_come_before_a_data_map_s_own_sources() -> None:
    text = TEXTS["data_map.yaml"]
    made = with_drafts(text, "# a draft\nsources:\n  new:\n    files: '\\1.csv'  # decide: so?\n")
    assert list(yaml.safe_load(made)["sources"]) == ["new", *yaml.safe_load(text)["sources"]]
    assert yaml.safe_load(made)["sources"]["new"] == {"files": "\\1.csv"}
    assert "# decide: so?" in made
    with pytest.raises(BadInput, match="of that name: roster"):
        with_drafts(text, "sources:\n  roster:\n    files: x\n")
    with pytest.raises(BadInput, match="no `sources`"):
        with_drafts(text, "- a list")


def init(tmp_path: Path, *flags: str) -> Done:
    return milestones(tmp_path / "home", "init", str(tmp_path / "co"), *flags)


def test_init_writes_the_files_and_the_staff_list_once(tmp_path: Path) -> None:
    done = init(tmp_path, *FLAGS)
    assert done.returncode == 0, done.stderr
    members = staff.everyone(Layout(tmp_path / "home"))
    assert {one.actor: one.roles for one in members.values()} == {
        "lea": (Role.LEGAL,),
        "hana": (Role.HR,),
        "dora": (Role.DPO,),
        "eddy": (Role.DATA_ENGINEER,),
    }
    assert "milestones policy sign --role legal --key lea.pem" in done.stdout
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert "already holds" in " ".join(init(tmp_path, *FLAGS).stderr.replace("│", " ").split())
    again = milestones(tmp_path / "home", "init", str(tmp_path / "other"), *FLAGS)
    assert again.returncode == 2
    assert "has a staff list already" in " ".join(again.stderr.replace("│", " ").split())
    assert not (tmp_path / "other").exists()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--company", "B"), "--legal, --hr, --dpo, --engineer"),
        ((*FLAGS, "--hr", "lea@other.de"), "two people"),
        ((*FLAGS, "--dpo", "Dr. Dora"), "named by an address"),
        ((*FLAGS, "--country", "Germany"), "no region"),
        ((*FLAGS, "--zone", "Berlin"), "not a time zone"),
        ((*FLAGS, "--source", "workday"), "there is no workday"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    tmp_path: Path, flags: tuple[str, ...], says: str
) -> None:
    done = init(tmp_path, *flags)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


def test_on_a_terminal_it_asks_for_what_no_option_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(question: str, default: str | None = None) -> str:
        asked.append(question)
        return {"Who is HR": "hana", "Who is legal, by name or address": "lea"}.get(
            question, default if default is not None else "dora"
        )

    monkeypatch.setattr(start, "_can_ask", lambda: True)
    monkeypatch.setattr(start.typer, "prompt", answer)
    done = init(tmp_path, "--company", "B", "--country", "FR")
    assert done.returncode == 0, done.stderr
    assert len(asked) == len(start.QUESTIONS) - 2
    text = (tmp_path / "co" / "governance.yaml").read_text("utf-8")
    assert yaml.safe_load(text)["recipients"][0]["country"] == "FR"


@pytest.fixture
def founded(tmp_path: Path) -> Layout:
    """Two founding signers, and one other, who have made their keys."""
    layout = Layout(tmp_path / "home")
    for actor, role in (("lea", Role.LEGAL), ("hana", Role.HR)):
        staff.put(layout, staff.Member(actor=actor, roles=(role,), founding=True))
        staff.make_key(layout, actor, signing.public_pem(KEYS[actor]), NOW)
    henry = signing.public_pem(KEYS["henry"])
    staff.put(layout, staff.Member(actor="henry", roles=(Role.HR,), key=henry))
    return layout


def keys(layout: Layout) -> set[str]:
    return {actor for actor, one in staff.everyone(layout).items() if one.key}


def test_founding_signers_confirm_each_other(founded: Layout, tmp_path: Path) -> None:
    context = written(tmp_path / "co", COMPANY)
    arguments = (founded, context.policy_folder, context.access, "lea", Role.LEGAL, KEYS["lea"])
    now = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
    with pytest.raises(PolicyError, match="staff confirm"):
        approval.sign(*arguments, now)
    staff.confirm(founded, "lea", "hana", KEYS["hana"])
    assert keys(founded) == {"henry", "lea"}
    staff.confirm(founded, "hana", "lea", KEYS["lea"])
    assert keys(founded) == {"henry", "lea", "hana"}
    approval.sign(*arguments, now)
    # Who confirmed it may leave; another key, or other roles, would have to be confirmed.
    staff.remove(founded, "hana")
    assert "lea" in keys(founded)
    lea = staff.everyone(founded)["lea"]
    staff.put(founded, lea.model_copy(update={"key": signing.public_pem(KEYS["hana"])}))
    assert "lea" not in keys(founded)
    staff.put(founded, lea.model_copy(update={"roles": (Role.LEGAL, Role.HR)}))
    assert "lea" not in keys(founded)


@pytest.mark.parametrize(
    ("actor", "by", "key"),
    [
        ("lea", "lea", "lea"),  # oneself
        ("lea", "hana", "lea"),  # with another one's key
        ("lea", "henry", "henry"),  # by somebody else
        ("henry", "hana", "hana"),  # somebody else's
        ("nobody", "hana", "hana"),
    ],
)
def test_nobody_else_confirms_and_nothing_else_is_confirmed(
    founded: Layout, actor: str, by: str, key: str
) -> None:
    with pytest.raises(PolicyError, match=r"^staff: "):
        staff.confirm(founded, actor, by, KEYS[key])
    assert keys(founded) == {"henry"}


def test_a_key_is_made_once_and_by_oneself(
    founded: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for actor, says in (("lea", "has a key already"), ("stranger", "no role on the staff list")):
        monkeypatch.setenv("MILESTONES_ACTOR", actor)
        (tmp_path / "new.pub").write_text(signing.public_pem(KEYS["henry"]))
        done = milestones(founded.root, "staff", "key", str(tmp_path / "new.pub"))
        assert done.returncode == 3
        assert says in done.stderr

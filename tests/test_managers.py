"""Managers by the roster: by HR's source only, for their own reports only, and not too many."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from pipeline.access import staff
from pipeline.access.authorize import AccessDenied, AccessRequest
from pipeline.classified import managers
from pipeline.context import Context, load_context
from pipeline.errors import PolicyError
from pipeline.governance.validity import require_consistent_policy
from pipeline.policy.access import Role
from pipeline.policy.version import FILES
from pipeline.published import exports
from pipeline.raw.deliveries import ingest
from pipeline.read.service import read
from pipeline.storage.engine import engine
from pipeline.storage.layout import PROJECT
from tests.company import ROSTER, number, person, write_csv
from tests.estate import KEYS, sign_policy
from tests.fixtures import Estate

FIRST, SECOND = dt.date(2026, 11, 7), dt.date(2026, 11, 8)
People = list[dict[str, str]]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Policy files by which the roster gives managers their role, and a second roster that is not
    HR's."""
    folder = tmp_path_factory.mktemp("policy")
    for name in FILES:
        shutil.copy(PROJECT / name, folder)
    rules = yaml.safe_load((PROJECT / "access_rules.yaml").read_text())
    rules["managers"] = {"source": "roster", "changes": 0.2}
    (folder / "access_rules.yaml").write_text(yaml.safe_dump(rules))
    data_map = yaml.safe_load((PROJECT / "data_map.yaml").read_text())
    other = data_map["sources"]["roster"] | {"files": "contractors*.csv"}
    data_map["sources"] = {"contractors": other} | data_map["sources"]
    (folder / "data_map.yaml").write_text(yaml.safe_dump(data_map))
    return folder


@pytest.fixture
def context(tmp_path: Path, policy: Path) -> Context:
    sign_policy(tmp_path / "home", policy)
    return load_context(tmp_path / "home", None, policy)


@pytest.fixture
def deliver(context: Context) -> Callable[..., None]:
    def delivered(day: dt.date, people: People, name: str = "hr_roster.csv") -> None:
        write_csv(Path(context.layout.landing) / str(day) / name, people, ROSTER)
        ingest(context.layout, context.data_map, day, context.ring)

    return delivered


def company(*, moved: int = 0) -> People:
    """Twenty people under 900, of whom some have moved to 901; and the two."""
    under = [901] * moved + [900] * (20 - moved)
    people = [person(p, Manager_ID=number(boss)) for p, boss in enumerate(under)]
    return people + [person(p, Manager_ID="") for p in (900, 901)]


def roles(context: Context) -> dict[str, int | None]:
    """Actors to how many reports they see."""
    found = {}
    for actor in ("person900", "person901", "person3", "nobody", "Person900"):
        if managers.member(context, actor) is not None:
            only = managers.only_reports(context, actor)
            found[actor] = None if only is None else len(only)
    return found


def test_the_first_roster_waits_for_hr(context: Context, deliver: Callable[..., None]) -> None:
    assert managers.proposal(context) is None
    deliver(FIRST, company())
    managers.adopt(context)
    assert roles(context) == {}
    for actor, key in (("lea", "lea"), ("hana", "lea"), ("nobody", "hana")):
        with pytest.raises(PolicyError, match="role hr"):
            managers.confirm(context, actor, KEYS[key])
    assert managers.confirm(context, "hana", KEYS["hana"]).changed == 1
    assert roles(context) == {"person900": 20}
    found = managers.member(context, "person900")
    assert found is not None
    assert (found.roles, found.person) == ((Role.MANAGER,), f"emp:{number(900)}")
    with pytest.raises(PolicyError, match="no roster waits"):
        managers.confirm(context, "hana", KEYS["hana"])


@pytest.mark.parametrize(("moved", "after"), [(1, {"person900": 19, "person901": 1}), (4, None)])
def test_an_unusual_number_of_changes_waits(
    context: Context,
    deliver: Callable[..., None],
    moved: int,
    after: dict[str, int] | None,
) -> None:
    deliver(FIRST, company())
    managers.confirm(context, "hana", KEYS["hana"])
    deliver(SECOND, company(moved=moved))
    assert roles(context) == {"person900": 20}, "the older one is in use until a run accepts it"
    managers.adopt(context)
    assert roles(context) == (after or {"person900": 20})
    if after is None:
        managers.confirm(context, "hana", KEYS["hana"])
        assert roles(context) == {"person900": 16, "person901": 4}


def test_only_the_source_of_hr_gives_the_role(
    context: Context, deliver: Callable[..., None]
) -> None:
    deliver(FIRST, company())
    managers.confirm(context, "hana", KEYS["hana"])
    deliver(SECOND, [person(1, Manager_ID=number(3)), person(3)], "contractors.csv")
    assert managers.proposal(context) is None
    assert roles(context) == {"person900": 20}


@pytest.mark.parametrize(
    "changes",
    [
        {"Email": "person900@other.example"},  # a namesake at another address
        {"Email": "PERSON900@corp.example"},  # the same address for two
    ],
)
def test_nobody_is_a_manager_by_a_name_that_two_have(
    context: Context, deliver: Callable[..., None], changes: dict[str, str]
) -> None:
    deliver(FIRST, [*company(), person(77, **changes)])
    managers.confirm(context, "hana", KEYS["hana"])
    assert roles(context) == {}


def test_an_entry_of_the_staff_list_comes_first(
    context: Context, deliver: Callable[..., None]
) -> None:
    deliver(FIRST, company())
    managers.confirm(context, "hana", KEYS["hana"])
    staff.put(context.layout, staff.Member(actor="person900", roles=()))
    found = managers.member(context, "person900")
    assert found is not None
    assert found.roles == ()
    with engine(context.layout.work) as connection:
        assert managers.reports_of_everyone(connection, context) == []


def test_a_roster_that_is_corrected_or_gone_gives_no_role(
    context: Context, deliver: Callable[..., None]
) -> None:
    deliver(FIRST, company())
    managers.confirm(context, "hana", KEYS["hana"])
    deliver(FIRST, company(moved=1))
    assert roles(context) == {}
    shutil.rmtree(context.layout.canonical / str(FIRST))
    assert roles(context) == {}
    assert managers.proposal(context) is None


def test_without_the_rule_no_roster_gives_a_role(
    context: Context, deliver: Callable[..., None]
) -> None:
    deliver(FIRST, company())
    managers.confirm(context, "hana", KEYS["hana"])
    default = load_context(context.layout.root, None, PROJECT)
    assert roles(default) == {}
    assert managers.proposal(default) is None


def test_the_rule_names_a_roster(tmp_path: Path, policy: Path) -> None:
    folder = shutil.copytree(policy, tmp_path / "policy")
    text = (folder / "access_rules.yaml").read_text()
    (folder / "access_rules.yaml").write_text(text.replace("source: roster", "source: corporate"))
    with pytest.raises(PolicyError, match=r"managers\.source must be one of contractors, roster"):
        require_consistent_policy(load_context(tmp_path / "home", None, folder))


def test_a_manager_by_the_roster_reads_their_own_reports_only(
    published: Estate, policy: Path
) -> None:
    sign_policy(published.home, policy)
    context = load_context(published.home, None, policy)
    request = AccessRequest("person900", Role.MANAGER, "one_to_one", "manager_extract")
    with pytest.raises(AccessDenied):
        read(context, request)
    managers.confirm(context, "hana", KEYS["hana"])
    by_staff = read(context, AccessRequest("max", *(request.role, request.purpose, request.table)))
    own = read(context, request)
    assert own.frame.equals(by_staff.frame)
    assert own.total > 0
    # One who is not on HR's roster any more is a report of the record's line only.
    (path,) = context.layout.canonical.glob("*/*/roster-roster-*[0-9].parquet")
    rows = pl.read_parquet(path)
    rows.filter(pl.col("learner_id") != f"emp:{number(1)}").write_parquet(path)
    fewer = read(context, request).frame
    assert fewer["learner_ref"].n_unique() == own.frame["learner_ref"].n_unique() - 1
    # The file has the same rows.
    folder = published.home / "files"
    folder.mkdir()
    exports._own_reports(context, context.layout.current, context.access.own_reports[0], folder)
    sizes = {}
    for one in folder.glob("*.duckdb"):
        with engine(context.layout.work, one, read_only=True) as connection:
            sizes[one.stem] = len(connection.sql("FROM manager_extract").fetchall())
    assert by_staff.total in sizes.values(), "on the staff list, by the reporting line of the run"
    with pytest.raises(AccessDenied):
        read(context, AccessRequest("person3", Role.MANAGER, "one_to_one", "manager_extract"))

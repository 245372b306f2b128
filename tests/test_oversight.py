"""What oversight has in hand: documents, the checklist, the review of the log, an incident."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest

from assets.resources import Store
from pipeline.access import audit, review
from pipeline.access.authorize import AccessDenied, AccessRequest
from pipeline.access.log import AccessLog
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.governance import incident, share, suspension
from pipeline.policy.access import Role
from pipeline.policy.fields import Audience
from pipeline.published import documents, exports, gate
from pipeline.read import service
from pipeline.read.receive import receive
from tests.command import milestones
from tests.company import EMAIL, NAME, number
from tests.estate import context
from tests.fixtures import Estate
from tests.test_access_log import segments
from tests.test_door import DETAIL, detail_ask, leave, subject
from tests.test_governance import policy, shipped

NOW = dt.datetime.now(dt.UTC)
REPORTS = AccessRequest("max", Role.MANAGER, "one_to_one", "manager_extract")


@pytest.fixture
def stand(published: Estate) -> Context:
    return context(published.home)


# --- documents -----------------------------------------------------------------------------------


def test_every_release_carries_the_documents_of_its_policy(stand: Context) -> None:
    folder = stand.layout.current / documents.FOLDER
    made = documents.rendered(stand, NOW.date())
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{kind}" for name in made for kind in ("md", "html")
    }
    for name, text in made.items():
        page = (folder / f"{name}.html").read_text()
        assert stand.version[:12] in page
        assert text.startswith("# ")
        # Every line of a table has as many cells as its head: nothing in a value breaks it.
        for table in re.findall(r"(?:^\|.*\n?)+", text, re.M):
            counts = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
            assert len(counts) == 1, (name, table)
        assert not re.search(r"\bNone\b|Undefined|\{\{|&lt;", page), name


def test_the_record_of_processing_says_everything_of_article_30(stand: Context) -> None:
    record = documents.rendered(stand, NOW.date())["record-of-processing"]
    rules = stand.governance
    for purpose in rules.purposes.values():
        assert purpose.description in record
        assert f"Art. {purpose.basis.value}" in record
    for one in rules.recipients:
        assert one.name in record
    for region in stand.data_map.regions:
        assert f"| {region} | DE |" in record
    assert rules.controller.dpo in record


def test_documents_follow_the_policy(published: Estate, tmp_path: Path) -> None:
    changed = shipped()
    changed["purposes"]["one_to_one"]["description"] = "<b>talk | about</b> trainings"
    changed["transfers"]["scc"] = []
    other = Estate(published.home, published.instance, policy(tmp_path / "policy", changed)).context
    made = documents.rendered(other, NOW.date())
    assert "| APAC | DE | none: such rows stop the run |" in made["record-of-processing"]
    page = documents.page(made["privacy-notice"])
    assert "<b>" not in page, "a value is shown, not obeyed"


def test_the_managers_guide_names_what_managers_do_not_get(stand: Context) -> None:
    guide = documents.rendered(stand, NOW.date())["manager-guide"]
    hidden = re.search(r"may not ask for it: (.*)\.", guide)
    assert hidden is not None
    names = set(hidden[1].split(", "))
    dates = {"completion date", "assignment date", "start date", "due date"}
    assert {"score", "comments", "country", "e-mail address", "number of attempts", *dates} <= names
    # The name and the title are on the 1:1 sheet.
    assert not {"status", "course code", "course title", "name"} & names


@pytest.mark.parametrize(
    ("text", "said"),
    [("P1Y6M", "1 year and 6 months"), ("P90D", "90 days"), ("P4W", "4 weeks"), ("P1M", "1 month")],
)
def test_windows_in_words(text: str, said: str) -> None:
    assert documents.span(text) == said


# --- checklist -----------------------------------------------------------------------------------


def ask_share(stand: Context, **changes: Any) -> list[share.Answer]:
    given: dict[str, Any] = {
        "table": "analytics_milestones",
        "role": Role.ANALYST,
        "purpose": "training_quality",
        "recipient": "Dashboards GmbH",
        "now": NOW,
    } | changes
    return share.checklist(stand, **given)


def noes(answers: list[share.Answer]) -> list[str]:
    return [one.why for one in answers if not one.yes]


def test_the_checklist_says_yes_to_what_may_be_shared(stand: Context) -> None:
    assert noes(ask_share(stand)) == []
    with pytest.raises(PolicyError, match="no published table"):
        ask_share(stand, table="x'; --")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"recipient": "Somebody Ltd"}, "no recipient of that name"),
        ({"role": Role.MANAGER}, "does not receive analytics"),
        ({"purpose": "team_coaching"}, "may not use"),
        ({"table": DETAIL, "role": Role.HR, "purpose": "legal_claim"}, "does not receive"),
        ({"now": NOW + dt.timedelta(days=900)}, "expired|past"),
    ],
)
def test_the_checklist_says_no_with_the_reason(
    stand: Context, changes: dict[str, Any], why: str
) -> None:
    assert re.search(why, "; ".join(noes(ask_share(stand, **changes))))


def test_the_checklist_looks_at_the_release_and_the_log_themselves(stand: Context) -> None:
    path = stand.layout.current / "analytics.duckdb"
    path.write_bytes(path.read_bytes() + b"\0")
    assert noes(ask_share(stand)) == ["the file is not the one that passed the checks"]
    numbers = stand.layout.current / "risk.json"
    output = json.loads(numbers.read_text())
    output["classes"][0]["k"] = 4
    numbers.write_text(json.dumps(output))
    assert "part of it covers 4 people only, fewer than 5" in noes(ask_share(stand))
    service.read(stand, REPORTS)
    (segment,) = segments(AccessLog(stand.layout))
    segment.write_bytes(segment.read_bytes().replace(b"granted", b"denied!"))
    assert any("line 1" in why for why in noes(ask_share(stand)))


# --- review --------------------------------------------------------------------------------------


def entry(at: str, actor: str, people: int, **changes: Any) -> dict[str, object]:
    output: dict[str, object] = {
        "at": at,
        "actor": actor,
        "role": "hr",
        "table": DETAIL,
        "purpose": "misconduct_case",
        "people": [f"v1h1_{n:032x}" for n in range(people)],
        "everybody": False,
        "fields": [],
        "rows": people,
        "note": "",
        "sign_off": None,
        "decision": "granted",
        "policy": "0",
    }
    return output | changes


def test_the_review_shows_what_is_out_of_the_ordinary(tmp_path: Path) -> None:
    stand = context(tmp_path)
    own = "refused: you cannot open your own records here; file an access request (GDPR Art. 15)"
    AccessLog(stand.layout).append(
        entry("2026-11-23T10:00:00.000", "hana", 2),  # a Monday
        entry("2026-11-23T10:00:00.000", "henry", 2),
        entry("2026-11-23T10:00:00.000", "greedy", 9),
        entry("2026-11-22T10:00:00.000", "sunday", 2),
        entry("2026-11-23T03:00:00.000", "owl", 2),  # 04:00 in Berlin
        entry("2026-11-23T05:00:00.000", "early", 2),  # 06:00 in Berlin
        entry("2026-11-23T10:00:00.000", "nosy", 0, decision=own),
        entry("2026-11-23T10:00:00.000", "hana", 1, purpose="legal_claim"),
        entry("2026-11-01T10:00:00.000", "before", 1),
        entry("2026-11-23T10:00:00.000", "hana", 0, decision="changed", role=None),
    )
    found = review.review(stand, dt.datetime(2026, 11, 10, tzinfo=dt.UTC), NOW)
    signs = {line.actor: line.signs for line in found.findings}
    assert signs == {
        "greedy": ("4.5 times as many people as others in the role",),
        "sunday": ("1 readings at odd hours",),
        "owl": ("1 readings at odd hours",),
        "nosy": ("1 attempts to read their own records", "1 refusals"),
        "hana": (),
        "henry": (),
        "early": (),
    }
    assert found.findings[0].actor == "nosy", "the one with most signs comes first"
    (hana,) = (line for line in found.findings if line.actor == "hana")
    assert hana.purposes == {"misconduct_case": 1, "legal_claim": 1}
    assert (found.entries, found.changes) == (9, 1)


def test_a_review_is_recorded_by_somebody_else_and_comes_due(stand: Context) -> None:
    service.read(stand, REPORTS)
    since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert not review.overdue(stand, NOW)
    assert review.overdue(stand, NOW + dt.timedelta(days=40))
    # Of this moment, not of the file's: a slow run reads an hour after it was loaded.
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    found = review.review(stand, since, later)
    with pytest.raises(PolicyError, match="your own readings"):
        review.record(stand, found, "max", "fine", later)
    with pytest.raises(PolicyError, match="needs a finding"):
        review.record(stand, found, "dora", " ", later)
    review.record(stand, found, "dora", "nothing to follow up", later)
    assert not review.overdue(stand, later + dt.timedelta(days=20))
    assert review.overdue(stand, later + dt.timedelta(days=40))
    assert list(audit.bodies(stand.layout))[-1]["note"].startswith("access log reviewed")


def test_an_empty_log_needs_no_review(tmp_path: Path) -> None:
    assert not review.overdue(context(tmp_path), NOW)


def test_only_roles_with_the_log_review_it(
    published: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for actor, code in (("dora", 0), ("audrey", 0), ("hana", 3), ("eddy", 3), ("stranger", 3)):
        monkeypatch.setenv("MILESTONES_ACTOR", actor)
        done = milestones(published.home, "access", "review")
        assert done.returncode == code, (actor, done.stderr)


# --- incident ------------------------------------------------------------------------------------


def test_the_scope_of_an_incident_is_what_the_log_and_the_lineage_say(stand: Context) -> None:
    start = NOW - dt.timedelta(hours=1)
    service.read(stand, REPORTS)
    service.read(stand, AccessRequest("ana", Role.ANALYST, "team_coaching", "coaching_team"))
    with pytest.raises(AccessDenied):
        service.read(stand, detail_ask(stand, note=""))
    end = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    found = incident.scope(stand, start, end)
    assert (found.readings, found.refused, found.people) == (2, 1, 12)
    assert {one.name for one in found.fields} == set(
        stand.data_map.published["manager_extract"].columns
    )
    assert found.tables == ("coaching_team", "manager_extract")
    (learner,) = (one for one in found.fields if one.name == "learner_ref")
    assert learner.origin == ("learner_id",)
    assert (learner.classes, learner.risk) == (("direct_identifier",), "high")
    assert not found.special
    nobody = incident.scope(stand, start, end, actor="hana")
    assert (nobody.people, nobody.readings, nobody.refused) == (0, 0, 1)
    assert incident.scope(stand, start - dt.timedelta(days=9), start).readings == 0
    service.read(stand, detail_ask(stand, sign_off=leave(stand)))
    end = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    opened = incident.scope(stand, start, end, table=DETAIL)
    assert opened.special
    assert opened.refs == (subject(stand),)


def test_a_file_that_got_out_exposes_everybody_in_it(stand: Context) -> None:
    found = incident.scope(stand, NOW, NOW, table="analytics_milestones", whole=True)
    everything = service.read(
        stand, AccessRequest("ana", Role.ANALYST, "training_quality", "analytics_milestones")
    )
    # The rows have no pseudonyms; the history knows how many people they are about.
    assert found.people == 19
    assert not found.refs
    assert found.rows == everything.total
    with pytest.raises(PolicyError, match="name the published table"):
        incident.scope(stand, NOW, NOW, whole=True)
    with pytest.raises(PolicyError, match="no published table"):
        incident.scope(stand, NOW, NOW, table="../vault")


def test_the_clock_and_the_drafts(stand: Context, tmp_path: Path) -> None:
    service.read(stand, detail_ask(stand, sign_off=leave(stand)))
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    found = incident.scope(stand, NOW - dt.timedelta(hours=1), later)
    known = dt.datetime(2026, 11, 25, 17, 0, tzinfo=dt.UTC)
    output = incident.notices(stand, found, known, "a laptop was lost", "frozen")
    assert "2026-11-28 17:00 UTC (72 hours)" in output["authority"]
    assert "| Special categories (Art. 9) | yes |" in output["authority"]
    assert "about 1:" in output["authority"]
    incident.write_notices(output, tmp_path / "drafts")
    written = "".join(path.read_text() for path in (tmp_path / "drafts").iterdir())
    assert not [one for one in (NAME, EMAIL, number(1)) if one in written]
    with pytest.raises(FileExistsError):
        incident.write_notices(output, tmp_path / "drafts")


def test_frozen_means_nothing_is_read_received_or_published(published: Estate) -> None:
    stand = published.context
    own = service.reference(stand, f"emp:{number(900)}", Audience.MANAGER)
    before = gate.manifest(stand.layout)
    suspension.suspend(stand, "laptop lost", "dora", NOW)
    assert not (stand.layout.current / exports.FOLDER).exists()
    with pytest.raises(PolicyError, match=r"suspended since .* by dora: laptop lost"):
        service.read(stand, REPORTS)
    with pytest.raises(PolicyError, match="suspended"):
        receive(stand, REPORTS, own, published.home.parent / "files")
    store = Store(home=str(published.home))
    store.require_valid_policy(NOW.date())  # erasure goes on
    with pytest.raises(PolicyError, match="suspended"):
        store.require_lawful_use(NOW.date())
    assert not published.run().success
    assert gate.manifest(stand.layout) == before
    suspension.resume(stand)
    with pytest.raises(PolicyError, match="nothing is suspended"):
        suspension.resume(stand)
    assert service.read(stand, REPORTS).rows
    assert published.run().success
    assert receive(stand, REPORTS, own, published.home.parent / "files")


def test_the_plan_says_its_state(stand: Context) -> None:
    plan = stand.governance.plan
    states = {plan.state(step, plan.started_on + dt.timedelta(days=400)) for step in plan.steps}
    assert states == {"done", "overdue"}
    text = documents.rendered(stand, plan.started_on)["plan"]
    assert text.count("| open |") == sum(step.done_on is None for step in plan.steps)

"""Courses: what nobody has decided to be ordinary is shown to nobody.

The kind of fault: a course passes as harmless because no pattern knows its words. Patterns suggest
here, and people decide; whatever is undecided, undecidable or forged counts as not decided.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from assets import lineage
from expectations import classified as classified_suite
from pipeline.access import courses, staff
from pipeline.classified.sensitivity import course_sensitivity
from pipeline.classified.steps import classify
from pipeline.context import Context
from pipeline.errors import BadInput, PolicyError
from pipeline.governance import courses as register
from pipeline.keys import signing
from pipeline.policy.access import Role
from pipeline.policy.data_map import DataMap
from pipeline.requests import fulfil
from pipeline.retained import job, rebuild
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from pipeline.storage.sql import Sql, tuples
from pipeline.subjects import request_register
from tests import plain
from tests.command import milestones
from tests.company import (
    EMAIL,
    NAME,
    NUMBER,
    company,
    number,
    record,
    statement,
    write_delivery,
)
from tests.estate import KEYS, NOW, context, decide, decide_courses, review_courses, sign_policy
from tests.fixtures import RUN_DATE, Estate, errors
from tests.opened import released
from tests.titles import ORDINARY, SENSITIVE

Titles = list[tuple[str, str | None]]


@pytest.fixture
def stand(tmp_path: Path) -> Context:
    """A company with staff and a signed policy, and no decision yet."""
    sign_policy(tmp_path / "home")
    return context(tmp_path / "home")


def judged(stand: Context, titles: Titles) -> dict[str, tuple[str | None, bool, list[str]]]:
    """Course to sensitivity, reviewed and suggestions."""
    relation = Sql(f"(FROM (VALUES {tuples(titles)}) t (course_code, course_title))")
    with engine(stand.layout.work) as connection:
        rows = connection.sql(
            "SELECT course_code, sensitivity, reviewed, suggested FROM "
            f"{course_sensitivity(connection, stand, relation)}"
        ).fetchall()
    return {code: (sensitivity, reviewed, some) for code, sensitivity, reviewed, some in rows}


def test_sensitive_titles_are_suggested_in_many_languages(stand: Context) -> None:
    sensitive = [title for titles in SENSITIVE.values() for title in titles]
    found = judged(stand, [(f"C-{n}", one) for n, one in enumerate([*sensitive, *ORDINARY])])
    missed = [one for n, one in enumerate(sensitive) if not found[f"C-{n}"][2]]
    alarms = [one for n, one in enumerate(ORDINARY, len(sensitive)) if found[f"C-{n}"][2]]
    assert len(sensitive) >= 100
    assert len(missed) / len(sensitive) <= 0.02, missed
    assert len(alarms) / len(ORDINARY) <= 0.02, alarms


@pytest.mark.parametrize(
    "code",
    [
        "stop_smoking",
        "livingWithBurnout",
        "HR-911-mental-health",
        "BURN_OUT",
        "StopSmokingNow",
        "https://health.example/c/Suchtpraevention",
        "wiedereingliederung2026",
    ],
)
def test_codes_suggest_as_titles_do(stand: Context, code: str) -> None:
    assert judged(stand, [(code, None)])[code][2]


def test_the_address_of_a_server_suggests_nothing(stand: Context) -> None:
    code = "https://health.example/c/excel"
    assert judged(stand, [(code, "Excel")])[code] == ("unreviewed", False, [])


def test_what_is_undecided_is_unreviewed(stand: Context) -> None:
    assert judged(stand, [("A-1", "Excel"), ("A-2", "Stop smoking"), ("WB-100", "Ethics")]) == {
        "A-1": ("unreviewed", False, []),
        "A-2": ("health", False, ["health"]),
        "WB-100": ("listed", True, []),
    }


def test_what_is_remembered_is_of_the_same_words_and_texts(stand: Context) -> None:
    """The kind: what a process worked out before is taken for nothing else."""
    for title, suggested in (("Excel", []), ("Stop smoking", ["health"]), ("Excel", [])) * 2:
        assert judged(stand, [("A-1", title)])["A-1"][2] == suggested
    courses = stand.data_map.course_sensitivity
    others = courses.model_copy(update={"patterns": {**courses.patterns, "union": " excel "}})
    changed = stand.data_map.model_copy(update={"course_sensitivity": others})
    for now, suggested in ((replace(stand, data_map=changed), ["union"]), (stand, [])):
        assert judged(now, [("A-1", "Excel")])["A-1"][2] == suggested


def test_a_pattern_covers_no_course_that_is_suggested(stand: Context) -> None:
    decide(stand, patterns=("A-*",))
    titles: Titles = [("A-1", "Excel"), ("A-2", "Stop smoking"), ("B-1", "Excel"), ("a-1", "Excel")]
    found = judged(stand, titles)
    assert [found[code][:2] for code, _ in titles] == [
        (None, True),
        ("health", False),
        ("unreviewed", False),
        ("unreviewed", False),
    ]
    decide(stand, "A-2", suggested=("health",))
    assert judged(stand, titles)["A-2"][:2] == (None, True)


def test_a_new_title_goes_back_to_review(stand: Context) -> None:
    """Whether its code was decided by a pattern or by itself."""
    decide(stand, patterns=("A-*",))
    decide(stand, "B-1")
    decide(stand, "B-2", suggested=("health",))
    before: Titles = [("A-1", "Wellness"), ("B-1", "Wellness"), ("B-2", "Stop smoking")]
    assert {one[:2] for one in judged(stand, before).values()} == {(None, True)}
    after: Titles = [("A-1", "Gewerkschaft"), ("B-1", "Gewerkschaft"), ("B-2", "Gewerkschaft")]
    found = judged(stand, [*before, *after])
    assert {one[1] for one in found.values()} == {False}
    assert all("union" in one[2] for one in found.values())


def test_a_sensitive_pattern_is_not_undone_by_another(stand: Context) -> None:
    decide(stand, patterns=("HR-*",), category="health")
    decide(stand, patterns=("H*",))
    assert judged(stand, [("HR-1", "Excel")])["HR-1"][:2] == ("health", True)
    decide(stand, "HR-1")
    assert judged(stand, [("HR-1", "Excel")])["HR-1"][:2] == (None, True)
    decide(stand, "HR-1", category="belief")
    assert judged(stand, [("HR-1", "Excel")])["HR-1"][:2] == ("belief", True)
    decide(stand, patterns=("HR-*",))
    assert judged(stand, [("HR-2", "Excel")])["HR-2"][:2] == (None, True)


def test_nobody_can_make_a_listed_code_ordinary(stand: Context) -> None:
    decide(stand, "WB-100")
    for code in ("WB-100", "wb-100"):
        assert judged(stand, [(code, "Ethics")])[code][:2] == ("listed", True)


@pytest.mark.parametrize("sign", ["_", "%", "\\", "[", "?"])
def test_only_a_star_stands_for_other_characters(stand: Context, sign: str) -> None:
    decide(stand, patterns=(f"A{sign}*",))
    found = judged(stand, [(f"A{sign}1", "Excel"), ("AX1", "Excel")])
    assert (found[f"A{sign}1"][0], found["AX1"][0]) == (None, "unreviewed")


@pytest.mark.parametrize("pattern", ["*", "**", "-*", "SEC-1", ""])
def test_a_pattern_says_which(stand: Context, pattern: str) -> None:
    with pytest.raises(ValidationError):
        decide(stand, patterns=(pattern,))
    assert courses.valid(stand.layout, stand.access) == []


def _decided(stand: Context, actor: str, key: Ed25519PrivateKey, **more: Any) -> courses.Decision:
    more = {"because": "looked", "category": None, "codes": {"A-1": ()}} | more
    return courses.decide(stand, actor, key, NOW, **more)


def test_only_the_role_that_policy_names_decides(stand: Context) -> None:
    with pytest.raises(PolicyError, match="does not have the role legal"):
        _decided(stand, "hana", KEYS["hana"])
    with pytest.raises(PolicyError, match="does not have the role legal"):
        _decided(stand, "nobody", KEYS["lea"])
    with pytest.raises(PolicyError, match="not the key"):
        _decided(stand, "lea", KEYS["hana"])
    with pytest.raises(BadInput, match="no such category"):
        _decided(stand, "lea", KEYS["lea"], category="sport")
    with pytest.raises(ValidationError):
        _decided(stand, "lea", KEYS["lea"], because=" ")
    assert not courses.path(stand.layout).exists()


def _rewritten(stand: Context, change: Any) -> None:
    path = courses.path(stand.layout)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(one) + "\n" for one in change(lines)))


def _as_ordinary(lines: list[Any]) -> list[Any]:
    lines[1]["decision"]["category"] = None
    return lines


def _forged(lines: list[Any]) -> list[Any]:
    key = Ed25519PrivateKey.generate()
    made = lines[0]["decision"] | {"number": 3, "codes": {"A-2": ["health"]}}
    return [*lines, {"decision": made, "signature": signing.sign(key, courses.KIND, made)}]


@pytest.mark.parametrize(
    ("change", "ordinary"),
    [
        (lambda lines: lines, True),
        (lambda lines: lines[::-1], True),
        (lambda lines: [*lines, lines[0], "garbage"], True),
        (_forged, True),
        # What is gone or changed could have made A-1 sensitive.
        (lambda lines: lines[2:], False),
        (lambda lines: [lines[0], lines[2]], False),
        (lambda lines: _as_ordinary(lines), False),
        (lambda lines: [], False),
    ],
)
def test_a_decision_that_does_not_verify_is_none(
    stand: Context, change: Any, ordinary: bool
) -> None:
    decide(stand, "A-1")
    decide(stand, "A-2", category="health")
    decide(stand, "A-3", category="health")
    _rewritten(stand, change)
    found = judged(stand, [("A-1", "Excel"), ("A-2", "Stop smoking")])
    assert found["A-1"][0] == (None if ordinary else "unreviewed")
    assert found["A-2"][0] == "health"


def test_a_decision_counts_while_its_signer_may_decide(stand: Context) -> None:
    """Whoever follows signs once more, before the other leaves."""
    decide(stand, "A-1")
    decide(stand, "A-2", category="health")
    key = Ed25519PrivateKey.generate()
    staff.put(
        stand.layout,
        staff.Member(actor="luc", roles=(Role.LEGAL,), key=signing.public_pem(key)),
    )
    assert len(courses.confirm(stand, "luc", key, NOW)) == 2
    staff.remove(stand.layout, "lea")
    found = judged(stand, [("A-1", "Excel"), ("A-2", "Excel")])
    assert [found[code][0] for code in ("A-1", "A-2")] == [None, "health"]
    staff.remove(stand.layout, "luc")
    assert judged(stand, [("A-1", "Excel")])["A-1"][0] == "unreviewed"


PHISHING = "https://lms.example/phishing"
OF_COURSES = {
    "manager_extract_db.manager_extract": "course_code",
    "coaching_db.coaching_course": "course_code",
    "coaching_db.coaching_team_course": "course_code",
    "analytics_db.analytics_milestones": "course_code",
}


def shown(home: Path) -> set[str]:
    """The courses in every released table but the detail of HR and legal."""
    with released(home) as connection:
        return {
            str(code)
            for table, column in OF_COURSES.items()
            for (code,) in connection.sql(f"SELECT DISTINCT {column} FROM {table}").fetchall()
            if code is not None
        }


def _delivered(estate: Estate) -> None:
    """A company where twelve people also took four xAPI courses, each with titles under other
    language tags, and two courses of the CSV that nobody has looked at."""
    rows, people, statements = company()
    titles = {
        "en-GB": {"en-GB": "Living with burnout"},
        "de-DE": {"de-DE": "Sucht im Betrieb"},
        "und": {"und": "Pregnancy and work"},
        "two": {"en": "Course 7", "en-AU": "Mental health first aid"},
        "plain": {"fr": "Excel"},
    }
    for at, (name, tags) in enumerate(titles.items()):
        statements += [
            statement(
                p,
                id=f"00000000-0000-4000-8000-{at + 1:04d}{p:08d}",
                object={"id": f"https://lms.example/c/{name}", "definition": {"name": tags}},
            )
            for p in range(12)
        ]
    rows += [record(p, Course_Code="ZZ-1", Course_Title="Cold chain") for p in range(12)]
    rows += [record(p, Course_Code="ZZ-2", Course_Title="Mutterschutz") for p in range(12)]
    write_delivery(estate.delivery(), rows, people, statements)


def _reasons(estate: Estate) -> dict[str, dict[str, int]]:
    path = estate.layout.reconciliation / f"{RUN_DATE}.json"
    return {one["table"]: one["suppressed"] for one in json.loads(path.read_text())}


def _tags(layout: Layout) -> dict[str, str | None]:
    rows = pl.read_parquet(layout.classified / "period=*" / "*.parquet", hive_partitioning=False)
    return dict(rows.select("course_code", "sensitivity").unique().iter_rows())


def test_titles_under_every_tag_count_and_the_undecided_is_in_no_table(estate: Estate) -> None:
    sign_policy(estate.home)
    decide(estate.context, patterns=("SEC-*", "MNT-*", "https://lms.example/*"))
    _delivered(estate)
    result = estate.run()
    assert result.success, errors(result)
    tags = _tags(estate.layout)
    iri = "https://lms.example/c/"
    assert {tags[iri + name] for name in ("en-GB", "de-DE", "und", "two")} == {"health"}
    assert (tags[iri + "plain"], tags["SEC-101"]) == (None, None)
    assert (tags["ZZ-1"], tags["ZZ-2"], tags["HLT-404"]) == (
        "unreviewed",
        "parental_leave",
        "health",
    )
    assert {iri + "plain", "SEC-101"} <= shown(estate.home)
    assert not {code for code in shown(estate.home) if tags[code] is not None}
    for table, reasons in _reasons(estate).items():
        expected = 0 if table == "hr_legal_detail" else 12 * 6 + 1
        assert reasons.get("course not reviewed", 0) == expected, table
    # The queue has their titles in all languages, and people as a number.
    queue = {one.code: one for one in register.waiting(register.courses(estate.context))}
    assert ("en-AU", "Mental health first aid") in queue[iri + "two"].titles
    assert (queue["ZZ-2"].people, queue["ZZ-2"].suggested) == (12, ("parental_leave",))
    # One bulk decision takes what is plain, and leaves the rest.
    codes, patterns = register.scope(queue.values(), "*")
    assert (set(codes), patterns) == ({"ZZ-1"}, ())
    with pytest.raises(BadInput, match="no record is about"):
        register.scope(queue.values(), "ZZ-3")
    assert register.scope(queue.values(), "ZZ-*") == ({}, ("ZZ-*",))


@pytest.mark.usefixtures("plainly")
def test_a_sensitive_course_leaves_every_table_at_once(published: Estate) -> None:
    stand, home = published.context, published.home
    assert {"SEC-101", PHISHING} <= shown(home)
    for _ in range(2):  # once more is the same
        made = decide(stand, "SEC-101", category="health")
        register.take_effect(stand, made, NOW)
        assert "SEC-101" not in shown(home)
        assert PHISHING in shown(home)
    assert _tags(published.layout)["SEC-101"] == "health"
    with released(home) as connection:
        rows_now = connection.sql(
            "SELECT DISTINCT sensitivity FROM hr_legal_detail_db.hr_legal_detail "
            "WHERE course_code = 'SEC-101'"
        ).fetchall()
    assert rows_now == [("health",)]
    # The next run says the same.
    assert published.run().success
    assert "SEC-101" not in shown(home)
    assert not list(published.layout.erasures.glob("*"))


def _leaves(stand: Context) -> None:
    staff.remove(stand.layout, "lea")


def _interrupted(deed: Callable[[], object]) -> None:
    """Do it up to where the first month is rebuilt."""

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild, "_rebuild_month", dies)
        with pytest.raises(KeyboardInterrupt):
            deed()


def _leaves_and_a_deletion_is_interrupted(stand: Context) -> None:
    """One that has nothing else to take from the managers' rows, as there was another before."""
    _delete(stand)
    _leaves(stand)
    _interrupted(lambda: job.retain(stand, NOW))


def _leaves_and_a_restriction_is_interrupted(stand: Context) -> None:
    _leaves(stand)
    request = request_register.receive(
        stand.layout, request_register.Kind.RESTRICTION, f"emp:{number(1)}", NOW.date(), {}
    )
    request_register.verify_identity(stand.layout, request.name, "HR desk")
    _interrupted(lambda: fulfil.fulfil(stand, request.name, NOW))


def _is_erased(stand: Context) -> None:
    assert job.erase_person(stand, f"emp:{number(7)}", None, NOW)["kind"] == "person"


def _delete(stand: Context) -> None:
    assert len(job.retain(stand, NOW)) == 1


def _finish_and_delete(stand: Context) -> None:
    assert len(job.retain(stand, NOW)) == 2


def _nothing(_: Context) -> None:
    """It was published along with what ended the decision."""


@pytest.mark.usefixtures("plainly")
@pytest.mark.parametrize(
    ("ends", "then"),
    [
        (_is_erased, _nothing),
        (_leaves_and_a_deletion_is_interrupted, _finish_and_delete),
        (_leaves_and_a_restriction_is_interrupted, _delete),
    ],
)
def test_a_decision_that_ended_counts_for_nobody_who_publishes(
    past: Estate, ends: Callable[[Context], None], then: Callable[[Context], None]
) -> None:
    """The kind of fault: rows that the last run classified by a decision are judged by the
    decisions of now. So an erasure failed, and the next one as well, until a run had classified
    them anew."""
    stand = past.context
    assert "SEC-101" in shown(past.home)
    ends(stand)
    then(stand)
    assert shown(past.home) == set()
    tags = _tags(stand.layout)
    assert (tags["SEC-101"], tags["HLT-404"]) == ("unreviewed", "health")
    # A run classifies them no other way.
    classify(stand, NOW)
    assert _tags(stand.layout) == tags


def test_what_was_staged_before_a_decision_is_not_released(published: Estate) -> None:
    """Whatever changes what may be published, while a run has its tables staged: a decision, as
    here, a restriction, a withdrawn delivery."""
    stand = published.context
    staged = {asset for step in plain.steps() for asset in step.assets} - set(plain.STORES)
    assert published.run(RUN_DATE, staged - {lineage.RELEASE}).success
    made = decide(stand, "SEC-101", category="health")
    register.take_effect(stand, made, NOW)
    ran = published.run(RUN_DATE, {lineage.RELEASE})
    assert "run it again" in errors(ran)
    assert "SEC-101" not in shown(published.home)


def test_figures_of_a_course_come_back_when_it_is_reviewed_again(published: Estate) -> None:
    """They were published once, and could not be made again."""
    with released(published.home) as connection:
        before = connection.sql("FROM coaching_db.coaching_course ORDER BY ALL").fetchall()
    decided = courses.number(published.layout)
    courses.path(published.layout).write_text("")
    courses.accept_loss(published.layout, decided)
    assert published.run().success
    assert shown(published.home) == set()
    review_courses(published.context)
    assert published.run().success
    with released(published.home) as connection:
        after = connection.sql("FROM coaching_db.coaching_course ORDER BY ALL").fetchall()
    assert after == before
    assert before


def test_a_row_that_lost_its_tag_fails_the_check(published: Estate) -> None:
    decide_courses(published.context)
    assert classified_suite.validate(published.context).passed
    path = next(published.layout.classified.glob("period=2026-10-01/*.parquet"))
    rows = pl.read_parquet(path, hive_partitioning=False)
    rows.with_columns(sensitivity=pl.lit(None, pl.String)).write_parquet(path)
    broken = classified_suite.validate(published.context).broken
    assert broken["course_code.sensitivity_tagged"] > 0


def test_every_category_has_words(data_map: DataMap) -> None:
    assert {
        "health",
        "union",
        "disability",
        "whistleblowing",
        "belief",
        "sexuality",
        "origin",
        "politics",
        "parental_leave",
        "return_to_work",
    } <= set(data_map.course_sensitivity.categories)


@pytest.mark.usefixtures("plainly")
def test_the_commands_of_a_reviewer(
    published: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, key = published.home, tmp_path / "lea.pem"
    key.write_text(signing.private_pem(KEYS["lea"]))
    decide = ("--key", str(key), "--because", "read the title")
    monkeypatch.setenv("MILESTONES_ACTOR", "lea")
    monkeypatch.setenv("COLUMNS", "200")
    # Nothing waits in this company but what nobody has decided about by itself.
    path = courses.path(published.layout)
    decisions = path.read_text()
    path.write_text("")
    listed = milestones(home, "courses", "review").stdout
    assert "Living with burnout" in listed
    assert "SEC-101" in listed
    assert not any(secret in listed for secret in (NAME, EMAIL, NUMBER))
    path.write_text(decisions)
    refused = milestones(home, "courses", "decide", "SEC-*", "sensitive", *decide)
    assert (refused.returncode, "--category" in refused.stderr) == (2, True)
    assert milestones(home, "courses", "decide", "SEC-101", "secret", *decide).returncode == 2
    for unknown in ("sec-101", "NO-1"):
        done = milestones(home, "courses", "decide", unknown, "ordinary", *decide)
        assert (done.returncode, "course of that code" in done.stderr) == (2, True)
    monkeypatch.setenv("MILESTONES_ACTOR", "hana")
    done = milestones(home, "courses", "decide", "SEC-101", "ordinary", *decide)
    assert (done.returncode, "may not do `courses decide`" in done.stderr) == (3, True)
    assert path.read_text() == decisions
    monkeypatch.setenv("MILESTONES_ACTOR", "lea")
    done = milestones(
        home, "courses", "decide", "SEC-*", "sensitive", "--category", "health", *decide
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "SEC-101" not in shown(home)
    assert PHISHING in shown(home)
    done = milestones(home, "courses", "decide", "HLT-*", "ordinary", *decide)
    assert "need a decision of their own" in done.stderr
    assert "SEC-*" in milestones(home, "courses", "list").stdout

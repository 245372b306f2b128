"""The 1:1 sheet: whose trainings a manager is handed by name, and who is handed nothing.

Kinds of fault: a name outside of the vault and the sheet, a reporting line that has ended, a
reading without its entry in the log, and a name or title that means something to what shows it.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.access import staff
from pipeline.access.audit import bodies
from pipeline.access.authorize import AccessDenied
from pipeline.classified import names
from pipeline.cli.exits import Exit
from pipeline.context import Context
from pipeline.errors import BadInput, PolicyError
from pipeline.governance import suspension
from pipeline.language.languages import language
from pipeline.policy.access import Role, SheetFormat, SheetRule, require_consistent
from pipeline.policy.fields import Audience
from pipeline.read import service
from pipeline.read.sheet import file, page, workbook
from pipeline.read.sheet.handover import ORDER, Report, Sheet, Training, hand_over
from pipeline.retained import job
from pipeline.storage import relations
from pipeline.storage.engine import engine
from pipeline.storage.schema import PARQUET
from pipeline.storage.sql import literal
from pipeline.subjects import restrictions
from tests.command import milestones
from tests.company import NAME, number, record
from tests.estate import NOW, context
from tests.fixtures import Estate

FIELDS = ["name", "course_title", "course_code", "state", "outcome"]
WHY = "monthly 1:1, open trainings"


@pytest.fixture
def stand(published: Estate) -> Context:
    return context(published.home)


def handed(stand: Context, actor: str = "max", role: Role = Role.MANAGER, **more: Any) -> Sheet:
    return hand_over(stand, actor, role, **{"note": WHY, **more})


def people(sheet: Sheet) -> set[str]:
    return {one.name for one in sheet.reports}


def change_roster(stand: Context, **columns: str) -> None:
    """Let the accepted roster say something else: column to SQL; and make the names anew."""
    with engine(stand.layout.work) as connection:
        for path in relations.files(stand.layout, "roster"):
            changed = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
            connection.execute(f"CREATE OR REPLACE TEMP TABLE r AS FROM {literal(path)}")
            query = f"SELECT * REPLACE ({changed}) FROM r"
            connection.execute(f"COPY ({query}) TO {literal(path)} ({PARQUET})")
        names.refresh(connection, stand)


def test_a_manager_is_handed_the_own_reports_by_name(stand: Context) -> None:
    mine, hers = handed(stand), handed(stand, "mia")
    assert NAME in people(mine)
    assert len(mine.reports) == 12
    assert len(hers.reports) == 3
    assert not people(mine) & people(hers)
    for report in mine.reports:
        states = [one.state for one in report.trainings]
        assert states == sorted(states, key=ORDER.index)
        assert len({one.code for one in report.trainings}) == len(states)
    assert {"Security basics"} <= {one.title for r in mine.reports for one in r.trainings}
    assert [one.name for one in mine.reports] == sorted(people(mine), key=str.lower)
    assert NAME not in repr(mine)
    entry = list(bodies(stand.layout))[-2]
    assert (entry["actor"], entry["purpose"]) == ("max", "one_to_one")
    assert (entry["note"], entry["fields"], entry["decision"]) == (WHY, FIELDS, "granted")
    assert len(entry["people"]) == 12
    assert entry["rows"] == sum(len(one.trainings) for one in mine.reports)


def test_a_manager_who_is_listed_by_an_address_has_the_same_reports(stand: Context) -> None:
    mine = people(handed(stand))
    address = f"mbox:mailto:{record(900)['Email']}"
    staff.put(stand.layout, staff.Member(actor="max", roles=(Role.MANAGER,), person=address))
    assert people(handed(stand)) == mine


def test_the_log_has_the_handover_before_there_is_a_file(
    stand: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = file.replace_bytes
    seen: list[str] = []

    def watched(path: Path, content: bytes) -> None:
        seen.append(list(bodies(stand.layout))[-1]["note"])
        written(path, content)

    monkeypatch.setattr(file, "replace_bytes", watched)
    target = file.path(stand, tmp_path / "mine", "html", None, replace=False)
    file.write(stand, target, "max", Role.MANAGER, WHY)
    assert seen == [WHY]
    assert stat.S_IMODE(target.path.stat().st_mode) == 0o600
    assert NAME in target.path.read_text("utf-8")
    # A log that cannot be written hands nothing over.
    other = file.path(stand, tmp_path / "other", "html", None, replace=False)
    monkeypatch.setattr("pipeline.access.audit.AccessLog.append", _full)
    with pytest.raises(OSError, match="full"):
        file.write(stand, other, "max", Role.MANAGER, WHY)
    assert not other.path.exists()


def _full(*_: object, **__: object) -> None:
    raise OSError("the disk is full")


def test_nobody_else_is_handed_one(stand: Context) -> None:
    theirs = service.pseudonyms_of(stand, [f"emp:{number(12)}"], Audience.MANAGER)
    refused: list[tuple[str, Callable[[], Sheet]]] = [
        ("role manager", lambda: handed(stand, "hana")),
        ("may not state", lambda: handed(stand, "hana", Role.HR)),
        ("may not state", lambda: handed(stand, "ana", Role.ANALYST)),
        ("does not have the role", lambda: handed(stand, "max", Role.HR)),
        ("does not have the role", lambda: handed(stand, "nobody-known")),
        ("at least 20 characters", lambda: handed(stand, note=" 1:1" + " " * 30)),
        ("identifies a person", lambda: handed(stand, note=f"monthly 1:1 with {NAME}")),
        ("as xlsx", lambda: handed(stand, made_as=SheetFormat.XLSX)),
        ("by their pseudonyms", lambda: handed(stand, people=(NAME,))),
    ]
    for says, attempt in refused:
        with pytest.raises(AccessDenied, match=says):
            attempt()
    entries = list(bodies(stand.layout))[-len(refused) :]
    assert all(one["decision"].startswith("refused: ") for one in entries)
    assert NAME not in str(entries)
    # Somebody else's report, by a pseudonym that is right: a sheet of nobody.
    assert theirs
    assert handed(stand, people=tuple(theirs)).reports == ()


def test_what_was_allowed_once_is_decided_anew(stand: Context) -> None:
    """A replayed request: after the role, the reporting line, going live or the rule has gone."""
    assert handed(stand).reports
    for gone in (
        replace(stand, access=stand.access.model_copy(update={"sheet": None})),
        replace(stand, version="another policy"),
    ):
        with pytest.raises(PolicyError):
            handed(gone)
    suspension.suspend(stand, "a leak is looked into", "henry", NOW)
    with pytest.raises(PolicyError, match="suspended"):
        handed(stand)
    suspension.resume(stand)
    assert handed(stand).reports
    staff.remove(stand.layout, "max")
    with pytest.raises(AccessDenied, match="does not have the role"):
        handed(stand)


def test_who_has_left_the_team_is_not_on_it(stand: Context) -> None:
    one, two, three, four = (f"'emp:{number(at)}'" for at in range(4))
    change_roster(
        stand,
        manager_id=f"CASE learner_id WHEN {one} THEN 'emp:{number(901)}' ELSE manager_id END",
        left_on=f"CASE learner_id WHEN {two} THEN current_date WHEN {three} THEN "
        "current_date + 30 END",
        name=f"CASE learner_id WHEN {four} THEN ' ' ELSE name END",
    )
    restrictions.restrict(
        stand.layout, f"emp:{number(4)}", [Audience.MANAGER], restrictions.OBJECTED
    )
    found = people(handed(stand))
    # Moved, left, unnamed, objects; who leaves next month is still a report.
    assert not found & {NAME, "Person 1", "Person 3", "Person 4"}
    assert "Person 2" in found
    assert len(found) == 8
    # Who has joined the other team is on that manager's once a run has resolved it.
    assert NAME not in people(handed(stand, "mia"))


def test_who_is_on_the_roster_no_more_has_no_name(stand: Context, published: Estate) -> None:
    """A full roster lists everybody: who is not in the newest is no longer employed."""
    (path,) = relations.files(stand.layout, "roster")
    later = stand.layout.canonical / "2026-11-09" / path.parent.name / path.name
    later.parent.mkdir(parents=True)
    with engine(stand.layout.work) as connection:
        query = (
            "SELECT * REPLACE (DATE '2026-11-09' AS delivery_date) "
            f"FROM {literal(path)} WHERE learner_id <> 'emp:{number(0)}'"
        )
        connection.execute(f"COPY ({query}) TO {literal(later)} ({PARQUET})")
        names.refresh(connection, stand)
        assert not names.left(connection, stand.layout, (f"emp:{number(0)}",))
        assert names.left(connection, stand.layout, (f"emp:{number(1)}",))
    assert NAME not in people(handed(stand))


def holding(home: Path, text: str) -> set[Path]:
    return {
        path
        for path in home.rglob("*")
        if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes()
    }


def test_a_handover_leaves_no_name_behind(stand: Context, tmp_path: Path) -> None:
    before = holding(stand.layout.root, NAME)
    for form in ("html", "xlsx"):
        rule = SheetRule(purpose="one_to_one", note=1, formats=tuple(SheetFormat))
        allowed = replace(stand, access=stand.access.model_copy(update={"sheet": rule}))
        target = file.path(allowed, tmp_path / "mine", form, None, replace=False)
        file.write(allowed, target, "max", Role.MANAGER, WHY)
        assert len(list(target.path.parent.glob("*"))) == len(list(target.path.parent.rglob("*")))
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "one-to-one.html",
        "one-to-one.xlsx",
    ]
    assert holding(stand.layout.root, NAME) == before
    # Only what was delivered has it in the clear; the vault has it encrypted.
    parts = {path.relative_to(stand.layout.root).parts[:2] for path in before}
    assert parts <= {("landing", "2026-11-08"), ("store", "canonical")}
    with engine(stand.layout.work) as connection:
        stored = connection.sql(f"SELECT name FROM {names.rows(connection, stand.layout)}")
        assert (NAME,) in stored.fetchall()


def test_an_erased_report_leaves_the_vault_physically(stand: Context) -> None:
    before = stand.layout.names.read_bytes()
    receipt = job.erase_person(stand, f"emp:{number(0)}", None, NOW)
    assert receipt["found_afterwards"]["names"] == 0
    assert stand.layout.names.read_bytes() != before
    with engine(stand.layout.work) as connection:
        assert not names.left(connection, stand.layout, (f"emp:{number(0)}",))
        assert names.left(connection, stand.layout, (f"emp:{number(1)}",))
    found = people(handed(stand))
    assert NAME not in found
    assert len(found) == 11


HOSTILE = (
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2",
    "@SUM(A1)",
    "https://example.com/x",
    'O\'Neil & "Sons"',
    "a\u202eb\x07c",
    "{{ 7 * 7 }}",
    "Ünï 名前",
    "x" * 300,
)


def sheet_of(*found: str) -> Sheet:
    rows = tuple(Training(one, f"{one}-1", "overdue", "failed") for one in found)
    reports = tuple(Report(one, rows) for one in found)
    return Sheet(reports, NOW.date(), NOW.date(), "max", WHY)


def test_no_name_or_title_means_anything_to_a_page_or_a_workbook() -> None:
    made = sheet_of(*HOSTILE)
    html = page.render(made, language("en"), "dpo@corp.example")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "{{ 7 * 7 }}" in html
    assert not set("\u202e\x07") & set(html)
    for outside in ("src=", "href=", "url(", "@import", "<link", "<img"):
        assert outside not in html
    book = workbook.render(made, language("en"), "dpo@corp.example")
    with zipfile.ZipFile(BytesIO(book)) as found:
        cells = found.read("xl/worksheets/sheet1.xml").decode()
        assert "hyperlinks" not in cells
        assert "<f>" not in cells
        # Every cell is a shared string, however it begins.
        assert cells.count("<c ") == cells.count('t="s"') == 5 * (len(HOSTILE) ** 2 + 1)
        texts = found.read("xl/sharedStrings.xml").decode()
        assert "=cmd|" in texts


@pytest.mark.parametrize("tag", ["en", "de", "fr"])
def test_a_sheet_is_written_in_the_language_of_policy(tag: str) -> None:
    spoken = language(tag)
    html = page.render(sheet_of("Ada"), spoken, "dpo@corp.example")
    assert f'<html lang="{tag}">' in html
    assert spoken.gettext("You may ask") in html
    empty = page.render(replace(sheet_of(), reports=()), spoken, "dpo@corp.example")
    assert spoken.gettext("What this sheet is not for") in empty
    assert "<table" not in empty
    # Policy may leave the outcome out of the managers' table; then there is no column for it.
    unassessed = Report("Ada", (Training("Security basics", "SEC-101", "complete", "none"),))
    without = page.render(replace(sheet_of(), reports=(unassessed,)), spoken, "dpo@corp.example")
    assert without.count("<th ") == html.count("<th ") - 1
    assert workbook.render(sheet_of("Ada"), spoken, "dpo@corp.example")


def test_a_sheet_goes_to_its_reader_and_not_into_the_store(stand: Context, tmp_path: Path) -> None:
    inside = stand.layout.current / "sheets"
    link = tmp_path / "link"
    link.symlink_to(stand.layout.releases, target_is_directory=True)
    for folder in (stand.layout.root, inside, link, stand.layout.vault / ".." / "landing"):
        with pytest.raises(BadInput, match="outside the data folder"):
            file.path(stand, folder, "html", None, replace=True)
    with pytest.raises(BadInput, match="no such format"):
        file.path(stand, tmp_path, "../html", None, replace=False)
    with pytest.raises(BadInput, match="language"):
        file.path(stand, tmp_path, "html", "xx", replace=False)
    (tmp_path / "one-to-one.html").write_text("kept")
    with pytest.raises(BadInput, match="--replace"):
        file.path(stand, tmp_path, "html", None, replace=False)
    assert (tmp_path / "one-to-one.html").read_text() == "kept"


def test_the_command_says_where_it_is_and_why_not(
    published: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESTONES_ACTOR", "max")
    made = milestones(published.home, "sheet", str(tmp_path / "mine"), "--note", WHY)
    assert made.returncode == Exit.DONE
    path = tmp_path / "mine" / "one-to-one.html"
    assert "".join(made.stdout.split()) == str(path)
    # To one nobody reports; of the other's reports nothing may be shown. Which of the two it is,
    # the sheet does not say.
    for person in range(20):
        restrictions.restrict(
            published.layout, f"emp:{number(person)}", [Audience.MANAGER], restrictions.RESTRICTED
        )
    for actor in ("idle", "mia"):
        monkeypatch.setenv("MILESTONES_ACTOR", actor)
        empty = milestones(published.home, "sheet", str(tmp_path / actor), "--note", WHY)
        assert empty.returncode == Exit.DONE
        assert "nobody is on it" in " ".join(empty.stdout.split())
        shown = (tmp_path / actor / "one-to-one.html").read_text("utf-8")
        assert "There is nothing to show today" in shown
        assert "<table" not in shown
    monkeypatch.setenv("MILESTONES_ACTOR", "hana")
    refused = milestones(published.home, "sheet", str(tmp_path / "hana"), "--note", WHY)
    assert refused.returncode == Exit.REFUSED
    assert not (tmp_path / "hana").exists()


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"purpose": "team_coaching"}, "sheet.purpose"),
        ({"purpose": "unheard_of"}, "sheet.purpose"),
    ],
)
def test_policy_allows_a_sheet_of_own_reports_only(
    finished_run: Estate, rule: dict[str, str], says: str
) -> None:
    given = finished_run.context
    sheet = SheetRule.model_validate({"note": 20, **rule})
    access = given.access.model_copy(update={"sheet": sheet})
    with pytest.raises(PolicyError, match=says):
        require_consistent(access, given.data_map, given.governance)
    with pytest.raises(ValidationError):
        SheetRule(purpose="one_to_one", note=20, formats=())
    with pytest.raises(ValidationError):
        SheetRule(purpose="one_to_one", note=0)

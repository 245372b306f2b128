"""The walk in docs/first_run.md: from an empty folder and a foreign export to a published run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.published import publication_history
from pipeline.storage.layout import PROJECT, Layout
from pipeline.storage.manifest import manifest
from tests.opened import released
from tests.workbook import workbook

PAGE = (PROJECT / "docs" / "first_run.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh (\w+)\n(.*?)^```", PAGE, re.M | re.S)
COMMANDS = [(who, line) for who, block in BLOCKS for line in block.splitlines()]
COURSES = (("IT-100", "Informationssicherheit"), ("DS-200", "Datenschutz für alle"))
HISTORY = (
    "Personalnummer;Nachname;Vorname;E-Mail;Personalnummer Vorgesetzter;Abteilung;Land;Kursnummer;"
    "Kursbezeichnung;Zugewiesen am;Abgeschlossen am;Fällig am;Status;Punktzahl"
)
ROSTER = "Personalnummer;Nachname;Vorname;E-Mail;Personalnummer Vorgesetzter;Abteilung;Land"


def department(person: int) -> str:
    return "Vertrieb" if person < 20 else "Technik"


def exports(folder: Path) -> None:
    """The exports of forty people in two departments, as German systems write them."""
    rows = [HISTORY.split(";")] + [
        [
            *(str(400100 + p), f"Nachname{p}", f"Vorname{p}", f"p{p}@beispiel.de"),
            *(str(400900 + p // 20), department(p), "DE", code, title, "01.09.2026"),
            *((f"{p % 27 + 1:02d}.10.2026", "31.10.2026", "Abgeschlossen", f"{60 + p % 40},5")),
        ]
        if p % 10
        else [
            *(str(400100 + p), f"Nachname{p}", f"Vorname{p}", f"p{p}@beispiel.de"),
            *(str(400900 + p // 20), department(p), "DE", code, title, "01.09.2026"),
            *("", "31.10.2026", "In Bearbeitung", ""),
        ]
        for p in range(40)
        for code, title in COURSES
    ]
    people = [ROSTER.split(";")] + [
        [
            *(str(400100 + p), f"Nachname{p}", f"Vorname{p}", f"p{p}@beispiel.de"),
            *(str(400900 + p // 20) if p < 40 else "", department(p), "DE"),
        ]
        for p in (*range(40), 800, 801)
    ]
    (folder / "Lernverlauf.xlsx").write_bytes(workbook(rows))
    text = "\r\n".join(";".join(row) for row in people)
    (folder / "Mitarbeiter.csv").write_bytes(text.encode("cp1252"))


def run(who: str, line: str, patch: pytest.MonkeyPatch) -> None:
    """Run one command of the page as a shell would."""
    words = shlex.split(line)
    patch.setenv("MILESTONES_ACTOR", who)
    if words[0] == "export":
        patch.setenv(*words[1].split("=", 1))
    elif words[0] == "mkdir":
        Path(words[-1]).mkdir(parents=True)
    elif words[0] == "cp":
        for name in words[1:-1]:
            (Path(words[-1]) / name).write_bytes(Path(name).read_bytes())
    else:
        assert words[0] == "milestones"
        into = words.pop() if ">" in words and words.remove(">") is None else None
        with pytest.MonkeyPatch.context() as inner:
            inner.delenv("DAGSTER_HOME", raising=False)
            done = CliRunner().invoke(app, words[1:], catch_exceptions=False)
        assert done.exit_code == 0, f"{line}: {done.output}"
        if into:
            Path(into).write_text(done.stdout, "utf-8")


def test_the_engineer_types_ten_commands_at_most() -> None:
    assert len([line for who, line in COMMANDS if who == "eddy"]) <= 10
    assert {who for who, _ in COMMANDS} == {"eddy", "lea", "hana"}


@pytest.mark.usefixtures("plainly")
@pytest.mark.long
def test_the_walk_from_an_empty_folder_to_a_published_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exports(tmp_path)
    for name in ("HOME", "LANDING", "POLICY"):
        monkeypatch.setenv(f"MILESTONES_{name}", "")
        monkeypatch.delenv(f"MILESTONES_{name}")
    for who, line in COMMANDS:
        run(who, line, monkeypatch)
    layout = Layout(tmp_path / "data")
    assert manifest(layout)["partition"] == "2026-11-20"
    assert set(publication_history.periods(layout)) == {"2026-09-01", "2026-10-01"}
    with released(layout.root) as connection:
        found = connection.sql(
            "SELECT course_code, learners FROM coaching_db.coaching_course "
            "WHERE period = '2026-10-01' ORDER BY 1"
        ).fetchall()
    assert found == [("DS-200", 36), ("IT-100", 36)]

"""Drafts of data-map entries: how many columns of real layouts they get right, what they deny
whatever a column is called, and that they show no value."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import zipfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.cli.exits import Exit
from pipeline.policy import preset
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import FieldClass, Source, Treatment
from pipeline.raw.deliveries import ingest
from pipeline.raw.readers.base import MalformedFile
from pipeline.storage.layout import PROJECT, Layout
from pipeline.suggest.dates import date_forms, has_decimal_comma
from pipeline.suggest.draft import Draft, Drafted, drafted
from pipeline.suggest.headers import IGNORED, dictionary, meaning, plain
from pipeline.suggest.render import document
from pipeline.suggest.sample import require_header
from pipeline.suggest.suggest import (
    Suggestion,
    one_each,
    source_name,
    suggested,
    suggestions,
)
from pipeline.suggest.words import status_of
from tests.company import EMAIL, NAME, TEXT, number, write_csv

LAYOUTS: dict[str, dict[str, Any]] = yaml.load(
    (PROJECT / "tests" / "layouts.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader
)
EVERY = {name: one for part in LAYOUTS.values() for name, one in part.items()}
PEOPLE = 40
N = 400
ALM = "adobe-learner-transcript"


@cache
def shipped() -> dict[str, Any]:
    text = (PROJECT / "data_map.yaml").read_text("utf-8")
    loaded: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return loaded


def expected(layout: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Column, canonical name, class."""
    return [(str(c), *str(what).split()) for c, what in layout["columns"].items()]  # type: ignore[misc]


def draft_of(layout: dict[str, Any]) -> list[tuple[Drafted, str, str]]:
    wanted = expected(layout)
    draft = drafted([column for column, _, _ in wanted])
    return [(d, name, kind) for d, (_, name, kind) in zip(draft.columns, wanted, strict=True)]


def share(part: str) -> tuple[int, int, int]:
    """Columns, and percent of them with the right class and the right canonical name."""
    rows = [row for layout in LAYOUTS[part].values() for row in draft_of(layout)]
    kinds = sum(d.entry.field_class == kind for d, _, kind in rows)
    names = sum(d.entry.name == name for d, name, _ in rows)
    return len(rows), round(100 * kinds / len(rows)), round(100 * names / len(rows))


def loads(text: str) -> DataMap:
    """The data map with the drafted sources in it."""
    sources = yaml.load(text, Loader=yaml.CSafeLoader)["sources"]
    return DataMap.model_validate(
        shipped() | {"sources": shipped()["sources"] | {f"new_{n}": s for n, s in sources.items()}}
    )


def export(**columns: list[str]) -> pl.DataFrame:
    """Rows of an export with a number, a course and a status; `columns` beside or instead."""
    usual = {
        "Employee ID": [number(at % PEOPLE) for at in range(N)],
        "Course Code": [f"SEC-{at % 9}" for at in range(N)],
        "Status": ["Completed" for _ in range(N)],
        "Completion Date": [f"2026-10-{1 + at % 28:02d}" for at in range(N)],
    }
    return pl.DataFrame(usual | {name.replace("_", " "): v for name, v in columns.items()})


def drafts(path: Path, tmp_path: Path) -> list[Suggestion]:
    return [
        one for one in suggestions(path, tmp_path / "work") if not isinstance(one, MalformedFile)
    ]


def by_column(rows: pl.DataFrame, tmp_path: Path) -> tuple[dict[str, Drafted], str]:
    found = suggested("export.csv", rows, {}, tmp_path)
    return {one.column: one for one in found.draft.columns}, document([found])


def test_every_word_of_the_dictionary_has_one_meaning() -> None:
    words = [plain(w) for concept in dictionary().words.values() for w in concept]
    meant = {(plain(w), c) for c, mine in dictionary().words.items() for w in mine}
    assert [w for w, n in Counter(word for word, _ in meant).items() if n > 1] == []
    concepts = {*dictionary().words, IGNORED}
    used = {c for names in dictionary().fields.values() for name in names for c in name.split()}
    used |= {c for rule in dictionary().dropped for c in rule.concepts}
    assert used | dictionary().harmless | dictionary().context <= concepts
    assert len(words) > 1_000


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Personalnummer", "learner_id"),
        ("Matricule", "learner_id"),
        ("社員番号", "learner_id"),
        ("Abschlussdatum", "event_at"),
        ("Date d'achèvement", "event_at"),
        ("Fecha de finalización", "event_at"),
        ("Data ukończenia", "event_at"),
        ("完成日期", "event_at"),
        ("Fälligkeitsdatum", "due_at"),
        ("FAELLIG AM", "due_at"),
        ("Titolo del corso", "course_title"),
        ("CursusCode", "course_code"),
        ("Situação", "status"),
        ("部門", "department"),
        ("user_lo_comp_dt", "event_at"),
        ("Completion Date (Asia/Calcutta TimeZone)", "event_at"),
    ],
)
def test_names_are_read_in_many_languages_and_spellings(name: str, field: str) -> None:
    assert meaning(name).field == field


@pytest.mark.parametrize("name", EVERY)
def test_the_draft_of_every_layout_loads(name: str) -> None:
    columns = [column for column, _, _ in expected(EVERY[name])]
    text = document([Suggestion("theirs", f"{name}.csv", drafted(columns))])
    drawn = yaml.load(text, Loader=yaml.CSafeLoader)["sources"]["theirs"]
    assert list(Source.model_validate(drawn).fields) == columns


@pytest.mark.parametrize("name", EVERY)
def test_no_layout_lets_out_what_names_people(name: str) -> None:
    for draft, _, kind in draft_of(EVERY[name]):
        if kind == FieldClass.DIRECT_IDENTIFIER:
            assert draft.entry.treatment in (Treatment.DROP, Treatment.PSEUDONYMIZE), draft.column
        if kind == FieldClass.FREE_TEXT:
            assert draft.entry.treatment in (Treatment.DROP, Treatment.TOKENISE), draft.column
        if kind == FieldClass.QUASI_IDENTIFIER and draft.entry.treatment is Treatment.KEEP:
            assert draft.entry.name in ("department", "status"), draft.column


@pytest.mark.parametrize(("part", "least"), [("developed", 12), ("unseen", 10)])
def test_the_measured_shares_are_those_of_the_document(part: str, least: int) -> None:
    assert len(LAYOUTS[part]) >= least
    columns, kinds, names = share(part)
    line = f"| {len(LAYOUTS[part])} | {columns} |"
    text = (PROJECT / "docs" / "sources.md").read_text("utf-8")
    (row,) = (one for one in text.splitlines() if one.startswith("| today") and line in one)
    assert row.endswith(f"| {kinds} % | {names} % |")
    assert kinds >= 80
    assert names >= 90


def test_what_is_not_recognised_is_dropped_for_nobody(tmp_path: Path) -> None:
    found, text = by_column(export(Ref=["x"] * N, Zorblax=["y"] * N), tmp_path)
    for column in ("Ref", "Zorblax"):
        entry = found[column].entry
        assert (entry.name, entry.treatment, entry.risk, entry.audiences) == (
            "-",
            "drop",
            "high",
            (),
        )
        assert found[column].decide
    assert text.count("# decide: not recognised") == 2


# A column called harmlessly, or not at all, and what is in it.
HIDDEN = {
    "addresses of statuses": ("Status", [f"p{at % 9}@corp.example" for at in range(N)]),
    "one address among titles": ("Course Title", ["Security basics"] * (N - 1) + [EMAIL]),
    "employee numbers as a reference": ("Ref", [number(at % PEOPLE) for at in range(N)]),
    "employee numbers as a course": ("Course Code", [number(at % PEOPLE) for at in range(N)]),
    "names as departments": (
        "Department",
        [f"Ann {'abcdefghij'[at % 10]}ee{at % PEOPLE}" for at in range(N)],
    ),
    "accounts as types": ("Item Type", ["DE89 3704 0044 0532 0130 00"] * N),
    "telephones as places of courses": (
        "Course Title",
        [f"+49 30 {1000000 + at}" for at in range(N)],
    ),
    "birthdays": ("Start Date", [f"{1950 + at % 50}-04-01" for at in range(N)]),
    "free text of few values as dates": ("Due Date", ["ask Quentin first, he is ill"] * N),
    "names as titles": ("Course Title", [f"Ann {'ABCDEFGHIJ'[at % 10]}ee" for at in range(N)]),
    "other numbers of people": ("Course Code", [f"E{880 + at % PEOPLE}" for at in range(N)]),
    "towns as countries": ("Country", ["Zzyzxburg", "Quentinville"] * (N // 2)),
    "years of birth as scores": ("Score", [str(1950 + at % 50) for at in range(N)]),
    "accounts without a domain's ending": ("Course Title", ["quentin@corp"] * N),
    "sentences as scores": ("Score", ["better than Quentin Zzyzx in June"] * N),
}


@pytest.mark.parametrize("case", HIDDEN)
def test_values_overrule_the_name_of_a_column(case: str, tmp_path: Path) -> None:
    column, values = HIDDEN[case]
    found, text = by_column(export(**{column.replace(" ", "_"): values}), tmp_path)
    entry = found[column].entry
    assert (entry.name, entry.treatment, entry.risk, entry.audiences) == ("-", "drop", "high", ())
    assert found[column].decide, "somebody must look at it"
    assert not any(value.lower() in text.lower() for value in set(values))


@pytest.mark.parametrize(
    "column",
    ["Betriebsratsmitglied", "GdB", "Trade union", "Religion", "Sick leave", "Krankheitstage",
     "Numéro de sécurité sociale", "Gehaltsgruppe", "Geburtsdatum", "Handicap", "Ethnicity"],
)  # fmt: off
def test_what_describes_people_is_dropped_by_its_name(column: str) -> None:
    (found,) = drafted([column]).columns
    assert found.entry.treatment is Treatment.DROP
    assert found.entry.field_class is not FieldClass.OPERATIONAL


def test_words_of_statuses_are_mapped_named_or_shown_by_their_row(tmp_path: Path) -> None:
    words = ["Abgeschlossen"] * 8 + ["Wartet auf Freigabe", "Überfällig", "Quentin Zzyzx", "Mark"]
    status = [words[at % len(words)] for at in range(N)]
    status[7] = "7700001"
    found, text = by_column(
        export(Status=status, Item_Type=["Schulung", "Prüfung"] * 200), tmp_path
    )
    assert found["Status"].entry.name == "status"
    drawn = loads(text).sources["new_export"]
    assert drawn.statuses == {"abgeschlossen": "completed"}
    assert drawn.item_types == {"schulung": "milestone_flag", "prüfung": "assessment_record"}
    assert '# decide: "wartet auf freigabe":   (33 rows)' in text
    assert '# decide: "überfällig":   (33 rows)' in text
    for row, rows in ((11, 33), (12, 33), (8, 1)):
        assert f"# decide: the word of row {row} (not shown; {rows} rows)" in text
    assert not any(name in text.lower() for name in ("quentin", "zzyzx", "mark", "7700001"))


def test_a_column_of_many_words_shows_none(tmp_path: Path) -> None:
    names = [f"{chr(97 + at % 26)}nn {chr(97 + at // 26)}ee" for at in range(N)]
    _, text = by_column(export(Status=names), tmp_path)
    assert not any(name in text for name in names)


@pytest.mark.parametrize(
    ("word", "status"),
    [("Erledigt", "completed"), ("EN COURS", "in_progress"), ("Não iniciado", "not_started"),
     ("修了", "completed"), ("Niezaliczony", "failed"), ("no-show", "unclear"), ("Quentin", None)],
)  # fmt: off
def test_statuses_are_read_in_many_languages(word: str, status: str | None) -> None:
    assert status_of(word) == status


def test_forms_of_dates_are_proposed_and_never_guessed() -> None:
    rows = pl.DataFrame(
        {
            "de": ["31.10.2026", "01.11.2026", "2026-11-02"],
            "us": ["10/31/2026 3:15 PM", "11/01/2026 9:00 AM", ""],
            "either": ["03/04/2026", "05/06/2026", "07/08/2026"],
            "serial": ["46326", "46327.5", "46328"],
            "none": ["soon", "later", "31.10.2026"],
        }
    )
    assert date_forms(rows, ["de"]).chosen == ("%d.%m.%Y",)
    assert date_forms(rows, ["us"]).chosen == ("%m/%d/%Y %I:%M %p",)
    assert date_forms(rows, ["serial"]).chosen == ("excel",)
    either = date_forms(rows, ["either"])
    assert either.chosen == ()
    assert set(either.unclear) == {"%d/%m/%Y", "%m/%d/%Y"}
    assert date_forms(rows, ["none"]).unread == 2
    assert has_decimal_comma(pl.DataFrame({"a": ["85,5", "90"]}), ["a"])
    assert not has_decimal_comma(pl.DataFrame({"a": ["85.5", "1,000"]}), ["a"])


def test_courses_that_look_sensitive_are_counted(tmp_path: Path) -> None:
    titles = ["Burnout vorbeugen", "Arbeitssicherheit", "Grundlagen für den Betriebsrat"]
    rows = export(
        Course_Code=[f"C-{at % 3}" for at in range(N)],
        Course_Title=[titles[at % 3] for at in range(N)],
    )
    _, text = by_column(rows, tmp_path)
    assert "# courses that look sensitive, by category: health 1, union 1" in text
    assert "burnout" not in text.lower()


def test_no_value_of_a_file_is_shown(tmp_path: Path) -> None:
    planted = [NAME, EMAIL, TEXT, *(number(at) for at in range(PEOPLE))]
    rows = export(
        Full_Name=[NAME] * N,
        Email=[EMAIL] * N,
        Comments=[TEXT] * N,
        Secret=[f"{NAME}'s secret {at}" for at in range(N)],
        Department=["Vertrieb", "Einkauf"] * (N // 2),
    )
    path = write_csv(tmp_path / "learning_2026-10-31.csv", rows.to_dicts(), rows.columns)
    (found,) = drafts(path, tmp_path)
    text = document([found])
    assert not any(
        value.lower() in text.lower() for value in [*planted, "vertrieb", "einkauf", "sec-1"]
    )
    assert (found.name, found.files) == ("learning", "learning_*.csv")
    assert loads(text).sources["new_learning"].matches("learning_2026-11-30.csv")


def test_a_roster_is_a_roster(tmp_path: Path) -> None:
    header = [
        "Personalnummer",
        "Name",
        "E-Mail",
        "Vorgesetzter Personalnummer",
        "Abteilung",
        "Land",
    ]
    draft: Draft = drafted(header)
    assert draft.reader == "roster"
    assert [one.entry.name for one in draft.columns] == [
        *("learner_id", "learner_name", "learner_email", "manager_id", "department", "country")
    ]
    assert all(one.entry.audiences == () for one in draft.columns)
    assert draft.decide == ()


def test_what_a_reader_misses_is_said() -> None:
    assert drafted(["Email", "Completion Date"]).decide == (
        "no column is recognised as course_code, which the reader needs",
        "no column is recognised as status, which the reader needs",
    )


@pytest.mark.parametrize(
    "rows",
    [
        [["4711", "Quentin Zzyzx", "Completed"], ["4712", "Ann Bee", "Completed"]],
        [[EMAIL, "SEC-1", "x"], ["ann@corp.example", "SEC-2", "y"]],
        [["Quentin Zzyzx", "Sales", "blue"], ["Ann Bee", "Legal", "green"]],
    ],
)
def test_a_file_without_header_is_not_shown(rows: list[list[str]], tmp_path: Path) -> None:
    top, *below = rows
    frame = pl.DataFrame({name: [row[at] for row in below] for at, name in enumerate(top)})
    with pytest.raises(MalformedFile, match=r"header|recognised") as refused:
        require_header("export.csv", frame)
    assert not any(cell in str(refused.value) for row in rows for cell in row if len(cell) > 1)


def test_files_of_one_kind_are_one_source(tmp_path: Path) -> None:
    rows = export()
    found = [suggested(f"history_{day}.csv", rows, {}, tmp_path) for day in (1, 2)]
    other = suggested("history-3.csv", rows.rename({"Status": "Statut"}), {}, tmp_path)
    assert [one.name for one in one_each([*found, other])] == ["history", "history_2"]
    assert source_name("2026-10-31.csv") == "export"


GERMAN = "\n".join(
    [
        "Lernbericht;;;;",
        "Personalnummer;Kursnummer;Status;Abschlussdatum;Punktzahl",
        *(
            f"{number(at)};K-{at % 5};Bestanden;{1 + at % 28:02d}.10.2026;{50 + at}"
            for at in range(30)
        ),
    ]
)


def _workbook() -> bytes:
    """The smallest workbook with these rows, as texts."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    package = "http://schemas.openxmlformats.org/package/2006"
    rows = "".join(
        "<row>"
        + "".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in line.split(";"))
        + "</row>"
        for line in GERMAN.splitlines()
    )
    sheet = f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'
    book = f'<workbook xmlns="{main}" xmlns:r="{kind}"><sheets>'
    book += '<sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>'
    members = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r0" '
        f'Type="{kind}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": book,
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{kind}/worksheet" Target="worksheets/sheet1.xml"/>'
        "</Relationships>",
        "xl/worksheets/sheet1.xml": sheet,
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        (
            "bericht.csv",
            GERMAN.replace("Status", "Prüfungsstatus").encode("windows-1252"),
            {"encoding": "windows-1252", "delimiter": ";", "header_line": 2},
        ),
        (
            "bericht.tsv.gz",
            gzip.compress(GERMAN.replace(";", "\t").encode("utf-16")),
            {"encoding": "utf-16-le", "delimiter": "tab", "header_line": 2},
        ),
        ("bericht.xlsx", _workbook(), {"header_line": 2}),
        (
            "bericht.json",
            json.dumps(
                [
                    dict(zip(GERMAN.splitlines()[1].split(";"), row.split(";"), strict=True))
                    for row in GERMAN.splitlines()[2:]
                ]
            ).encode(),
            {},
        ),
    ],
    ids=["csv", "tsv.gz", "xlsx", "json"],
)
def test_files_are_read_in_the_form_they_come(
    tmp_path: Path, name: str, content: bytes, form: dict[str, object]
) -> None:
    layout = Layout(tmp_path / "home")
    path = Path(layout.landing) / "2026-11-01" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    (found,) = drafts(path, tmp_path)
    data_map = loads(document([found]))
    source = data_map.sources["new_bericht"]
    assert [one.name for one in source.fields.values()] == [
        *("learner_id", "course_code", "status", "event_at", "score")
    ]
    wanted = form | {"dates": ["%d.%m.%Y"]}
    drawn = yaml.load(document([found]), Loader=yaml.CSafeLoader)["sources"]["bericht"]["form"]
    assert drawn == wanted
    assert source.statuses == {"bestanden": "passed"}
    assert not list((tmp_path / "work").rglob("copy"))
    # A run with the draft in its data map reads the file.
    ingest(layout, data_map, dt.date(2026, 11, 1))
    (stored,) = layout.canonical.glob("*/*/records-new_bericht-*[0-9].parquet")
    records = pl.read_parquet(stored)
    assert records["problem"].null_count() == records.height == 30
    assert records["score"].to_list() == [50 + at for at in range(30)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"actor": {"mbox": "mailto:ann@corp.example"}}', "xapi"),
        (b"PAR1", "canonical"),
        (b"", "empty"),
        (b"4711;Zzyzx\n4712;Bee\n", "no header"),
    ],
    ids=["statements", "parquet", "empty", "no header"],
)
def test_what_is_no_table_is_refused_without_a_value(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "export.csv").write_bytes(content)
    (refused,) = suggestions(tmp_path / "export.csv", tmp_path / "work")
    assert isinstance(refused, MalformedFile)
    assert said in str(refused)
    assert not any(value in str(refused) for value in ("ann", "4711", "Zzyzx"))


def test_a_table_with_the_columns_of_a_preset_is_one_line_and_what_is_beyond(
    tmp_path: Path,
) -> None:
    columns = list(preset.parsed(ALM, preset.shipped()[ALM]).source["fields"])
    columns = [one.replace(preset.ZONE, "Asia/Calcutta") for one in columns]
    rows = pl.DataFrame({one: [""] * N for one in [*columns, "Branch"]}).with_columns(
        pl.Series("email", [f"p{at % PEOPLE}@corp.example" for at in range(N)]),
        pl.Series("Status", ["Completed", "Unenrolled", "Gestartet", "Not started"] * (N // 4)),
        pl.Series("Completion Date (Asia/Calcutta TimeZone)", ["31.10.2026"] * N),
        pl.Series("Selection Criteria", [EMAIL] * N),
    )
    text = document([suggested("transcript.csv", rows, {}, tmp_path)])
    drawn = yaml.load(text, Loader=yaml.CSafeLoader)["sources"]["transcript"]
    assert drawn.pop("fields").keys() == {"Branch", "Selection Criteria"}
    assert drawn == {
        "preset": ALM,
        "zone": "Asia/Calcutta",
        "files": "transcript.csv",
        "form": {"dates": ["%d.%m.%Y"]},
        "statuses": {"gestartet": "in_progress"},
    }
    assert loads(text).sources["new_transcript"].lists(columns[16])
    # Without a column that the reader needs, it is another report.
    without = suggested("transcript.csv", rows.drop("Training ID"), {}, tmp_path)
    assert without.preset is None


def test_one_bad_member_of_an_archive_does_not_block_the_others(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "4711;Zzyzx\n4712;Bee\n")
        archive.writestr("b.csv", GERMAN)
    refused, found = suggestions(path, tmp_path / "work")
    assert isinstance(refused, MalformedFile)
    assert isinstance(found, Suggestion)
    assert found.name == "b"


def test_marks_of_no_value_are_none(tmp_path: Path) -> None:
    dates = ["31.10.2026", "-", "n/a", "01.11.2026"] * (N // 4)
    found, text = by_column(export(Due_Date=dates, Score=["85", "-"] * (N // 2)), tmp_path)
    assert found["Due Date"].entry.name == "due_at"
    assert 'nulls: ["-", "n/a"]' in text
    assert "no dates" not in text


def test_grades_in_letters_are_left_to_a_person(tmp_path: Path) -> None:
    found, _ = by_column(export(Score=["A", "B+"] * (N // 2)), tmp_path)
    assert found["Score"].decide == ("what are its grades in percent? List them under `grades`",)
    assert not by_column(export(Score=["17/20", "85%"] * (N // 2)), tmp_path)[0]["Score"].decide


def test_a_column_of_managers_is_read_if_it_holds_their_numbers(tmp_path: Path) -> None:
    numbers = [number(at % 3) for at in range(N)]
    found, _ = by_column(export(Vorgesetzter=numbers), tmp_path)
    assert found["Vorgesetzter"].entry.name == "manager_id"
    names = [f"Ann {'BCD'[at % 3]}ee" for at in range(N)]
    found, _ = by_column(export(Vorgesetzter=names), tmp_path)
    assert found["Vorgesetzter"].entry.treatment is Treatment.DROP


def test_the_command_prints_what_it_can_and_names_what_it_cannot(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(GERMAN.replace("Punktzahl", "Geburtsdatum"), "utf-8")
    bad.write_text("4711;Zzyzx\n4712;Bee\n", "utf-8")
    done = CliRunner().invoke(
        app, ["sources", "suggest", str(bad), str(good), str(tmp_path / "no")]
    )
    assert done.exit_code == Exit.BAD_INPUT
    (drawn,) = yaml.load(done.stdout, Loader=yaml.CSafeLoader)["sources"].values()
    assert "Personalnummer" in drawn["fields"]
    assert "# describes a person" in done.stdout
    assert "bad.csv" in done.stderr
    assert "no: no such file" in done.stderr
    assert not any(value in done.output for value in ("4711", "Zzyzx", number(0)))

"""One way in for every form that a file can have: its content decides, not what it is called, and
what cannot be known is refused with the key that decides it."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from pipeline.errors import PolicyError
from pipeline.policy.data_map import DataMap, DeliveryRules
from pipeline.policy.fields import plain
from pipeline.policy.form import Form
from pipeline.raw import landing
from pipeline.raw.deliveries import admitted, ingest
from pipeline.raw.forms import search
from pipeline.raw.forms.opening import decoded_files
from pipeline.raw.readers.base import MalformedFile
from pipeline.storage.layout import Layout
from pipeline.subjects.identity import alone
from tests import workbooks
from tests.company import HISTORY, NAME, record

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
DAY = dt.date(2026, 11, 1)
UMLAUTS = {
    "Full_Name": "Jörg Müßig",
    "Department": "Vertrieb Süd",
    "Course_Title": "Brandschutz für Büros",
}
ROWS = [record(0), record(1, **UMLAUTS), record(2, Course_Title='Say "no"; politely, and why')]
KNOWN = {plain(name) for name in HISTORY}


def written(rows: list[dict[str, str]] = ROWS, delimiter: str = ",", **options: object) -> str:
    """A CSV text."""
    out = io.StringIO()
    writer = csv.DictWriter(out, HISTORY, delimiter=delimiter, lineterminator="\n", **options)  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def with_form(data_map: DataMap, **changes: object) -> DataMap:
    """The data map with a form of the source `corporate`."""
    source = data_map.sources["corporate"]
    changed = source.model_copy(update={"form": Form.model_validate(changes)})
    return data_map.model_copy(update={"sources": {**data_map.sources, "corporate": changed}})


def deliver(home: Path, content: bytes, name: str = "learning_history.csv") -> Layout:
    layout = Layout(home)
    folder = Path(layout.landing) / str(DAY)
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    return layout


def stored(layout: Layout, data_map: DataMap) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records, in a fixed order, and rejected lines."""
    ingest(layout, data_map, DAY)
    files = layout.canonical.glob("*/*/*.parquet")
    found = {path.name.endswith(".rejects.parquet"): path for path in files}
    records = pl.read_parquet(found[False]).sort("learner_id", "course_code")
    return records, pl.read_parquet(found[True]) if True in found else pl.DataFrame()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, data_map: DataMap) -> pl.DataFrame:
    """The rows as plain CSV gives them."""
    layout = deliver(tmp_path_factory.mktemp("plain"), written().encode())
    return stored(layout, data_map)[0]


def _zip(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def _zstd(content: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(content)
    return out.getvalue().to_pybytes()


def _parquet(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


CELLS = workbooks.table(ROWS)
GERMAN = {
    "Assigned Date": "1.10.2026",
    "Started Date": "01.10.26",
    "Completed Date": "11.10.2026 00:00",
    "Due Date": "31.10.2026",
    "Score": "45,00",
    "Max Score": "50,0",
    "Comments": "-",
}
SEMICOLONS = written(delimiter=";")
PLAIN = written().encode()
FOUND_OUT: dict[str, tuple[str, bytes]] = {
    "semicolons, Windows-1252": ("learning_history.csv", SEMICOLONS.encode("cp1252")),
    "UTF-8 with a mark": ("learning_history.csv", written().encode("utf-8-sig")),
    "names of several lines behind a mark": (
        "learning_history.csv",
        written(quoting=csv.QUOTE_ALL).replace("Employee ID", "Employee\nID").encode("utf-8-sig"),
    ),
    "UTF-16, as Excel's Unicode text": (
        "learning_history.csv",
        written(delimiter="\t").encode("utf-16"),
    ),
    "UTF-16 without a mark": ("learning_history.csv", SEMICOLONS.encode("utf-16-be")),
    "pipes": ("learning_history.csv", written(delimiter="|").encode()),
    "sep= and semicolons": ("learning_history.csv", ("sep=;\n" + SEMICOLONS).encode("utf-8-sig")),
    "a preamble with quotes": (
        "learning_history.csv",
        ('Report: "History\nrun by;admin\n\n' + SEMICOLONS).encode(),
    ),
    "everything in quotes, Windows line ends": (
        "learning_history.csv",
        written(quoting=csv.QUOTE_ALL).replace("\n", "\r\n").encode(),
    ),
    "line ends of old Macs": ("learning_history.csv", PLAIN.replace(b"\n", b"\r")),
    "mixed line ends": ("learning_history.csv", PLAIN.replace(b"\n", b"\r\n", 2)),
    "an empty column behind the others": (
        "learning_history.csv",
        "".join(f"{line};\n" for line in SEMICOLONS.splitlines()).encode(),
    ),
    "capitals": ("LEARNING_HISTORY.CSV", PLAIN),
    "a name that a shell expands": ("learning_history [1]*.csv", PLAIN),
    "Parquet with typed columns": (
        "learning_history.csv",
        _parquet(
            pl.DataFrame(ROWS).with_columns(
                pl.col("Employee ID", "Manager ID", "Attempts").cast(pl.Int64),
                pl.col("Score", "Max Score").cast(pl.Float64),
                pl.col("Assigned Date", "Due Date").str.to_date(),
            )
        ),
    ),
    "rows as JSON": ("learning_history.csv", json.dumps(ROWS, indent=1).encode()),
    "rows as NDJSON": (
        "learning_history.csv",
        "\r\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode("utf-16"),
    ),
    "xlsx with typed cells": ("learning_history.xlsx.csv", workbooks.xlsx({"Report": CELLS})),
    "xlsx with titles, a note and blank rows": (
        "learning_history.csv",
        workbooks.xlsx(
            {"empty": [], "note": [["read me"]], "R": [["Report", 2026], [], *CELLS, [], []]}
        ),
    ),
    "xlsx with a hidden sheet before it, in a zip": (
        "export.zip",
        _zip(**{"learning_history.csv": workbooks.xlsx({"h": CELLS[:2], "R": CELLS}, ["h"])}),
    ),
    "xls": ("learning_history.csv", workbooks.xls({"Report": CELLS})),
    "ods": ("learning_history.csv", workbooks.ods({"Report": CELLS})),
    "gzip": ("learning_history.csv.gz", gzip.compress(SEMICOLONS.encode("cp1252"))),
    "gzip by another name": ("learning_history.csv", gzip.compress(PLAIN)),
    "Zstandard": ("learning_history.csv.zst", _zstd(PLAIN)),
    "zip by the member's name": ("export.zip", _zip(**{"a/Learning_History 1.csv": PLAIN})),
    "zip by its own name": ("learning_history.csv.zip", _zip(**{"export.txt": PLAIN})),
    "zip with what systems leave": (
        "x.zip",
        _zip(**{"learning_history.csv": PLAIN, "__MACOSX/._learning_history.csv": b"\0"}),
    ),
}


@pytest.mark.parametrize("form", FOUND_OUT)
def test_a_form_that_can_be_found_out_needs_no_declaration(
    tmp_path: Path, data_map: DataMap, expected: pl.DataFrame, form: str
) -> None:
    name, content = FOUND_OUT[form]
    records, rejects = stored(deliver(tmp_path, content, name), data_map)
    assert records.equals(expected)
    assert rejects.height == 0
    assert not [path for path in Layout(tmp_path).work.rglob("*") if path.is_file()]


DECLARED: dict[str, tuple[dict[str, object], bytes]] = {
    "Mac Roman": ({"encoding": "macintosh"}, written().encode("mac-roman")),
    "German": (
        {"dates": ["%d.%m.%y", "%d.%m.%Y", "%d.%m.%Y %H:%M"], "decimal": ",", "nulls": ["-"]},
        written([row | GERMAN for row in ROWS], ";").encode("cp1252"),
    ),
    "a sheet and a footer": (
        {"sheet": " report", "footer": 1},
        workbooks.xlsx({"Old": CELLS[:2], "Report": [*CELLS, ["Total", 3]]}),
    ),
    "a hidden sheet": ({"sheet": "h"}, workbooks.xlsx({"R": [["x"]], "h": CELLS}, ["h"])),
    "single quotes": ({"quote": "'"}, written(quotechar="'").encode()),
    "backslashes": (
        {"escape": "\\"},
        written(doublequote=False, escapechar="\\").encode(),
    ),
    "two characters": (
        {"delimiter": "||", "quote": "none"},
        written([record(0), record(1, **UMLAUTS)], delimiter="\x1f").replace("\x1f", "||").encode(),
    ),
    "a footer": (
        {"footer": 2},
        (written() + "Total,3" + "," * 17 + "\nprinted by,admin\n\n").encode(),
    ),
    "a header in line 4": (
        {"header_line": 4},
        ("a,b,c\n" * 3 + written()).encode(),
    ),
}


@pytest.mark.parametrize("form", DECLARED)
def test_what_is_declared_is_obeyed(
    tmp_path: Path, data_map: DataMap, expected: pl.DataFrame, form: str
) -> None:
    declared, content = DECLARED[form]
    records, _ = stored(deliver(tmp_path, content), with_form(data_map, **declared))
    assert records.equals(expected.head(records.height))
    assert records.height >= 2


REFUSED: dict[str, tuple[dict[str, object], str, bytes, str]] = {
    "another Western encoding": ({}, "", written().encode("mac-roman"), "Set form.encoding"),
    "Cyrillic": (
        {},
        "",
        written([record(0, Department="Продажи")]).encode("cp1251"),
        "Set form.enc",
    ),
    "declared UTF-16, and is not": ({"encoding": "utf-16"}, "", PLAIN, "says utf-16, but"),
    "declared Windows, and is UTF-8": (
        {"encoding": "cp1252"},
        "",
        PLAIN,
        "but the file is in utf-8",
    ),
    "declared semicolons, and has commas": ({"delimiter": ";"}, "", PLAIN, "parted by `,`"),
    "two delimiters": ({}, "", b"a,b;c,d\n1,2;3,4\n", "`,` and `;`.*Set form.delimiter"),
    "nested rows": ({}, "", b'[{"Employee ID": {"no": 1}}]', "more than a value: Employee ID"),
    "a broken array": ({}, "", b'[{"Employee ID": "7700001"}, {', "not a valid JSON array"),
    "no header": ({}, "", PLAIN.split(b"\n", 1)[1], "no header, but values"),
    "an HTML page": ({}, "", b"<html><table><tr><td>Employee ID", "no table of text"),
    "an encrypted workbook": (
        {},
        "",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 999,
        "needs a pass",
    ),
    "a damaged workbook": ({}, "", workbooks.xls({"R": CELLS})[:3000], "password"),
    "no sheet of the name": ({"sheet": "x"}, "", workbooks.xlsx({"R": CELLS}), "form.sheet gives"),
    "an empty workbook": ({}, "", workbooks.xlsx({"R": []}), "no sheet with rows"),
    "two sheets of rows": ({}, "", workbooks.xlsx({"a": CELLS, "b": CELLS}), "Set form.sheet"),
    "formulas without values": (
        {},
        "",
        workbooks.xlsx({"R": [*CELLS, ["==A2"]]}),
        "never calculated",
    ),
    "values beside the columns": (
        {},
        "",
        workbooks.xlsx({"R": [CELLS[0], [*CELLS[1], "Zzyzx"]]}),
        "a column has no name",
    ),
    "a sheet without a header": ({}, "", workbooks.xlsx({"R": CELLS[1:]}), "no header, but values"),
    "a damaged archive": ({}, ".gz", gzip.compress(PLAIN)[:-9], "damaged or incomplete"),
    "a bomb": ({}, ".gz", gzip.compress(b"0" * (1 << 24)) * 32, "unpacked, it is larger"),
    "an empty zip": ({}, ".zip", _zip(), "holds 0 files"),
    "a zip in a zip": ({}, ".zip", _zip(a=_zip(b=b"x")), "an archive in an archive"),
    "a member that leads out": ({}, ".zip", _zip(**{"a/..": b"x"}), "without a proper name"),
    "a member of no source": (
        {},
        ".zip",
        _zip(**{"learning_history.csv": PLAIN, "x": b"1"}),
        "no source",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_known_is_refused_with_what_decides_it(
    tmp_path: Path, data_map: DataMap, kind: str
) -> None:
    declared, ending, content, message = REFUSED[kind]
    layout = deliver(tmp_path, content, f"learning_history.csv{ending}")
    with pytest.raises((MalformedFile, PolicyError), match=message) as refused:
        ingest(layout, with_form(data_map, **declared), DAY)
    assert "learning_history.csv" in str(refused.value)
    assert not any(value in str(refused.value) for value in (NAME, "7700001", "Продажи"))
    assert not layout.canonical.exists()
    assert not [path for path in layout.work.rglob("*") if path.is_file()]


def test_an_encrypted_member_is_refused(tmp_path: Path, data_map: DataMap) -> None:
    content = bytearray(_zip(**{"learning_history.csv": PLAIN}))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + at] |= 1  # the flag of an encrypted member
    layout = deliver(tmp_path, bytes(content), "learning_history.csv.zip")
    with pytest.raises(MalformedFile, match="is encrypted"):
        ingest(layout, data_map, DAY)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_rejected_lines_have_the_numbers_of_the_delivered_file(
    tmp_path: Path, data_map: DataMap, encoding: str, ends: str
) -> None:
    """Below a preamble, below a blank line, below a field of several lines."""
    rows = [record(0), record(1, Comments="one\ntwo", Full_Name="Jörg"), record(2), record(3)]
    lines = ["Report", *written(rows, ";").splitlines()]
    lines.insert(3, "")
    lines[6] = lines[6].replace(";HQ;", ";")  # the seventh: a field short
    content = ends.join(lines).encode(encoding)
    records, rejects = stored(deliver(tmp_path, content), data_map)
    assert records["learner_id"].to_list() == ["emp:7700001", "emp:7700002", "emp:7700004"]
    assert rejects.select("line", "file").rows() == [(7, "learning_history.csv")]


def test_bytes_that_are_no_text_cost_their_line(tmp_path: Path, data_map: DataMap) -> None:
    """Zero bytes, bytes that an encoding does not have, half a character, and no end of a line."""
    lines = written([record(at) for at in range(6)]).encode().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"Person", b"Per\0son")
    lines[3] = lines[3].replace(b"Person", b"Per\x81son")
    lines[5] = lines[5][:-1] + b"x" * 40_000_000 + b"\n"
    layout = deliver(tmp_path, b"".join(lines))
    records, rejects = stored(layout, with_form(data_map, encoding="cp1252"))
    assert sorted(rejects["line"]) == [3, 4, 6]
    assert records.height == 3


def test_lines_that_are_no_object_are_set_aside(tmp_path: Path, data_map: DataMap) -> None:
    """Of rows as JSON; one that is no text stands above them."""
    rows = [json.dumps(record(at)).encode() for at in range(6)]
    rows[1], rows[3], rows[5] = b"\xff\xfe", b'["no", "row"]', rows[5][:-9]
    content = b"\n".join([rows[0], b"", *rows[1:]])
    records, rejects = stored(deliver(tmp_path, content), data_map)
    assert records["learner_id"].to_list() == ["emp:7700001", "emp:7700003", "emp:7700005"]
    assert sorted(rejects["line"]) == [3, 5, 7]


def test_lines_of_another_encoding_are_set_aside(tmp_path: Path, data_map: DataMap) -> None:
    """Most of the file is UTF-8; what is not is never read as something else."""
    lines = written([record(at, **UMLAUTS) for at in range(5)]).encode().splitlines(keepends=True)
    lines[3] = lines[3].decode().encode("cp1252")
    records, rejects = stored(deliver(tmp_path, b"".join(lines)), data_map)
    assert (records.height, rejects["line"].to_list()) == (4, [4])


@pytest.mark.parametrize("form", ["0%", "0.0%;[Red]-0.0%"])
def test_percentages_are_what_a_sheet_shows(tmp_path: Path, data_map: DataMap, form: str) -> None:
    """On a sheet that is not the first; cells of a mixed column cannot be told apart."""
    cells = workbooks.table([record(at, Score=str(at), Max_Score="") for at in range(3)])
    score = cells[0].index("Score")
    for row, share in zip(cells[1:], (0.85, 1.0, 0.0), strict=True):
        row[score] = share
    sheets = {"note": [["read me"]], "R": [[None, *row] for row in cells]}
    layout = deliver(tmp_path / "all", workbooks.xlsx(sheets, percentages=form))
    assert stored(layout, data_map)[0]["score"].to_list() == [85, 100, 0]
    cells[3][score] = 85
    mixed = workbooks.xlsx({"R": cells}, percentages=form)
    with pytest.raises(MalformedFile, match="Score has percentages and other numbers"):
        ingest(deliver(tmp_path / "mixed", mixed), data_map, DAY)


def test_a_plain_file_is_read_where_it_lies(tmp_path: Path, data_map: DataMap) -> None:
    layout = deliver(tmp_path, PLAIN)
    with admitted(layout, data_map, DAY) as (one,):
        assert one.file.path == Path(layout.landing) / str(DAY) / "learning_history.csv"


def test_what_was_found_out_is_said(tmp_path: Path, data_map: DataMap) -> None:
    """In the run's metadata, and by `check`; of a plain file there is nothing to say."""
    with admitted(deliver(tmp_path / "plain", PLAIN), data_map, DAY) as (one,):
        assert one.file.written == ""
    content = ("Report\n" + SEMICOLONS).encode("cp1252")
    layout = deliver(tmp_path / "other", content)
    with admitted(layout, data_map, DAY) as (one,):
        assert one.file.written == "encoding windows-1252, delimiter ';', header line 2"
    (said,) = ingest(layout, data_map, DAY)
    assert said["read_as"] == {"encoding": "windows-1252", "delimiter": ";", "header_line": 2}


def test_what_was_decoded_is_gone_after_a_kill(tmp_path: Path) -> None:
    """As DuckDB's own temporary files are."""
    layout = Layout(tmp_path)
    code = (
        "import os, signal, sys; from pathlib import Path;"
        "from pipeline.raw.forms.opening import decoded_files\n"
        f"with decoded_files(Path({str(layout.work)!r})) as folder:\n"
        "    (folder / 'x').write_text('Quentin'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    with decoded_files(layout.work) as mine:
        layout.clear_unfinished()
        assert [path for path in layout.work.rglob("*") if path.is_file()] == []
        assert mine.exists()


IGNORED = ("_SUCCESS", ".DS_Store", "THUMBS.DB", "desktop.ini", ".part-0.crc", "~$Zzyzx.xlsx")


def test_ignored_names_are_named_and_stop_nothing(tmp_path: Path, data_map: DataMap) -> None:
    layout = deliver(tmp_path, PLAIN)
    folder = Path(layout.landing) / str(DAY)
    for name in IGNORED:
        (folder / name).write_text("no records")
    with admitted(layout, data_map, DAY) as files:
        assert len(files) == 1
        (folder / "._late").write_text("while it is read")
    # By the patterns: a name can be that of a person.
    assert landing.left_alone(layout, DAY, data_map.deliveries) == sorted(
        ("_SUCCESS", ".DS_Store", "Thumbs.db", "desktop.ini", "*.crc", "~$*", "._*")
    )


def test_policy_says_what_is_ignored(tmp_path: Path, data_map: DataMap) -> None:
    rules = DeliveryRules(ignored=("*.log",))
    layout = deliver(tmp_path, PLAIN)
    (Path(layout.landing) / str(DAY) / "Export.LOG").touch()
    (Path(layout.landing) / str(DAY) / ".DS_Store").touch()
    strict = data_map.model_copy(update={"deliveries": rules})
    with pytest.raises(PolicyError, match="no source of the data map claims"):
        ingest(layout, strict, DAY)


# Forms in which a file can hide a person from a search of its bytes.
TERMS = ("quentin zzyzx", "jörg müßig", "7700001", "quentin.zzyzx@corp.example")
HIDDEN: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "Windows-1252": lambda text: text.encode("cp1252"),
    "Mac Roman": lambda text: text.encode("mac-roman"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 at an odd place": lambda text: b"\0" * 2 + text.encode("utf-16-be"),
    "xlsx": lambda text: workbooks.xlsx({"a": [["b"], [text]]}),
    "xlsx on a hidden sheet": lambda text: workbooks.xlsx({"a": [["b"]], "h": [[text]]}, ["h"]),
    "xls": lambda text: workbooks.xls({"a": [[text]]}),
    "ods": lambda text: workbooks.ods({"a": [[text]]}),
    "gzip": lambda text: gzip.compress(text.encode("utf-16")),
    "gzip in gzip": lambda text: gzip.compress(gzip.compress(text.encode())),
    "Zstandard": lambda text: _zstd(text.encode("cp1252")),
    "zip": lambda text: _zip(a=b"1", b=text.encode("utf-16")),
    "zip in zip": lambda text: _zip(a=_zip(b=text.encode())),
    "a member's name": lambda text: _zip(**{f"{text}.csv": b"1"}),
    "JSON with escapes": lambda text: f'{{"n": {json.dumps(text)}}}'.encode(),
    "XML with references": lambda text: "".join(f"&#{ord(c)};" for c in text).encode(),
    "beyond the first part of a large file": lambda text: b"-" * ((1 << 20) - 5) + text.encode(),
}


@pytest.mark.parametrize("form", HIDDEN)
def test_an_erasure_finds_a_person_in_every_form(form: str) -> None:
    pattern = alone(TERMS)
    for term in TERMS:
        for spelled in (term, term.upper()) if "ß" not in term else (term,):
            assert search.names(io.BytesIO(HIDDEN[form](f" {spelled} ")), pattern), (term, spelled)
    assert not search.names(io.BytesIO(HIDDEN[form](" Somebody Else ")), pattern)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"somebody else")[:-4],
        b"PK\x03\x04 and nothing else",
        b"7z\xbc\xaf\x27\x1c",
        b"%PDF-1.7",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
    ],
    ids=["half an archive", "zip", "7z", "pdf", "old workbook"],
)
def test_what_cannot_be_opened_is_never_certified(content: bytes) -> None:
    assert search.names(io.BytesIO(content), alone(TERMS))

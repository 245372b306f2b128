"""The rows of files that nobody has described yet, as texts, in whatever form they come."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import duckdb
import polars as pl

from pipeline.policy.data_map import DeliveryRules
from pipeline.policy.form import Form
from pipeline.raw.forms import archives, objects, survey, text, workbooks
from pipeline.raw.forms.archives import Part
from pipeline.raw.forms.opening import decoded_files
from pipeline.raw.forms.readable import Readable
from pipeline.raw.readers import headers, tabular
from pipeline.raw.readers.base import MalformedFile
from pipeline.storage.engine import engine
from pipeline.storage.sql import identifier
from pipeline.suggest.draft import drafted
from pipeline.suggest.headers import meaning

ROWS = 200_000  # of a file; what stands below them is not looked at
UTF8 = "utf-8"
# The two keys that every statement has; some encodings put a zero byte after every letter.
STATEMENTS = re.compile(rb'"\0?a\0?c\0?t\0?o\0?r\0?"|"\0?v\0?e\0?r\0?b\0?"')


class Recognised(Collection[str]):
    """Every name that the dictionary of headers knows, as the columns that are expected."""

    def __contains__(self, name: object) -> bool:
        said = meaning(str(name))
        return bool(said.field or said.field_class)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True)
class Sample:
    """The first rows of a file.

    Attributes:
        file: its name; of a member of an archive the member's.
        rows: texts without the blanks around them, by the columns as the file spells them.
        used: how the file is written, as it was found out.
    """

    file: str
    rows: pl.DataFrame
    used: dict[str, object]


def samples(path: Path, work: Path) -> Iterator[Sample | MalformedFile]:
    """The first rows of a file, or of every file in an archive; or why they cannot be had, without
    a value.

    Args:
        work: folder for copies and spill files, which can hold values.

    Raises:
        OSError: there is no such file.
    """
    try:
        with decoded_files(work) as folder:
            for part in archives.parts(path, path.name, folder, DeliveryRules()):
                yield _sample(part, work)
    except MalformedFile as fault:
        yield fault


def _sample(part: Part, work: Path) -> Sample | MalformedFile:
    try:
        file = _opened(part)
        rows = _rows(file, work)
        require_header(part.name, rows)
    except MalformedFile as fault:
        return fault
    return Sample(PurePosixPath(part.relative).name, rows, file.used)


def _opened(part: Part) -> Readable:
    found = survey.of_file(part.path)
    if found.head.startswith(b"PAR1"):
        raise MalformedFile(
            f"{part.name}: Parquet is read in the canonical schema, by the source `canonical` of "
            "data_map.yaml"
        )
    part.copies.mkdir(mode=0o700)
    copy = part.copies / "copy"
    if archives.is_workbook(part.path):
        return workbooks.workbook(part.path, part.name, Form(), Recognised(), copy)
    kind = objects.kind_of(text.beginning(found, part.name, Form()))
    if kind is None:
        return text.delimited(part.path, part.name, found, Form(), Recognised(), copy)
    if STATEMENTS.search(found.head):
        raise MalformedFile(
            f"{part.name}: xAPI statements are read by the source `xapi` of data_map.yaml"
        )
    return objects.rows(
        text.plain_text(part.path, part.name, found, Form(), copy), kind, Form(), Recognised()
    )


def _rows(file: Readable, work: Path) -> pl.DataFrame:
    names = tabular.header(file)
    columns = ", ".join(f"{tabular.raw(name)} AS {identifier(name)}" for name in names)
    query = f"SELECT {columns} FROM {tabular.scan(file)} LIMIT {ROWS}"
    with engine(work) as connection:
        try:
            rows: pl.DataFrame = connection.sql(query).pl()
        except duckdb.Error:
            # Its message can quote a line.
            raise MalformedFile(f"{file.name}: it cannot be split into columns") from None
    return rows


def require_header(file: str, rows: pl.DataFrame) -> None:
    """Stop before names are shown that are none.

    Raises:
        MalformedFile: the first line holds values, or nothing that names of columns are made of.
    """
    below = rows.head(headers.ROWS).fill_null("").rows()
    values = headers.values_in(rows.columns, below)
    if values:
        raise MalformedFile(
            f"{file}: no header, but values in column {', '.join(map(str, values))}. Put the names "
            "of the columns above the rows"
        )
    if all(one.entry.name == "-" for one in drafted(rows.columns).columns):
        raise MalformedFile(
            f"{file}: no name of a column is recognised, so the first line may be a row and is not "
            "shown. If it is a header, list its columns in data_map.yaml by hand"
        )


def declared(used: dict[str, object]) -> dict[str, str]:
    """What of the way in which a file is written a source declares, as YAML writes it; the usual
    needs no words."""
    usual = {"encoding": UTF8, "delimiter": ",", "header_line": 1}
    found = {key: used[key] for key in usual if used.get(key, usual[key]) != usual[key]}
    return {key: _scalar(value) for key, value in found.items()}


def _scalar(value: object) -> str:
    if isinstance(value, int):
        return str(value)
    return "tab" if value == "\t" else f'"{value}"'

"""From a file to the draft of its source: header, what the values look like, and their forms."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from pipeline.policy import countries
from pipeline.policy.fields import FieldClass
from pipeline.raw.readers.base import MalformedFile
from pipeline.raw.readers.corporate import STATUS, TYPE
from pipeline.suggest import shapes
from pipeline.suggest.courses import sensitive_courses
from pipeline.suggest.dates import DateForms, date_forms, has_decimal_comma, without_nulls
from pipeline.suggest.draft import MOMENTS, NUMERIC, WHO, Draft, drafted, entry_of
from pipeline.suggest.headers import concepts, meaning, plain
from pipeline.suggest.known import Known, preset_of
from pipeline.suggest.sample import declared, samples
from pipeline.suggest.words import Words, status_of, type_of, words_of

# Fields that say nothing of the person.
OF_COURSES = frozenset({"course_code", "course_title", "item_type", "status"})


@dataclass(frozen=True)
class Suggestion:
    """What is proposed for one file.

    Attributes:
        form: keys of the source's `form`, as YAML writes their values.
        statuses: the words that the reader does not know by itself.
        item_types: the same of kinds of items.
        sensitive: category to the number of courses whose words suggest it.
        preset: the preset whose columns it has.
    """

    name: str
    files: str
    draft: Draft
    form: dict[str, str] = field(default_factory=dict)
    dates: DateForms = field(default_factory=DateForms)
    statuses: Words = field(default_factory=lambda: Words({}, {}))
    item_types: Words = field(default_factory=lambda: Words({}, {}))
    sensitive: dict[str, int] = field(default_factory=dict)
    preset: Known | None = None


def source_name(file_name: str) -> str:
    """A name for the source of a file: its letters, without the digits of dates and numbers."""
    stem = re.sub(r"(?:\.[A-Za-z]\w{0,4}){1,2}$", "", file_name)
    words = re.findall(r"[a-z]+", stem.lower())
    return "_".join(words)[:40].strip("_") or "export"


def file_pattern(file_name: str) -> str:
    """The pattern of a file's name: what in it looks like a date or a number may be another."""
    return re.sub(r"\*(?:[\-_. ]*\*)+", "*", re.sub(r"\d+", "*", file_name))


def _naming(rows: pl.DataFrame) -> list[str]:
    """The columns that name people, by their names."""
    found = []
    for name in rows.columns:
        said = meaning(name)
        found_class = entry_of(said.field).field_class if said.field else said.field_class
        if found_class is FieldClass.DIRECT_IDENTIFIER and said.field != "manager_id":
            found.append(name)
    return found


def _managers(rows: pl.DataFrame) -> frozenset[str]:
    """Columns that are called by the word for managers and hold numbers of employees."""
    who = next((name for name in rows.columns if meaning(name).field == "learner_id"), None)
    people = shapes.values(rows, [who]) if who else frozenset()
    called = [name for name in rows.columns if set(concepts(name)) == {"manager"}]
    found = {name: shapes.shared(rows, name, people) for name in called}
    return frozenset(name for name, (shared, all_) in found.items() if 2 * shared > all_)


def _strange(rows: pl.DataFrame) -> dict[str, str]:
    """Columns whose rows show that they are not what their names say, and why."""
    said = {name: meaning(name).field for name in rows.columns}
    who = next((n for field in WHO for n, found in said.items() if found == field), None)
    open_ = [name for name, field in said.items() if field in OF_COURSES]
    tied = shapes.tied_to_people(rows, who, open_) if who and open_ else frozenset()
    return dict.fromkeys(tied, "its values follow the person") | {
        name: "most of its values are no countries"
        for name, field in said.items()
        if field == "country" and not _are_countries(rows.get_column(name))
    }


def _are_countries(values: pl.Series) -> bool:
    known = {plain(name) for name, _, _ in countries.names()}
    found = values.drop_nulls().str.strip_chars().unique().head(1000).to_list()
    return 2 * sum(plain(one) in known for one in found if one) >= len([o for o in found if o])


def _left(words: Words, understood: dict[str, str]) -> Words:
    """The words that nothing understands yet."""
    known = {word: meant for word, meant in words.known.items() if word not in understood}
    return replace(words, known=known)


def suggested(file_name: str, rows: pl.DataFrame, form: dict[str, str], work: Path) -> Suggestion:
    """The draft of a table's source.

    Args:
        rows: texts, by the columns as the file spells them.
        form: how the file is written, as far as that has to be declared.
        work: folder for spill files.
    """
    naming = _naming(rows)
    known = shapes.values(rows, naming)
    shared = {one: shapes.shared(rows, one, known)[0] for one in rows.columns if one not in naming}
    rows, nulls = without_nulls(rows)
    draft = drafted(rows.columns, shapes.shapes(rows), shared, _strange(rows), _managers(rows))
    known_as = preset_of(rows.columns)
    names = known_as.columns if known_as else {c.column: c.entry.name for c in draft.columns}
    read = {name: column for column, name in names.items() if name != "-"}
    dates = date_forms(rows, [read[one] for one in read if one in MOMENTS])
    statuses, types = (
        words_of(rows, read[name], meant) if name in read else Words({}, {})
        for name, meant in (("status", status_of), ("item_type", type_of))
    )
    if marks := sorted(frozenset().union(*(nulls[one] for one in read.values()))):
        form = form | {"nulls": json.dumps(marks, ensure_ascii=False)}
    if dates.chosen:
        form = form | {"dates": json.dumps(list(dates.chosen), ensure_ascii=False)}
    if has_decimal_comma(rows, [read[one] for one in read if one in NUMERIC]):
        form = form | {"decimal": '","'}
    return Suggestion(
        source_name(file_name),
        file_pattern(file_name),
        draft,
        form,
        dates,
        _left(statuses, STATUS | (known_as.statuses if known_as else {})),
        _left(types, TYPE),
        sensitive_courses(rows, read.get("course_code"), read.get("course_title"), work),
        known_as,
    )


def suggestions(path: Path, work: Path) -> Iterator[Suggestion | MalformedFile]:
    """The drafts for a file, or for every file in an archive, or why there is none; raises as
    `samples`."""
    for one in samples(path, work):
        if isinstance(one, MalformedFile):
            yield one
        else:
            yield suggested(one.file, one.rows, declared(one.used), work)


def one_each(found: list[Suggestion]) -> list[Suggestion]:
    """One draft for files of the same pattern and columns, and no name twice."""
    kept: dict[tuple[str, tuple[str, ...]], Suggestion] = {}
    names: list[str] = []
    for one in found:
        key = (one.files, tuple(column.column for column in one.draft.columns))
        if key in kept:
            continue
        names.append(one.name)
        again = names.count(one.name)
        kept[key] = replace(one, name=f"{one.name}_{again}") if again > 1 else one
    return list(kept.values())

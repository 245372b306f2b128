"""A draft as YAML for data_map.yaml, with what somebody must decide as comments; no value in it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pipeline.policy.fields import SourceField
from pipeline.suggest.draft import Drafted
from pipeline.suggest.suggest import Suggestion
from pipeline.suggest.words import Words

DECIDE = "decide: "
MOST = 10  # words that are not shown, one by one


def _quoted(text: str) -> str:
    """A YAML scalar in double quotes, which JSON's are."""
    return json.dumps(text, ensure_ascii=False)


def _mapping(entries: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"


def _entry(entry: SourceField) -> str:
    audiences = ", ".join(one.value for one in entry.audiences)
    exact = ", ".join(one.value for one in entry.exact_for)
    return _mapping(
        {
            "name": _quoted(entry.name) if entry.name == "-" else entry.name,
            "class": entry.field_class.value,
            "risk": entry.risk.value,
            "treatment": entry.treatment.value,
            "audiences": f"[{audiences}]",
        }
        | ({"exact_for": f"[{exact}]"} if exact else {})
    )


def _field(one: Drafted, width: int) -> Iterator[str]:
    for note in one.decide:
        yield f"      # {DECIDE}{note}"
    key = _quoted(one.column) + ":"
    # Why it is not read, where no decision is asked for.
    why = f"   # {one.why}" if one.entry.name == "-" and not one.decide else ""
    yield f"      {key:{width}} {_entry(one.entry)}{why}"


def _words(key: str, words: Words) -> Iterator[str]:
    if words != Words({}, {}):
        yield f"    {key}:" if words.known else f"    # {key}:"
    for word, meant in words.known.items():
        yield f"      {_quoted(word)}: {meant}"
    for word, rows in words.unclear.items():
        yield f"      # {DECIDE}{_quoted(word)}:   ({rows:,} rows)"
    for rows, row in words.hidden[:MOST]:
        yield f"      # {DECIDE}the word of row {row:,} (not shown; {rows:,} rows)"
    if more := words.hidden[MOST:]:
        rows = sum(n for n, _ in more)
        yield f"      # {DECIDE}{len(more):,} more words (not shown; {rows:,} rows)"


def _form(found: Suggestion) -> Iterator[str]:
    if found.form:
        yield f"    form: {_mapping(found.form)}"
    if found.dates.unclear:
        pair = " or ".join(map(_quoted, found.dates.unclear))
        yield f"    # {DECIDE}form.dates: the same dates can be read as {pair}"
    if found.dates.unread:
        yield f"    # {DECIDE}form.dates: {found.dates.unread:,} different values are no dates"


def source(found: Suggestion) -> str:
    """The lines of one source, to be put under `sources`."""
    draft = found.draft
    width = 1 + max(len(_quoted(one.column)) for one in draft.columns)
    sensitive = ", ".join(f"{name} {n:,}" for name, n in found.sensitive.items())
    columns = _beyond(found)
    lines = [
        f"  {found.name}:",
        *_kind(found),
        f"    # {DECIDE}is this the name that the files always have?",
        f"    files: {_quoted(found.files)}",
        *_form(found),
        *_words("statuses", found.statuses),
        *_words("item_types", found.item_types),
        *([f"    # courses that look sensitive, by category: {sensitive}"] if sensitive else []),
        *(["    fields:"] if columns else []),
        *(line for one in columns for line in _field(one, width)),
    ]
    return "\n".join(lines)


def _kind(found: Suggestion) -> Iterator[str]:
    """What kind of source it is: a preset, or a reader with what it misses."""
    if found.preset:
        yield f"    preset: {found.preset.name}"
        if found.preset.zone:
            yield f"    zone: {found.preset.zone}"
        return
    yield f"    description: {_quoted(f'{found.draft.reader} export, drafted from its columns')}"
    yield f"    reader: {found.draft.reader}"
    yield from (f"    # {DECIDE}{note}" for note in found.draft.decide)


def _beyond(found: Suggestion) -> tuple[Drafted, ...]:
    """The columns to list: with a preset those that it does not, and those whose values are not
    what it takes them for."""
    columns = found.draft.columns
    if found.preset is None:
        return columns
    listed = found.preset.columns
    return tuple(one for one in columns if one.column not in listed or one.overruled)


def document(found: list[Suggestion]) -> str:
    """All drafts as YAML; `sources` is the key of data_map.yaml that they belong under."""
    return "\n".join(
        [
            "# Drafted from headers and values; no value is shown. What is not known is dropped.",
            f"# Somebody must decide where it says so ({DECIDE.strip()}).",
            "sources:",
            *map(source, found),
        ]
    )

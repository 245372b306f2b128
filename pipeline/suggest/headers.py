"""What a column's name means: the concepts of its words, in the common languages.

The dictionary is headers.yaml beside this. A name is taken apart into words, and a compound into
its parts; only a name whose words all belong to the concepts of one canonical field is that field.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from pipeline.policy.base import Strict
from pipeline.policy.fields import FieldClass

DATE, IGNORED, NUMBER = "date", "ignored", "number"  # a number alone can be anybody's
COUNTED = frozenset({"other_moment"})  # a flag or an amount of it says nothing of when
# A zone of the IANA database, such as Asia/Calcutta.
AREAS = "Africa|America|Asia|Atlantic|Australia|Europe|Indian|Pacific"
ZONE = re.compile(rf"\b(?:{AREAS})/[A-Z]\w+(?:/\w+)?")
LINKS = ("", "s", "es", "n", "en", "er", "e")  # between the parts of German and Dutch compounds
RECORDS = ("enroll", "assign")  # a record's number can be a person's
LEAST_PART = 3  # letters of a part of a compound, where words are set apart by blanks
# Fields whose names may say what they are a date, a status, a score or a comment of.
WITH_CONTEXT = frozenset(
    ("event_at", "started_at", "assigned_at", "due_at", "status", "score", "score_max", "free_text")
)


class Dropped(Strict):
    """Concepts that a column is not read for."""

    concepts: tuple[str, ...]
    field_class: FieldClass
    why: str


class Dictionary(Strict):
    """The whole of headers.yaml."""

    words: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...]
    context: frozenset[str]
    fields: dict[str, tuple[str, ...]]
    dropped: tuple[Dropped, ...]
    harmless: frozenset[str]


@dataclass(frozen=True)
class Meaning:
    """What a name says.

    Attributes:
        field: the canonical field; None if it is none.
        rank: place among the names that the field can have; the first is the likeliest.
        field_class: of a column that is not read; None if nothing in the name says it.
        why: in words, for the person who decides.
    """

    field: str | None = None
    rank: int = 0
    field_class: FieldClass | None = None
    why: str = "nothing in its name is known"


def plain(name: str) -> str:
    """A name in small letters, without accents and time zones, each word apart by one blank; ä, ae
    and a are one."""
    text = ZONE.sub(" ", name).casefold().replace("ß", "ss").replace("ł", "l")
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not unicodedata.combining(c) or ord(c) > 0x3000)
    text = unicodedata.normalize("NFC", re.sub(r"[\W_]+", " ", text))
    return re.sub(r"([aou])e(?=[a-z])", r"\1", f" {text} ").strip()


def _humps(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)


@cache
def dictionary() -> Dictionary:
    """headers.yaml."""
    text = (files("pipeline.suggest") / "headers.yaml").read_text("utf-8")
    return Dictionary.model_validate(yaml.load(text, yaml.CSafeLoader))


@cache
def _concepts() -> dict[str, str]:
    """Every word and phrase to its concept."""
    known = {plain(word): IGNORED for word in dictionary().ignored}
    for concept, words in dictionary().words.items():
        known |= {plain(str(word)): concept for word in words}
    return known


@cache
def _parts(word: str) -> tuple[str, ...] | None:
    """The concepts of a word or of a compound's parts, the longest first part first; None if a part
    is not known. A plural is read as its singular."""
    known = _concepts()
    for one in (word, word.removesuffix("s")):
        if one in known:
            return (known[one],)
    for end in range(len(word) - 1, 0, -1):
        head, rest = word[:end], word[end:]
        if head not in known or (head.isascii() and len(head) < LEAST_PART):
            continue
        for link in LINKS:
            tail = rest.removeprefix(link)
            short = word.isascii() and len(tail) < LEAST_PART
            if (link and tail == rest) or short:
                continue
            found = _parts(tail)
            if found:
                return (known[head], *found)
    return None


def _read(words: list[str]) -> list[str | None]:
    """The concepts of words, the longest phrases first; None for a word that is not known."""
    found: list[str | None] = []
    at = 0
    while at < len(words):
        for end in range(min(len(words), at + 5), at, -1):
            phrase = " ".join(words[at:end])
            concept = _concepts().get(phrase)
            if concept:
                found.append(concept)
                break
        else:
            end = at + 1
            found.extend([IGNORED] if words[at].isdigit() else _parts(words[at]) or [None])
        at = end
    return [one for one in found if one != IGNORED]


def concepts(name: str) -> list[str | None]:
    """The concepts of a name's words, in their order, None for what is not known."""
    whole = _read(plain(name).split())
    return whole if None not in whole else min(whole, _read(plain(_humps(name)).split()), key=_gaps)


def _gaps(found: list[str | None]) -> int:
    return found.count(None)


def _context(field: str, found: frozenset[str]) -> frozenset[str]:
    """The concepts that may stand in the field's name without saying more. A person's status is
    that of the account or the job, unless it is the one in a course."""
    if field not in WITH_CONTEXT:
        return frozenset()
    spare = dictionary().context
    if "end" in found:
        return frozenset()  # a course ends for all of its learners
    return spare - {"person"} if field == "status" and "course" not in found else spare


def _field(found: frozenset[str]) -> tuple[str, int] | None:
    """The canonical field whose name consists of these concepts, and the rank of that name."""
    for field, names in dictionary().fields.items():
        for rank, name in enumerate(names):
            wanted = frozenset(name.split())
            if found and wanted <= found and found - wanted <= _context(field, found):
                return field, rank
    return None


def meaning(name: str) -> Meaning:
    """What a column's name says; a name with an unknown word is no canonical field."""
    read = concepts(name)
    found = frozenset(one for one in read if one)
    field = _field(found) if None not in read else None
    if field:
        return Meaning(field[0], field[1], None, "by its name")
    said = found - COUNTED if found & {"flag", "amount"} and "date" not in found else found
    for rule in dictionary().dropped:
        if said & set(rule.concepts):
            return Meaning(None, 0, rule.field_class, rule.why)
    said -= dictionary().context | ({NUMBER, *RECORDS} if NUMBER in said else set())
    if None not in read and said and said <= dictionary().harmless:
        return Meaning(None, 0, FieldClass.OPERATIONAL, "not needed")
    return Meaning()

"""The draft of a source: what each column is, by its name and by what its values look like.

Deny is the default. A column that nothing is known of is dropped, of high risk and for no audience;
values that name people overrule whatever the column is called.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache

from pipeline.policy.data_map import load_data_map
from pipeline.policy.fields import FieldClass, Risk, SourceField, Treatment
from pipeline.raw.readers import corporate, roster
from pipeline.storage.layout import default_policy
from pipeline.suggest.headers import DATE, Meaning, concepts, meaning
from pipeline.suggest.shapes import Shape

CORPORATE, ROSTER = "corporate", "roster"
# Only a record of learning has these.
OF_RECORDS = frozenset({"course_code", "course_title", "status", "event_at", "score", "due_at"})
REQUIRED = {CORPORATE: corporate.REQUIRED, ROSTER: roster.REQUIRED}
WHO = ("learner_id", "learner_email")
# Fields with few different values; more are something else, such as names.
CLOSED = {"status": 40, "item_type": 40, "country": 260}
# Values in two capitalised words: names of people, or what the field is for.
NAMELESS = {
    "department": "departments",
    "course_code": "codes of courses",
    "learner_id": "numbers",
    "manager_id": "numbers",
}
MOMENTS = frozenset({"assigned_at", "started_at", "event_at", "due_at", "left_on"})
UNDATED = frozenset({"assigned_at", "started_at", "event_at"})  # unless the name has a date in it
NUMERIC = frozenset({"score", "score_max", "attempts"})
NO_DATES = "no dates"
ANSWERS = 3  # yes, no, and nothing
FEW = 12  # more different numbers than these are no statuses
LAST_RANK = 99
GENERATION = 15  # years: what lies so long before the other dates is a birthday
LEAST_ROWS = 20  # fewer say little about how many different values a column has


EMPTY = Shape()
OF_MANAGERS = Meaning("manager_id", 0, None, "numbers of employees")


@dataclass(frozen=True)
class Seen:
    """What is known of one column.

    Attributes:
        shared: how many of its different values also stand in columns that name people.
        denied: its values overrule what its name says.
        strange: why its values are not what its name says, seen from its rows.
    """

    name: str
    meaning: Meaning
    shape: Shape = EMPTY
    shared: int = 0
    decide: tuple[str, ...] = ()
    denied: bool = False
    strange: str | None = None

    def overruled(self, field_class: FieldClass, why: str) -> Seen:
        """As no canonical field, of that class, for somebody to decide."""
        named = f"named like {self.meaning.field}, but " if self.meaning.field else ""
        by_values = bool(self.meaning.field or self.meaning.field_class)
        return replace(
            self,
            meaning=Meaning(None, 0, field_class, why),
            decide=(*self.decide, f"{named}{why}"),
            denied=by_values,
        )


@dataclass(frozen=True)
class Drafted:
    """One column's entry, and what somebody must decide about it.

    Attributes:
        why: it is what it is.
        overruled: its values are not what its name says.
    """

    column: str
    entry: SourceField
    why: str
    decide: tuple[str, ...] = ()
    overruled: bool = False


@dataclass(frozen=True)
class Draft:
    """The entries of one file's columns."""

    reader: str
    columns: tuple[Drafted, ...]
    decide: tuple[str, ...] = ()


def _names_people(seen: Seen) -> str | None:
    """Why a column's values say that it names people, though its name does not."""
    shape = seen.shape
    if shape.personal:
        looks = "look like addresses or numbers of people"
        return f"{shape.personal:,} of {shape.filled:,} values {looks}"
    if seen.shared > 1 and seen.shared * 20 >= shape.distinct:
        return f"{seen.shared:,} of its different values also stand in columns that name people"
    return None


def _is_crowded(seen: Seen, people: int) -> bool:
    """Has a column of few words, or of departments, as many different values as names would?"""
    shape = seen.shape
    if shape.filled < LEAST_ROWS:
        return False
    if seen.meaning.field == "department":
        return people > 0 and shape.distinct * 2 > people
    return shape.distinct > CLOSED.get(str(seen.meaning.field), shape.distinct)


def _by_values(seen: Seen, people: int, year: int | None) -> Seen:
    """What the values of a recognised column overrule."""
    name, shape = seen.meaning.field, seen.shape
    if name in UNDATED and not shape.dates and DATE not in concepts(seen.name):
        # "Completed" can be a date, an answer or a count; only dates show that it is the first.
        return replace(seen, meaning=Meaning(None, 0, FieldClass.OPERATIONAL, NO_DATES))
    if name is None or not shape.filled:
        return seen
    if name in MOMENTS and year and shape.year and shape.year + GENERATION <= year:
        return seen.overruled(FieldClass.QUASI_IDENTIFIER, "the years look like birthdays")
    if name in MOMENTS and not shape.mostly(shape.dates + shape.numbers):
        return seen.overruled(FieldClass.FREE_TEXT, "most values are no dates")
    if name in NUMERIC and shape.mostly(shape.sentences + shape.names):
        return seen.overruled(FieldClass.FREE_TEXT, "most values are no numbers")
    if name == "status" and shape.mostly(shape.numbers) and shape.distinct > FEW:
        return replace(seen, meaning=Meaning("score", LAST_RANK, None, "a result in numbers"))
    if name in NUMERIC and shape.mostly(shape.years):
        return seen.overruled(FieldClass.QUASI_IDENTIFIER, "the values look like years")
    if seen.strange:
        return seen.overruled(FieldClass.DIRECT_IDENTIFIER, seen.strange)
    if _is_crowded(seen, people):
        return seen.overruled(FieldClass.DIRECT_IDENTIFIER, "it has too many different values")
    if name == "score" and not shape.mostly(shape.numbers):
        return replace(seen, decide=("what are its grades in percent? List them under `grades`",))
    if name in NAMELESS and shape.mostly(shape.names):
        return replace(seen, decide=(f"are these {NAMELESS[name]}, and no names of people?",))
    return seen


def _unknown(seen: Seen, people: int) -> Seen:
    """The class of a column whose name says nothing, by its values: the strictest that fits."""
    shape = seen.shape
    if seen.meaning.field or seen.meaning.field_class:
        return seen
    numbered = people and shape.distinct * 2 >= people
    if shape.mostly(shape.dates):
        found, why = FieldClass.QUASI_IDENTIFIER, "not recognised; dates"
    elif shape.mostly(shape.sentences):
        found, why = FieldClass.FREE_TEXT, "not recognised; sentences"
    elif not shape.filled or numbered or shape.mostly(shape.names):
        found, why = FieldClass.DIRECT_IDENTIFIER, "not recognised; it may name or number people"
    else:
        found, why = FieldClass.SENSITIVE, "not recognised; it may describe people"
    return seen.overruled(found, why)


def _strictly(seen: Seen) -> Seen:
    """A column whose values name people is a direct identifier, whatever it is called; one that is
    dropped for more than that stays what it is."""
    kept = seen.meaning.field
    found = entry_of(kept).field_class if kept else seen.meaning.field_class
    why = _names_people(seen)
    strict = found in (FieldClass.DIRECT_IDENTIFIER, FieldClass.FREE_TEXT)
    if why is None or strict or (kept is None and found is FieldClass.SENSITIVE):
        return seen
    return seen.overruled(FieldClass.DIRECT_IDENTIFIER, why)


def _second(seen: Seen, first: str) -> Seen:
    """A further column for a canonical field that another one is read for."""
    found = entry_of(seen.meaning.field or "").field_class
    note = f"{seen.meaning.field} is read from {first!r}"
    return replace(seen, meaning=Meaning(None, 0, found, note))


def _one_each(columns: list[Seen]) -> list[Seen]:
    """Every canonical field from one column: the one with the likeliest name, of several the first
    that is not empty."""
    best: dict[str, Seen] = {}
    for one in columns:
        name = one.meaning.field
        if name and (name not in best or _order(one) < _order(best[name])):
            best[name] = one
    return [
        _second(one, best[one.meaning.field].name)
        if one.meaning.field and best[one.meaning.field] is not one
        else one
        for one in columns
    ]


def _order(seen: Seen) -> tuple[bool, int]:
    return seen.shape != EMPTY and seen.shape.filled == 0, seen.meaning.rank


def _with_status(columns: list[Seen]) -> list[Seen]:
    """With a column that says whether it is completed, where there is none of statuses."""
    if any(one.meaning.field == "status" for one in columns):
        return columns
    for at, one in enumerate(columns):
        answers = one.shape.distinct <= ANSWERS and not one.shape.sentences
        if one.meaning.why == NO_DATES and "complete" in concepts(one.name) and answers:
            note = "no column of statuses is recognised, so this one says what is completed"
            chosen = replace(one, meaning=Meaning("status", 0, None, note), decide=(note,))
            return [*columns[:at], chosen, *columns[at + 1 :]]
    return columns


def _identified(columns: list[Seen]) -> list[Seen]:
    """With a column that says who it is: the address, where there is no employee number."""
    if any(one.meaning.field == "learner_id" for one in columns):
        return columns
    for at, one in enumerate(columns):
        if one.meaning.field == "learner_email":
            note = "no employee number is recognised, so the address says who it is"
            chosen = replace(one, meaning=replace(one.meaning, field="learner_id"), decide=(note,))
            return [*columns[:at], chosen, *columns[at + 1 :]]
    return columns


@cache
def _shipped() -> dict[str, dict[str, SourceField]]:
    """Reader to canonical field to its entry in the data map that comes with the pipeline."""
    sources = load_data_map(default_policy() / "data_map.yaml").sources
    found: dict[str, dict[str, SourceField]] = {}
    for source in sources.values():
        for entry in source.fields.values():
            found.setdefault(source.reader, {}).setdefault(entry.name, entry)
    return found


def entry_of(name: str, reader: str = CORPORATE) -> SourceField:
    """The entry of a canonical field, as the data map that comes with the pipeline has it."""
    entries = _shipped()
    return entries[reader].get(name) or entries[CORPORATE].get(name) or entries[ROSTER][name]


def _entry(seen: Seen, reader: str) -> SourceField:
    name = seen.meaning.field
    if name and (name in _shipped()[reader] or not entry_of(name, reader).audiences):
        return entry_of(name, reader)
    found = entry_of(name).field_class if name else seen.meaning.field_class
    known = seen.meaning.field_class is not None and not seen.decide
    harmless = known and found is FieldClass.OPERATIONAL
    return SourceField(
        name="-",
        field_class=found or FieldClass.DIRECT_IDENTIFIER,
        risk=Risk.LOW if harmless else Risk.HIGH,
        treatment=Treatment.DROP,
        audiences=(),
    )


def _missing(columns: list[Seen], reader: str) -> tuple[str, ...]:
    """What a reader needs and no column was recognised as."""
    there = {one.meaning.field for one in columns}
    return tuple(
        f"no column is recognised as {name}, which the reader needs"
        for name in REQUIRED[reader]
        if name not in there
    )


def drafted(
    header: list[str],
    shapes: Mapping[str, Shape] | None = None,
    shared: Mapping[str, int] | None = None,
    strange: Mapping[str, str] | None = None,
    managers: Collection[str] = (),
) -> Draft:
    """The draft of a table.

    Args:
        header: names of the columns, as the file spells them.
        shapes: column to what its values look like; without it, names alone decide.
        shared: column to how many of its different values stand in columns that name people.
        strange: column to why its values are not what its name says.
        managers: columns of managers' numbers that do not say that they are numbers.
    """
    known = shapes or {}
    seen = [
        Seen(
            name,
            OF_MANAGERS if name in managers else meaning(name),
            known.get(name, EMPTY),
            (shared or {}).get(name, 0),
            strange=(strange or {}).get(name),
        )
        for name in header
    ]
    people = max((s.shape.distinct for s in seen if s.meaning.field in WHO), default=0)
    year = max((s.shape.year or 0 for s in seen if s.meaning.field in MOMENTS), default=0)
    judged = [_unknown(_by_values(_strictly(one), people, year), people) for one in seen]
    chosen = _identified(_with_status(_one_each(judged)))
    of_records = any(one.meaning.field in OF_RECORDS for one in chosen)
    reader = CORPORATE if of_records else ROSTER
    columns = tuple(
        Drafted(one.name, _entry(one, reader), one.meaning.why, one.decide, one.denied)
        for one in chosen
    )
    return Draft(reader, columns, _missing(chosen, reader))

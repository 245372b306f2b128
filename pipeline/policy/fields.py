"""What a source delivers: its fields, their class and treatment, and who may see them."""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.policy import paths
from pipeline.policy.base import Strict, Zone
from pipeline.policy.form import Form
from pipeline.policy.pull import Pull
from pipeline.storage.schema import RECORD_TYPES, STATUSES

# Readers of tables whose columns the data map names, and of JSON, of which it names paths.
TABLES = ("corporate", "roster")
# Endings of compressed files: without them, a name is that of the file inside.
COMPRESSED = re.compile(r"\.(gz|gzip|zst|zstd|zip)$", re.IGNORECASE)
JSON = ("xapi",)
NOT_A_MILESTONE = "not_a_milestone"


def plain(column: str) -> str:
    """A column's name without case, and with single blanks."""
    return " ".join(column.casefold().split())


class FieldClass(StrEnum):
    DIRECT_IDENTIFIER = "direct_identifier"
    QUASI_IDENTIFIER = "quasi_identifier"
    SENSITIVE = "sensitive"
    OPERATIONAL = "operational"
    FREE_TEXT = "free_text"


class Treatment(StrEnum):
    DROP = "drop"
    PSEUDONYMIZE = "pseudonymize"
    GENERALIZE = "generalize"
    TOKENISE = "tokenise"
    KEEP = "keep"


class Audience(StrEnum):
    COACHING = "coaching"
    MANAGER = "manager"
    HR_LEGAL = "hr_legal"
    ANALYTICS = "analytics"


# From the mildest to the strictest.
STRICTNESS = tuple(
    Treatment[name] for name in ("KEEP", "GENERALIZE", "PSEUDONYMIZE", "TOKENISE", "DROP")
)


class Risk(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class SourceField(Strict):
    """One field of one source: its class, its treatment and who may see it.

    Attributes:
        name: the canonical name, or "-" for a field that is not read.
        exact_for: audiences for which a generalized field is kept as it is.
    """

    renamed: ClassVar[dict[str, str]] = {"purposes": "audiences"}
    name: str
    field_class: FieldClass = Field(alias="class")
    risk: Risk
    treatment: Treatment
    audiences: tuple[Audience, ...]
    exact_for: tuple[Audience, ...] = ()

    def treatment_for(self, audience: Audience) -> Treatment:
        """How the audience may see the field; `drop` for an audience that is not listed."""
        if audience not in self.audiences:
            return Treatment.DROP
        return Treatment.KEEP if audience in self.exact_for else self.treatment

    @model_validator(mode="after")
    def _treatment_fits_class(self) -> SourceField:
        identifying = self.field_class is FieldClass.DIRECT_IDENTIFIER
        if identifying and self.treatment not in (Treatment.DROP, Treatment.PSEUDONYMIZE):
            raise ValueError("a direct identifier must be dropped or pseudonymized")
        if self.field_class is FieldClass.FREE_TEXT and self.treatment not in (
            Treatment.DROP,
            Treatment.TOKENISE,
        ):
            raise ValueError("free text must be dropped or tokenised")
        if self.treatment is Treatment.DROP and self.audiences:
            raise ValueError("a dropped field has no audiences")
        if self.exact_for and self.treatment is not Treatment.GENERALIZE:
            raise ValueError("exact_for needs the treatment generalize")
        if not set(self.exact_for) <= set(self.audiences):
            raise ValueError("exact_for names an audience that may not see the field")
        return self


class Verb(Strict):
    """What a verb of xAPI means. In the file, the status alone will do, or `not_a_milestone`.

    Attributes:
        status: the canonical one; None: its statements are no milestones, and are only counted.
        record_type: of the record that a statement is about.
        needs_result: a milestone only where the result says completion or success.
    """

    status: str | None
    record_type: str = RECORD_TYPES[0]
    needs_result: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        return {"status": None if given == NOT_A_MILESTONE else given}

    @model_validator(mode="after")
    def _has_known_words(self) -> Verb:
        if self.status not in (None, *STATUSES):
            raise ValueError(f"must be {NOT_A_MILESTONE}, or one of {', '.join(STATUSES)}")
        if self.record_type not in RECORD_TYPES:
            raise ValueError(f"the record type must be one of {', '.join(RECORD_TYPES)}")
        return self


# What may be the same in every row of a source.
CONSTANT = frozenset(
    {"country", "course_code", "course_title", "department", "item_type", "score_max", "status"}
)


def _course(column: str, wide: tuple[str, ...]) -> str | None:
    """The course of a column, if it is one of those that are courses."""
    for pattern in wide:
        before, star, after = plain(pattern).partition("*")
        name = " ".join(column.split())
        inside = name[len(before) : len(name) - len(after)].strip()
        same = plain(name).startswith(before) and plain(name).endswith(after)
        if (star and same and inside) or plain(name) == plain(pattern):
            return inside if star else name
    return None


class Source(Strict):
    """One kind of export: its files and the fields that they may have.

    Attributes:
        preset: the preset that its keys come from, if it has one (pipeline/policy/preset.py).
        files: a pattern of file names, as in a shell; upper and lower case are the same, and so is
            a compressed file.
        form: how its files are written, as far as that is not found out from them.
        zone: time zone of the system's clock and calendar. It says when a time without an offset
            was, and on which day one with an offset. Without it, the first is read in the data
            map's default_zone, and the second has the day of the learner's region.
        constants: canonical name to the value of every row, for what a file has no column for.
        grades: the export's grade to percent.
        wide: columns of `fields` that are one course each: by their names, or by a pattern in which
            `*` stands for the course. An empty cell is no record.
        statuses: the export's word, in lower case, to the canonical status.
        item_types: the export's word, in lower case, to the canonical record type.
        verbs: the IRI of an xAPI verb to what it means; `*` stands for any text, and what is more
            exact goes before. Statements with a verb that is not listed are set aside and counted.
        incomplete: what becomes of an LRS' answer that goes on elsewhere (`more`).
        impossible_dates: what a date costs that cannot be and that no record needs, such as a due
            date of the year 3000: its field, or the row, which is then set aside.
        full: every delivery has everything, so that one with much less than before is broken.
        pull: the store that its statements are pulled from, if nobody delivers them.
    """

    renamed: ClassVar[dict[str, str]] = {"date_format": "form.dates"}
    preset: str | None = None
    description: str
    reader: str
    files: str
    pull: Pull | None = None
    full: bool = False
    impossible_dates: Literal["field", "row"] = "field"
    form: Form = Form()
    zone: Zone | None = None
    statuses: dict[str, str] = Field(default_factory=dict)
    item_types: dict[str, str] = Field(default_factory=dict)
    verbs: dict[str, Verb] = Field(default_factory=dict)
    incomplete: Literal["refuse", "admit"] = "refuse"
    constants: dict[str, str] = Field(default_factory=dict)
    grades: dict[str, Annotated[float, Field(ge=0, le=100)]] = Field(default_factory=dict)
    wide: tuple[str, ...] = ()
    fields: dict[str, SourceField]

    @field_validator("constants")
    @classmethod
    def _can_be_constant(cls, constants: dict[str, str]) -> dict[str, str]:
        if wrong := sorted(constants.keys() - CONSTANT):
            raise ValueError(
                f"{', '.join(wrong)} cannot be the same in every row; allowed are "
                f"{', '.join(sorted(CONSTANT))}"
            )
        return constants

    @model_validator(mode="after")
    def _courses_are_fields(self) -> Source:
        for column in self.wide:
            if column not in self.fields:
                raise ValueError(f"wide names `{column}`, which is not under fields")
            if column.count("*") > 1 or not column.strip("* "):
                raise ValueError(
                    f"wide: `{column}` would admit any column; allowed are names, and names with "
                    "one `*` in them"
                )
        if len({self.fields[column].name for column in self.wide}) > 1:
            raise ValueError("wide: all of its fields need the same name")
        return self

    @property
    def supplied(self) -> set[str]:
        """Canonical names that the source itself gives a value, in place of a column."""
        return {*self.constants, *(["course_code"] if self.wide else [])}

    @property
    def wide_field(self) -> str:
        """The canonical name of what stands in the columns of courses."""
        return self.fields[self.wide[0]].name

    @property
    def grade_percents(self) -> dict[str, float]:
        """`grades` in lower case."""
        return {grade.lower(): percent for grade, percent in self.grades.items()}

    def courses(self, header: list[str]) -> dict[str, str]:
        """Of a report with a column for every course: the column to the course's code."""
        found = ((column, _course(column, self.wide)) for column in header)
        return {column: course for column, course in found if course}

    def delivered(self) -> dict[str, str]:
        """Canonical name to the column as the source spells it."""
        return {field.name: column for column, field in self.fields.items()}

    def matches(self, file_name: str) -> bool:
        """Does this source read a file of that name? `{a,b}.csv` lists alternatives."""
        braces = re.fullmatch(r"(.*)\{(.*)\}(.*)", self.files)
        names = (
            [f"{braces[1]}{part}{braces[3]}" for part in braces[2].split(",")]
            if braces
            else [self.files]
        )
        given = {file_name.casefold(), COMPRESSED.sub("", file_name.casefold())}
        return any(fnmatchcase(one, name.casefold()) for one in given for name in names)

    def spelled(self, header: list[str]) -> dict[str, str]:
        """The source's own columns as a table's header spells them: upper and lower case and blanks
        do not matter where only one column can be meant. JSON paths are spelled in one way."""
        if self.reader not in TABLES:
            return {name: name for name in header if name in self.fields}
        wanted = [plain(name) for name in self.fields]
        given = [plain(name) for name in header]
        return {
            own: name
            for own in self.fields
            for name in header
            if own == name
            or (
                plain(own) == plain(name)
                and wanted.count(plain(own)) == given.count(plain(own)) == 1
            )
        }

    def lists(self, column: str) -> bool:
        """Is the column, or the JSON path, on the map?"""
        if self.reader in JSON:
            return paths.listed(column, self.fields)
        return bool(column in self.fields or self.spelled([column]) or _course(column, self.wide))

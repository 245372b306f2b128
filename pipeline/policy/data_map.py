"""The data map: every field that may enter and every column that may leave.

The map is the allow-list, and deny is the default: `DataMap.require_listed` is called with the
columns of every incoming file before anything is written (GDPR Art. 25, data protection by
default; Art. 30, record of processing).
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import duckdb
from pydantic import Field, ValidationInfo, field_validator, model_validator

from pipeline.errors import PolicyError
from pipeline.policy import paths, preset
from pipeline.policy.base import PolicyFile, Strict, Zone, load
from pipeline.policy.duration import Duration
from pipeline.policy.fields import JSON, STRICTNESS, Audience, Risk, Source, Treatment
from pipeline.policy.sensitive_words import suggestions

LEAST_K = 2
# Columns of a dimension, of which the first is what other tables name.
DIMENSIONS = {
    "course": ("course_code", "course_title", "category"),
    "team": ("team_ref", "unit"),
}
UNKNOWN_REGION = "unknown"  # of people whose country is no country, or in no region


class CourseSensitivity(Strict):
    """Courses whose completion is special-category data (GDPR Art. 9).

    Attributes:
        codes: courses that are sensitive, whatever anybody decides.
        patterns: category to an expression that suggests it, beside those of sensitive_words.yaml.
    """

    codes: frozenset[str]
    patterns: dict[str, str]

    @property
    def suggestions(self) -> tuple[tuple[str, str], ...]:
        """Category and expression, over the text of `course_words`."""
        return (*self.patterns.items(), *suggestions().items())

    @property
    def categories(self) -> tuple[str, ...]:
        """What a sensitive course can be about."""
        return tuple(dict.fromkeys([*suggestions(), *self.patterns]))

    @field_validator("patterns")
    @classmethod
    def _compile(cls, patterns: dict[str, str]) -> dict[str, str]:
        # DuckDB matches them (RE2), so DuckDB decides whether they are valid.
        with duckdb.connect() as connection:
            for name, pattern in patterns.items():
                try:
                    connection.execute("SELECT regexp_matches('', $pattern)", {"pattern": pattern})
                except duckdb.Error:
                    raise ValueError(f"{name}: not a valid RE2 regular expression") from None
        return patterns


class Unresolved(StrEnum):
    """Why nobody can say which employee an identifier means."""

    UNKNOWN = "unknown"  # nobody on any roster
    AMBIGUOUS = "ambiguous"  # two employees had it at that time
    DAMAGED = "damaged"  # a spreadsheet or a data frame had hold of the number


class IdentityRules(Strict):
    """Whom an identifier means.

    Attributes:
        company_home_pages: home pages whose account names are the company's own employee numbers
            or addresses. An account of any other home page is somebody of that home page.
        set_aside: records of people who cannot be resolved in these ways are in no table.
    """

    company_home_pages: tuple[str, ...] = ()
    set_aside: tuple[Unresolved, ...] = (Unresolved.AMBIGUOUS, Unresolved.DAMAGED)


class TrainingState(Strict):
    """How a training stands that a person has records of.

    Attributes:
        recurring: courses that have to be done again: a code, or a pattern of codes with `*`, to
            how long a completion is valid. Upper and lower case are the same; of several that fit,
            the shortest holds.
    """

    recurring: dict[str, str] = Field(default_factory=dict)

    @property
    def validities(self) -> dict[str, Duration]:
        """`recurring` as durations."""
        return {courses: Duration.parse(text) for courses, text in self.recurring.items()}

    @field_validator("recurring")
    @classmethod
    def _can_be_read(cls, recurring: dict[str, str]) -> dict[str, str]:
        for courses, text in recurring.items():
            if not any(letter.isalnum() for letter in courses):
                raise ValueError(f"`{courses}` fits any course; it needs a letter or a digit")
            try:
                Duration.parse(text)
            except ValueError as error:
                raise ValueError(f"{courses}: {error}") from None
        return recurring


class Published(Strict):
    """A published table: for which audience, in which database, with which columns.

    Attributes:
        k: the minimum number of distinct people behind a row; coaching tables need it.
        encrypted: encrypted at rest, and then the only table of its database.
        dimension: no table of records, but of what the other tables of its database name: their
            courses or teams, with what DIMENSIONS lists.
    """

    renamed: ClassVar[dict[str, str]] = {"purpose": "audience"}
    description: Annotated[str, Field(min_length=1)]
    audience: Audience
    database: str
    columns: tuple[str, ...]
    k: Annotated[int, Field(ge=LEAST_K)] | None = None
    encrypted: bool = False
    dimension: Literal["course", "team"] | None = None

    @property
    def file(self) -> str:
        """Name of the file that holds it."""
        return f"{self.database}.{'parquet' if self.encrypted else 'duckdb'}"

    @model_validator(mode="after")
    def _aggregates_need_k(self) -> Published:
        if self.audience is Audience.COACHING and self.k is None and self.dimension is None:
            raise ValueError("a coaching table needs k, the minimum number of distinct people")
        return self

    @property
    def names(self) -> str:
        """The column of a dimension by which other tables name its rows."""
        assert self.dimension is not None
        return DIMENSIONS[self.dimension][0]

    @model_validator(mode="after")
    def _dimension_shows_nobody(self) -> Published:
        if self.dimension is None:
            return self
        every = (Audience.COACHING, Audience.ANALYTICS)
        audiences = every if self.dimension == "course" else every[:1]
        if self.audience not in audiences:
            raise ValueError(
                f"a {self.dimension} dimension is for the audience {' or '.join(audiences)}"
            )
        if self.k is not None or self.encrypted:
            raise ValueError(f"a {self.dimension} dimension has no people: neither k nor encrypted")
        key, *more = DIMENSIONS[self.dimension]
        if not {key} <= set(self.columns) <= {key, *more}:
            raise ValueError(
                f"a {self.dimension} dimension has {key}, and of {', '.join(more)} what policy "
                "allows"
            )
        return self


class Column(Strict):
    """A column of a pseudonymized or published table: DuckDB type, the closed domain of its values,
    the canonical fields it is made of, and what it means in words."""

    type: str
    rule: str
    made_from: tuple[str, ...] = Field(alias="from")
    description: Annotated[str, Field(min_length=1)]


Share = Annotated[float, Field(ge=0, le=1)]


# What systems leave beside files: markers and checksums of Hadoop and Spark, folder settings of
# macOS and Windows, lock files of office programs.
IGNORED = (
    "_SUCCESS",
    "_started_*",
    "_committed_*",
    ".DS_Store",
    "._*",
    "__MACOSX",
    "Thumbs.db",
    "desktop.ini",
    "*.crc",
    "~$*",
    ".~lock.*#",
    ".nfs*",
    ".gitkeep",
)


class DeliveryRules(Strict):
    """What a delivery must be like to be accepted.

    Attributes:
        marker: the file that a source writes last, so that the delivery is complete.
        marker_required: without the marker, a delivery is refused.
        ignored: patterns of names that systems leave beside files and that never hold records;
            they are named and left alone.
        unreadable: of a file's lines, the share that may be unreadable (encoding, quotes, number
            of fields).
        quarantined: of a file's or a source's rows, the share that may be set aside.
        least: a full export, or a correction, must have this share of the rows of before.
        compared_with: how many deliveries a full export is compared with, by their median.
    """

    marker: str = "_COMPLETE"
    marker_required: bool = False
    ignored: tuple[str, ...] = IGNORED
    unreadable: Share = 0.05
    quarantined: Share = 0.5
    least: Share = 0.5
    compared_with: Annotated[int, Field(ge=1)] = 5

    def ignores(self, file_name: str) -> str | None:
        """The pattern by which a name is left alone, or the marker; None for a file of records.
        Upper and lower case are the same."""
        if file_name == self.marker:
            return self.marker
        name = file_name.casefold()
        return next((one for one in self.ignored if fnmatchcase(name, one.casefold())), None)


class DataMap(PolicyFile):
    """The whole of data_map.yaml."""

    regions: dict[str, tuple[str, ...]]
    default_zone: Zone
    earliest_date: dt.date
    deliveries: DeliveryRules = DeliveryRules()
    identity: IdentityRules = IdentityRules()
    course_sensitivity: CourseSensitivity
    training_state: TrainingState = TrainingState()
    sources: dict[str, Source]
    published: dict[str, Published]
    columns: dict[str, Column]

    @field_validator("sources", mode="before")
    @classmethod
    def _switch_presets_on(cls, sources: object, info: ValidationInfo) -> object:
        texts = preset.shipped() if info.context is None else info.context
        if not isinstance(sources, dict):
            return sources
        return {name: preset.switched_on(one, texts) for name, one in sources.items()}

    @field_validator("regions")
    @classmethod
    def _regions_are_named(cls, regions: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if UNKNOWN_REGION in regions:
            raise ValueError(f"`{UNKNOWN_REGION}` is for people whose country is in no region")
        return regions

    @model_validator(mode="after")
    def _encrypted_alone(self) -> DataMap:
        for table, spec in self.published.items():
            both = [n for n, other in self.published.items() if other.database == spec.database]
            if spec.encrypted and both != [table]:
                raise ValueError(
                    f"{table} is encrypted, so {spec.database} cannot hold another table"
                )
        return self

    @model_validator(mode="after")
    def _published_only_for_its_purpose(self) -> DataMap:
        for table, spec in self.published.items():
            for name in spec.columns:
                if name not in self.columns:
                    raise ValueError(f"{table}.{name} is not described under columns")
                for origin in self.columns[name].made_from:
                    # `source` is derived by the readers, no delivered field carries it.
                    if origin != "source" and origin not in self.released(spec.audience):
                        raise ValueError(
                            f"{table}.{name}: no source releases {origin} for {spec.audience}"
                        )
        return self

    @model_validator(mode="after")
    def _dimensions_are_allowed(self) -> DataMap:
        for table, spec in self.published.items():
            if spec.dimension is None:
                continue
            if spec.database not in {
                one.database for one in self.tables_of(spec.audience).values()
            }:
                raise ValueError(f"{table}: no other table of {spec.audience} is in its database")
            # A title stands beside its course whichever source it came from.
            for name in sorted(set(spec.columns) & {"course_title", "unit"}):
                if withheld := self._withholding(name, spec.audience):
                    raise ValueError(
                        f"{table}.{name}: not every source releases it unchanged for "
                        f"{spec.audience}: {', '.join(withheld)}"
                    )
        return self

    def _withholding(self, name: str, audience: Audience) -> list[str]:
        """The sources that deliver a canonical field and do not release it as it is."""
        return [
            source
            for source, spec in self.sources.items()
            for field in spec.fields.values()
            if field.name == name
            and (
                audience not in field.audiences
                or field.treatment_for(audience) is not Treatment.KEEP
            )
        ]

    def tables_of(self, audience: Audience) -> dict[str, Published]:
        """The published tables of one audience that are made of its records."""
        listed = self.with_dimensions(audience).items()
        return {name: spec for name, spec in listed if spec.dimension is None}

    def with_dimensions(self, audience: Audience) -> dict[str, Published]:
        """All published tables of one audience; first those that are made of its records."""
        found = {n: spec for n, spec in self.published.items() if spec.audience is audience}
        return dict(sorted(found.items(), key=lambda one: one[1].dimension is not None))

    def released(self, audience: Audience) -> set[str]:
        """Canonical fields that some source releases for the audience."""
        return {
            field.name
            for source in self.sources.values()
            for field in source.fields.values()
            if audience in field.audiences
        } | self.supplied

    @property
    def supplied(self) -> set[str]:
        """Canonical fields that this file itself gives a value, in place of a column."""
        return {name for source in self.sources.values() for name in source.supplied}

    def classes_and_risk(self, column: str) -> tuple[tuple[str, ...], Risk]:
        """The classes of a published column, and the highest risk of the fields it is made from."""
        found = [
            field
            for source in self.sources.values()
            for field in source.fields.values()
            if field.name in self.columns[column].made_from
        ]
        risk = max((one.risk for one in found), key=tuple(Risk).index, default=Risk.LOW)
        return tuple(sorted({one.field_class.value for one in found})), risk

    def treatment_of(self, name: str, audience: Audience) -> Treatment:
        """The strictest treatment that any source demands of a canonical field for the audience,
        among the sources that release it; `drop` if none does."""
        treatments = [
            field.treatment_for(audience)
            for source in self.sources.values()
            for field in source.fields.values()
            if field.name == name and audience in field.audiences
        ]
        otherwise = Treatment.KEEP if name in self.supplied else Treatment.DROP
        return max(treatments, key=STRICTNESS.index, default=otherwise)

    def delivers(self, name: str) -> bool:
        """Does any source have the canonical field, whatever becomes of it?"""
        return any(
            field.name == name
            for source in self.sources.values()
            for field in source.fields.values()
        )

    @property
    def least_people(self) -> int:
        """The smallest k of the published aggregates, or that one may have if there are none; a
        smaller group counts as single people."""
        return min((spec.k for spec in self.published.values() if spec.k), default=LEAST_K)

    def source_of(self, file_name: str) -> str | None:
        """Name of the source that reads this file; None if no source claims it."""
        return next((n for n, s in self.sources.items() if s.matches(file_name)), None)

    def unlisted(self, source: str, columns: list[str]) -> list[str]:
        """The columns of a file that the map does not list, in the file's order."""
        return [column for column in columns if not self.sources[source].lists(column)]

    def require_listed(self, source: str, file: str, columns: list[str]) -> None:
        """Stop the run if a file has a column that the map does not list.

        Raises:
            PolicyError: naming file and column, and how to add it.
        """
        if unlisted := self.unlisted(source, columns):
            if self.sources[source].reader in JSON:
                unlisted = paths.shown(unlisted)
            shown = ", ".join(repr(printable(one)) for one in unlisted)
            raise PolicyError(
                f"{printable(file)}: {len(unlisted)} column(s) are not in the data map: {shown}. "
                f"Nothing was written. To admit one, add it under sources.{source}.fields in "
                "data_map.yaml with its class, risk, treatment and audiences."
            )

    def region_of(self) -> dict[str, str]:
        """Country code to region."""
        return {country: region for region, cs in self.regions.items() for country in cs}


def printable(name: str) -> str:
    """The name of a column or a file as messages show it: in full, on one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def load_data_map(path: Path) -> DataMap:
    """data_map.yaml; raises PolicyError as `load`."""
    return load(DataMap, path, preset.in_use)

"""What the values of a column look like, as counts; no value leaves this module.

The patterns are those of Presidio's recognizers that need no language model, widened by what stands
in exports: employee numbers, names in two words, dates and years.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

# Whole values, unless a pattern says otherwise, as Presidio's recognizers of EMAIL_ADDRESS,
# PHONE_NUMBER, IBAN_CODE, IP_ADDRESS, CREDIT_CARD, US_SSN, UK_NINO, IT_FISCAL_CODE, ES_NIF.
ADDRESS = r"[^\s@]+@[^\s@]+|^(?i:mailto:|acct:|mbox:)"
PHONE = r"^(?:\+|00|\(0|0)[\d\s().\-/]{6,20}\d$"
NATIONAL = "|".join(
    (
        r"^[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?$",  # IBAN
        r"^\d{3}[- ]\d{2}[- ]\d{4}$",  # US social security
        r"^[3-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}$",  # payment card
        r"^[A-CEGHJ-PR-TW-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]$",  # UK national insurance
        r"^[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]$",  # Italian codice fiscale
        r"^(?:\d{8}|[XYZ]\d{7})-?[A-Z]$",  # Spanish NIF, NIE
        r"^\d{2} ?\d{6} ?[A-Z] ?\d{3}$",  # German social insurance
        r"^[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?\d{2} ?\d{3} ?\d{3} ?\d{2}$",  # French NIR
        r"^\d{6}[-+]\d{4}$",  # Nordic personal numbers
        r"^(?:\d{1,3}\.){3}\d{1,3}$",  # IP address
    )
)
WORD = r"\p{Lu}[\pL'’.\-]*"
NAME = rf"^{WORD},?(?: (?:de|da|di|del|van|von|der|den|le|la|al|bin))*(?: {WORD}){{1,3}}$"
DATE = "|".join(
    (
        r"^\d{1,4}[./\-年]\s?\d{1,2}[./\-月]\s?\d{1,4}",
        r"^\d{1,2}[ \-.]\pL{3,9}\.?[ \-,]*\d{2,4}",
        r"^\pL{3,9}\.? \d{1,2}, \d{4}",
    )
)
NUMBER = r"^[+\-]?\d+(?:[.,]\d+)*\s?(?:%|/\s?\d+(?:[.,]\d+)?)?$"
SENTENCE = r"\S\s+\S+\s+\S+\s+\S+\s+\S"  # five words
YEAR = r"(?:^|\D)((?:19|20)\d{2})(?:\D|$)"
PATTERNS = {
    "addresses": ADDRESS,
    "phones": PHONE,
    "national": NATIONAL,
    "names": NAME,
    "dates": DATE,
    "numbers": NUMBER,
    "sentences": SENTENCE,
    "years": r"^(?:19|20)\d{2}$",
}
LEAST_PEOPLE = 10  # with several rows each, before anything is said of what follows people
NEARLY = 0.95
LEAST_LENGTH = 4  # of a value that can say who somebody is when it stands in two columns


@dataclass(frozen=True)
class Shape:
    """Counts of a column's values.

    Attributes:
        filled: rows with a value; the other counts are of these rows.
        distinct: different values.
        year: the median year, of those that have one.
    """

    filled: int = 0
    distinct: int = 0
    addresses: int = 0
    phones: int = 0
    national: int = 0
    names: int = 0
    dates: int = 0
    numbers: int = 0
    sentences: int = 0
    years: int = 0
    year: int | None = None

    def mostly(self, count: int) -> bool:
        """Are at least half of the values so?"""
        return 0 < self.filled <= 2 * count

    @property
    def personal(self) -> int:
        """Values that name somebody, whatever the column is called."""
        phones = self.mostly(self.phones) and not self.mostly(self.dates)
        return self.addresses + self.national + (self.phones if phones else 0)


def shapes(rows: pl.DataFrame) -> dict[str, Shape]:
    """The shape of every column of texts; an empty text is no value."""
    counted = pl.collect_all([_counts(rows, name) for name in rows.columns])
    found = zip(rows.columns, counted, strict=True)
    return {name: Shape(**one.row(0, named=True)) for name, one in found}


def _counts(rows: pl.DataFrame, column: str) -> pl.LazyFrame:
    """The fields of a column's shape, as one row. Every different value is looked at once."""
    value, n = pl.col("value"), pl.col("n")
    return (
        rows.lazy()
        .select(pl.col(column).str.strip_chars().replace("", None).alias("value"))
        .drop_nulls()
        .group_by("value")
        .agg(pl.len().alias("n"))
        .select(
            n.sum().alias("filled"),
            pl.len().alias("distinct"),
            *(n.filter(value.str.contains(p)).sum().alias(k) for k, p in PATTERNS.items()),
            value.str.extract(YEAR).cast(pl.Int32).median().cast(pl.Int32).alias("year"),
        )
    )


def tied_to_people(rows: pl.DataFrame, who: str, columns: Collection[str]) -> frozenset[str]:
    """Columns whose values follow the person, as numbers and names do: nearly everybody who has
    several rows has one value in all of them, and there are at least a quarter as many as people.

    Args:
        who: the column that says who it is.
    """
    by_person = rows.lazy().filter(pl.col(who).is_not_null()).group_by(who)
    counts = by_person.agg(pl.len().alias("rows of one"), pl.col(*columns).n_unique()).collect()
    several = counts.filter(pl.col("rows of one") > 1)
    if several.height < LEAST_PEOPLE:
        return frozenset()
    return frozenset(
        name
        for name in columns
        if (several[name] == 1).sum() >= NEARLY * several.height
        and rows[name].drop_nulls().n_unique() * 4 >= counts.height
    )


def values(rows: pl.DataFrame, columns: list[str]) -> frozenset[str]:
    """The different values of columns that name people, in small letters; never shown."""
    if not columns:
        return frozenset()
    whole = pl.concat([rows.get_column(one).alias("value") for one in columns]).drop_nulls()
    found = whole.str.strip_chars().str.to_lowercase().unique()
    return frozenset(found.filter(found.str.len_chars() >= LEAST_LENGTH).to_list())


def shared(rows: pl.DataFrame, column: str, known: frozenset[str]) -> tuple[int, int]:
    """Different values of a column that are among the known ones, and all that could be."""
    mine = values(rows, [column])
    return len(mine & known), len(mine)

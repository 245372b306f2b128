"""In which forms a file writes its dates and decimals: proposed, for the data map to declare."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import polars as pl

from pipeline.policy.form import EXCEL

NULLS = (
    *("-", "--", "---", "–", "—", "n/a", "#n/a", "null", "(null)", "none", "nil", "nan", "\\n"),
    *("k.a.", "k. a.", "entfällt", "(leer)", "(blank)", "n.a.", "n. a.", "s/d", "n/d", "brak"),
)
LOOKED_AT = 5_000  # different values; a form that is in none of them is hardly in the rest
DAYS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y"),
    *("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y年%m月%d日"),
)
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %H:%M", ", %I:%M %p")
ISO = r"^\d{4}-\d{2}-\d{2}(?:[T ].*)?$"
# A day number of a workbook: the years 1982 to 2064.
SERIAL = r"^[3-5]\d{4}(?:\.\d+)?$"


@dataclass(frozen=True)
class DateForms:
    """What a file's dates need.

    Attributes:
        chosen: forms that read all of them together.
        unclear: forms that read the same values as different dates, so that somebody must decide.
        unread: how many different values no form reads.
    """

    chosen: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()
    unread: int = 0


def _read_by(values: pl.Series) -> dict[str, pl.Series]:
    """Form to the values that it reads (Boolean), of the forms that read any."""
    found = {}
    for day, time in product(DAYS, TIMES):
        form = day + time
        read = values.str.to_datetime(form, strict=False, exact=True).is_not_null()
        if read.any():
            found[form] = read
    serial = values.str.contains(SERIAL)
    return found | ({EXCEL: serial} if serial.any() else {})


def _turned(form: str) -> str:
    """The form with day and month changed places."""
    return form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")


def without_nulls(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, frozenset[str]]]:
    """The rows without the texts that systems write where there is no value, and which of them
    every column has, in small letters."""
    folded = rows.select(pl.all().str.strip_chars().str.to_lowercase())
    found = {one.name: frozenset(one.filter(one.is_in(NULLS))) for one in folded}
    emptied = [
        pl.when(folded[name].is_in(NULLS)).then(None).otherwise(pl.col(name)).alias(name)
        for name, nulls in found.items()
        if nulls
    ]
    return rows.with_columns(emptied), found


def date_forms(rows: pl.DataFrame, columns: Iterable[str]) -> DateForms:
    """The forms of the dates in some columns; ISO 8601 needs none."""
    named = [rows.get_column(one).alias("value") for one in columns]
    if not named:
        return DateForms()
    whole = pl.concat(named).drop_nulls().str.strip_chars()
    values = whole.filter((whole != "") & ~whole.str.contains(ISO)).unique().head(LOOKED_AT)
    read = _read_by(values) if values.len() else {}
    chosen: list[str] = []
    left = pl.Series([True] * values.len(), dtype=pl.Boolean)
    while left.any() and read:
        form = max(read, key=lambda one: (read[one] & left).sum())
        if not (read[form] & left).any():
            break
        chosen.append(form)
        left &= ~read[form]
    unclear = tuple(
        form
        for form in chosen
        if (other := read.get(_turned(form))) is not None
        and form != _turned(form)
        and (other & read[form]).sum() == read[form].sum()
    )
    clear = tuple(form for form in chosen if form not in unclear)
    both = tuple(one for form in unclear for one in (form, _turned(form)))
    return DateForms(_compatible(clear), both, int(left.sum()))


def _compatible(forms: tuple[str, ...]) -> tuple[str, ...]:
    """Forms of which no two read one text as two dates, the most frequent ones first."""
    kept: list[str] = []
    for form in forms:
        if form == _turned(form) or _turned(form) not in kept:
            kept.append(form)
    return tuple(kept)


def has_decimal_comma(rows: pl.DataFrame, columns: Iterable[str]) -> bool:
    """Do the numbers in some columns have a comma before their decimal places?"""
    return any(
        bool(values.str.contains(r"^[+\-]?\d+,\d{1,2}\s*%?$").any())
        and not bool(values.str.contains(r"^[+\-]?\d+\.\d{1,2}\s*%?$").any())
        for values in (rows.get_column(one).drop_nulls().str.strip_chars() for one in columns)
    )

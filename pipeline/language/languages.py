"""One language: its texts, numbers and dates, and templates that use them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO

from babel.core import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from jinja2 import Environment, StrictUndefined, Template

SOURCE = "en"  # the language of the texts in the code
MISSING = "–"  # stands for a value that is not there


@dataclass(frozen=True)
class Language:
    """A language as in HTML's `lang`: `de`, or `de-CH` for the texts of `de` with other formats."""

    tag: str
    locale: Locale
    texts: NullTranslations

    def gettext(self, text: str) -> str:
        return self.texts.gettext(text)

    def ngettext(self, one: str, many: str, number: int) -> str:
        return self.texts.ngettext(one, many, number)

    def number(self, value: float | None, digits: int = 0) -> str:
        """A number with its thousands apart and always as many digits after the point."""
        if value is None:
            return MISSING
        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        return format_decimal(value, pattern, locale=self.locale)

    def share(self, value: float | None) -> str:
        """A share in per cent; below ten per cent with one digit, where there is one to show."""
        if value is None:
            return MISSING
        small = 0 < value < 0.1
        rounded = round(value, 3 if small else 2)
        return format_percent(rounded, locale=self.locale, decimal_quantization=False)

    def change(self, value: float | None) -> str:
        """A difference of two shares in percentage points, with its sign."""
        if value is None:
            return MISSING
        points = round(100 * value)
        return f"{'+' if points > 0 else '−' if points else '±'}{self.number(abs(points))}"

    def month(self, day: dt.date) -> str:
        return format_skeleton("yMMM", day, locale=self.locale)

    def day(self, day: dt.date) -> str:
        return format_date(day, "long", locale=self.locale)


def catalogs() -> list[str]:
    """The languages that there are texts in."""
    names = (path.name for path in files(__package__).iterdir())
    return sorted([SOURCE, *(name.removesuffix(".po") for name in names if name.endswith(".po"))])


def catalog(name: str) -> NullTranslations:
    """The texts of one of `catalogs`."""
    if name == SOURCE:
        return NullTranslations()
    compiled = BytesIO()
    with (files(__package__) / f"{name}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=name))
    compiled.seek(0)
    return GNUTranslations(compiled)


@lru_cache
def language(tag: str) -> Language:
    """The language of a tag.

    Raises:
        ValueError: there is no such language, or there are no texts in it.
    """
    try:
        locale = Locale.parse(tag, sep="-")
    except (UnknownLocaleError, ValueError):
        raise ValueError(f"{tag!r} is no language tag, such as de or de-CH") from None
    if locale.language not in catalogs():
        raise ValueError(f"there are no texts in {tag!r}; there are in {', '.join(catalogs())}")
    return Language(tag, locale, catalog(locale.language))


@lru_cache
def template(package: str, name: str, spoken: Language) -> Template:
    """A page's template beside a package's modules, in one language.

    It has gettext and `trans` for texts, and the filters number, share, change, month and day.
    """
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        spoken.gettext, spoken.ngettext, newstyle=True
    )
    filters: dict[str, Callable[..., str]] = {
        "number": spoken.number,
        "share": spoken.share,
        "change": spoken.change,
        "month": spoken.month,
        "day": spoken.day,
    }
    environment.filters |= filters
    environment.globals["language"] = spoken.tag
    return environment.from_string((files(package) / name).read_text("utf-8"))

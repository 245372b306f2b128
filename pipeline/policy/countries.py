"""The names that countries go by in exports: ISO 3166-1 codes, and names in Europe's languages.

Names and codes are those of pycountry (Debian's iso-codes); COMMON has what people write and no
standard lists. What is in neither is no country: nothing is guessed, and no part of a text counts.
"""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from functools import cache

# Languages of the translations that pycountry brings.
LANGUAGES = (
    "bg",
    "ca",
    "cs",
    "da",
    "de",
    "el",
    "es",
    "et",
    "fi",
    "fr",
    "ga",
    "hr",
    "hu",
    "is",
    "it",
    "lt",
    "lv",
    "nb_NO",
    "nl",
    "nn",
    "pl",
    "pt",
    "ro",
    "ru",
    "sk",
    "sl",
    "sr",
    "sv",
    "tr",
    "uk",
)
COMMON = {
    "GB": (
        "UK",
        "Great Britain",
        "Britain",
        "England",
        "Scotland",
        "Wales",
        "Northern Ireland",
        "Großbritannien",
        "Grande-Bretagne",
        "Gran Bretaña",
        "Gran Bretagna",
        "Groot-Brittannië",
        "Wielka Brytania",
        "Grã-Bretanha",
        "Storbritannien",
        "Angleterre",
        "Inglaterra",
        "Inghilterra",
        "Anglia",
        "Engeland",
    ),
    "US": (
        "U.S.",
        "United States of America",
        "EE.UU.",
        "EUA",
        "États-Unis d'Amérique",
        "Vereinigte Staaten von Amerika",
        "Stati Uniti d'America",
        "Estados Unidos de América",
        "Verenigde Staten van Amerika",
        "Förenta Staterna",
        "Stany Zjednoczone Ameryki",
    ),
    "NL": ("Holland", "Netherlands", "Pays-Bas", "Olanda", "Holanda", "Holandia", "Hollande"),
    "DE": ("Germany", "BRD", "Allemagne", "Alemania", "Alemanha", "Germania"),
    "CZ": (
        "Czech Republic",
        "Tschechische Republik",
        "République tchèque",
        "República Checa",
        "Repubblica Ceca",
        "Tsjechische Republiek",
    ),
    "IE": ("Republic of Ireland", "Éire"),
    "GR": ("EL", "Hellas"),
    "KR": ("Republic of Korea",),
    "RU": ("Russia", "Rusland", "Russland", "Russie", "Rusia"),
    "TR": ("Turkey", "Türkei", "Turquie", "Turquía", "Turchia"),
    "MK": ("Macedonia", "Mazedonien", "Macédoine"),
    "SK": ("Slovak Republic", "Slovenská republika"),
    "AE": ("UAE", "Emirates"),
    "CI": ("Ivory Coast", "Elfenbeinküste"),
    "CV": ("Cape Verde",),
    "SZ": ("Swaziland",),
    "MM": ("Burma",),
    "BY": ("Weißrussland",),
    "MD": ("Moldavia", "Moldau", "Moldavie"),
}
# How letters are written where a system knows the Latin alphabet's 26 only.
SPELLED_OUT = str.maketrans(
    {
        "ä": "ae",
        "ö": "oe",
        "ü": "ue",
        "å": "aa",
        "ø": "oe",
        "Ä": "Ae",
        "Ö": "Oe",
        "Ü": "Ue",
        "Å": "Aa",
        "Ø": "Oe",
    }
)


@cache
def names() -> tuple[tuple[str, str, int], ...]:
    """Every name with its ISO 3166-1 alpha-2 code and a rank. Where two countries go by one name,
    that of the lowest rank is meant; of one rank, neither."""
    found = {*_codes(), *_common(), *_translated()}
    spelled_out = {(name.translate(SPELLED_OUT), code, rank) for name, code, rank in found}
    return tuple(sorted(found | spelled_out))


def codes() -> frozenset[str]:
    """The codes of ISO 3166-1 alpha-2."""
    return frozenset(code for _, code, rank in names() if rank == 0)


def _codes() -> Iterator[tuple[str, str, int]]:
    # Here, and not above: only who classifies needs it, and its texts take a moment to load.
    import pycountry

    for one in pycountry.countries:
        for code in (one.alpha_2, one.alpha_3, one.numeric):
            yield code, one.alpha_2, 0


def _common() -> Iterator[tuple[str, str, int]]:
    for code, listed in COMMON.items():
        for name in listed:
            yield name, code, 1


def _translated() -> Iterator[tuple[str, str, int]]:
    """Names in English and in LANGUAGES, the official and the common ones."""
    import pycountry

    translations = [gettext.NullTranslations()] + [
        gettext.translation("iso3166-1", pycountry.LOCALES_DIR, [language])
        for language in LANGUAGES
    ]
    for one in pycountry.countries:
        for kind in ("name", "common_name", "official_name"):
            if name := getattr(one, kind, None):
                for translation in translations:
                    for text in _turned(translation.gettext(name)):
                        yield text, one.alpha_2, 2


def _turned(name: str) -> Iterator[str]:
    """A name as it is and, where it is listed as `Moldova, Republic of`, also as it is said."""
    yield name
    last, comma, first = name.partition(", ")
    if comma:
        yield f"{first} {last}"

"""The pages' languages: every text is there in each, its placeholders agree, and numbers and dates
are those of the language."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections import Counter
from importlib.resources import files
from itertools import zip_longest

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from pydantic import ValidationError

from pipeline.language.languages import MISSING, SOURCE, catalogs, language
from pipeline.policy.governance import Governance
from pipeline.storage.layout import PROJECT
from tests.fixtures import Estate

OTHERS = [name for name in catalogs() if name != SOURCE]
# What must not get lost in a translation: placeholders, tags.
PARTS = re.compile(r"%\(\w+\)\w|</?\w+[^>]*>|%(?!\()")
DAY = dt.date(2026, 3, 1)
HARD = "\N{NO-BREAK SPACE}"
THIN = "\N{NARROW NO-BREAK SPACE}"


def marked() -> set[str | tuple[str, ...]]:
    """The texts that code and templates mark for translation, as `.ci/translate` finds them."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    mappings = project["tool"]["babel"]["mappings"]
    methods = [(one["pattern"], one["method"]) for one in mappings]
    options = {one["pattern"]: {"trimmed": one.get("trimmed", "")} for one in mappings}
    return {
        message
        for _, _, message, _, _ in extract_from_dir(str(PROJECT), methods, options)
        if message
    }


def translated(name: str) -> list[Message]:
    with (files("pipeline.language") / f"{name}.po").open("rb") as file:
        return [one for one in read_po(file, locale=name) if one.id]


def texts(of: str | tuple[str, ...] | list[str]) -> list[str]:
    return [of] if isinstance(of, str) else list(of)


def test_there_are_the_languages_that_are_promised() -> None:
    assert catalogs() == ["de", "en", "fr"]


@pytest.mark.parametrize("name", OTHERS)
def test_every_marked_text_is_translated(name: str) -> None:
    found = translated(name)
    ids = {one.id if isinstance(one.id, str) else tuple(one.id) for one in found}
    assert ids == marked(), "run .ci/translate, and translate what is new"
    empty = [one.id for one in found if not all(texts(one.string)) or one.fuzzy]
    assert not empty


@pytest.mark.parametrize("name", OTHERS)
def test_placeholders_and_tags_agree(name: str) -> None:
    for one in translated(name):
        # A language can have more forms of a plural than English.
        originals = zip_longest(texts(one.id), texts(one.string), fillvalue=texts(one.id)[-1])
        for original, text in originals:
            assert Counter(PARTS.findall(original)) == Counter(PARTS.findall(text)), original


def test_numbers_and_dates_are_those_of_the_language() -> None:
    english, german, french = language("en"), language("de"), language("fr")
    assert [one.number(1234.5, 1) for one in (english, german, french)] == [
        "1,234.5",
        "1.234,5",
        f"1{THIN}234,5",
    ]
    assert [one.share(0.059) for one in (english, german, french)] == [
        "5.9%",
        f"5,9{HARD}%",
        f"5,9{HARD}%",
    ]
    assert [one.month(DAY) for one in (english, german, french)] == [
        "Mar 2026",
        "März 2026",
        "mars 2026",
    ]
    assert german.day(DAY) == "1. März 2026"
    assert {one.number(None) for one in (english, german, french)} == {MISSING}
    # The texts of the language, and the formats of the country.
    swiss = language("de-CH")
    assert swiss.number(1234) in ("1'234", "1’234")  # by the version of CLDR
    assert swiss.gettext("on time") == german.gettext("on time") == "fristgerecht"


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, MISSING), (0, "0%"), (0.004, "0.4%"), (0.0999, "10%"), (0.5, "50%"), (1, "100%")],
)
def test_shares_read_as_people_read_them(share: float | None, text: str) -> None:
    assert language("en").share(share) == text


@pytest.mark.parametrize("tags", [["xx"], ["it"], ["de_DE"], [""], [], ["de", "de"], ["../de"]])
def test_policy_names_languages_that_there_are(finished_run: Estate, tags: list[str]) -> None:
    policy = finished_run.context.governance.model_dump(by_alias=True)
    with pytest.raises(ValidationError, match=r"languages"):
        Governance.model_validate(policy | {"languages": tags})
    without = {key: value for key, value in policy.items() if key != "languages"}
    assert Governance.model_validate(without).languages == (SOURCE,)
    assert Governance.model_validate(policy | {"languages": ["fr", "de-AT"]})

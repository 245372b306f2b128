"""The words of a column with few of them, such as statuses: what they mean, and which are shown.

A text of a file is shown only if it is made of words that name nobody, those of statuses.yaml
beside this. Any other is counted, with the row where it stands first, so that who has the file can
look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import polars as pl
import yaml

from pipeline.suggest.headers import concepts, plain

UNCLEAR, ALSO = "unclear", "also"
LONGEST_NUMBER = 3  # digits
MILESTONE, ASSESSMENT = "milestone_flag", "assessment_record"


@dataclass(frozen=True)
class Words:
    """What the words of a column mean.

    Attributes:
        known: word to what it means.
        unclear: words that can mean several things, or none that is known, with their rows.
        hidden: of every word that is not shown its rows, and the first of them, from 1.
    """

    known: dict[str, str]
    unclear: dict[str, int]
    hidden: tuple[tuple[int, int], ...] = ()


@cache
def _lists() -> dict[str, tuple[str, ...]]:
    text = (files("pipeline.suggest") / "statuses.yaml").read_text("utf-8")
    return {
        name: tuple(map(str, words)) for name, words in yaml.load(text, yaml.CSafeLoader).items()
    }


@cache
def _statuses() -> dict[str, str]:
    lists = {name: words for name, words in _lists().items() if name != ALSO}
    return {plain(word): status for status, words in lists.items() for word in words}


@cache
def _tokens() -> frozenset[str]:
    return frozenset(
        token for words in _lists().values() for word in words for token in plain(word).split()
    )


def status_of(word: str) -> str | None:
    """The canonical status, `unclear` if it can mean several; None for a word that no list has."""
    return _statuses().get(plain(word))


def type_of(word: str) -> str | None:
    """The canonical record type of a kind of item, by the words of headers; None if it is none."""
    found = set(concepts(word))
    if found and found <= {"course", "program", "test", "transcript"}:
        return ASSESSMENT if "test" in found else MILESTONE
    return None


def names_nobody(text: str) -> bool:
    """Is a text made of words that can name nobody? A number of up to three digits can neither."""
    tokens = plain(text).split()
    return bool(tokens) and all(
        len(one) <= LONGEST_NUMBER if one.isdigit() else one in _tokens() for one in tokens
    )


def words_of(rows: pl.DataFrame, column: str, meant: Callable[[str], str | None]) -> Words:
    """What a column of few words holds.

    Args:
        meant: a word to what it means, `unclear`, or None.
    """
    value = pl.col(column).str.strip_chars()
    counted = (
        rows.lazy()
        .select(value.str.to_lowercase().alias("word"), pl.int_range(1, pl.len() + 1).alias("row"))
        .filter(pl.col("word").is_not_null() & (pl.col("word") != ""))
        .group_by("word")
        .agg(pl.len().alias("rows"), pl.col("row").min())
        .sort("rows", "row", descending=[True, False])
        .collect()
    )
    known: dict[str, str] = {}
    unclear: dict[str, int] = {}
    hidden = []
    for word, count, row in counted.iter_rows():
        meaning = meant(word)
        if meaning and meaning != UNCLEAR:
            known[word] = meaning
        elif names_nobody(word):
            unclear[word] = count
        else:
            hidden.append((count, row))
    return Words(known, unclear, tuple(hidden))

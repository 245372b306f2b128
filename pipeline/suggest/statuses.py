"""What the words of a column of statuses mean, and which of them may be named.

The words are statuses.yaml beside this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import polars as pl
import yaml

from pipeline.suggest.headers import plain

UNCLEAR = "unclear"
LEAST_PEOPLE = 5  # with a word that no list has; fewer, and it is not shown


@cache
def _listed() -> dict[str, str]:
    text = (files("pipeline.suggest") / "statuses.yaml").read_text("utf-8")
    return {
        plain(str(word)): status for status, words in yaml.safe_load(text).items() for word in words
    }


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(token for word in _listed() for token in word.split())


def status_of(word: str) -> str | None:
    """The canonical status, `unclear` if it can mean several; None for a word that no list has."""
    return _listed().get(plain(word))


def is_of_status_words(word: str) -> bool:
    """Is the text made of words that statuses are made of, so that it can name nobody?"""
    tokens = plain(word).split()
    return bool(tokens) and all(token in _vocabulary() for token in tokens)


@dataclass(frozen=True)
class Words:
    """The words of a column of statuses.

    Attributes:
        known: word to canonical status.
        unclear: words that can mean several things, or none that is known, with their rows.
        hidden: rows of words that could name somebody, and so are not shown; and how many words.
    """

    known: dict[str, str]
    unclear: dict[str, int]
    hidden: tuple[int, int] = (0, 0)


def words_of(rows: pl.DataFrame, column: str, who: str | None, people: frozenset[str]) -> Words:
    """What a column of statuses holds.

    Args:
        who: the column that says who it is, by which people are counted.
        people: values of the columns that name people, in small letters.
    """
    persons = pl.col(who).n_unique() if who else pl.len()
    value = pl.col(column).str.strip_chars()
    counted = (
        rows.lazy()
        .filter(value.is_not_null() & (value != ""))
        .group_by(value.str.to_lowercase().alias("word"))
        .agg(pl.len().alias("rows"), persons.alias("people"))
        .sort("rows", "word", descending=[True, False])
        .collect()
    )
    whole = int(counted["rows"].sum())
    found = {str(word): (int(n), int(k)) for word, n, k in counted.iter_rows()}
    meant = {word: status_of(word) for word in found}
    read = sum(found[word][0] for word, status in meant.items() if status)
    tokens = frozenset(token for one in people for token in plain(one).split())
    known = {word: status for word, status in meant.items() if status and status != UNCLEAR}
    shown = {
        word: n
        for word, (n, k) in found.items()
        if word not in known
        and (
            is_of_status_words(word)
            or (2 * read >= whole and _is_printable(word, n, k, whole) and not _names(word, tokens))
        )
    }
    hidden = [n for word, (n, _) in found.items() if word not in known and word not in shown]
    return Words(known, shown, (sum(hidden), len(hidden)))


def _is_printable(word: str, rows: int, people: int, whole: int) -> bool:
    """May a word that no list has be shown? One that many people have, and that is one word."""
    single = re.fullmatch(r"[^\W\d_]{2,24}", word)
    return bool(single) and people >= LEAST_PEOPLE and rows * 100 >= whole


def _names(word: str, tokens: frozenset[str]) -> bool:
    return any(token in tokens for token in plain(word).split())

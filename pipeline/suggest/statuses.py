"""What the words of a column of statuses mean, and which of them may be named.

The words are statuses.yaml beside this.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

from pipeline.suggest.headers import plain

UNCLEAR = "unclear"


@cache
def _listed() -> dict[str, str]:
    text = (files("pipeline.suggest") / "statuses.yaml").read_text("utf-8")
    return {
        plain(str(word)): status
        for status, words in yaml.safe_load(text).items()
        for word in words
    }


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(token for word in _listed() for token in word.split())


def status_of(word: str) -> str | None:
    """The canonical status, `unclear` if it can mean several; None for a word that is not listed."""
    return _listed().get(plain(word))


def is_of_status_words(word: str) -> bool:
    """Is the text made of words that statuses are made of, so that it can name nobody?"""
    tokens = plain(word).split()
    return bool(tokens) and all(token in _vocabulary() for token in tokens)

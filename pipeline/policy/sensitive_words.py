"""Which words suggest that a course is sensitive, as regular expressions of DuckDB (RE2).

The list is sensitive_words.yaml beside this; the data map can add a company's own expressions. What
is matched is the text that the SQL macro `course_words` makes of a code or title.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

HARMLESS = "harmless"  # the entry of what is taken out of a text first
ANYWHERE, ENDS = "~", "."


@cache
def _listed() -> dict[str, tuple[str, ...]]:
    text = (files("pipeline.policy") / "sensitive_words.yaml").read_text("utf-8")
    return {
        name: tuple(map(str, words)) for name, words in yaml.load(text, yaml.CSafeLoader).items()
    }


def harmless() -> str:
    """What a title is read without."""
    return "|".join(map(_expression, _listed()[HARMLESS]))


@cache
def suggestions() -> dict[str, str]:
    """Category to the expression that suggests it. Of several categories the first one counts."""
    return {
        name: "|".join(map(_expression, words))
        for name, words in _listed().items()
        if name != HARMLESS
    }


def _expression(word: str) -> str:
    """The expression of one entry."""
    begins = "" if word.startswith(ANYWHERE) else " "
    ends = " " if word.endswith(ENDS) else ""
    inside = word.removeprefix(ANYWHERE).removesuffix(ENDS)
    # As the macro has it: umlauts are written as one letter.
    for two in ("ae", "oe", "ue"):
        inside = inside.replace(two, two[0])
    return f"{begins}(?:{inside.replace(' ', ' ?')}){ends}"

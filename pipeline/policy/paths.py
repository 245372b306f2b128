"""JSON paths as the data map lists them: keys with a dot between them, arrays without a step.

A key with a dot, a blank or a sign of patterns in it stands in quotation marks, as in JSON:
`context.extensions."https://w3id.org/xapi/video/extensions/time"`. In a pattern, `*` stands for
exactly one key, `**` for one or more, and a `*` within quotation marks for any text.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache

EMPTY = ".{}"  # after a path: an empty object, or null
PLAIN = r'[^\s."*{}\\]+'
QUOTED = r'"(?:[^"\\]|\\.)*"'
KEY = rf"(?:{PLAIN}|{QUOTED})"
STEPS = re.compile(rf"{KEY}|\*+")
TOKENS = re.compile(rf"{QUOTED}|[][}}{{]")
# Parts of a key that could be somebody's address, number or name; a year is none.
VALUE = re.compile(r"@|%40|\s|\d{5}|[0-9a-f]{16}|[0-9a-f]{8}-[0-9a-f]{4}-", re.IGNORECASE)
NUMBER = re.compile(r"(?!(?:19|20)\d\d$)\d{3,}")
PARTS = re.compile(r"([/#?&=:;,]+)")
# More keys in one place than this are data and no names; a path of more steps is shortened.
MOST_KEYS, MOST_STEPS = 100, 16


@cache
def _written(key: str) -> str:
    return key if re.fullmatch(PLAIN, key) else json.dumps(key, ensure_ascii=False)


def leaves(structure: str) -> Iterator[str]:
    """The paths of what DuckDB's json_structure gives; an empty object or null ends with EMPTY. An
    array's elements count as their array. Nothing recurses, however deep it is nested."""
    steps: list[str] = []
    around: list[str] = []
    key_comes = False
    for token in TOKENS.findall(structure):
        if token in ("{", "["):
            around.append(token)
            key_comes = token == "{"
            continue
        if key_comes and token != "}":
            steps.append(_written(json.loads(token)))
            key_comes = False
            continue
        if token in ("}", "]"):
            around.pop()
        elif steps:
            # An array of several types is no empty object.
            empty = token == '"NULL"' or (token == '"JSON"' and around[-1:] == ["{"])
            yield ".".join(steps) + (EMPTY if empty else "")
        key_comes = around[-1:] == ["{"]
        if key_comes:
            steps.pop()


def listed(path: str, patterns: Iterable[str]) -> bool:
    """Does a pattern cover the path? An empty object is covered if something below it is."""
    known = tuple(patterns)
    if path.endswith(EMPTY):
        inside = path.removesuffix(EMPTY)
        return listed(inside, known) or any(one.startswith(f"{inside}.") for one in known)
    # Whoever lists an IRI without quotation marks means it as a whole.
    bare = STEPS.sub(lambda key: str(json.loads(key[0])) if key[0][0] == '"' else key[0], path)
    return bare in known or _matcher(known).fullmatch(path) is not None


@cache
def _matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_expression(pattern)})" for pattern in patterns))


def _expression(pattern: str) -> str:
    steps = STEPS.findall(pattern)
    if ".".join(steps) != pattern:
        return re.escape(pattern)
    return r"\.".join(map(_step, steps))


def _step(step: str) -> str:
    match step:
        case "*":
            return KEY
        case "**":
            return rf"{KEY}(?:\.{KEY})*"
    return re.escape(step).replace(r"\*", r'(?:[^"\\]|\\.)*')


def shown(paths: Iterable[str]) -> list[str]:
    """Paths as messages show them, and as the map can list them, each once: all of them, and in
    full, but for what can be no name. A part of a key that could be somebody's address, number or
    name is `*`, and so are keys of which one place has very many."""
    every = [tuple(STEPS.findall(path.removesuffix(EMPTY))) for path in paths]
    below: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for steps in every:
        for at, step in enumerate(steps[:MOST_STEPS]):
            below[steps[:at]].add(step)
    return sorted({".".join(_nameable(steps, below)) for steps in every})


def _nameable(steps: tuple[str, ...], below: dict[tuple[str, ...], set[str]]) -> Iterator[str]:
    for at, step in enumerate(steps[:MOST_STEPS]):
        yield "*" if len(below[steps[:at]]) > MOST_KEYS else _masked(step)
    if len(steps) > MOST_STEPS:
        yield "**"


def _could_be_a_value(part: str) -> bool:
    return bool(VALUE.search(part) or NUMBER.fullmatch(part))


@cache
def _masked(step: str) -> str:
    key = json.loads(step) if step.startswith('"') else step
    parts = PARTS.split(key)
    masked = "".join(
        "*" if VALUE.search(part) or NUMBER.fullmatch(part) else part for part in parts
    )
    if masked == key:
        return step
    return "*" if masked == "*" else json.dumps(masked, ensure_ascii=False)

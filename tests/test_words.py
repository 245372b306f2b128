"""Whatever people see is in plain words: texts of commands, errors, Dagster, templates, documents
and policy files have none of the words that have no ordinary use here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.policy.version import FILES
from pipeline.storage.layout import PROJECT

BETTER = {
    r"told": "published; or what it is: manifest, entries, message, informed",
    r"tells": "shows, names, contains",
    r"grounds?": "context; lawful basis",
    r"nought": "zero",
    r"strokes?": "file edit",
    r"strikes?|struck": "delete, apply",
    r"thaw(?:s|ed)?": "resume",
    r"census": "population counts",
    r"landed": "received",
}
# `drop` is a treatment and a verb ("drop the column"); as a noun it is a delivery.
BEFORE_A_NOUN = (
    "a|an|the|this|that|these|those|each|every|one|no|any|another|all|both|its|whole|last|first|"
    r"next|new|old|late|later|earlier|raw|corrected|repeated|\w+'s|\d+|\{\}"
)
AFTER_A_NOUN = "of|that|which|is|are|was|were|has|lies|lie|carries|arrives?"
DROP = re.compile(
    rf"(?i:\b(?:{BEFORE_A_NOUN})\s+)drops?\b(?!\s+(?:the|its|out|below)\b)"
    rf"|\b[dD]rops?\s+(?:{AFTER_A_NOUN})\b|\b[dD]rop(?:'s|s)\b(?!\s+(?:the|a|its|to|out|below)\b)"
)
WORDS = re.compile("|".join(rf"\b(?:{word})\b" for word in BETTER), re.IGNORECASE)
# A statement of SQL is nobody's text, although it is a string with blanks.
SQL = re.compile(
    r"\b(SELECT|FROM|WHERE|CREATE|INSERT|COPY|CASE|JOIN|GROUP BY|ORDER BY|DROP|AS|AND|OR|IN)\b"
)
HIDDEN = re.compile(r"<style.*?</style>|<script.*?</script>|<[^>]*>|\{%.*?%\}|\{\{.*?\}\}", re.S)
DECORATORS = {"asset", "asset_check", "multi_asset", "sensor", "schedule", "run_status_sensor"}


class Text(NamedTuple):
    file: str
    line: int
    text: str


def faults(texts: Iterator[Text]) -> list[str]:
    """File and line of every such word, and the word that is better."""
    found = []
    for file, line, text in texts:
        for hit in WORDS.finditer(text):
            word = hit[0]
            better = next(b for w, b in BETTER.items() if re.fullmatch(w, word, re.IGNORECASE))
            found.append(f"{file}:{line}: {word} (better: {better})")
        for hit in DROP.finditer(text):
            found.append(f"{file}:{line}: {hit[0]} (better: delivery)")
    return found


def lines(path: Path, text: str) -> Iterator[Text]:
    for number, line in enumerate(text.splitlines(), 1):
        yield Text(str(path), number, line)


def spoken(node: ast.AST) -> str:
    """The text of a string or f-string, with {} for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value) if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            spoken(part) if isinstance(part, ast.Constant) else "{}" for part in node.values
        )
    return ""


def strings(node: ast.AST) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Strings below a node, f-strings as one; no subscripts, which are keys."""
    if isinstance(node, ast.JoinedStr):
        yield node
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from strings(part.value)
    elif isinstance(node, ast.Subscript):
        yield from strings(node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node
    else:
        for child in ast.iter_child_nodes(node):
            yield from strings(child)


def docstrings(tree: ast.AST) -> set[int]:
    """Which strings are docstrings, by identity."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }


def shown_in_dagster(tree: ast.AST) -> set[int]:
    """Docstrings that Dagster shows: those of assets, checks, sensors and schedules."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr):
            names = {
                n.attr if isinstance(n, ast.Attribute) else getattr(n, "id", "")
                for decorator in node.decorator_list
                for n in ast.walk(decorator)
            }
            if names & DECORATORS:
                found.add(id(node.body[0].value))
    return found


def in_code(root: Path, path: Path, *, all_docstrings: bool = False) -> Iterator[Text]:
    """Strings of a module that people see: sentences, and whatever is raised."""
    tree = ast.parse(path.read_text("utf-8"))
    hidden = set() if all_docstrings else docstrings(tree) - shown_in_dagster(tree)
    raised = {
        id(s) for node in ast.walk(tree) if isinstance(node, ast.Raise) for s in strings(node)
    }
    for node in strings(tree):
        text = spoken(node)
        sentence = text.count(" ") > 1 and not SQL.search(text)
        if id(node) not in hidden and (sentence or all_docstrings or id(node) in raised):
            yield Text(str(path.relative_to(root)), node.lineno, text)


def commands(root: Path) -> Iterator[Text]:
    for path in sorted((root / "pipeline" / "cli").rglob("*.py")):
        yield from in_code(root, path, all_docstrings=True)


def messages(root: Path) -> Iterator[Text]:
    for top in ("pipeline", "assets", "expectations"):
        for path in sorted((root / top).rglob("*.py")):
            if "cli" not in path.parts:
                yield from in_code(root, path)


def templates(root: Path) -> Iterator[Text]:
    for top in ("pipeline", "expectations"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in (".md", ".html"):
                text = HIDDEN.sub(lambda hit: "\n" * hit[0].count("\n"), path.read_text("utf-8"))
                yield from lines(path.relative_to(root), text)


def documents(root: Path) -> Iterator[Text]:
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        yield from lines(path.relative_to(root), path.read_text("utf-8"))


def policies(root: Path) -> Iterator[Text]:
    for path in [*(root / name for name in FILES), *sorted((root / "deploy").iterdir())]:
        yield from lines(path.relative_to(root), path.read_text("utf-8"))


AREAS = (commands, messages, templates, documents, policies)


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.__name__)
def test_what_people_see_is_in_plain_words(area: object) -> None:
    assert callable(area)
    found = faults(area(PROJECT))
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "one drop of learning history",
        "The drop is read again",
        "Repeated, late and corrected drops",
        "90 drops at once",
        "the day's drop",
        "Drops are read from any URL",
        "a drop's columns",
        "raw drops",
        "what coaching was told",
        "a window of nought",
        "freeze and thaw",
    ],
)
def test_the_words_are_found(text: str) -> None:
    assert faults(iter([Text("x", 1, text)]))


@pytest.mark.parametrize(
    "text",
    [
        "drop never leaves the reader",
        "treatment: drop, audiences: []",
        "`drop` or `tokenise`",
        "a direct identifier must be dropped",
        "it drops the column",
        "capabilities: {drop: [ALL]}",
        "background",
        "the outstanding rows",
        "DROP TABLE x",
    ],
)
def test_ordinary_words_are_not(text: str) -> None:
    assert not faults(iter([Text("x", 1, text)]))

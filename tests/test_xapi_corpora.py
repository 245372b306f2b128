"""Statements that others publish run through with the counts of docs/xapi.md, none lost.

They are no part of the project. XAPI_CORPORA names a folder with checkouts of their repositories,
<owner>/<name>, at the commits of the table in docs/xapi.md.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.policy.data_map import DataMap
from pipeline.raw.readers import xapi
from pipeline.storage.engine import engine
from pipeline.storage.layout import PROJECT
from tests.test_xapi import Xapi

FOLDER = os.environ.get("XAPI_CORPORA")
Statements = Iterable[dict[str, Any]]
EDX = "event_routing_backends/processors/xapi/tests/fixtures/expected"
# Which part of a statement the templates of the conformance tests are.
PARTS = {
    "agents": "actor",
    "groups": "actor",
    "verbs": "verb",
    "activities": "object",
    "substatements": "object",
    "results": "result",
    "contexts": "context",
    "attachments": "attachments",
}


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _each(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for found in map(_read, sorted(files)):
        yield from found if isinstance(found, list) else [found]


def _templates(root: Path) -> Iterator[dict[str, Any]]:
    """Every template of a statement, and every part in the place of the default statement's."""
    for templates in sorted(root.glob("test/v*/templates")):
        default = _read(templates / "statements" / "default.json")
        for path in sorted(templates.rglob("*.json")):
            part = PARTS.get(path.parent.name)
            yield default | ({part: _read(path)} if part else _read(path))


CORPORA: dict[str, Callable[[Path], Statements]] = {
    "openfun/ralph": lambda root: map(
        json.loads, gzip.decompress((root / "data/statements.json.gz").read_bytes()).splitlines()
    ),
    "openedx/event-routing-backends": lambda root: _each((root / EDX).glob("*.json")),
    "xAPI-vle/moodle-logstore_xapi": lambda root: _each((root / "tests").rglob("statements.json")),
    "yetanalytics/datasim": lambda root: _each(
        (root / "dev-resources/xapi/statements").rglob("*.json")
    ),
    "adlnet/lrs-conformance-test-suite": _templates,
}


def _cells(first: str) -> list[str]:
    """The cells of a row of the table in docs/xapi.md, but for the first."""
    text = (PROJECT / "docs" / "xapi.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| {re.escape(first)}.*$", text, re.MULTILINE)
    return [cell.strip() for cell in str(row).split("|")[2:-1]]


def documented(corpus: str) -> Counter[str]:
    """The counts of a corpus, without zeros."""
    numbers = (int(cell.replace(",", "")) for cell in _cells(f"{corpus} "))
    return +Counter(dict(zip(_cells("corpus,"), numbers, strict=True)))


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_corpus_runs_through_and_nothing_is_lost(
    tmp_path: Path, data_map: DataMap, corpus: str
) -> None:
    if FOLDER is None or not (root := Path(FOLDER) / corpus).exists():
        pytest.skip(f"XAPI_CORPORA names no folder with a checkout of {corpus}")
    # As an LRS adds it when it stores a statement.
    given = [{"stored": "2026-10-01T00:00:00Z"} | one for one in CORPORA[corpus](root)]
    counts = Counter({"statements": len(given)})
    with engine(tmp_path / "work") as connection:
        reader = Xapi(tmp_path, data_map, connection)
        path = reader.write("\n".join(map(json.dumps, given)))
        assert not [one for one in xapi.columns(path) if not reader.source.lists(one)]
        for row in reader.rows(path):
            counts["stored" if row["problem"] is None else "quarantined"] += 1
    for (reason, _), n in reader.left_out.items():
        named = reason if reason in ("not a milestone", "unknown verb") else "about something else"
        counts[named] += n
    assert counts == documented(corpus)
    assert counts.total() == 2 * len(given)

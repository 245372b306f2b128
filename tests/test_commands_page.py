"""docs/commands.md lists all commands, options and settings, in plain words."""

from __future__ import annotations

import re

import pytest

from pipeline.cli.page import page
from pipeline.cli.shared import PANELS
from pipeline.settings import Settings, variable
from pipeline.storage.layout import PROJECT

# Words that only this project would use, or that the glossary replaces.
PRIVATE = [
    *("told", "tells", "nought", "stroke", "freeze", "frozen", "thaw", "thawed", "landed"),
    *("drop", "drops", "night", "nights", "tonight", "door", "withheld", "leave", "deed"),
]


def test_the_page_is_up_to_date() -> None:
    written = (PROJECT / "docs" / "commands.md").read_text("utf-8")
    assert written == page(), "run: python -m pipeline.cli.page > docs/commands.md"


def test_the_page_has_every_setting_and_every_group() -> None:
    text = page()
    for name in Settings.model_fields:
        assert f"| `{variable(name)}` |" in text
    for panel in PANELS:
        assert f"## {panel}\n" in text


def test_everything_is_described() -> None:
    for line in page().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert not cells or all(cells[:2]), line


@pytest.mark.parametrize("word", PRIVATE)
def test_no_private_word(word: str) -> None:
    found = re.findall(rf"^.*\b{word}\b.*$", page(), re.IGNORECASE | re.MULTILINE)
    assert not found

"""The read service from a notebook, as docs/analysts.md shows it."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import polars as pl
import pytest

from pipeline.access.authorize import AccessDenied, AccessRequest
from pipeline.policy.access import Role
from pipeline.read.service import ReadResult, read
from pipeline.storage.layout import PROJECT
from tests.fixtures import Estate


def test_the_example_runs(published: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(
        r"```python\n(.*?)```", (PROJECT / "docs" / "analysts.md").read_text(), re.DOTALL
    )
    assert 'Path("data")' in code
    monkeypatch.setenv("MILESTONES_ACTOR", "ana")
    names: dict[str, Any] = {}
    exec(code.replace('Path("data")', f"Path({str(published.home)!r})"), names)
    result = names["result"]
    assert isinstance(result, ReadResult)
    assert isinstance(result.frame, pl.DataFrame)
    assert result.frame.height == result.total > 0


def test_a_result_is_frozen_and_has_the_granted_columns(published: Estate) -> None:
    asked = AccessRequest("ana", Role.ANALYST, "training_quality", "analytics_milestones")
    result = read(published.context, asked, limit=3)
    columns = published.context.data_map.published["analytics_milestones"].columns
    assert result.frame.columns == list(columns)
    assert result.columns == tuple(columns)
    assert result.frame.height == len(result.rows) == 3 < result.total
    assert result.frame.schema["period"] == pl.Date
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.total = 0


def test_a_refusal_is_an_error(published: Estate) -> None:
    asked = AccessRequest("ana", Role.ANALYST, "misconduct_case", "coaching_team")
    with pytest.raises(AccessDenied):
        read(published.context, asked)

"""Great Expectations is loaded by a thread beside the first steps of a run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from expectations import suite
from pipeline.storage.layout import PROJECT


@pytest.fixture
def fresh() -> Iterator[None]:
    suite.preload.cache_clear()
    yield
    suite.preload.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_an_error_of_the_thread_is_raised_where_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> None:
        raise ImportError("no such library")

    monkeypatch.setattr(suite, "_load", broken)
    suite.preload()
    with pytest.raises(ImportError, match="no such library"):
        suite.judge("suite", ["rule"], {"rule": 0})


def test_it_loads_in_a_thread_of_its_own_and_once() -> None:
    code = (
        "import sys, threading; from expectations import suite;"
        "assert 'great_expectations' not in sys.modules;"
        "one, other = suite.preload(), suite.preload(); assert one is other;"
        "assert any(t.name.startswith('great-expectations') for t in threading.enumerate());"
        "v = suite.judge('s', ['a', 'b'], {'a': 0, 'b': 2}); assert v.broken == {'b': 2}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT, timeout=120)

"""`milestones delivery` and `milestones quarantine`: who may do what, and what is shown."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.access.audit import bodies
from pipeline.cli.app import app
from pipeline.cli.exits import Exit
from pipeline.raw import register
from pipeline.raw.deliveries import ingest
from pipeline.raw.register import State
from tests.company import EMAIL, NAME, number
from tests.fixtures import RUN_DATE, Estate
from tests.kill_points import tables

Call = Callable[..., tuple[int, str]]


def rows(home: Path) -> int:
    """Rows of single people that are published."""
    return sum(len(found) for name, found in tables(home).items() if "coaching" not in name)


@pytest.fixture
def call(
    published: Estate, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Call:
    def call(actor: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setenv("MILESTONES_ACTOR", actor)
        with pytest.raises(SystemExit) as ended:
            app([*arguments, "--home", str(published.home)])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return call


def test_a_withdrawn_delivery_is_in_no_table_and_does_not_come_back(
    call: Call, published: Estate
) -> None:
    day, layout = str(RUN_DATE), published.layout
    assert "accepted" in call("audrey", "delivery", "list")[1]
    code, said = call("ana", "delivery", "withdraw", day, "--because", "wrong export")
    assert code == Exit.REFUSED
    assert "may not do `delivery withdraw`" in said
    assert rows(published.home)
    code, said = call("eddy", "delivery", "withdraw", day, "--because", "wrong export")
    assert code == Exit.DONE, said
    assert not rows(published.home)
    assert "wrong export" in call("dora", "delivery", "show", day)[1]
    assert call("eddy", "delivery", "withdraw", day, "--because", "twice")[0] == Exit.REFUSED
    result = published.run()
    assert not result.success
    assert "delivery allow" in result.errors
    assert not rows(published.home)
    code, said = call("eddy", "delivery", "allow", day, "--because", "it was right")
    assert code == Exit.DONE, said
    assert ingest(layout, published.context.data_map, RUN_DATE)
    (latest,) = register.steps(layout, RUN_DATE)[-1:]
    assert latest.state is State.RECEIVED


def test_the_quarantine_is_shown_without_values_and_exported_for_its_role(
    call: Call, published: Estate, tmp_path: Path
) -> None:
    code, said = call("dora", "quarantine", "--date", str(RUN_DATE))
    assert code == Exit.DONE
    assert "score:not_a_number" in said
    assert not [value for value in (NAME, EMAIL, number(3), "SQL-220") if value in said]
    to = tmp_path / "rows.csv"
    arguments = ("quarantine", "--date", str(RUN_DATE), "--export", str(to))
    assert call("ana", *arguments)[0] == Exit.REFUSED
    assert not to.exists()
    assert call("eddy", *arguments)[0] == Exit.DONE
    assert to.stat().st_mode & 0o777 == 0o600
    (row,) = csv.DictReader(to.open())
    assert (row["rule"], row["file"]) == ("score:not_a_number", "learning_history.csv")
    assert number(3) in row["raw"]
    assert "exported by eddy" in list(bodies(published.layout))[-1]["note"]
    assert call("eddy", *arguments)[0] == Exit.BAD_INPUT, "a file is never written over"

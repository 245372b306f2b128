"""The console command, and what is left when its process is killed."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from assets.resources import Store
from pipeline.cli import run, screen, views
from pipeline.cli.app import app
from pipeline.cli.exits import Exit
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import PROJECT, Layout
from tests import plain
from tests.command import COMMAND, environment, milestones
from tests.company import EMAIL, NAME, company, write_delivery
from tests.estate import sign_policy
from tests.fixtures import RUN_DATE, Estate
from tests.opened import everything

Show = Callable[..., tuple[bool, str]]


def test_help_is_quick_to_load() -> None:
    heavy = {"dagster", "duckdb", "polars", "great_expectations", "matplotlib"}
    # Who reads or asks for the status draws nothing and checks nothing.
    for module, left_out in (("app", heavy), ("views", {"great_expectations", "matplotlib"})):
        code = f"import sys, pipeline.cli.{module}; print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert not left_out & set(done.stdout.split()), module


def plain_job(
    home: Path, name: str, partition: str | None, *more: Any, job: Any = run.run_job
) -> Exit:
    """In place of `run_job`: a run's steps as plain functions, and the other jobs as they are."""
    if name != "nightly":
        return Exit(job(home, name, partition, *more))
    ran = plain.run(Store(home=str(home)), dt.date.fromisoformat(str(partition)))
    assert ran.success, ran.errors
    return Exit.DONE


@pytest.mark.usefixtures("plainly")
def test_demo_runs_and_is_a_function_of_its_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps of its two runs are those of `milestones run`, which others show in Dagster; the
    installed demo is run as it is in a soak."""
    small = ("--date", "2026-11-02", "--people", "60", "--records", "500")
    monkeypatch.setattr(run, "run_job", plain_job)
    first = milestones(tmp_path / "a", "demo", *small)
    assert first.returncode == 0, first.stderr
    for output in (
        "coaching_team",
        "suppressed + published, for every table",
        "hr_legal_detail is not shown",
    ):
        assert output in first.stdout
    assert milestones(tmp_path / "b", "generate", *small).returncode == 0
    for path in (tmp_path / "a" / "landing").rglob("*.csv"):
        twin = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == twin.read_bytes()
    mode = (tmp_path / "a" / "store").stat().st_mode & 0o077
    assert mode == 0, "others may look into the store"


def test_a_refused_delivery_says_why(tmp_path: Path) -> None:
    folder = write_delivery(Path(Layout(tmp_path).landing) / str(RUN_DATE), *company())
    sign_policy(tmp_path)
    text = (folder / "learning_history.csv").read_text()
    (folder / "learning_history.csv").write_text(text.replace("Location", "Salary", 1))
    done = milestones(tmp_path, "run", "--date", str(RUN_DATE))
    assert done.returncode == Exit.REFUSED
    assert "'Salary'" in done.stderr
    assert "nothing was published" in done.stderr
    assert not [v for v in (NAME, EMAIL) if v in done.stdout + done.stderr]
    checked = milestones(tmp_path, "check", "--date", str(RUN_DATE))
    assert checked.returncode == Exit.REFUSED
    assert "'Salary'" in checked.stderr


def test_a_delivery_is_checked_under_a_policy_that_nobody_has_signed(tmp_path: Path) -> None:
    write_delivery(Path(Layout(tmp_path).landing) / str(RUN_DATE), *company())
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    checked = milestones(tmp_path, "check", "--date", str(RUN_DATE))
    assert checked.returncode == Exit.DONE, checked.stderr
    assert "all columns known" in checked.stdout
    assert "a run would be refused: policy" in checked.stderr
    assert "not signed by legal and hr" in checked.stderr
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_no_delivery_is_an_error(tmp_path: Path) -> None:
    done = milestones(tmp_path, "check", "--date", "2026-11-05")
    assert done.returncode == Exit.BAD_INPUT
    assert "no delivery for 2026-11-05" in done.stderr


@pytest.fixture
def shown(
    published: Estate, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Show:
    """The command `show`, in this process, as some actor."""

    def show(actor: str, *arguments: str) -> tuple[bool, str]:
        monkeypatch.setenv("MILESTONES_ACTOR", actor)
        with pytest.raises(SystemExit) as ended:
            app(["show", *arguments, "--home", str(published.home)])
        output = capsys.readouterr()
        return ended.value.code == 0, output.out + output.err

    return show


def test_no_figure_is_cut_on_a_narrow_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {
        "table": "coaching_team_course",
        "received": 987_654_321,
        "quarantined": 123_456_789,
        "superseded": 234_567_891,
        "suppressed": {"no date": 345_678_912},
        "published": 283_950_729,
        "balanced": True,
    }
    layout = Layout(tmp_path)
    layout.reconciliation.mkdir(parents=True)
    (layout.reconciliation / "2026-11-24.json").write_text(json.dumps([large]))
    monkeypatch.setattr(screen.console, "width", 80)
    views.reconciliation(tmp_path, "2026-11-24")
    output = capsys.readouterr().out
    for name in ("received", "quarantined", "superseded", "published"):
        assert f"{large[name]:,}" in output
    assert "coaching_team_cour" in output
    assert max(map(len, output.splitlines())) <= 80


def test_nothing_is_shown_to_nobody(shown: Show) -> None:
    done, output = shown("stranger", "--purpose", "team_coaching")
    assert not done
    assert "no role" in output


def test_a_role_sees_the_tables_of_its_purpose(shown: Show) -> None:
    done, output = shown("ana", "--purpose", "team_coaching")
    assert done, output
    assert "coaching_team_course" in output
    assert "analytics" not in output
    done, output = shown("ana", "--purpose", "misconduct_case")
    assert not done
    assert "may not state" in output


@pytest.mark.parametrize("name", ["nothing", "../vault", "x'; DROP TABLE coaching_team; --"])
def test_an_unknown_table_is_refused(shown: Show, name: str) -> None:
    done, output = shown("ana", name, "--purpose", "team_coaching")
    assert not done
    assert "no published table" in output


def test_a_manager_sees_their_own_reports_only(shown: Show, finished_run: Estate) -> None:
    with duckdb.connect(str(finished_run.layout.current / "manager_extract.duckdb")) as c:
        counts = c.execute(
            "SELECT count(*) FROM manager_extract GROUP BY manager_ref ORDER BY 1 DESC"
        ).fetchall()
    assert len(counts) == 3
    for actor, (count,) in (("max", counts[0]), ("mia", counts[2])):
        done, output = shown(actor, "--purpose", "one_to_one")
        assert done, output
        assert f"({count:,} rows" in output
    done, output = shown("idle", "--purpose", "one_to_one")
    assert done
    assert "(0 rows" in output


def started(home: Path, step: str) -> bool:
    """Has a step of the only run in a fresh Dagster folder begun?"""
    for path in (home / "dagster" / "history" / "runs").glob("????????-*.db"):
        with (
            suppress(sqlite3.OperationalError),  # it is just being made
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection,
        ):
            query = "SELECT count(*) FROM event_logs WHERE dagster_event_type = ? AND step_key = ?"
            ((found,),) = connection.execute(query, ("STEP_START", step)).fetchall()
            return bool(found)
    return False


STAGES = (
    "raw__milestones",
    "classified__milestones",
    "classified__reference_values",
    "pseudonymized__hr_legal",
    "staged_for_hr_legal",
    "hr_legal_no_leak",
    "published__release",
)


# Where a run can die is for tests/test_killed.py; here it is a process of Dagster's that dies.
@pytest.mark.usefixtures("plainly")
@pytest.mark.parametrize(
    ("stage", "later_by"),
    [
        ("staged_for_coaching", 0.05),
        *(pytest.param(stage, 0.05, marks=pytest.mark.soak) for stage in STAGES),
        pytest.param("published__release", 1.5, marks=pytest.mark.soak),
    ],
)
def test_a_run_killed_in_any_stage_is_made_good_by_one_more_run(
    published: Estate, stage: str, later_by: float
) -> None:
    """SIGKILL: readers see a release whole, and a re-run reaches the new one."""
    home, layout = published.home, published.layout
    shutil.rmtree(home / "dagster", ignore_errors=True)
    rows, people, statements = company()
    later = RUN_DATE + dt.timedelta(days=1)
    write_delivery(published.delivery(later), rows[:5], people, statements)
    process = subprocess.Popen(
        [*COMMAND, "run", "--home", str(home), "--date", str(later)],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment(),
    )
    while not started(home, stage):
        assert process.poll() is None, f"the run ended without {stage}"
        time.sleep(0.1)  # each look opens a database
    time.sleep(later_by)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    output = json.loads((layout.current / "release.json").read_text())
    assert output["partition"] in (str(RUN_DATE), str(later))
    for name, sha in output["sha256"].items():
        assert file_sha256(layout.current / name) == sha
        if not name.endswith(".json"):
            assert everything(home, layout.current / name)
    again = milestones(home, "run", "--date", str(later))
    assert again.returncode == 0, again.stderr
    assert json.loads((layout.current / "release.json").read_text())["partition"] == str(later)
    assert [p.name for p in layout.releases.iterdir() if not p.is_symlink()] == [
        layout.current.resolve().name
    ]
    assert {p.name for p in layout.work.iterdir()} <= {"spill"}


def test_the_demo_is_written_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, small = tmp_path / "elsewhere", ("--date", "2026-11-02", "--people", "20")
    for name, url in (("a", None), ("b", f"file://{elsewhere}"), ("c", str(elsewhere / "c"))):
        home = tmp_path / name
        there = home / "landing" if url is None else Path(url.removeprefix("file://"))
        if url is not None:
            monkeypatch.setenv("MILESTONES_LANDING", url)
        assert milestones(home, "generate", *small).returncode == 0
        for day in ("2026-11-01", "2026-11-02"):
            assert milestones(home, "check", "--date", day).returncode == 0
            assert (there / day / "_COMPLETE").exists()
    # Somebody's own deliveries do not become a demo's.
    done = milestones(tmp_path / "d", "demo", *small)
    assert done.returncode == Exit.REFUSED
    assert "MILESTONES_LANDING" in done.stderr
    assert not (tmp_path / "d").exists()

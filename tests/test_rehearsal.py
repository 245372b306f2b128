"""A rehearsal runs everything, publishes nothing, shows no number under k and leaves nothing."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.context import open_layout
from pipeline.governance.small_counts import hidden, total
from pipeline.retained.data_inventory import undeclared_files
from pipeline.storage import encryption
from pipeline.storage.layout import Layout
from pipeline.storage.throw_away import throw_away
from tests.command import milestones
from tests.company import EMAIL, NAME, company, number, record, write_delivery
from tests.estate import context, decide_courses, sign_policy

NAMES = [f"reason {n}" for n in range(6)]
TABLES = st.lists(
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 30), min_size=1), min_size=1, max_size=4
)


@given(TABLES, st.integers(2, 9))
def test_no_count_under_k_can_be_read_or_worked_out(tables: list[dict[str, int]], k: int) -> None:
    names = hidden(tables, k)
    for counts in tables:
        shown = {name: n for name, n in counts.items() if name not in names and n}
        assert all(n >= k for n in shown.values())
        sum_, rest = total(counts, names, k), [n for n in counts.values() if n]
        if sum_ is None:
            continue
        assert sum_ == sum(rest)
        # What is left after subtraction is no single count, and none under k.
        left, unknown = sum_ - sum(shown.values()), len(rest) - len(shown)
        assert left == 0 or (left >= k and unknown >= 2)


def test_nothing_is_hidden_where_nothing_is_small() -> None:
    tables = [{"published": 5, "superseded": 0}, {"published": 7, "late": 1_000}]
    assert hidden(tables, 5) == frozenset()
    assert [total(one, frozenset(), 5) for one in tables] == [5, 1_007]


def test_a_count_about_few_people_is_hidden_however_large() -> None:
    assert hidden([{"a": 900, "b": 20, "c": 30}], 5, ["a"]) == {"a", "b"}
    assert total({"a": 900}, hidden([{"a": 900}], 5, ["a"]), 5) is None


def test_a_small_count_takes_another_one_with_it_in_every_table() -> None:
    names = hidden([{"a": 1, "b": 9, "c": 20}, {"b": 9, "d": 40, "e": 50}], 5)
    assert names == {"a", "b", "d"}


def _left_behind(home: Path) -> None:
    """Be killed during a rehearsal."""
    with throw_away(Layout(home)) as root:
        encryption.write_text(Layout(root), root / "vault.json.enc", NAME)
        (root / "records.parquet").write_text(NAME)
        os._exit(9)


def test_what_a_killed_one_leaves_is_declared_unreadable_and_gone_at_the_next_start(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    killed = multiprocessing.get_context("fork").Process(target=_left_behind, args=(home,))
    killed.start()
    killed.join()
    left = Layout(home)
    (root,) = [path for path in left.work.glob("throw-away-*") if path.is_dir()]
    assert undeclared_files(left) == []
    # The key to what is encrypted died with the process.
    assert not list(root.rglob("storage.key"))
    with throw_away(left) as mine:
        open_layout(home)
        assert not root.exists()
        assert mine.exists(), "what is in use stays"
    assert not list(left.work.glob("*")) or not list(left.work.glob("throw-away-*"))


def test_a_throw_away_folder_has_settings_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESTONES_KEYRING", str(tmp_path / "ring.json"))
    with throw_away(Layout(tmp_path / "home")):
        assert "MILESTONES_KEYRING" not in os.environ
        first = os.environ["MILESTONES_STORAGE_KEY"]
    with throw_away(Layout(tmp_path / "home")):
        assert os.environ["MILESTONES_STORAGE_KEY"] != first
    assert "MILESTONES_STORAGE_KEY" not in os.environ
    assert os.environ["MILESTONES_KEYRING"] == str(tmp_path / "ring.json")
    assert not (tmp_path / "home").exists()


def test_it_says_what_a_run_would_do_and_leaves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    sign_policy(home, live=False)
    decide_courses(context(home))
    rows, people, statements = company()
    rows += [record(p, Status="Bestanden ", Course_Code="SQL-220") for p in range(19)]
    rows += [record(p, Status=NAME, Course_Code="SQL-220") for p in range(6)]
    rows += [record(7, Status="zurückgezogen", Course_Code="SQL-220")]
    rows += [record(p, Score="n/a") for p in range(4, 9)]
    write_delivery(home / "landing" / "2026-11-08", rows, people, statements)
    (home / "landing" / "2026-11-07").mkdir()
    (home / "landing" / "2026-11-07" / "notes.txt").write_text("x")
    before = {path for path in home.rglob("*") if path.is_file()}
    done = milestones(home, "rehearse")
    assert done.returncode == 3
    assert "delivery of 2026-11-07: notes.txt" in done.stderr, "the other one is read all the same"
    says = " ".join((done.stdout + done.stderr).split())
    assert "status:unknown (corporate, bestanden) 19" in says
    assert "status:unknown (corporate, other words)" in says
    assert "zurückgezogen" not in says, "the word of one person"
    assert "could identify people" in says
    assert "analyst" in says
    assert "nothing was published" in says
    assert not [one for one in (NAME, EMAIL, *map(number, range(20))) if one in says]
    left = {path for path in home.rglob("*") if path.is_file()} - before
    # But for the entry in the access log: it reads people's rows.
    logged = {path for path in left if path.is_relative_to(home / "vault" / "access")}
    assert logged
    assert left - logged <= {home / "lock", *(home / "vault").glob("access-key.*")}


def test_two_files_of_one_name_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_delivery(tmp_path / folder, [record()])
    files = [str(tmp_path / folder / "learning_history.csv") for folder in ("a", "b")]
    done = milestones(tmp_path / "home", "rehearse", *files)
    assert done.returncode == 2
    assert "two files have one name: learning_history.csv" in done.stderr
    assert not (tmp_path / "home").exists()

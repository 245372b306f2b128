"""A changed policy: what it would do is what it then does, and a pilot touches nobody else."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from pipeline.access import audit
from pipeline.access.authorize import AccessRequest
from pipeline.errors import PolicyError
from pipeline.governance import pilot, preview
from pipeline.governance.preview import Change
from pipeline.policy.access import Role
from pipeline.policy.fields import Audience
from pipeline.published import gate
from pipeline.read import service
from pipeline.read.receive import receive
from pipeline.storage.layout import PROJECT
from tests.company import number
from tests.estate import STAFF, policy_with, sign_policy
from tests.fixtures import Estate, errors
from tests.opened import released
from tests.test_governance import policy, shipped

pytestmark = pytest.mark.usefixtures("plainly")
NOW = dt.datetime.now(dt.UTC)


def fewer_columns(folder: Path) -> Path:
    """Managers do not see the outcome any more; k of analysts is more than a class has."""
    data_map = shipped("data_map.yaml")
    data_map["published"]["manager_extract"]["columns"].remove("outcome")
    changed = policy(folder, data_map, "data_map.yaml")
    rules = yaml.safe_load((PROJECT / "disclosure_rules.yaml").read_text())
    rules["classes"]["analytics_milestones"]["k"] = 20
    (changed / "disclosure_rules.yaml").write_text(yaml.safe_dump(rules))
    return changed


def rows(folder: Path) -> dict[str, tuple[list[str], Counter[tuple[Any, ...]]]]:
    """Every table in the DuckDB files of a folder: columns and rows."""
    found = {}
    with released(folder.resolve().parent.parent, folder) as c:
        for database, table in c.execute(
            "SELECT database_name, table_name FROM duckdb_tables() UNION SELECT database_name, "
            "view_name FROM duckdb_views() WHERE database_name LIKE '%_db'"
        ).fetchall():
            relation = c.sql(f"FROM {database}.{table}")
            found[table] = (relation.columns, Counter(relation.fetchall()))
    return found


def other(published: Estate, folder: Path) -> Estate:
    return Estate(published.home, published.instance, folder)


def test_the_preview_is_what_the_run_then_does(published: Estate, tmp_path: Path) -> None:
    folder = fewer_columns(tmp_path / "policy")
    candidate = other(published, folder)
    before, release = rows(published.layout.current), pilot.hashes(published.layout)
    found = preview.preview(published.context, PROJECT, candidate.context, folder, NOW)
    assert pilot.hashes(published.layout) == release
    assert not [p for p in published.layout.work.iterdir() if p.name.startswith("preview")]
    assert found.stopped_by == {}
    result = candidate.run()
    assert result.success, errors(result)
    after = rows(published.layout.current)
    changes = {one.table: one for one in found.changes}
    assert set(changes) == set(before) == set(after)
    for table, change in changes.items():
        (old_columns, old), (new_columns, new) = before[table], after[table]
        assert change.columns_gone == tuple(c for c in old_columns if c not in new_columns)
        assert change.rows_before == old.total()
        assert change.rows_after == new.total(), table
        if old_columns == new_columns:
            assert change.rows_gone == (old - new).total(), table
            assert change.rows_new == (new - old).total(), table
            if "learner_ref" in new_columns:
                at = new_columns.index("learner_ref")
                touched = {row[at] for row in (old - new) + (new - old)}
                assert change.people_touched == len(touched)
    assert changes["manager_extract"].columns_gone == ("outcome",)
    assert changes["analytics_milestones"].rows_gone > 0, "the change was not seen at all"
    assert changes["hr_legal_detail"].rows_gone == changes["hr_legal_detail"].people_touched == 0
    assert [key for key in found.keys if "k: 5 → 20" in key]


def test_the_same_policy_changes_nothing(published: Estate) -> None:
    found = preview.preview(published.context, PROJECT, published.context, PROJECT, NOW)
    assert found.keys == ()
    assert {one.rows_gone + one.rows_new for one in found.changes} == {0}


def test_a_policy_whose_run_would_stop_says_so(published: Estate, tmp_path: Path) -> None:
    changed = shipped()
    changed["transfers"]["unknown_region"] = "APAC"
    changed["transfers"]["scc"] = []
    changed["transfers"]["home"]["EU"] = "US"
    folder = policy(tmp_path / "policy", changed)
    with pytest.raises(PolicyError, match="nothing lets data of EU go"):
        preview.preview(published.context, PROJECT, other(published, folder).context, folder, NOW)
    assert not [p for p in published.layout.work.iterdir() if p.name.startswith("preview")]


def test_tables_that_come_or_go(tmp_path: Path) -> None:
    old = tmp_path / "old.duckdb"
    with duckdb.connect(str(old)) as c:
        c.execute("CREATE TABLE t AS SELECT 'a' AS learner_ref, 1 AS x")
    expected = {
        "before": Change("t", ("learner_ref", "x"), (), 1, 0, 1, 0, 1, 0, 1),
        "after": Change("t", (), ("learner_ref", "x"), 0, 1, 0, 1, 0, 1, 1),
    }
    for name, change in expected.items():
        with duckdb.connect() as c:
            c.execute(f"ATTACH '{old}' AS {name} (READ_ONLY)")
            assert preview._change(c, "t") == change


def test_a_pilot_group_gets_it_first_and_nobody_else(published: Estate, tmp_path: Path) -> None:
    folder = fewer_columns(tmp_path / "policy")
    candidate, layout = other(published, folder), published.layout
    with pytest.raises(PolicyError, match="not signed"):
        pilot.start(candidate.context, ("max",), NOW)
    sign_policy(published.home, folder)
    with pytest.raises(PolicyError, match="staff list"):
        pilot.start(candidate.context, ("stranger",), NOW)
    assert not layout.pilot.exists()
    before, was = pilot.hashes(layout), rows(layout.current)
    target = pilot.start(candidate.context, ("max", "ana"), NOW)
    assert pilot.hashes(layout) == before, "the rest is untouched, to the byte"
    proof = json.loads((target / "pilot.json").read_text())
    assert proof["release_before"] == proof["release_after"] == before
    assert {p.name for p in target.iterdir()} == {"max", "ana", "pilot.json"}
    columns, mine = rows(target / "max" / "manager")["manager_extract"]
    assert columns == [c for c in was["manager_extract"][0] if c != "outcome"]
    assert len({row[0] for row in mine}) == 1
    assert set(rows(target / "ana" / "analyst")) == {*was} - {"manager_extract", "hr_legal_detail"}
    assert list(audit.bodies(layout))[-1]["note"].endswith("for ana, max")
    for actor, role in (("max", Role.MANAGER), ("mia", Role.MANAGER)):
        ref = service.reference(
            published.context, f"emp:{number(STAFF[actor][1] or 0)}", Audience.MANAGER
        )
        ask = AccessRequest(actor, role, "one_to_one", "manager_extract")
        receive(published.context, ask, ref, tmp_path / actor)
    assert "outcome" not in rows(tmp_path / "max")["manager_extract"][0]
    assert "outcome" in rows(tmp_path / "mia")["manager_extract"][0]
    # What the pilot got is what the run then publishes, and the pilot ends with it.
    piloted = rows(target / "ana" / "analyst")["analytics_milestones"]
    assert candidate.run().success
    assert rows(layout.current)["analytics_milestones"] == piloted
    assert not layout.pilot.exists()


def test_a_pilot_whose_checks_fail_writes_nothing(
    published: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = policy_with(tmp_path / "policy", "governance.yaml", {"plan": {"steps": []}})
    sign_policy(published.home, folder)
    monkeypatch.setattr(pilot, "verdicts", lambda *_: {"coaching_team": ["k"]})
    with pytest.raises(PolicyError, match="would stop at coaching_team"):
        pilot.start(other(published, folder).context, ("max",), NOW)
    assert not layout_files(published)
    assert gate.manifest(published.layout)


def layout_files(estate: Estate) -> list[Path]:
    return list(estate.layout.pilot.rglob("*"))

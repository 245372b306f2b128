"""Runs on two worker processes: the same outputs as on one machine, to the last row, be it through
a folder that all see or through object storage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
from distributed import Client

from pipeline.classified import run_snapshot
from pipeline.compute import cluster, exchange
from pipeline.errors import EngineError, PolicyError
from pipeline.raw import deliveries, landing
from pipeline.retained import rebuild
from pipeline.retained.journal import Journal
from pipeline.storage import encrypted_parquet, encryption
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from tests.estate import context
from tests.fixtures import Estate, delivered, errors, free_port
from tests.kill_points import tables
from tests.spread import WORKERS, running, stored

BUCKET, PREFIX = "company", "runs"
URL = f"s3://{BUCKET}/{PREFIX}"


@pytest.fixture(scope="module")
def objects() -> Iterator[Any]:
    """A real server that speaks S3, with a bucket that keeps every version of every object."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        until = time.monotonic() + 60
        while True:
            try:
                client.create_bucket(Bucket=BUCKET)
                break
            except boto3.exceptions.botocore.exceptions.EndpointConnectionError:
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.2)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield client
    server.terminate()
    server.wait(20)


def blind(home: Path) -> list[str]:
    """A command's beginning that lets it see an empty data folder which it cannot write to; empty
    where this machine does not let us."""
    mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro none "$0" && exec "$@"']
    command = [*mount, str(home)]
    if shutil.which("unshare") is None:
        return []
    sees = subprocess.run([*command, "ls", home], capture_output=True, check=False)
    if sees.returncode:
        return []
    assert sees.stdout == b""
    return command


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of which the workers see no file."""
    home = tmp_path_factory.mktemp("exchange") / "home"
    home.mkdir()
    return home


@pytest.fixture(scope="module")
def scheduler(
    unseen: Path, objects: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Two workers, which reach the object storage."""
    with running(tmp_path_factory.mktemp("workers"), blind(unseen)) as address:
        yield address


@pytest.fixture(scope="module")
def by_exchange(
    _finished_run: Estate,
    unseen: Path,
    objects: Any,
    scheduler: str,
    instance: dg.DagsterInstance,
) -> Path:
    """The company after a run by object storage, on two workers; for reading only."""
    home = unseen
    shutil.copytree(_finished_run.home, home, symlinks=True, dirs_exist_ok=True)
    # Every row is made anew, and every month is counted, chosen and attacked by the workers, too:
    # nothing was published before, and so no history is missed.
    for gone in ("classified", "pseudonymized", "publication_history"):
        shutil.rmtree(home / "store" / gone)
    shutil.rmtree(home / "releases")
    # Left by a run that was killed.
    left = f"{PREFIX}/exchange-classified/left.parquet"
    objects.put_object(Bucket=BUCKET, Key=left, Body=b"PARE")
    with (
        pytest.MonkeyPatch.context() as patch,
        Client(scheduler, set_as_default=False) as watching,
    ):
        patch.setattr(cluster, "WORTH_A_PROCESS", 0)
        patch.setenv(cluster.SETTING, scheduler)
        patch.setenv(exchange.SETTING, URL)
        watching.get_task_stream()
        result = Estate(home, instance).run()
        assert result.success, errors(result)
        assert len({task["worker"] for task in watching.get_task_stream()}) == WORKERS
    return home


# A new data folder with the same keys: every month is published anew, and the workers choose and
# attack it, too.
def test_two_workers_make_what_one_machine_makes(
    finished_run: Estate,
    tmp_path: Path,
    instance: dg.DagsterInstance,
    scheduler: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    estate = delivered(finished_run, Estate(tmp_path / "home", instance))
    home = estate.home
    monkeypatch.setattr(cluster, "WORTH_A_PROCESS", 0)
    monkeypatch.setenv(cluster.SETTING, scheduler)
    assert cluster.shards() == WORKERS * cluster.PIECES_A_WORKER
    with Client(scheduler, set_as_default=False) as watching:
        watching.get_task_stream()
        result = estate.run()
        seen = {task["worker"] for task in watching.get_task_stream()}
    assert result.success, errors(result)
    # Several shards had a part in it, on several workers.
    assert len(list((home / "store" / "classified").glob("*/shard-*.parquet"))) > WORKERS
    assert len(seen) == WORKERS
    assert stored(home) == stored(finished_run.home)
    assert tables(home) == tables(finished_run.home)
    assert not list((home / "work").glob("exchange*"))


def test_a_piece_that_fails_ends_the_step(
    tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cluster.SETTING, scheduler)
    there = [tmp_path / str(n) for n in range(4)]
    for folder in there:
        folder.mkdir()
    with pytest.raises(FileNotFoundError):
        cluster.each(os.rmdir, [(str(one),) for one in (tmp_path / "none", *there)])
    # A piece is done again where it is asked for again, and not taken from the last time.
    cluster.each(os.mkdir, [(str(tmp_path / "again"),)])
    (tmp_path / "again").rmdir()
    cluster.each(os.mkdir, [(str(tmp_path / "again"),)])
    assert (tmp_path / "again").exists()


def test_object_storage_makes_what_one_machine_makes_and_keeps_nothing_that_opens(
    by_exchange: Path, finished_run: Estate, objects: Any, tmp_path: Path
) -> None:
    assert stored(by_exchange) == stored(finished_run.home)
    assert tables(by_exchange) == tables(finished_run.home)
    assert objects.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    kept = [
        one
        for page in objects.get_paginator("list_object_versions").paginate(Bucket=BUCKET)
        for one in page.get("Versions", [])
        if not one["Key"].endswith(("/", "left.parquet"))
    ]
    steps = {one["Key"].split("/")[1] for one in kept}
    assert steps == {
        "exchange-classified",
        *(
            f"exchange-pseudonymized-{purpose}"
            for purpose in ("coaching", "manager", "analytics", "hr_legal")
        ),
    }
    layout = Layout(by_exchange)
    copy = tmp_path / "old.parquet"
    with engine(layout.work) as connection:
        for one in kept:
            body = objects.get_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])[
                "Body"
            ].read()
            assert body.endswith(encryption.ENCRYPTED_PARQUET)
            assert b"emp:" not in body
            copy.write_bytes(body)
            with pytest.raises(EngineError, match="cannot be opened"):
                encryption.rows(connection, layout, copy)


def test_an_erasure_sees_that_months_made_by_workers_are_as_they_were(by_exchange: Path) -> None:
    company = context(by_exchange)
    layout = company.layout
    files = sorted(layout.pseudonymized.glob("*/*/*.parquet"))
    before = [path.stat().st_ino for path in files]
    months = {path.parent.name for path in files}
    journal = Journal(layout, "nothing")
    with engine(layout.work) as connection:
        rebuild.rebuild_pseudonymized(
            connection, company, months, run_snapshot.read(layout).as_of, journal
        )
    assert journal.edits() == []
    assert [path.stat().st_ino for path in files] == before


def test_deliveries_are_read_and_removed_by_url(
    finished_run: Estate, objects: Any, tmp_path: Path
) -> None:
    company = context(finished_run.home)
    delivery = landing.deliveries(company.layout)[0]
    for path in Path(company.layout.landing, str(delivery)).rglob("*"):
        if path.is_file():
            relative = path.relative_to(company.layout.landing)
            objects.upload_file(str(path), BUCKET, f"landing/{relative}")
    layout = Layout(tmp_path / "home", f"s3://{BUCKET}/landing")
    assert landing.deliveries(layout) == [delivery]
    taken = deliveries.ingest(layout, company.data_map, delivery)
    assert taken == deliveries.ingest(
        Layout(tmp_path / "other", company.layout.landing), company.data_map, delivery
    )
    assert not list(layout.work.glob("landing*")), "the copy is gone"
    landing.remove(layout, delivery)
    assert not landing.is_delivered(layout, delivery)


def test_a_key_goes_over_no_network_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(exchange.SETTING, (tmp_path / "objects").as_uri())
    for address, private in {
        "tcp://10.0.0.7:8786": False,
        "tls://10.0.0.7:8786": True,
        "tcp://127.0.0.1:8786": True,
    }.items():
        monkeypatch.setenv(cluster.SETTING, address)
        if private:
            with exchange.exchange(Layout(tmp_path / "home"), "step"):
                assert (tmp_path / "objects" / "exchange-step").exists()
        else:
            with (
                pytest.raises(PolicyError, match="tls://"),
                exchange.exchange(Layout(tmp_path / "home"), "step"),
            ):
                pass
        assert not list((tmp_path / "objects").glob("*"))


def test_types_come_back_as_they_went(tmp_path: Path) -> None:
    key, url = bytes(32), str(tmp_path / "x.parquet")
    with engine(tmp_path) as connection:
        connection.execute(
            "CREATE TABLE one AS SELECT uuid() AS milestone, [DATE '2026-02-28'] AS deliveries, "
            "now() AS at, 0.5 AS score, true AS kept, NULL::DATE AS left_on"
        )
        encrypted_parquet.write(connection, key, "FROM one", url)
        came = encrypted_parquet.read(connection, key, url)
        assert connection.sql(f"FROM {came}").types == connection.sql("FROM one").types
        assert connection.sql(f"FROM {came} EXCEPT FROM one").fetchall() == []


def test_every_step_has_a_key_of_its_own_that_is_published_to_nobody(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home")
    with engine(layout.work) as connection:
        connection.execute("CREATE TABLE person AS SELECT 'emp:1' AS id")
        with exchange.exchange(layout, "step") as one:
            one.put(connection, "person")
            assert repr(one.key) not in repr(one)
            url = f"{one.folder}/person.parquet"
            assert connection.sql(
                f"FROM {encrypted_parquet.read(connection, one.key, url)}"
            ).fetchall() == [("emp:1",)]
            with exchange.exchange(layout, "another") as other:
                assert other.key != one.key
                with pytest.raises(EngineError, match="cannot be opened"):
                    encrypted_parquet.read(connection, other.key, f"{one.folder}/person.parquet")
        assert not list(layout.work.glob("exchange*"))


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home")

    def fail() -> None:
        with exchange.exchange(layout, "step") as one:
            Path(one.folder, "left.parquet").write_bytes(b"PARE")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(layout.work.glob("exchange*"))

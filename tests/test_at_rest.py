"""Encryption at rest: what lies on the disk, where the key comes from, and what happens without."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import duckdb
import pytest
import yaml

from pipeline.access.authorize import AccessRequest
from pipeline.errors import EngineError, PolicyError
from pipeline.policy import access
from pipeline.policy.access import Role, load_access
from pipeline.policy.data_map import load_data_map
from pipeline.policy.fields import Audience
from pipeline.policy.governance import load_governance
from pipeline.read import service
from pipeline.storage import encryption
from pipeline.storage.engine import engine
from pipeline.storage.layout import PROJECT, Layout
from pipeline.subjects import request_register
from tests import soak
from tests.company import EMAIL, NAME, NUMBER
from tests.estate import NOW
from tests.fixtures import Estate
from tests.opened import everything, months

KEY = "ab" * 32
# Keys, marks and the log, which holds pseudonyms: everything else in the vault is encrypted.
PLAIN = {"keyring.json", "storage.key", "access-key.pem", "access-key.pub", "anchor", "lock"}
ASK = AccessRequest("ana", Role.ANALYST, "training_quality", "analytics_milestones")


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "MILESTONES_STORAGE_KEY",
        "MILESTONES_STORAGE_KEY_FILE",
        "MILESTONES_STORAGE_KEY_VAULT",
    ):
        monkeypatch.delenv(name, raising=False)
    encryption._from_vault.cache_clear()


def test_vault_and_detail_are_not_readable_on_the_disk(published: Estate) -> None:
    layout = published.layout
    request_register.receive(layout, request_register.Kind.ACCESS, f"emp:{NUMBER}", NOW.date(), {})
    files = [p for p in layout.vault.rglob("*") if p.is_file() and p.suffix != ".log"]
    detail = layout.current / "hr_legal_detail.parquet"
    closed = [p for p in files if p.name not in PLAIN] + months(detail)
    assert {p.suffix for p in closed} == {".parquet", ".enc"}
    for path in closed:
        content = path.read_bytes()
        for value in (NAME, EMAIL, NUMBER, "learner_ref", "person", "v1h1_"):
            assert value.encode() not in content, path.name
        if path.suffix == ".parquet":
            with duckdb.connect() as c, pytest.raises(duckdb.Error, match=r"encrypt|key"):
                c.execute(f"FROM '{path}'").fetchall()
    assert not list(layout.current.glob("hr_legal*.duckdb"))
    # With the key it is all there.
    assert f"emp:{NUMBER}" in everything(published.home, layout.references(Audience.HR_LEGAL))
    assert "v1h1_" in everything(published.home, detail)


def test_a_file_that_was_changed_does_not_open(tmp_path: Path) -> None:
    layout, path = Layout(tmp_path), tmp_path / "vault" / "x.json.enc"
    encryption.write_text(layout, path, "[1]")
    assert encryption.read_text(layout, path) == "[1]"
    good = path.read_bytes()
    for at in (0, 12, len(good) - 1):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(PolicyError, match="was changed, or was encrypted with another key"):
            encryption.read_text(layout, path)
    path.write_bytes(b"short")
    with pytest.raises(PolicyError, match="was changed, or was encrypted with another key"):
        encryption.read_text(layout, path)
    # One file's content does not stand for another's.
    other = path.with_name("y.json.enc")
    other.write_bytes(good)
    with pytest.raises(PolicyError, match="was changed, or was encrypted with another key"):
        encryption.read_text(layout, other)


@pytest.mark.more
def test_a_table_that_was_damaged_does_not_open(tmp_path: Path) -> None:
    """A byte changed, an end cut off: our own error, and never other rows."""
    layout, path = Layout(tmp_path), tmp_path / "t.parquet"

    def read() -> list[tuple[int, ...]] | None:
        try:
            with engine(tmp_path / "work") as connection:
                rows = encryption.rows(connection, layout, path)
                return connection.sql(f"FROM {rows}").fetchall()
        except EngineError:
            return None

    with engine(tmp_path / "work") as connection:
        encryption.write_table(connection, layout, "SELECT 4711 AS a, 'x' AS b", path)
    good, whole = path.read_bytes(), read()
    assert whole == [(4711, "x")]
    harmless = 0
    for at in range(0, len(good), soak.times(23, 1)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        found = read()
        assert found in (None, whole), at
        harmless += found is not None
    for end in range(0, len(good), soak.times(41, 1)):
        path.write_bytes(good[:end])
        assert read() is None
    # The magic at the beginning, which nobody reads, and the length of a part that is checked.
    assert harmless < 10


@pytest.mark.parametrize("rows", [0, 1, 122_880, 300_001])
def test_a_table_comes_back_as_it_went_in(tmp_path: Path, rows: int) -> None:
    layout, path = Layout(tmp_path), tmp_path / "t.parquet"
    query = (
        "SELECT i::VARCHAR AS a, CASE WHEN i % 3 = 0 THEN TIMESTAMP '2026-01-01' + INTERVAL (i) "
        "SECOND END AS b, DATE '2026-01-01' + (i % 400)::INTEGER AS c, i / 7 AS d, i % 2 = 0 AS e, "
        f"[i::VARCHAR, NULL] AS f, i::INTEGER AS g FROM range({rows}) r(i)"
    )
    with engine(tmp_path / "work") as connection:
        connection.execute("SET preserve_insertion_order = true")
        encryption.write_table(connection, layout, query, path)
        assert path.stat().st_mode & 0o777 == 0o600
        back = encryption.rows(connection, layout, path)
        assert connection.sql(f"FROM {back}").types == connection.sql(query).types
        for left, right in ((query, f"FROM {back}"), (f"FROM {back}", query)):
            assert not connection.sql(f"({left}) EXCEPT ALL ({right})").fetchall()
        assert connection.sql(f"SELECT g FROM {back}").fetchall() == [(n,) for n in range(rows)]
        # However it is asked: filters and joins reach into the file.
        for test in (
            "a = '7'",
            "g BETWEEN 3 AND 9",
            "b IS NULL",
            "a IN ('1', '3')",
            "g IN (SELECT 5)",
            "a NOT IN (SELECT a FROM wanted)",
        ):
            connection.execute("CREATE OR REPLACE TEMP TABLE wanted AS SELECT '2' AS a")
            expected = connection.sql(f"SELECT a, c FROM ({query}) WHERE {test} ORDER BY g")
            found = connection.sql(f"SELECT a, c FROM {back} WHERE {test} ORDER BY g")
            assert found.fetchall() == expected.fetchall()
        joined = f"SELECT count(c), any_value(d) FROM wanted JOIN {back} USING (a)"
        assert connection.sql(joined).fetchall()[0][0] == (1 if rows > 2 else 0)


def test_a_file_of_another_shape_does_not_hide_in_a_folder(tmp_path: Path) -> None:
    layout, folder = Layout(tmp_path), tmp_path / "t.parquet"
    folder.mkdir()
    with engine(tmp_path / "work") as connection:
        for n, query in enumerate(("SELECT 1 AS a", "SELECT 2 AS a")):
            encryption.write_table(connection, layout, query, folder / f"{n}.parquet")
        rows = encryption.rows(connection, layout, folder)
        assert connection.sql(f"FROM {rows} ORDER BY a").fetchall() == [(1,), (2,)]
        encryption.write_table(connection, layout, "SELECT 3 AS a, 'x' AS b", folder / "2.parquet")
        with pytest.raises(EngineError, match="different columns"):
            encryption.rows(connection, layout, folder)


def test_a_mark_is_that_of_text_and_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path)
    first = encryption.keyed_hash(layout, "SELECT 1")
    assert (
        first
        == encryption.keyed_hash(layout, "SELECT 1")
        != encryption.keyed_hash(layout, "SELECT 2")
    )
    monkeypatch.setenv("MILESTONES_STORAGE_KEY", KEY)
    assert encryption.keyed_hash(layout, "SELECT 1") != first


def test_another_key_opens_nothing(published: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    service.read(published.context, ASK)
    monkeypatch.setenv("MILESTONES_STORAGE_KEY", KEY)
    with pytest.raises(PolicyError, match="was changed, or was encrypted with another key"):
        service.read(published.context, ASK)
    layout = published.layout

    def look() -> None:
        with engine(layout.work) as connection:
            rows = encryption.rows(connection, layout, layout.references(Audience.MANAGER))
            connection.execute(f"FROM {rows}")

    with pytest.raises(EngineError) as caught:
        look()
    assert KEY not in str(caught.value)


def test_a_lost_key_is_not_made_up(published: Estate) -> None:
    published.layout.storage_key.unlink()
    with pytest.raises(PolicyError, match="storage key: it is missing"):
        service.read(published.context, ASK)
    assert not published.layout.storage_key.exists()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", None),
        ("zz" * 32, "not hexadecimal"),
        ("ab" * 16, "does not have 256 bits"),
        (KEY + "\n", None),
    ],
)
def test_the_environment_gives_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, message: str | None
) -> None:
    layout, path = Layout(tmp_path), tmp_path / "vault" / "x.json.enc"
    monkeypatch.setenv("MILESTONES_STORAGE_KEY", key)
    if message:
        with pytest.raises(PolicyError, match=message) as caught:
            encryption.write_text(layout, path, "[]")
        assert key not in str(caught.value)
        return
    encryption.write_text(layout, path, "[]")
    # An empty variable is none: then there is the file, which nobody else may read.
    assert layout.storage_key.exists() == (not key)
    if not key:
        layout.storage_key.chmod(0o640)
        with pytest.raises(PolicyError, match="mode to 0600"):
            encryption.read_text(layout, path)


def test_a_file_elsewhere_gives_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, path = Layout(tmp_path / "home"), tmp_path / "home" / "vault" / "x.json.enc"
    monkeypatch.setenv("MILESTONES_STORAGE_KEY_FILE", str(tmp_path / "mount" / "key"))
    encryption.write_text(layout, path, "[]")
    assert (tmp_path / "mount" / "key").exists()
    assert not layout.storage_key.exists()
    assert encryption.read_text(layout, path) == "[]"


def test_two_that_make_the_key_at_once_have_the_same(tmp_path: Path) -> None:
    for attempt in range(50):
        layout = Layout(tmp_path / str(attempt))
        threads = [
            threading.Thread(
                target=encryption.write_text, args=(layout, layout.vault / f"{n}.json.enc", "[]")
            )
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        written = sorted(layout.vault.glob("*.enc"))
        assert len(written) == len(threads)
        assert [encryption.read_text(layout, path) for path in written] == ["[]"] * len(written)


class KeyValue(BaseHTTPRequestHandler):
    """The one answer of HashiCorp Vault that is asked for: a secret of a KV store, version 2."""

    def do_GET(self) -> None:
        right = (self.path, self.headers["X-Vault-Token"]) == ("/v1/kv/data/learning/key", "token")
        self.send_response(200 if right else 403)
        self.end_headers()
        report = {"data": {"data": {"storage": KEY}, "metadata": {}}} if right else {"errors": []}
        self.wfile.write(json.dumps(report).encode())

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


@pytest.fixture
def vault() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), KeyValue) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("place", "token", "message"),
    [
        ("kv/learning/key#storage", "token", None),
        ("kv/learning/key#other", "token", "KeyError"),
        ("kv/learning/key#storage", "stolen", "Forbidden"),
    ],
)
def test_vault_gives_the_key(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vault: str,
    place: str,
    token: str,
    message: str | None,
) -> None:
    layout, path = Layout(tmp_path), tmp_path / "vault" / "x.json.enc"
    monkeypatch.setenv("VAULT_ADDR", vault)
    monkeypatch.setenv("VAULT_TOKEN", token)
    monkeypatch.setenv("MILESTONES_STORAGE_KEY_VAULT", place)
    if message:
        with pytest.raises(PolicyError, match=message):
            encryption.write_text(layout, path, "[]")
        return
    encryption.write_text(layout, path, "[]")
    monkeypatch.delenv("MILESTONES_STORAGE_KEY_VAULT")
    monkeypatch.setenv("MILESTONES_STORAGE_KEY", KEY)
    assert encryption.read_text(layout, path) == "[]"


@pytest.mark.parametrize(
    ("table", "encrypted", "message"),
    [
        ("hr_legal_detail", False, "hr_legal_detail is not encrypted"),
        ("analytics_milestones", True, "analytics is encrypted and cannot be received"),
    ],
)
def test_policy_says_what_is_encrypted(
    tmp_path: Path, table: str, encrypted: bool, message: str
) -> None:
    report = yaml.safe_load((PROJECT / "data_map.yaml").read_text())
    report["published"][table]["encrypted"] = encrypted
    del report["published"]["analytics_courses"]  # an encrypted table is alone in its database
    (tmp_path / "data_map.yaml").write_text(yaml.safe_dump(report))
    with pytest.raises(PolicyError, match=message):
        access.require_consistent(
            load_access(PROJECT / "access_rules.yaml"),
            load_data_map(tmp_path / "data_map.yaml"),
            load_governance(PROJECT / "governance.yaml"),
        )


def test_an_encrypted_database_has_one_table(tmp_path: Path) -> None:
    report = yaml.safe_load((PROJECT / "data_map.yaml").read_text())
    report["published"]["coaching_team"]["encrypted"] = True
    (tmp_path / "data_map.yaml").write_text(yaml.safe_dump(report))
    with pytest.raises(PolicyError, match="encrypted"):
        load_data_map(tmp_path / "data_map.yaml")

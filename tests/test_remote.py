"""A landing folder elsewhere: asked again when a connection breaks, and never read in parts."""

from __future__ import annotations

import datetime as dt
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import paramiko
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.errors import SettingsError, Unfinished
from pipeline.policy.data_map import DataMap
from pipeline.raw import landing, remote
from pipeline.raw.deliveries import admitted, ingest
from pipeline.storage.layout import Layout
from tests.company import record, write_delivery

DAY = dt.date(2026, 11, 1)
PASSWORD = "of-the-test-server"


class Flaky(MemoryFileSystem):
    """A file system whose connection breaks off as often as is said."""

    protocol = "flaky"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    breaks: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("flaky://"))

    def get_file(self, path: str, to: str, **options: Any) -> None:
        how = self.breaks.pop() if self.breaks else ""
        if how == "before":
            raise ConnectionResetError
        super().get_file(path, to, **options)
        if how == "in the middle":
            os.truncate(to, 100)


@pytest.fixture
def flaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A delivery on a file system that breaks off."""
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    monkeypatch.setattr(remote, "WAIT", 0)
    local = write_delivery(tmp_path / "sent", [record(0), record(1)])
    fsspec.filesystem("flaky").put(
        str(local / "learning_history.csv"), f"/in/{DAY}/learning_history.csv"
    )
    Flaky.breaks.clear()
    return Layout(tmp_path / "home", "flaky://in")


def test_what_breaks_off_is_fetched_again_and_whole(flaky: Layout, data_map: DataMap) -> None:
    Flaky.breaks.extend(["in the middle", "before", "in the middle"])
    with admitted(flaky, data_map, DAY) as (one,):
        assert one.file.path.is_relative_to(flaky.work)
        assert one.file.path.read_text().count("\n") == 3
    assert not Flaky.breaks
    assert not [path for path in flaky.work.rglob("*") if path.is_file()]


def test_what_never_arrives_whole_is_tried_at_the_next_run(
    flaky: Layout, data_map: DataMap
) -> None:
    Flaky.breaks.extend(["in the middle"] * remote.ATTEMPTS)
    with pytest.raises(Unfinished, match="4 times"):
        ingest(flaky, data_map, DAY)
    assert not flaky.canonical.exists()
    ingest(flaky, data_map, DAY)
    assert flaky.canonical.exists()


def test_what_breaks_off_names_nobody(flaky: Layout) -> None:
    """An erasure removes what names the person, and what cannot be opened; not what did not
    arrive."""
    Flaky.breaks.extend(["in the middle", "before"])
    assert landing.deliveries_naming(flaky, "7799999") == []
    assert landing.deliveries_naming(flaky, "7700001") == [DAY]
    Flaky.breaks.extend(["before"] * remote.ATTEMPTS)
    with pytest.raises(Unfinished, match="ConnectionResetError"):
        landing.deliveries_naming(flaky, "7799999")


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("sftp://me:secret@host/in", r"pip install 'lms-milestones\[sftp\]'"),
        ("s3://bucket/in", r"pip install 'lms-milestones\[s3\]'"),
        ("gs://bucket/in", "gs:// needs a package that does not come with this project: .*gcsfs"),
        ("nfs://host/in", "no package reads nfs:// URLs; s3:// and sftp:// are supported"),
    ],
)
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, advice: str
) -> None:
    def absent(scheme: str) -> None:
        raise ImportError if scheme in remote.known_implementations else ValueError(url)

    monkeypatch.setattr(fsspec.core, "get_filesystem_class", absent)
    with pytest.raises(SettingsError, match=advice) as refused:
        landing.deliveries(Layout(tmp_path, url))
    assert "secret" not in str(refused.value)


class Folder(paramiko.SFTPServerInterface):
    """The files of a folder, over SFTP."""

    root: ClassVar[Path]

    def _at(self, path: str) -> str:
        return str(self.root / path.lstrip("/"))

    def list_folder(self, path: str) -> Any:
        if not os.path.isdir(self._at(path)):
            return paramiko.SFTP_NO_SUCH_FILE
        names = os.listdir(self._at(path))
        return [self._info(os.lstat(os.path.join(self._at(path), name)), name) for name in names]

    def stat(self, path: str) -> Any:
        try:
            return self._info(os.stat(self._at(path)), path)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    lstat = stat

    def open(self, path: str, flags: int, attr: Any) -> Any:
        handle = paramiko.SFTPHandle(flags)
        handle.readfile = open(self._at(path), "rb")  # type: ignore[attr-defined]  # noqa: SIM115
        return handle

    @staticmethod
    def _info(found: os.stat_result, name: str) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(found, name)


class Door(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        known = (username, password) == ("lms", PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


@pytest.fixture
def sftp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a known SFTP server over tmp_path/sent."""
    monkeypatch.setattr(remote, "WAIT", 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    Folder.root = tmp_path / "sent"
    key, stop = paramiko.RSAKey.generate(2048), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        transports = []

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    continue
                transport = paramiko.Transport(connection)
                transport.add_server_key(key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Folder)
                transport.start_server(server=Door())
                transports.append(transport)

        port = listening.getsockname()[1]
        hosts = tmp_path / ".ssh" / "known_hosts"
        hosts.parent.mkdir()
        hosts.write_text(f"[127.0.0.1]:{port} ssh-rsa {key.get_base64()}\n")
        thread = threading.Thread(target=serve)
        thread.start()
        yield port
        stop.set()
        thread.join()
        for transport in transports:
            transport.close()


def test_a_delivery_over_sftp(tmp_path: Path, sftp: int, data_map: DataMap) -> None:
    """As any delivery; the time of a file's last change is known, so that it can be waited for."""
    write_delivery(tmp_path / "sent" / "in" / str(DAY), [record(0), record(1)])
    url = f"sftp://lms:{PASSWORD}@127.0.0.1:{sftp}/in"
    layout = Layout(tmp_path / "home", url)
    assert landing.deliveries(layout) == [DAY]
    (entry,) = landing.entries(layout, DAY)
    assert entry.changed_at == pytest.approx(dt.datetime.now().timestamp(), abs=60)
    ingest(layout, data_map, DAY)
    assert len(list(layout.canonical.glob("*/*/records-*[0-9].parquet"))) == 1


def test_a_server_that_is_not_known_is_sent_nothing(tmp_path: Path, sftp: int) -> None:
    """Nor is one asked again that refuses the password."""
    (tmp_path / "sent").mkdir()
    with pytest.raises(SettingsError, match="AuthenticationException"):
        landing.deliveries(Layout(tmp_path / "home", f"sftp://lms:wrong@127.0.0.1:{sftp}/in"))
    (tmp_path / ".ssh" / "known_hosts").write_text("")
    url = f"sftp://lms:{PASSWORD}@127.0.0.1:{sftp}/in"
    with pytest.raises(SettingsError, match="known_hosts"):
        landing.deliveries(Layout(tmp_path / "home", url))

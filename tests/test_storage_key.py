"""A store is put under another storage key: whole, provably, and from wherever it was cut off."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import PolicyError
from pipeline.published import gate
from pipeline.retained import backup, job, storage_key
from pipeline.retained.journal import Journal
from pipeline.settings import variable
from pipeline.storage import encrypted_parquet as encrypted_tables
from pipeline.storage import encryption
from pipeline.storage.encryption import StorageKey
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.subjects import legal_holds, request_register
from tests.command import milestones
from tests.company import NUMBER
from tests.estate import NOW, hold
from tests.fixtures import Estate
from tests.kill_points import SITES, named, tables
from tests.killed import POINTS, killed
from tests.killed_rekey import NEW, encrypted, opens

pytestmark = pytest.mark.usefixtures("plainly")


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("storage_key", "storage_key_vault", "storage_key_file"):
        monkeypatch.delenv(variable(name), raising=False)


@pytest.fixture
def estate(past: Estate) -> Estate:
    """A published store with a request and a backup."""
    request_register.receive(
        past.layout, request_register.Kind.OBJECTION, f"emp:{NUMBER}", NOW.date(), {}
    )
    legal_holds.place(past.layout, hold(courses=("none",)))
    backup.make(past.context, NOW)
    return past


def old_key(estate: Estate) -> str:
    return estate.layout.storage_key.read_text()


def test_everything_is_under_the_new_key_and_says_the_same(estate: Estate) -> None:
    layout, old = estate.layout, old_key(estate)
    tables_before, named_before = tables(estate.home), named(estate.home)
    closed = encrypted(estate.home)
    places = {path.relative_to(estate.home).parts[0] for path in closed}
    assert places >= {"vault", "releases", "backups"}
    assert storage_key.change(layout, StorageKey.read(NEW)) == len(closed)
    assert old_key(estate) == NEW
    after = encrypted(estate.home)
    assert len(after) == len(closed)
    assert all(opens(path, NEW) and not opens(path, old) for path in after)
    assert {path.stat().st_mode & 0o777 for path in after} == {0o600}
    # The helpers read with the key of the data folder's file: what was closed says the same, and
    # the manifest has the hashes of the new files.
    assert tables(estate.home) == tables_before
    assert named(estate.home) == named_before
    (one,) = request_register.every(layout)
    assert one.identifier == f"emp:{NUMBER}"
    # Whatever runs next runs on.
    assert job.retain(estate.context, NOW)[-1]["rows"]


def test_a_key_from_elsewhere_is_not_the_pipelines_to_keep(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = old_key(estate)
    monkeypatch.setenv("MILESTONES_STORAGE_KEY", old)
    estate.layout.storage_key.unlink()
    storage_key.change(estate.layout, StorageKey.read(NEW))
    assert not estate.layout.storage_key.exists()
    with pytest.raises(PolicyError, match="was changed, or was encrypted with another key"):
        request_register.every(estate.layout)
    monkeypatch.setenv("MILESTONES_STORAGE_KEY", NEW)
    assert request_register.every(estate.layout)


def test_a_copy_kept_elsewhere_follows_before_it_is_restored(
    estate: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inside,) = backup.copies(estate.layout)
    elsewhere = Layout(tmp_path / "elsewhere")
    shutil.move(inside.root, elsewhere.root)
    new, old = StorageKey.read(NEW), old_key(estate)
    storage_key.change(estate.layout, new)
    with pytest.raises(PolicyError, match="was changed, or was encrypted with another key"):
        legal_holds.live(Layout(elsewhere.root, key_file=estate.layout.storage_key))
    monkeypatch.setenv("MILESTONES_STORAGE_KEY", old)
    assert storage_key.change(elsewhere, new) == len(encrypted(elsewhere.root)) > 0
    monkeypatch.delenv("MILESTONES_STORAGE_KEY")
    backup.restore(estate.context, elsewhere.root)
    assert legal_holds.live(Layout(elsewhere.root, key_file=estate.layout.storage_key))


def damage_a_case(estate: Estate) -> None:
    path = next((estate.layout.vault / "requests").glob("*.enc"))
    path.write_bytes(path.read_bytes()[:-1])


def damage_a_table(estate: Estate) -> None:
    path = next(estate.layout.vault.glob("identities-*.parquet"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + content[-4:])


def exchange_a_released_file(estate: Estate) -> None:
    one, other, *_ = sorted((estate.layout.current / "hr_legal_detail.parquet").glob("*.parquet"))
    one.write_bytes(other.read_bytes())


def begin_an_erasure(estate: Estate) -> None:
    folder = Journal(estate.layout, "20261101T000000000000Z-00000000").folder
    folder.mkdir(parents=True)
    encryption.write_text(estate.layout, folder / "job.json.enc", "{}")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage_a_case, "some files open under neither key: requests 1"),
        (damage_a_table, "some files open under neither key: identity vault 1"),
        (exchange_a_released_file, "is not the file that was released"),
        (begin_an_erasure, "an erasure is under way"),
    ],
)
def test_what_does_not_hold_stops_it_before_anything_is_changed(
    estate: Estate, spoil: Callable[[Estate], None], message: str
) -> None:
    old = old_key(estate)
    spoil(estate)
    before = {path: file_sha256(path) for path in encrypted(estate.home)}
    with pytest.raises(PolicyError, match=message):
        storage_key.change(estate.layout, StorageKey.read(NEW))
    assert {path: file_sha256(path) for path in encrypted(estate.home)} == before
    assert old_key(estate) == old


def test_the_key_in_use_is_no_new_one(estate: Estate) -> None:
    with pytest.raises(PolicyError, match="this key is already in use"):
        storage_key.change(estate.layout, encryption.key(estate.layout))


def test_a_table_that_would_read_otherwise_is_not_swapped_in(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = encrypted_tables.write
    monkeypatch.setattr(
        encrypted_tables,
        "write",
        lambda c, key, query, url: write(c, key, f"FROM ({query}) LIMIT 1", url),
    )
    tables_before = tables(estate.home)
    with pytest.raises(PolicyError, match="a table differs under the new key"):
        storage_key.change(estate.layout, StorageKey.read(NEW))
    assert tables(estate.home) == tables_before


def test_what_is_written_meanwhile_is_noticed(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = gate.replace

    def slow(*given: object) -> None:
        replace(*given)  # type: ignore[arg-type]
        request_register.receive(
            estate.layout, request_register.Kind.ACCESS, f"emp:{NUMBER}", NOW.date(), {}
        )

    monkeypatch.setattr(gate, "replace", slow)
    with pytest.raises(PolicyError, match="run the command again"):
        storage_key.change(estate.layout, StorageKey.read(NEW))
    assert storage_key.change(estate.layout, StorageKey.read(NEW)) == 1
    assert all(opens(path, NEW) for path in encrypted(estate.home))


@POINTS
def test_a_killed_change_goes_on(estate: Estate, tmp_path: Path, points: str) -> None:
    """SIGKILL before a change of a name: each file opens under one of the two keys and the
    release is whole; one more run reaches the end, with every row as it was."""
    output = killed("rekey", estate.home, tmp_path, points)
    assert points == SITES or output.chosen > len(encrypted(estate.home)) // 3
    for point in output.points:
        middle, end = point["middle"], point["end"]
        assert middle["whole"], point["site"]
        assert middle["old"] + middle["new"] == middle["files"], point["site"]
        assert point["again"] == 0, point["site"]
        assert (end["old"], end["new"]) == (0, end["files"])
        assert (end["whole"], end["releases"], end["work"]) == (True, 1, [])
        for part in ("tables", "named"):
            assert end[part] == output.whole[part] == output.before[part], point["site"]
    # It was killed when some of it was done, and not only before and after.
    some = [0 < point["middle"]["new"] < point["middle"]["files"] for point in output.points]
    assert sum(some) > 1


def test_command(estate: Estate, tmp_path: Path) -> None:
    new = tmp_path / "new.key"
    new.write_text(NEW)
    new.chmod(0o644)
    output = milestones(estate.home, "keys", "storage", str(new))
    assert output.returncode == 2
    assert "other users may read the file" in output.stdout + output.stderr
    new.chmod(0o600)
    output = milestones(estate.home, "keys", "storage", str(new))
    assert output.returncode == 0, output.stderr
    assert "files are encrypted under the new key" in output.stdout
    assert NEW not in output.stdout + output.stderr
    assert old_key(estate) == NEW
    assert all(opens(path, NEW) for path in encrypted(estate.home))

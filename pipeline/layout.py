"""Where data lies: one declared tree, in the order the data travels.

landing/<date>/[<REGION>/]file     what the sources delivered (any fsspec URL)
store/canonical/<date>/            typed records and the quarantine of that drop
store/classified/period=<month>/   the current record of every milestone, roster resolved
store/classified/*.parquet         census: whom and what the stored rows name, counted
store/pseudonymized/<purpose>/period=<month>/   one table per purpose; no raw identifier
vault/                             who is behind a pseudonym, encrypted; keys; mode 0700
vault/erasures/<id>/               the work list of an erasure under way
releases/<id>/*.duckdb             published tables; `current` points at one release
releases/<id>/hr_legal_detail.parquet/<month>.parquet   encrypted, a file a month
receipts/                          proofs of erasure
pilot/<version>/<actor>/           files of a pilot group, made under a changed policy
governance/<day>-<version>/        policies as they were signed, with their signatures
backups/<stamp>/                   copies of store and vault
store/reconciliation/              counts from raw to published, per run
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from filelock import FileLock

from pipeline.spill import abandoned_spill

UNFINISHED = re.compile(r"\.[0-9a-f]{8}(\.old)?$")  # names that `built_beside` gives
PROJECT = Path(__file__).resolve().parent.parent


def default_policy() -> Path:
    """The folder of the policy files, where none is named: the package's own defaults where it was
    installed from a wheel, and in a checkout its top level."""
    packaged = Path(str(files("pipeline"))) / "defaults"
    return packaged if packaged.is_dir() else PROJECT


@dataclass(frozen=True)
class Layout:
    """Paths below one data folder; creating a Layout touches nothing."""

    root: Path
    landing_url: str | None = None
    key_file: Path | None = None  # of a copy, whose vault is under the original's key

    @property
    def landing(self) -> str:
        return self.landing_url or str(self.root / "landing")

    @property
    def canonical(self) -> Path:
        return self.root / "store" / "canonical"

    @property
    def classified(self) -> Path:
        return self.root / "store" / "classified"

    @property
    def pseudonymized(self) -> Path:
        return self.root / "store" / "pseudonymized"

    def pseudonymized_for(self, purpose: str) -> Path:
        return self.pseudonymized / purpose

    @property
    def reconciliation(self) -> Path:
        return self.root / "store" / "reconciliation"

    @property
    def vault(self) -> Path:
        return self.root / "vault"

    def references(self, purpose: str) -> Path:
        """The vault's table of one purpose: person (raw identifier), ref (pseudonym)."""
        return self.vault / f"identities-{purpose}.parquet"

    @property
    def known(self) -> Path:
        """What the leak checks compare with; holds the deny-list of raw identifiers."""
        return self.vault / "known.parquet"

    @property
    def storage_key(self) -> Path:
        """The key to what is encrypted, unless the environment names another place."""
        return self.key_file or self.vault / "storage.key"

    @property
    def key_ring(self) -> Path:
        return self.vault / "keyring.json"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def current(self) -> Path:
        """The published release: a symbolic link, so that a swap is one rename."""
        return self.releases / "current"

    @property
    def told(self) -> Path:
        """What coaching was told: the published figures, remembered."""
        return self.root / "store" / "told"

    @property
    def pilot(self) -> Path:
        """Files of a pilot group, made under a changed policy."""
        return self.root / "pilot"

    @property
    def governance(self) -> Path:
        """Policies as they were signed, with their signatures."""
        return self.root / "governance"

    @property
    def erasures(self) -> Path:
        return self.vault / "erasures"

    @property
    def receipts(self) -> Path:
        return self.root / "receipts"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    @contextmanager
    def locked(self, part: str | None = None) -> Iterator[None]:
        """Nobody else writes to the data folder during the block.

        Args:
            part: only this part is written to, such as one purpose's files; whoever writes to
                another part meanwhile is let in as well.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        whole = FileLock(self.root / "lock", mode=0o600)
        if part is None:
            with whole:
                yield
            return
        # FileLock's own file, shared: that keeps out who wants the whole folder, and nobody else.
        handle = os.open(whole.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            with FileLock(self.root / f"lock-{part}", mode=0o600):
                yield
        finally:
            os.close(handle)

    def clear_unfinished(self) -> None:
        """Remove what a killed process left half-built; the caller holds the lock."""
        left = [path for path in self.work.glob("*") if UNFINISHED.search(path.name)]
        left += abandoned_spill(self.work)
        for path in left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def staged(self, partition: str) -> Path:
        """Tonight's tables before the gate."""
        return self.work / f"release-{partition}"


def settle(path: Path) -> None:
    """Have a file's bytes, or a folder's entries, on the disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_settled(path: Path, text: str) -> None:
    """As `replace_settled`, for a text."""
    replace_settled(path, text.encode())


def replace_settled(path: Path, content: bytes) -> None:
    """Replace a small file, mode 0600, so that a crash leaves the old one or the new."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.beside")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(beside, path)
    settle(path.parent)


def make_settled(path: Path, text: str) -> bool:
    """Make a small file, mode 0600, unless there is one or somebody else is just making it, whose
    is not lost; true if this one was made."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.beside")
    write_settled(beside, text)
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
        settle(path.parent)
    return True


def append_settled(path: Path, line: str) -> None:
    """Add a line to a file, mode 0600; it is on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(handle, "a", encoding="utf-8") as stream:
        stream.write(line + "\n")
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def built_beside(target: Path, work: Path) -> Iterator[Path]:
    """Build a file or folder beside `target` and swap it in only if the block succeeds.

    Yields a path that does not exist yet, on the same file system. On an error it is removed
    and the old target stays as it was.
    """
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = work / f"{target.name}.{uuid.uuid4().hex[:8]}"
    try:
        yield beside
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.is_dir():
            # A folder cannot be renamed onto a full one: move the old away first.
            gone = work / f"{target.name}.{uuid.uuid4().hex[:8]}.old"
            target.rename(gone)
            beside.rename(target)
            shutil.rmtree(gone)
        else:
            beside.replace(target)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        else:
            beside.unlink(missing_ok=True)


def point_link(link: Path, target: Path) -> None:
    """Let `link` name `target` in one atomic rename."""
    beside = link.with_name(f".{link.name}.{uuid.uuid4().hex[:8]}")
    beside.symlink_to(target.name, target_is_directory=True)
    os.replace(beside, link)

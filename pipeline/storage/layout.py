"""Where data lies: one declared tree, in the order the data travels.

format.json                        the format of this folder (pipeline/storage/store_format.py)
landing/<date>/[<REGION>/]file     what the sources delivered (any fsspec URL)
store/deliveries/<date>.jsonl      what became of that delivery, when and why
store/canonical/<date>/            typed records and the quarantine of that delivery
store/set_aside/<date>/            the same of one that was refused or withdrawn
store/replaced/<date>/             the same of one that a correction may replace
store/classified/period=<month>/   the current record of every milestone, roster resolved
store/classified/*.parquet         population counts: whom and what the stored rows name
store/pseudonymized/<audience>/period=<month>/   one table per audience; no raw identifier
store/row_history/<period>.parquet analysts' rows as published, and whose they are; encrypted
vault/                             who is behind a pseudonym, encrypted; keys; mode 0700
vault/erasures/<id>/               the work list of an erasure under way
releases/<id>/*.duckdb             published tables; `current` points at one release
releases/<id>/hr_legal_detail.parquet/<month>.parquet   encrypted, a file a month
receipts/                          proofs of erasure
pilot/<version>/<actor>/           files of a pilot group, made under a changed policy
governance/<day>-<version>/        policies as they were signed, with their signatures
backups/<stamp>/                   copies of store and vault
store/pulls/<source>.json          until when statements were pulled from a record store
store/reconciliation/              counts from raw to published, per run
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from filelock import FileLock

from pipeline.storage import store_format
from pipeline.storage.files import UNFINISHED, away, put_back
from pipeline.storage.spill import abandoned_spill

PROJECT = Path(__file__).resolve().parent.parent.parent


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
    key_file: Path | None = None  # of a copy, whose vault is encrypted under the original's key

    @property
    def landing(self) -> str:
        return self.landing_url or str(self.root / "landing")

    @property
    def canonical(self) -> Path:
        return self.root / "store" / "canonical"

    @property
    def rectified(self) -> Path:
        """Canonical rows that were corrected at the request of a person."""
        return self.canonical / "rectified"

    @property
    def register(self) -> Path:
        """The register of deliveries."""
        return self.root / "store" / "deliveries"

    @property
    def set_aside(self) -> Path:
        """Content of deliveries that no run reads: refused, withdrawn or unfinished."""
        return self.root / "store" / "set_aside"

    @property
    def replaced(self) -> Path:
        """Accepted content, while a correction of it is tried."""
        return self.root / "store" / "replaced"

    @property
    def classified(self) -> Path:
        return self.root / "store" / "classified"

    @property
    def pseudonymized(self) -> Path:
        return self.root / "store" / "pseudonymized"

    def pseudonymized_for(self, audience: str) -> Path:
        return self.pseudonymized / audience

    @property
    def reconciliation(self) -> Path:
        return self.root / "store" / "reconciliation"

    @property
    def vault(self) -> Path:
        return self.root / "vault"

    def references(self, audience: str) -> Path:
        """The vault's table of one audience: person (raw identifier), ref (pseudonym)."""
        return self.vault / f"identities-{audience}.parquet"

    @property
    def names(self) -> Path:
        """The vault's names of the people on the roster, for the 1:1 sheet."""
        return self.vault / "names.parquet"

    @property
    def reference_values(self) -> Path:
        """What the leak checks compare with; holds the denylist of raw identifiers."""
        return self.vault / "reference_values.parquet"

    @property
    def storage_key(self) -> Path:
        """The key to everything encrypted, unless the environment names another place."""
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
    def publication_history(self) -> Path:
        """The coaching figures as they were published, each period once."""
        return self.root / "store" / "publication_history"

    @property
    def row_history(self) -> Path:
        """The analysts' rows as they were published, each period once, with whose they are;
        encrypted."""
        return self.root / "store" / "row_history"

    def staged_rows(self, partition: str) -> Path:
        """What a run adds to the row history, before the gate; encrypted."""
        return self.work / f"rows-{partition}"

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
    def pulls(self) -> Path:
        return self.root / "store" / "pulls"

    @property
    def receipts(self) -> Path:
        return self.root / "receipts"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    @contextmanager
    def locked(self, part: str | None = None) -> Iterator[None]:
        """Nobody else writes to the data folder during the block. A new folder gets its format, and
        a folder that a killed process left out of its place is put back.

        Args:
            part: only this part is written to, such as one audience's files; writers of other
                parts may work at the same time.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        store_format.create(self.root)
        whole = FileLock(self.root / "lock", mode=0o600)
        if part is None:
            with whole:
                put_back(self.work)
                yield
            return
        self.put_back()
        # FileLock's own file, shared: this keeps out writers of the whole folder, and nobody else.
        handle = os.open(whole.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            with FileLock(self.root / f"lock-{part}", mode=0o600):
                yield
        finally:
            os.close(handle)

    def put_back(self) -> None:
        """Put folders back that a killed process left out of their place, before anything is read.
        Waits for a process that is replacing one."""
        if away(self.work):
            with self.locked():
                pass

    def clear_unfinished(self) -> None:
        """Remove what a killed process left half-built; the caller holds the lock."""
        left = [path for path in self.work.glob("*") if UNFINISHED.search(path.name)]
        left += abandoned_spill(self.work)
        for path in left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def staged(self, partition: str) -> Path:
        """The tables of a run before the gate."""
        return self.work / f"release-{partition}"

"""Kill a change of the storage key with SIGKILL at every point, run it once more, look at the end.

Run as a program (python -m tests.killed_rekey TEMPLATE WORK): as tests/kill_points.py. Prints one
JSON line per point.
"""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyarrow.parquet.encryption import create_decryption_properties

from pipeline.published import gate
from pipeline.retained import storage_key
from pipeline.storage import encryption
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from tests.kill_points import counted, in_child, named, tables
from tests.opened import derived

NEW = "5e" * 32


def change(home: Path) -> None:
    storage_key.change(Layout(home), encryption.StorageKey.read(NEW))


def opens(path: Path, key: str) -> bool:
    """Does a file open under a key? None of the product's code is asked."""
    try:
        if path.suffix == ".enc":
            told = path.read_bytes()
            AESGCM(derived(key, "texts")).decrypt(told[:12], told[12:], path.name.encode())
        else:
            how = create_decryption_properties(derived(key, "tables"))
            pq.ParquetFile(path, decryption_properties=how)
    except (InvalidTag, OSError):
        return False
    return True


def encrypted(home: Path) -> list[Path]:
    """Every encrypted file of the data folder, but what is under construction."""
    found = [p for p in home.rglob("*") if p.is_file() and not p.is_relative_to(home / "work")]
    return [p for p in found if p.suffix == ".enc" or p.read_bytes()[-4:] == b"PARE"]


def look(home: Path, old: str, tell: Path) -> None:
    """Under how many of the two keys every file opens, and whether the release is what was
    released."""
    under = [(opens(path, old), opens(path, NEW)) for path in encrypted(home)]
    layout = Layout(home)
    told = json.loads((layout.current / gate.MANIFEST).read_text())["sha256"]
    tell.write_text(json.dumps({
        "old": sum(a for a, _ in under), "new": sum(b for _, b in under), "files": len(under),
        "whole": all(file_sha256(layout.current / name) == sha for name, sha in told.items()),
        "releases": len([p for p in layout.releases.iterdir() if not p.is_symlink()]),
        "work": [p.name for p in layout.work.rglob("*") if p.is_file()],
    }))  # fmt: skip


def read_all(home: Path, tell: Path) -> None:
    tell.write_text(json.dumps({"tables": tables(home), "named": named(home)}, default=str))


def main(template: Path, work: Path) -> None:
    work.mkdir(parents=True)
    tell, home = work / "tell", work / "home"
    old = (template / "vault" / "storage.key").read_text()

    def fresh() -> None:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(template, home, symlinks=True)

    def seen(how: partial[None]) -> dict[str, object]:
        assert in_child(how) == 0
        found: dict[str, object] = json.loads(tell.read_text())
        return found

    looked, all_of_it = partial(look, home, old, tell), partial(read_all, home, tell)
    fresh()
    before = seen(all_of_it)
    assert in_child(partial(counted, partial(change, home), None, tell)) == 0
    changes = int(tell.read_text())
    assert seen(all_of_it) == before
    for point in range(changes):
        fresh()
        code = in_child(partial(counted, partial(change, home), point, tell))
        middle = seen(looked)
        again = in_child(partial(change, home))
        print(json.dumps({
            "point": point, "of": changes, "code": code, "again": again, "middle": middle,
            "end": seen(looked), "same": seen(all_of_it) == before,
        }), flush=True)  # fmt: skip
    shutil.rmtree(work)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

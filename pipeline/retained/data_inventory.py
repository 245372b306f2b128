"""The one declared list of every place where data lies (GDPR Art. 30(1); Art. 5(2)).

Erasure works through this list and its verification walks the data folder: a file that no place
claims is a finding, so that a store which somebody adds and forgets to declare cannot go by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from pathlib import Path

from pipeline.storage.layout import Layout

RECORDS = "records.*"


@dataclass(frozen=True)
class Place:
    """One place.

    Attributes:
        name: as plans and receipts call it.
        patterns: paths below the data folder; `*` stops at no slash.
        holds: what lies there.
        rule: section and name in retention_rules.yaml.
        erased_by: what happens there when something is due.
    """

    name: str
    patterns: tuple[str, ...]
    holds: str
    rule: str
    erased_by: str

    @cached_property
    def _matcher(self) -> re.Pattern[str]:
        return re.compile("|".join(translate(pattern) for pattern in self.patterns))

    def claims(self, relative: str) -> bool:
        return bool(self._matcher.match(relative))


PLACES = (
    Place("format", ("format.json",), "the number of this data folder's format",
          RECORDS, "kept as long as the folder; it names nobody"),
    Place("raw deliveries", ("landing/*",), "files as the sources delivered them",
          "storage.raw_deliveries", "the whole delivery is removed once the store has taken it in"),
    Place("quarantine", ("store/canonical/*.rejects.parquet",), "lines that could not be split",
          "storage.quarantine", "the file is rewritten without them"),
    Place("roster", ("store/canonical/*/roster-*.parquet",), "names, addresses, managers",
          "storage.roster", "the file is rewritten without superseded and old rows"),
    Place("canonical records", ("store/canonical/*/records-*.parquet",
                                "store/canonical/*/delivery.json"),
          "typed records; quarantined rows as delivered", RECORDS,
          "the drop's files are rewritten without the due rows"),
    Place("classified", ("store/classified/*",), "the record that holds of every milestone; "
          "whom the rows name, counted", RECORDS, "the touched months are rewritten, and counted"),
    Place("pseudonymized", ("store/pseudonymized/*",), "rows per purpose under pseudonyms",
          "tables.*", "the touched months are made anew"),
    Place("told figures", ("store/publication_history/*",),
          "what coaching was told, so that it is told once", "storage.aggregates",
          "old periods, and teams of managers who are gone, are dropped"),
    Place("reconciliation", ("store/reconciliation/*.json",), "counts per night",
          "storage.reconciliation", "old files are removed"),
    Place("identity vault", ("vault/identities-*.parquet", "vault/reference_values.parquet"),
          "who is behind a pseudonym; the deny-list", RECORDS,
          "entries of people without a record are dropped, last of all"),
    Place("key ring", ("vault/keyring.json",), "keys per purpose and epoch",
          "storage.key_epochs", "retired epochs are destroyed"),
    Place("storage key", ("vault/storage.key",), "opens what is encrypted in this list",
          "storage.key_epochs", "kept as long as the store"),
    Place("cases", ("vault/holds.json.enc", "vault/restrictions.json.enc", "vault/consents.json.enc"),
          "legal holds, restrictions, objections, consents",
          "storage.requests", "ended with their case"),
    Place("staff", ("vault/staff.json.enc",), "who works with the data, in which roles",
          "storage.staff", "entries of erased people are dropped; the others with their role"),
    Place("used sign-offs", ("vault/signed-off/*",), "which sign-off was used up",
          "logs.access_log", "removed once expired, by the next one used"),
    Place("demo keys", ("vault/demo-keys/*",), "what the demo's staff sign with",
          "storage.staff", "a real company has none; its people keep their keys"),
    Place("approvals", ("governance/*",), "policies as they were signed, and by whom",
          "storage.approvals", "old ones are removed whole"),
    Place("tombstones", ("vault/tombstones.json.enc",), "keyed hashes of erased people",
          "storage.tombstones", "old ones are dropped"),
    Place("requests", ("vault/requests/*.json.enc",), "requests of data subjects and their states",
          "storage.requests", "identifiers at completion, the record after its window"),
    Place("packages", ("vault/packages/*",), "answers to access requests",
          "storage.packages", "old ones are removed"),
    Place("work lists", ("vault/erasures/*",), "what an erasure under way has to do",
          RECORDS, "removed at completion"),
    Place("access log", ("vault/access/*",), "who opened individual rows, and why",
          "logs.access_log", "old segments, of a day each, are removed whole"),
    Place("access log's key", ("vault/access-key.*",), "signs entries; verifies them",
          "logs.access_log", "kept as long as the log"),
    Place("releases", ("releases/*",), "published tables, one file per audience",
          "tables.*", "survivors are written to a fresh file, the old one is removed"),
    Place("pilots", ("pilot/*",), "files of a pilot group, made under a changed policy",
          "tables.*", "removed whole with every release"),
    Place("receipts", ("receipts/*.json",), "proofs of erasure; counts and hashes",
          "storage.receipts", "old ones are removed"),
    Place("backups", ("backups/*",), "copies of store and vault", "storage.backups",
          "erased like the store itself; whole ones are removed after the window"),
    Place("work", ("work/*", "lock*", "running"),
          "files under construction, spill, staged tables", RECORDS,
          "emptied before every verification"),
    Place("Dagster", ("dagster/*",), "runs, events, schedules, compute logs",
          "storage.dagster_runs", "old runs, and runs that name the person, are deleted"),
)  # fmt: skip
# Great Expectations keeps its results in memory: its context is ephemeral and writes no file.


def place_of(relative: str) -> Place | None:
    """The place that claims a path below the data folder; the first one on the list."""
    return next((place for place in PLACES if place.claims(relative)), None)


def files(layout: Layout) -> Iterator[tuple[str, Path]]:
    """Every file below the data folder, with its path as places name it."""
    for path in sorted(layout.root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(layout.root).as_posix(), path


def undeclared_files(layout: Layout) -> list[str]:
    """Folders of files that no place claims; file names could be personal and stay inside."""
    found = {
        (Path(relative).parts[0] if "/" in relative else "(data folder)", Path(relative).suffix)
        for relative, _ in files(layout)
        if place_of(relative) is None
    }
    return sorted(f"{folder} (*{suffix or 'no suffix'})" for folder, suffix in found)

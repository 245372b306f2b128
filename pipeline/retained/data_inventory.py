"""The data inventory: one declared list of every place where data is stored (GDPR Art. 30(1);
Art. 5(2)).

Erasure works through this list, and its verification walks the data folder: a file that no entry
declares is a finding, so that a store which somebody adds and forgets to declare is noticed.
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
UNDECLARED = "undeclared files"
RAW_DELIVERIES = "raw deliveries"


@dataclass(frozen=True)
class InventoryEntry:
    """One place where data is stored.

    Attributes:
        name: as plans and receipts call it.
        patterns: paths below the data folder; `*` also matches slashes.
        contents: what is stored there.
        rule: section and name in retention_rules.yaml.
        erased_by: what happens there when something is past retention.
    """

    name: str
    patterns: tuple[str, ...]
    contents: str
    rule: str
    erased_by: str

    @cached_property
    def _matcher(self) -> re.Pattern[str]:
        return re.compile("|".join(translate(pattern) for pattern in self.patterns))

    def declares(self, relative: str) -> bool:
        """Does the entry cover this path below the data folder?"""
        return bool(self._matcher.match(relative))


INVENTORY = (
    InventoryEntry(
        "format",
        ("format.json",),
        "the number of this data folder's format",
        RECORDS,
        "stored as long as the folder; it names nobody",
    ),
    InventoryEntry(
        RAW_DELIVERIES,
        ("landing/*",),
        "files as the sources delivered them",
        "storage.raw_deliveries",
        "the whole delivery is removed once it has been ingested",
    ),
    InventoryEntry(
        "quarantine",
        ("store/canonical/*.rejects.parquet",),
        "lines that could not be split into fields",
        "storage.quarantine",
        "the file is rewritten without them",
    ),
    InventoryEntry(
        "roster",
        ("store/canonical/*/roster-*.parquet",),
        "names, addresses, managers",
        "storage.roster",
        "the file is rewritten without superseded and old rows",
    ),
    InventoryEntry(
        "canonical records",
        ("store/canonical/*/records-*.parquet", "store/canonical/*/delivery.json"),
        "typed records; quarantined rows as delivered",
        RECORDS,
        "the delivery's files are rewritten without the rows past retention",
    ),
    InventoryEntry(
        "counted records",
        ("store/canonical/*/left_out-*.parquet",),
        "how many records were left out of the canonical ones, and why; it names nobody",
        "storage.reconciliation",
        "the file is rewritten without them",
    ),
    InventoryEntry(
        "set aside",
        ("store/set_aside/*", "store/replaced/*"),
        "deliveries that were refused or withdrawn, and what a correction may replace",
        "storage.quarantine",
        "rows of an erased person are removed, and old deliveries whole",
    ),
    InventoryEntry(
        "delivery register",
        ("store/deliveries/*.jsonl",),
        "what became of every delivery, when and why; it names nobody",
        "storage.reconciliation",
        "old files are removed",
    ),
    InventoryEntry(
        "pulls",
        ("store/pulls/*",),
        "until when each record store was pulled; it names nobody",
        RECORDS,
        "stored as long as the folder",
    ),
    InventoryEntry(
        "classified",
        ("store/classified/*",),
        "the current record of every milestone; whom identifiers mean; counts of people",
        RECORDS,
        "the months affected are rewritten and counted again",
    ),
    InventoryEntry(
        "pseudonymized",
        ("store/pseudonymized/*",),
        "rows per audience under pseudonyms",
        "tables.*",
        "the months affected are rebuilt",
    ),
    InventoryEntry(
        "publication history",
        ("store/publication_history/*",),
        "coaching figures as published, so that each is published once",
        "storage.aggregates",
        "old periods, and teams of managers without a record, are removed",
    ),
    InventoryEntry(
        "row history",
        ("store/row_history/*",),
        "analysts' rows as published, each once, and whose they are; encrypted",
        "tables.*",
        "whole classes are removed at the earliest window in them; of an erased person, the rows",
    ),
    InventoryEntry(
        "reconciliation",
        ("store/reconciliation/*.json",),
        "counts per run",
        "storage.reconciliation",
        "old files are removed",
    ),
    InventoryEntry(
        "identity vault",
        ("vault/identities-*.parquet", "vault/reference_values.parquet"),
        "who is behind each pseudonym; the denylist",
        RECORDS,
        "entries of people without a record are removed, last of all",
    ),
    InventoryEntry(
        "names",
        ("vault/names.parquet",),
        "what people on the roster are called, for the 1:1 sheet; encrypted",
        "storage.roster",
        "made anew of the rosters that are left",
    ),
    InventoryEntry(
        "key ring",
        ("vault/keyring.json",),
        "keys per audience and epoch",
        "storage.key_epochs",
        "retired epochs are destroyed",
    ),
    InventoryEntry(
        "storage key",
        ("vault/storage.key",),
        "decrypts what is encrypted in this list",
        "storage.key_epochs",
        "stored as long as the data",
    ),
    InventoryEntry(
        "cases",
        (
            "vault/holds.json.enc",
            "vault/restrictions.json.enc",
            "vault/consents.json.enc",
            "cases.json",
        ),
        "legal holds, restrictions, objections, consents; how often each register has changed",
        "storage.requests",
        "removed when the case ends",
    ),
    InventoryEntry(
        "managers by the roster",
        ("vault/managers.json.enc",),
        "which delivery of the roster gives managers their role; it names nobody",
        "storage.staff",
        "one entry, replaced by the next",
    ),
    InventoryEntry(
        "go-live",
        ("vault/live.json.enc",),
        "who signed for going live, and when",
        RECORDS,
        "stored as long as the folder; it names the signers only",
    ),
    InventoryEntry(
        "staff",
        ("vault/staff.json.enc", "vault/appointments.json.enc"),
        "who works with the data, in which roles, and who waits for a second person",
        "storage.staff",
        "entries of erased people are removed; the others with their role",
    ),
    InventoryEntry(
        "demo keys",
        ("vault/demo-keys/*",),
        "what the demo's staff sign with",
        "storage.staff",
        "only in the demo; elsewhere people keep their own keys",
    ),
    InventoryEntry(
        "course decisions",
        ("governance/courses.jsonl",),
        "which courses are ordinary and which sensitive, and who decided",
        RECORDS,
        "stored as long as the folder; it names the signers only",
    ),
    InventoryEntry(
        "approvals",
        ("governance/*",),
        "policies as they were signed, and by whom",
        "storage.approvals",
        "old ones are removed whole",
    ),
    InventoryEntry(
        "tombstones",
        ("vault/tombstones.json.enc",),
        "keyed hashes of erased people",
        "storage.tombstones",
        "old ones are removed",
    ),
    InventoryEntry(
        "requests",
        ("vault/requests/*.json.enc",),
        "requests of data subjects and their states",
        "storage.requests",
        "identifiers at completion, the record when it is past retention",
    ),
    InventoryEntry(
        "packages",
        ("vault/packages/*",),
        "answers to access requests",
        "storage.packages",
        "old ones are removed",
    ),
    InventoryEntry(
        "work lists",
        ("vault/erasures/*",),
        "what an erasure under way has to do",
        RECORDS,
        "removed at completion",
    ),
    InventoryEntry(
        "access log",
        ("vault/access/*",),
        "who opened individual rows, and why",
        "logs.access_log",
        "old segments, one per day, are removed whole",
    ),
    InventoryEntry(
        "access log key",
        ("vault/access-key.*",),
        "signs and verifies entries",
        "logs.access_log",
        "stored as long as the log",
    ),
    InventoryEntry(
        "releases",
        ("releases/*",),
        "published tables, one file per audience",
        "tables.*",
        "the remaining rows are written to a new file, the old one is removed",
    ),
    InventoryEntry(
        "pilots",
        ("pilot/*",),
        "files of a pilot group, made under a changed policy",
        "tables.*",
        "removed whole with every release",
    ),
    InventoryEntry(
        "receipts",
        ("receipts/*.json",),
        "proofs of erasure; counts and hashes",
        "storage.receipts",
        "old ones are removed",
    ),
    InventoryEntry(
        "backups",
        ("backups/*",),
        "copies of store and vault",
        "storage.backups",
        "erased like the store itself; whole ones are removed when past retention",
    ),
    InventoryEntry(
        "work",
        ("work/*", "lock*", "running"),
        "files under construction, spill, staged tables",
        RECORDS,
        "emptied before every verification",
    ),
    InventoryEntry(
        "Dagster",
        ("dagster/*",),
        "runs, events, schedules; logs that an older version or own settings captured",
        "storage.dagster_runs",
        "old runs, and runs that name the person, are deleted",
    ),
)
# Great Expectations keeps its results in memory: its context is ephemeral and writes no file.


def entry_of(relative: str) -> InventoryEntry | None:
    """The entry that declares a path below the data folder; the first one in the list."""
    return next((entry for entry in INVENTORY if entry.declares(relative)), None)


def entry_name(relative: str) -> str:
    """The name of the entry that declares a path, as plans, receipts and messages use it."""
    entry = entry_of(relative)
    return entry.name if entry else UNDECLARED


def files(layout: Layout) -> Iterator[tuple[str, Path]]:
    """Every file below the data folder, with its path as the inventory's patterns have it."""
    for path in sorted(layout.root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(layout.root).as_posix(), path


def undeclared_files(layout: Layout) -> list[str]:
    """Folders of files that no entry declares; file names could be personal and are not shown."""
    found = {
        (Path(relative).parts[0] if "/" in relative else "(data folder)", Path(relative).suffix)
        for relative, _ in files(layout)
        if entry_of(relative) is None
    }
    return sorted(f"{folder} (*{suffix or 'no suffix'})" for folder, suffix in found)

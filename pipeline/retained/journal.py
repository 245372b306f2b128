"""The memory of an erasure under way: what it has to do and what it has done.

It lies in the vault, is on disk before the deed, and outlives a killed process; one more run
finds it and goes on. It is removed when the receipt is written.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.policy.fields import Audience
from pipeline.storage import encryption
from pipeline.storage.file_edit import EditResult
from pipeline.storage.files import append_line, fsync
from pipeline.storage.layout import Layout
from pipeline.subjects.identity import Subject, alone

RETENTION = "retention"
PERSON = "person"
ORDER, SUBJECT = "order.json.enc", "subject.json.enc"


@dataclass(frozen=True)
class ErasureJob:
    """One erasure.

    Attributes:
        kind: RETENTION (what is past its window) or PERSON (GDPR Art. 17).
        as_of: aware ISO instant up to which windows are counted.
        identifier: the person's raw identifier, for PERSON.
        request: the data subject's request, for PERSON.
        plan: lines as the plan showed them.
    """

    name: str
    kind: str
    as_of: str
    rules_sha256: str
    identifier: str | None
    request: str | None
    plan: list[dict[str, Any]]

    @property
    def now(self) -> dt.datetime:
        return dt.datetime.fromisoformat(self.as_of)


def fresh_name(at: dt.datetime | None = None) -> str:
    """A name that sorts by time and is nobody else's."""
    now = at or dt.datetime.now(dt.UTC)
    return f"{now:%Y%m%dT%H%M%S%fZ}-{uuid.uuid4().hex[:8]}"


class Journal:
    """One order's folder."""

    def __init__(self, layout: Layout, name: str) -> None:
        self.layout = layout
        self.folder = layout.erasures / name

    @property
    def work_list(self) -> Path:
        """An encrypted table: record_key, deliveries, period."""
        return self.folder / "work.parquet"

    @property
    def _order(self) -> Path:
        return self.folder / ORDER

    @property
    def _notes(self) -> Path:
        return self.folder / "notes.jsonl"

    @property
    def _edits(self) -> Path:
        return self.folder / "edits.jsonl"

    def open(self, order: ErasureJob) -> None:
        """Store the order; its work list is already there and on disk."""
        fsync(self.work_list)
        encryption.write_text(self.layout, self._order, json.dumps(asdict(order), indent=1))

    def order(self) -> ErasureJob:
        return ErasureJob(**json.loads(encryption.read_text(self.layout, self._order) or ""))

    def record_edit(self, done: EditResult) -> None:
        """Say what the next swap does, before it does it."""
        append_line(self._edits, json.dumps(done.as_dict()))

    def note(self, what: str, item: str, n: int = 1) -> None:
        """Remember that something is about to be removed whole; a repeated item counts once."""
        if n:
            append_line(self._notes, json.dumps([what, item, n]))

    def notes(self) -> dict[str, int]:
        """How many of what were removed whole."""
        items = {(what, item): n for what, item, n in _lines(self._notes)}
        told: dict[str, int] = {}
        for (what, _), n in items.items():
            told[what] = told.get(what, 0) + n
        return told

    def noted(self, what: str) -> set[str]:
        """Items of a kind that were about to be removed, whether they then were or not."""
        return {item for kind, item, _ in _lines(self._notes) if kind == what}

    def keep_subject(self, subject: Subject, refs: dict[Audience, str]) -> None:
        """Who the person is, while the stores still tell it: after the first edit they do not."""
        text = json.dumps({**asdict(subject), "refs": sorted(refs.values())})
        encryption.write_text(self.layout, self.folder / SUBJECT, text)

    def subject(self) -> tuple[Subject, str]:
        """The person, and the pattern of everything that means them, pseudonyms included."""
        kept = json.loads(encryption.read_text(self.layout, self.folder / SUBJECT) or "")
        search_terms, refs = tuple(kept["search_terms"]), tuple(kept["refs"])
        tokens = tuple(kept["name_tokens"])
        subject = Subject(kept["person"], tuple(kept["ids"]), search_terms, tokens)
        return subject, alone(search_terms + refs)

    def edits(self) -> list[EditResult]:
        """What was swapped, per file from its first state to its last.

        A edit that was written down and then cut off by a crash is done again on the same
        file, so its first line is the one whose `before` no other line ends in.
        """
        told: dict[str, EditResult] = {}
        for line in _lines(self._edits):
            one = EditResult(**line)
            first = told.get(one.file)
            if first is None or first.sha256_before == one.sha256_before:
                told[one.file] = one
            else:
                told[one.file] = EditResult(
                    one.file, first.before, one.after, first.blanked + one.blanked,
                    first.sha256_before, one.sha256_after,
                )  # fmt: skip
        return list(told.values())

    def close(self) -> None:
        """Remove the folder; the order goes last, so that a crash leaves it to be closed."""
        self.work_list.unlink(missing_ok=True)
        (self.folder / SUBJECT).unlink(missing_ok=True)
        self._order.unlink(missing_ok=True)
        shutil.rmtree(self.folder)
        fsync(self.folder.parent)


def _lines(path: Path) -> list[Any]:
    """The lines of a journal file. The last one may be torn by a crash: what it announces was
    not done yet."""
    found = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def pending(layout: Layout) -> list[Journal]:
    """Erasures under way, oldest first. A folder without its order was killed while it was being
    planned: nothing had been done, so it is removed."""
    found = []
    for folder in sorted(layout.erasures.glob("*")):
        if (folder / ORDER).exists():
            found.append(Journal(layout, folder.name))
        else:
            shutil.rmtree(folder)
    return found

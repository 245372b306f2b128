"""The journal of an erasure under way: what it has to do and what it has done.

It is stored in the vault, is on disk before anything is erased, and survives a killed process; the
next run finds it and continues. It is removed when the receipt is written.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.policy.fields import Audience
from pipeline.storage import encryption
from pipeline.storage.file_edit import EditResult
from pipeline.storage.files import append_line, fsync, replace_text
from pipeline.storage.layout import Layout
from pipeline.subjects.identity import Subject, Window, alone

RETENTION = "retention"
PERSON = "person"
JOB, SUBJECT = "job.json.enc", "subject.json.enc"


@dataclass(frozen=True)
class ErasureJob:
    """One erasure.

    Attributes:
        kind: RETENTION (what is past retention) or PERSON (GDPR Art. 17).
        as_of: aware ISO instant up to which retention is counted.
        identifier: the person's raw identifier, for PERSON.
        request: the data subject's request, for PERSON.
        plan: the items of the plan.
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
    """A unique name that sorts by time."""
    now = at or dt.datetime.now(dt.UTC)
    return f"{now:%Y%m%dT%H%M%S%fZ}-{uuid.uuid4().hex[:8]}"


class Journal:
    """The folder of one erasure job."""

    def __init__(self, layout: Layout, name: str) -> None:
        self.layout = layout
        self.folder = layout.erasures / name

    @property
    def work_list(self) -> Path:
        """An encrypted table: record_key, deliveries, period."""
        return self.folder / "work.parquet"

    @property
    def _job(self) -> Path:
        return self.folder / JOB

    @property
    def _notes(self) -> Path:
        return self.folder / "notes.jsonl"

    @property
    def _edits(self) -> Path:
        return self.folder / "edits.jsonl"

    def open(self, job: ErasureJob) -> None:
        """Store the job; its work list is already there and on disk."""
        fsync(self.work_list)
        encryption.write_text(self.layout, self._job, json.dumps(asdict(job), indent=1))

    def is_open(self) -> bool:
        """Will the next run continue this, if it is interrupted?"""
        return self._job.exists()

    def job(self) -> ErasureJob:
        """The job as it was stored."""
        return ErasureJob(**json.loads(encryption.read_text(self.layout, self._job) or ""))

    def record_edit(self, done: EditResult) -> None:
        """Record what the next swap does, before it does it."""
        append_line(self._edits, json.dumps(done.as_dict()))

    def note(self, what: str, item: str, n: int = 1) -> None:
        """Remember that something is about to be removed whole; a repeated item counts once."""
        if n:
            append_line(self._notes, json.dumps([what, item, n]))

    def notes(self) -> dict[str, int]:
        """How many of each kind were removed whole."""
        items = {(what, item): n for what, item, n in _lines(self._notes)}
        totals: dict[str, int] = {}
        for (what, _), n in items.items():
            totals[what] = totals.get(what, 0) + n
        return totals

    def noted(self, what: str) -> set[str]:
        """Items of a kind that were about to be removed, whether or not they then were."""
        return {item for kind, item, _ in _lines(self._notes) if kind == what}

    def keep_subject(self, subject: Subject, refs: dict[Audience, tuple[str, ...]]) -> None:
        """Store who the person is, while the stores still show it, before the first edit."""
        text = json.dumps(
            {**asdict(subject), "refs": sorted(ref for theirs in refs.values() for ref in theirs)}
        )
        encryption.write_text(self.layout, self.folder / SUBJECT, text)

    def subject(self) -> tuple[Subject, str]:
        """The person, and the pattern of everything that refers to them, including pseudonyms."""
        stored = json.loads(encryption.read_text(self.layout, self.folder / SUBJECT) or "")
        refs: tuple[str, ...] = tuple(stored.pop("refs"))
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in stored.items()
        }
        for name in ("windows", "shared"):
            fields[name] = tuple(Window(*one) for one in fields[name])
        subject = Subject(**fields)
        return subject, alone(subject.search_terms + refs)

    @property
    def _reason(self) -> Path:
        return self.folder / "reason.txt"

    def set_aside(self, reason: str) -> None:
        """Remember why the job could not be completed; the text quotes no value."""
        replace_text(self._reason, reason)

    def reason(self) -> str | None:
        """Why the job could not be completed, when it was last tried."""
        return self._reason.read_text("utf-8") if self._reason.exists() else None

    def edits(self) -> list[EditResult]:
        """What was swapped, per file from its first state to its last.

        An edit that was recorded and then interrupted by a crash is done again on the same file,
        so it replaces the entry that starts from the same bytes.
        """
        results: dict[str, EditResult] = {}
        for line in _lines(self._edits):
            one = EditResult(**line)
            first = results.get(one.file)
            if first is not None and first.sha256_before != one.sha256_before:
                one = replace(
                    one,
                    before=first.before,
                    blanked=first.blanked + one.blanked,
                    sha256_before=first.sha256_before,
                )
            results[one.file] = one
        return list(results.values())

    def close(self) -> None:
        """Remove the folder; the job goes last, so that a crash leaves it to be closed."""
        self.work_list.unlink(missing_ok=True)
        (self.folder / SUBJECT).unlink(missing_ok=True)
        self._job.unlink(missing_ok=True)
        shutil.rmtree(self.folder)
        fsync(self.folder.parent)


def _lines(path: Path) -> list[Any]:
    """The lines of a journal file. A crash may have left the last one incomplete: what it announces
    was not done yet."""
    found = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def pending(layout: Layout) -> list[Journal]:
    """Erasures under way, oldest first. A folder without its job is left from a process that was
    killed while planning: nothing had been done, so it is removed."""
    found = []
    for folder in sorted(layout.erasures.glob("*")):
        if (folder / JOB).exists():
            found.append(Journal(layout, folder.name))
        else:
            shutil.rmtree(folder)
    return found

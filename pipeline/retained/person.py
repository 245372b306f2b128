"""One person's rows, and mentions of them in other people's: the edit of each file.

The same edits show afterwards whether anything is left (pipeline/retained/verify.py).
"""

from __future__ import annotations

from pipeline.identity import store
from pipeline.storage import relations
from pipeline.storage.file_edit import FileEdit
from pipeline.storage.layout import Layout
from pipeline.storage.sql import literals
from pipeline.subjects.identity import Subject


def edits_of_person(layout: Layout, subject: Subject) -> list[FileEdit]:
    """One person's rows, and mentions in other people's, of a store or of a copy of it.

    A record of which nobody can say whether it is the person's or another's goes as well: it is in
    no table, and once the person is forgotten it would pass for the other's.
    """
    learner, employee = subject.may_be_learner(), subject.named("learner_id")
    named = subject.named("manager_id")
    texts = {c: subject.mentioned(c) for c in ("department", "course_title", "file")}
    texts["raw"] = subject.named_in("raw")
    mine = f"{learner} OR {subject.mentioned('course_code')}"
    aside = relations.set_aside(layout)
    records = [
        FileEdit(path, mine, {"manager_id": subject.is_manager(), **texts})
        for path in (*relations.files(layout, "records"), *aside)
        if relations.holds(path, "records")
    ]
    rosters = [
        FileEdit(path, employee, {"manager_id": named, "department": texts["department"]})
        for path in (*relations.files(layout, "roster"), *aside)
        if relations.holds(path, "roster")
    ]
    lines = [
        FileEdit(path, subject.named_in("raw"))
        for path in (*relations.reject_files(layout), *aside)
        if path.match("*.rejects.parquet")
    ]
    return [*records, *rosters, *lines]


def classified_edits_of_person(layout: Layout, subject: Subject) -> list[FileEdit]:
    """The same for the classified store, where the person has one identifier."""
    doubtful = literals(one.identifier for one in subject.shared)
    mine = f"{subject.is_person()} OR person IN ({doubtful})"
    mentions = {
        "manager": subject.named("manager"),
        "department": subject.mentioned("department"),
        "course_title": subject.mentioned("course_title"),
    }
    months = [FileEdit(path, mine, mentions) for path in relations.period_files(layout.classified)]
    # What the identifiers of others mean stays; of the person's own nothing does.
    theirs = f"{subject.is_person()} OR {subject.named('identifier')}"
    stored = store.path(layout)
    return [*months, *([FileEdit(stored, theirs)] if stored.exists() else [])]

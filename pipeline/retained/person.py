"""One person's rows, and mentions of them in other people's: the edit of each file."""

from __future__ import annotations

from pipeline.storage import relations
from pipeline.storage.file_edit import FileEdit
from pipeline.storage.layout import Layout
from pipeline.storage.sql import literal
from pipeline.subjects.identity import Subject


def edits_of_person(layout: Layout, subject: Subject) -> list[FileEdit]:
    """One person's rows, and mentions in other people's, of a store or of a copy of it."""
    learner, named = subject.is_learner(), subject.named("manager_id")
    texts = {c: subject.mentioned(c) for c in ("department", "course_title", "file")}
    texts["raw"] = subject.named_in("raw")
    mine = f"{learner} OR {subject.mentioned('course_code')}"
    aside = relations.set_aside(layout)
    records = [
        FileEdit(path, mine, {"manager_id": named, **texts})
        for path in (*relations.files(layout, "records"), *aside)
        if relations.holds(path, "records")
    ]
    rosters = [
        FileEdit(path, learner, {"manager_id": named, "department": texts["department"]})
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
    mine = f"person = {literal(subject.person)}"
    mentions = {
        "manager": subject.named("manager"),
        "department": subject.mentioned("department"),
        "course_title": subject.mentioned("course_title"),
    }
    return [FileEdit(path, mine, mentions) for path in relations.period_files(layout.classified)]

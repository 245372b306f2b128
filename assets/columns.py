"""What the columns of the canonical and classified records, and the fields of the sources, mean.

Those of the pseudonymized and published tables are described in data_map.yaml under `columns`.
"""

from __future__ import annotations

from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import SourceField, Treatment

# Columns that the canonical and the classified records share.
RECORD = {
    "record_type": "Kind of record: milestone_flag (enrolment or completion), assessment_record "
    "(exam) or communications_log (message).",
    "source": "Source that the record came from, by its name in data_map.yaml.",
    "department": "Department of the learner as the source spells it; may be empty.",
    "course_code": "Code of the course as the source spells it, at most 256 characters.",
    "course_title": "Title of the course; may be empty.",
    "assigned_on": "Date on which the course was assigned; may be empty.",
    "assigned_at": "When the course was assigned; as event_at.",
    "started_on": "Date on which the learner started; may be empty.",
    "started_at": "When the learner started; as event_at.",
    "event_on": "Date on which the learner completed, was assessed, withdrew or was written to; "
    "empty if that has not happened.",
    "event_at": "When the learner completed, was assessed, withdrew or was written to (UTC); empty "
    "where the source gave no time of day.",
    "due_on": "Date on which the record is or was due; the day counts in full; may be empty.",
    "due_at": "When the record is or was due; as event_at.",
    "event_zone": "UTC offset of the event as the source wrote it, such as +02:00 or Z; may be "
    "empty.",
    "status": "Status: not_started, in_progress, completed, passed, failed, waived or withdrawn.",
    "score": "Score in percent of its scale, 0 to 100; empty if nothing was scored.",
    "attempts": "Number of attempts, 0 to 1000; may be empty.",
    "has_comment": "True if the record came with a comment; the comment itself is not stored here.",
}
CANONICAL = RECORD | {
    "learner_id": "Identifier of the learner with its kind as prefix: emp:, mbox:, sha1:, openid:, "
    "acct: or ou:.",
    "manager_id": "Identifier of the learner's manager, with the same prefixes; may be empty.",
    "country": "Country of the learner, as the source writes it; may be empty.",
    "region": "Region folder that the file was delivered in: EU, UK, US or APAC; empty if the "
    "delivery has no region folders.",
    "status": f"{RECORD['status'].removesuffix('.')}; voided where the source takes back an "
    "earlier record.",
    "course_titles": "Titles of the course by language tag, as JSON, where the source has several; "
    "may be empty.",
    "record_id": "The source's own identifier of the record, by which it can void it; may be "
    "empty.",
    "occurrence": "What distinguishes two enrolments on the same course, such as the assignment "
    "date; empty if nothing does.",
    "rank": "How final the status is, as a whole number; of two revisions of a record the more "
    "final one counts.",
    "revised_at": "When the source made this revision of the record (UTC).",
    "delivery_date": "Date of the delivery that the row came with.",
    "discarded": "Rules that optional dates of the row break, as field:rule; the row has lost "
    "these dates. Empty if it lost none.",
    "problem": "First rule that the row breaks, as field:rule; empty for a good row. Rows with a "
    "problem are in quarantine and go no further.",
    "raw": "The row as it was delivered, for rows in quarantine only, so that it can be corrected.",
    "file": "Name of the file that a row in quarantine came from; empty for a good row.",
}
# Columns of the HR roster, which the canonical store keeps as a relation of its own.
ROSTER = {
    "roster.learner_id": "Identifier of the employee, with its kind as prefix.",
    "roster.name": "Full name of the employee.",
    "roster.email": "E-mail address of the employee, in lower case; may be empty.",
    "roster.manager_id": "Identifier of the employee's manager; may be empty.",
    "roster.department": "Department of the employee; may be empty.",
    "roster.unit": "Organizational unit of the employee, such as the team; may be empty.",
    "roster.country": "Country of the employee, as the source writes it; may be empty.",
    "roster.left_on": "Date on which the employee left the company; may be empty.",
    "roster.discarded": "Rules that the leaving date breaks, as field:rule; the row has lost it.",
}
CLASSIFIED = RECORD | {
    "record_key": "Identifier of the record, the same for all its revisions (128-bit hash).",
    "deliveries": "Dates of the deliveries that hold a revision of the record.",
    "first_seen": "Date of the delivery that first brought the record.",
    "left_on": "Date on which the person left the company, from the roster; may be empty.",
    "on_roster": "True if the person is on an HR roster that is stored.",
    "person": "Identifier of the person, resolved through the HR roster, with its kind as prefix.",
    "unresolved": "Why nobody can say which employee the identifier means: unknown, ambiguous or "
    "damaged; empty if the person is resolved.",
    "set_aside": "Why the record is in no table by policy, where the person is not resolved; empty "
    "for all others.",
    "manager": "Identifier of the person's manager, from the roster or else from the record; may "
    "be empty.",
    "region": "Region of the person: that of the country, unknown if that is no country or in no "
    "region; without a country the delivery's region folder, or empty.",
    "department": "Department of the person; empty if unknown, smaller than the minimum group or "
    "like a person's name.",
    "course_title": "Title of the course; empty if unknown or if it could name a person.",
    "sensitivity": "Why the course is sensitive: its category as decided or suggested, listed by "
    "its code, or unreviewed; empty for an ordinary course.",
    "reviewed": "True if somebody has decided whether the course is sensitive.",
}
# What is delivered, by the canonical name that the data map gives it.
FIELDS = CANONICAL | {
    "learner_name": "Name of the learner.",
    "first_name": "First name of the learner.",
    "last_name": "Last name of the learner.",
    "learner_email": "E-mail address of the learner.",
    "unit": "Organizational unit of the person, after which teams can be called.",
    "item_type": "Kind of learning item, which decides the kind of record.",
    "score_max": "Highest possible score, the scale of the score.",
    "score_min": "Lowest possible score.",
    "left_on": "Date on which the person left the company.",
    "registration": "Which enrolment a statement belongs to; it distinguishes repeated courses.",
    "free_text": "Comment in free text; only the fact that there was one is used.",
}
NOT_USED = "Not used by the pipeline."


def published(data_map: DataMap) -> dict[str, str]:
    """Descriptions of the pseudonymized and published columns."""
    return {name: column.description for name, column in data_map.columns.items()}


def of_source(field: SourceField) -> str:
    """What a delivered field means, how sensitive it is, what is done with it and who sees it."""
    meaning = FIELDS.get(field.name, "" if field.treatment is not Treatment.DROP else NOT_USED)
    seen = ", ".join(field.audiences) or "nobody"
    facts = (
        f"{field.field_class.value.replace('_', ' ').capitalize()}, {field.risk.value} risk; "
        f"{field.treatment.value}; seen by {seen}."
    )
    read_as = f"Read as {field.name}." if field.name in CANONICAL else ""
    return " ".join(filter(None, (read_as, meaning, facts)))

"""The deny-list: names, addresses and identifiers of known people, looked up in free-form text.

Used twice: classification leaves out a course title or department that names somebody, and the
leak checks stop the run if one got through all the same.
"""

from __future__ import annotations

from pipeline.storage.sql import Sql, render

# Shorter ones stand in ordinary words and numbers too often to mean a person.
SHORTEST_NAME = 4
SHORTEST_NUMBER = 6


def entries_sql(roster: str, people: str) -> Sql:
    """SQL: one column `entry`, folded.

    Args:
        roster: relation with name and email.
        people: relation with a column `person`, a namespaced identifier; its bare part counts.
    """
    return render(
        "pipeline.subjects",
        "denylist.sql",
        roster=Sql(roster),
        people=Sql(people),
        shortest_name=SHORTEST_NAME,
        shortest_number=SHORTEST_NUMBER,
    )


def grams_sql(texts: str, *beside: str) -> Sql:
    """SQL: columns text, gram: every run of one to four words of each text, folded.

    Args:
        texts: relation with a column `text`.
        beside: columns of it that are given as well.
    """
    return render("pipeline.subjects", "grams.sql", texts=Sql(texts), beside=beside)

"""The deny-list: names, addresses and identifiers of known people, looked up in free-form text.

Used twice: classification withholds a course title or department that names somebody, and the
leak checks stop the run if one got through all the same.
"""

from __future__ import annotations

from pipeline.storage.sql import literal

# Shorter ones stand in ordinary words and numbers too often to mean a person.
SHORTEST_NAME = 4
SHORTEST_NUMBER = 6
LONGEST_NAME = 4  # words
BETWEEN_WORDS = r"""[\s,;:()"/]+"""


def folded(text: str) -> str:
    """SQL: a text without case and accents, so that BJORN YILMAZ is Björn Yılmaz."""
    return f"replace(lower(strip_accents({text})), 'ı', 'i')"


def entries_sql(roster: str, people: str) -> str:
    """SQL: one column `entry`, folded.

    Args:
        roster: relation with name and email.
        people: relation with one column `person`, a namespaced identifier; its bare part counts.
    """
    # As grams come: without what stands between words. Last names come first in some texts.
    words = f"array_to_string(regexp_split_to_array(name, {literal(BETWEEN_WORDS)}), ' ')"
    return rf"""
    SELECT DISTINCT {folded("entry")} AS entry FROM (
      SELECT unnest([name, regexp_replace(name, '^(.+) (\S+)$', '\2 \1')]) AS entry FROM (
        SELECT {words} AS name FROM {roster} WHERE length(name) >= {SHORTEST_NAME})
      UNION SELECT email FROM {roster} WHERE email IS NOT NULL
      UNION SELECT bare FROM (
        SELECT regexp_extract(person, '([^:#/]+)/*$', 1) AS bare FROM {people})
      WHERE length(bare) >= {SHORTEST_NUMBER})"""


def grams_sql(texts: str) -> str:
    """SQL: columns text, gram: every run of one to four words of each text, folded.

    Args:
        texts: relation with one column `text`.
    """
    runs = " UNION ALL ".join(
        f"SELECT text, unnest(list_transform(range(1, len(words) - {n - 2}), "
        f"lambda i: array_to_string(words[i:i + {n - 1}], ' '))) AS gram FROM words"
        for n in range(1, LONGEST_NAME + 1)
    )
    return f"""
    WITH words AS MATERIALIZED (
      SELECT text, regexp_split_to_array({folded("text")}, {literal(BETWEEN_WORDS)}) AS words
      FROM {texts} WHERE text IS NOT NULL)
    SELECT DISTINCT text, gram FROM ({runs})"""

"""Stand-ins by which sqlfluff can read the models without the values that a run gives them.

sqlfluff itself puts a name in the place of a relation; here are the filters of
pipeline/storage/sql.py, each with a text of the right kind.
"""

from __future__ import annotations

SQLFLUFF_JINJA_FILTERS = {
    "literal": lambda value: "'value'",
    "literals": lambda values: "'value'",
    "tuples": lambda rows: "('value')",
    "identifier": lambda name: "name",
    "identifiers": lambda names: "name",
}

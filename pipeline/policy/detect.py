"""The second line of defence after the allow-list: patterns of personal identifiers.

The patterns follow Presidio's recognizers for e-mail, phone and IBAN, widened by web logins and
employee numbers; they err towards finding too much. They are the macro `looks_personal` of
pipeline/storage/macros.sql.
"""

from __future__ import annotations

from pipeline.storage.sql import Sql


def looks_personal(column: str) -> Sql:
    """SQL: true where the text looks like it names or numbers a person; NULL counts as not."""
    return Sql(f"looks_personal({column})")

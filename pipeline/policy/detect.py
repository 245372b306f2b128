"""The second net: patterns of personal identifiers, after the allow-list.

The patterns follow Presidio's recognizers for e-mail, phone and IBAN, widened by web logins and
employee numbers; they err towards finding too much.
"""

from __future__ import annotations

from pipeline.storage.sql import literal

PATTERNS = {
    "email": r"[^\s@]+@[^\s@]+",
    "long_number": r"(\d[\s().\-]?){7,}",
    "employee_id": r"(?i)\b(emp|mbox|sha1|openid|acct|ou):",
}


def looks_personal(column: str) -> str:
    """SQL: true where the text looks like it names or numbers a person; NULL counts as not."""
    pattern = "|".join(f"(?:{p})" for p in PATTERNS.values())
    return f"coalesce(regexp_matches({column}, {literal(pattern)}), false)"

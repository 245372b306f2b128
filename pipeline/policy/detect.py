"""The second line of defence after the allow-list: patterns of personal identifiers.

The patterns follow Presidio's recognizers for e-mail, phone and IBAN, and add web logins and
employee numbers; they would rather find too much than too little.
"""

from __future__ import annotations

from pipeline.storage.sql import literal

PATTERNS = {
    "email": r"[^\s@]+@[^\s@]+",
    "long_number": r"(\d[\s().\-]?){7,}",
    "employee_id": r"(?i)\b(emp|mbox|sha1|openid|acct|ou):",
}


def looks_personal(column: str) -> str:
    """SQL: does the text look like a person's name, address or number? False for NULL."""
    pattern = "|".join(f"(?:{p})" for p in PATTERNS.values())
    return f"coalesce(regexp_matches({column}, {literal(pattern)}), false)"

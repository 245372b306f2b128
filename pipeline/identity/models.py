"""Who is known by which identifier, and when: queries rendered from the .sql files beside this.

People are the employees of all rosters over time, by number. Everything else that a record can name
somebody by (an address or its hash, an account, a number that a spreadsheet damaged) means one of
them on a day, or nobody that can be said. It depends only on which rosters and records there are,
never on the order in which they came, and never on the day of the run.
"""

from __future__ import annotations

import datetime as dt

from pipeline.policy.data_map import IdentityRules, Unresolved
from pipeline.storage.sql import Sql, identifier, literal, render

PACKAGE = "pipeline.identity"
COLUMNS = {
    "identifier": "VARCHAR",
    "person": "VARCHAR",
    "valid_from": "DATE",
    "valid_until": "DATE",
    "problem": "VARCHAR",
}
IDENTIFIERS = "identifiers"  # the relation that rows are resolved with
# The day of a canonical row: what happened on it, or else when it came.
DAY = Sql(
    "coalesce(event_on, event_at::DATE, started_on, started_at::DATE, assigned_on, "
    "assigned_at::DATE, delivery_date)"
)


def models(rows: Sql, history: Sql, rules: IdentityRules) -> dict[str, Sql]:
    """Name to query, in the order in which they are made; the last is IDENTIFIERS.

    Args:
        rows: canonical rows that are not in quarantine.
        history: the roster rows of all deliveries.
    """
    named, holdings, addresses, spellings = map(
        identifier, ("named", "holdings", "addresses", "spellings")
    )
    pages = _company_pages(rules)
    return {
        "named": render(PACKAGE, "named.sql", rows=rows, history=history),
        "holdings": holdings_model(history),
        "addresses": addresses_model(holdings),
        "of_addresses": of_addresses(addresses),
        "spellings": render(
            PACKAGE,
            "spellings.sql",
            history=history,
            named=named,
            company_pages=pages,
            damaged=Unresolved.DAMAGED.value,
        ),
        IDENTIFIERS: render(
            PACKAGE,
            "identifiers.sql",
            of_addresses=identifier("of_addresses"),
            addresses=addresses,
            named=named,
            spellings=spellings,
            company_pages=pages,
            ambiguous=Unresolved.AMBIGUOUS.value,
        ),
    }


def holdings_model(history: Sql) -> Sql:
    """Which employee had which address, and when, by the roster rows of all deliveries."""
    return render(PACKAGE, "holdings.sql", history=history)


def addresses_model(holdings: Sql) -> Sql:
    """Whom an address means, day by day."""
    return render(PACKAGE, "addresses.sql", holdings=holdings)


def of_addresses(addresses: Sql) -> Sql:
    """The identifiers (COLUMNS) that are made of addresses."""
    return render(
        PACKAGE,
        "of_addresses.sql",
        addresses=addresses,
        ambiguous=Unresolved.AMBIGUOUS.value,
    )


def needed_model(holdings: Sql, people: Sql, whole: dt.date) -> Sql:
    """The roster rows that resolution needs as long as there are records: person and day.

    Args:
        people: relation with `person`, of everybody whom a classified row names.
        whole: rosters of this day or before are past retention as a whole.
    """
    return render(PACKAGE, "needed.sql", holdings=holdings, people=people, whole=whole)


def _company_pages(rules: IdentityRules) -> Sql:
    """SQL after IN: the company's home pages in the form that identifiers have them."""
    return Sql(
        ", ".join(f"home_page({literal(page)})" for page in rules.company_home_pages) or "NULL"
    )


def resolved(rows: Sql, identifiers: Sql) -> Sql:
    """The rows with `day`, `person`, `known` and `doubt`.

    Args:
        identifiers: relation of COLUMNS.
    """
    return render(PACKAGE, "resolved.sql", rows=rows, identifiers=identifiers, day=DAY)

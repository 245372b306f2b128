"""Who an identifier means, and when: against an oracle in plain Python that shares no code.

The kind of fault: people who become two because an identifier of theirs changed or was written
another way, and two people who become one because they had the same identifier.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.identity import models
from pipeline.identity.models import IDENTIFIERS
from pipeline.policy.data_map import IdentityRules, load_data_map
from pipeline.raw.deliveries import ingest
from pipeline.raw.readers.base import MalformedFile
from pipeline.storage.engine import load_macros
from pipeline.storage.layout import PROJECT, Layout
from pipeline.storage.relations import temp_table
from pipeline.storage.sql import Sql, literal, literals
from tests import soak
from tests.company import person, record, statement, write_delivery
from tests.test_order_of_deliveries import FIRST, classified

MAP = load_data_map(PROJECT / "data_map.yaml")
START = dt.date(2026, 1, 1)
PEOPLE, ADDRESSES = ("emp:1", "emp:2", "emp:3"), ("a@x.example", "b@x.example")
Row = tuple[int, str, str | None]  # day, employee, address
rosters = st.lists(
    st.tuples(st.integers(2, 9), st.sampled_from(PEOPLE), st.sampled_from([*ADDRESSES, None])),
    min_size=1,
    max_size=14,
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as found:
        load_macros(found)
        yield found


def day(at: int) -> dt.date:
    return START + dt.timedelta(days=at)


def made(
    connection: duckdb.DuckDBPyConnection,
    roster: list[Row],
    named: list[str] | None = None,
    pages: tuple[str, ...] = (),
) -> Sql:
    """Make the identifiers of some roster rows and records."""
    rows = ", ".join(
        f"({literal(who)}, {literal(at)}, NULL::VARCHAR, {literal(day(on))})"
        for on, who, at in roster
    )
    temp_table(
        connection,
        "roster",
        f"FROM (VALUES {rows}) AS v (learner_id, email, manager_id, delivery_date)",
    )
    learners = f"SELECT unnest([{literals(named or ())}])::VARCHAR AS learner_id"
    temp_table(connection, "rows", f"SELECT *, NULL::VARCHAR AS manager_id FROM ({learners})")
    rules = IdentityRules(company_home_pages=pages)
    for name, query in models.models(Sql("rows"), Sql("roster"), rules).items():
        temp_table(connection, name, query)
    return Sql(IDENTIFIERS)


def meanings(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str, str | None]]]:
    """Identifier to the times (ISO days) that it means somebody, and whom."""
    found: dict[str, list[tuple[str, str, str | None]]] = {}
    for one, *time in connection.sql(
        "SELECT identifier, replace(valid_from::VARCHAR, '-infinity', ''), "
        f"replace(valid_until::VARCHAR, 'infinity', '~'), person FROM {IDENTIFIERS}"
    ).fetchall():
        found.setdefault(one, []).append((time[0], time[1], time[2]))
    return found


def meant(
    found: dict[str, list[tuple[str, str, str | None]]], identifier: str, on: int
) -> str | None:
    """Whom the identifier means on a day: a person, or None for nobody that can be said."""
    rows = [
        who
        for since, until, who in found.get(identifier, ())
        if since <= day(on).isoformat() < until
    ]
    assert len(rows) <= 1, "no day has two meanings"
    return rows[0] if rows else None


def oracle(roster: list[Row], address: str, on: int) -> str | None:
    """Day by day, as somebody with the rosters on paper would say it."""
    had = {
        who: {d: {a for o, w, a in roster if (o, w) == (d, who)} for d, w, _ in roster if w == who}
        for _, who, _ in roster
    }
    holders = {who for who in had if any(address in at for at in had[who].values())}
    if len(holders) < 2:
        return min(holders, default=None)

    def starts(who: str) -> list[int]:
        days = sorted(had[who])
        return [
            d
            for n, d in enumerate(days)
            if address in had[who][d] and (n == 0 or address not in had[who][days[n - 1]])
        ]

    on = max(on, min(s for who in holders for s in starts(who)))
    has = set()
    for who in holders:
        before = [d for d in had[who] if d <= on]
        if not before or address not in had[who][max(before)]:
            continue
        left = max(before) == max(had[who])
        taken = any(max(before) < s <= on for o in holders - {who} for s in starts(o))
        if not (left and taken):
            has.add(who)
    return has.pop() if len(has) == 1 else None


@given(rosters)
@settings(max_examples=soak.times(30, 2_000))
def test_an_address_means_whoever_had_it_on_the_day(
    connection: duckdb.DuckDBPyConnection, roster: list[Row]
) -> None:
    made(connection, roster)
    found = meanings(connection)
    for address in ADDRESSES:
        sha = "sha1:" + hashlib.sha1(f"mailto:{address}".encode()).hexdigest()
        for on in range(12):
            expected = oracle(roster, address, on)
            assert meant(found, f"mbox:mailto:{address}", on) == expected, (address, on)
            assert meant(found, sha, on) == expected


@given(rosters, st.data())
@settings(max_examples=soak.times(6, 600))
def test_the_order_of_deliveries_does_not_matter(
    connection: duckdb.DuckDBPyConnection, roster: list[Row], data: st.DataObject
) -> None:
    found = []
    for rows in (roster, roster[::-1], data.draw(st.permutations(roster)), roster * 2):
        made(connection, rows)
        found.append({one: sorted(times) for one, times in meanings(connection).items()})
    assert found[1:] == found[:1] * 3


@given(rosters)
@settings(max_examples=soak.times(15, 2_000))
def test_no_two_employees_are_merged_by_an_address_that_both_had(
    connection: duckdb.DuckDBPyConnection, roster: list[Row]
) -> None:
    made(connection, roster, list(PEOPLE))
    found = meanings(connection)
    for who in PEOPLE:
        assert meant(found, who, 5) is None, "a number stands for itself"
    for on, _, address in roster:
        both = {w for o, w, a in roster if (o, a) == (on, address)}
        if address and len(both) > 1:
            assert meant(found, f"mbox:mailto:{address}", on) is None
    # Whoever is meant had the address at some time.
    for address in ADDRESSES:
        holders = {w for _, w, a in roster if a == address}
        assert {meant(found, f"mbox:mailto:{address}", on) for on in range(12)} <= {
            *holders,
            None,
        }


@given(rosters)
@settings(max_examples=soak.times(20, 2_000))
def test_what_retention_leaves_of_rosters_means_the_same(
    connection: duckdb.DuckDBPyConnection, roster: list[Row]
) -> None:
    made(connection, roster)
    holdings = temp_table(connection, "kept_holdings", models.holdings_model(Sql("roster")))
    people = Sql("(SELECT unnest(['emp:1', 'emp:2', 'emp:3']) AS person)")
    query = models.needed_model(holdings, people, day(0))
    needed = {(str(who), (on - START).days) for who, on in connection.sql(query).fetchall()}
    newest = {who: max(on for on, w, _ in roster if w == who) for _, who, _ in roster}
    left = [(on, who, at) for on, who, at in roster if (who, on) in needed or newest[who] == on]
    before = meanings(connection)
    made(connection, left)
    after = meanings(connection)
    for one in before:
        for on in range(12):
            assert meant(after, one, on) == meant(before, one, on)


def test_an_employee_with_one_address_leaves_no_rows_behind(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    made(connection, [(on, "emp:1", "a@x.example") for on in range(9)])
    holdings = temp_table(connection, "kept_holdings", models.holdings_model(Sql("roster")))
    people = Sql("(SELECT 'emp:1' AS person)")
    assert not connection.sql(models.needed_model(holdings, people, day(0))).fetchall()


@pytest.mark.parametrize(
    "spelled",
    [
        "9,900,005",
        "9.900.005",
        "9 900 005",
        "9\u00a0900\u00a0005",
        "9'900'005",
        "9.900005E+06",
        "9.900005e6",
        "9900005.00",
        "9900005,0",
        "9,900,005.00",
        "009900005",
        "+9900005",
    ],
)
def test_a_number_that_a_spreadsheet_damaged_is_read_if_one_employee_fits(
    connection: duckdb.DuckDBPyConnection, spelled: str
) -> None:
    given = connection.execute("SELECT employee_identifier($1)", [spelled]).fetchall()[0][0]
    made(connection, [(1, "emp:9900005", None), (1, "emp:9900006", None)], [given])
    assert meant(meanings(connection), given, 3) == "emp:9900005"
    # Two that differ by leading zeros are two: it can be either.
    made(connection, [(1, "emp:9900005", None), (1, "emp:0009900005", None)], [given])
    assert meant(meanings(connection), given, 3) is None
    assert connection.sql(f"SELECT problem FROM {IDENTIFIERS}").fetchall() == [("damaged",)]


@pytest.mark.parametrize(
    ("spelled", "number"),
    [
        ("9900005", "9900005"),
        ("9900005.0", "9900005"),
        ('="9900005"', "9900005"),
        ("'9900005", "9900005"),
        (" 9900005\u00a0", "9900005"),
        ("e9900001", "E9900001"),
        ("\ufeffE9900001 ", "E9900001"),
        ("0042", "0042"),
        ("nan", None),
        ("#N/A", None),
        (" ", None),
        ("None", None),
        ("A-17.0", "A-17.0"),
    ],
)
def test_a_number_has_one_form(
    connection: duckdb.DuckDBPyConnection, spelled: str, number: str | None
) -> None:
    assert connection.execute("SELECT employee_number($1)", [spelled]).fetchall() == [(number,)]


@pytest.mark.parametrize("spelled", ["9.9E+06", "9.90001E+06", "1,234", "#REF", "9.900005E+07"])
def test_a_number_that_lost_digits_means_nobody(
    connection: duckdb.DuckDBPyConnection, spelled: str
) -> None:
    made(connection, [(1, "emp:9900000", None), (1, "emp:9900010", None)], [f"emp:{spelled}"])
    assert connection.sql(f"SELECT person, problem FROM {IDENTIFIERS}").fetchall() == [
        (None, "damaged")
    ]


@pytest.mark.parametrize(
    ("page", "name", "who"),
    [
        ("https://hr.example", "7", "emp:0007"),
        ("HTTP://HR.example:80/", " 7 ", "emp:0007"),
        ("https://hr.example#x", "0007", "emp:0007"),
        ("https://hr.example", "A@X.example", "emp:0008"),
        ("https://vendor.example", "7", None),
        ("https://hr.example/other", "7", None),
        ("https://vendor.example", "https://hr.example#7", None),
        ("https://hr.example", "x#7", None),
    ],
)
def test_an_account_is_an_employee_only_on_a_page_of_the_company(
    connection: duckdb.DuckDBPyConnection, page: str, name: str, who: str | None
) -> None:
    """A vendor's account with a small number is a stranger of that vendor."""
    given = connection.execute("SELECT account_identifier($1, $2)", [page, name]).fetchall()[0][0]
    roster: list[Row] = [(1, "emp:0007", None), (1, "emp:0008", "a@x.example")]
    made(connection, roster, [given], ("https://HR.example/",))
    assert meant(meanings(connection), given, 3) == who


def test_records_follow_the_person_through_a_change_of_address(tmp_path: Path) -> None:
    """The statement of the old address, the one of the new, and a CSV that is keyed by address are
    one person's; two revisions of a record under two identifiers are one record."""
    layout = Layout(tmp_path)
    later = FIRST + dt.timedelta(days=2)
    old, new = record(3)["Email"], "Changed.Name@corp.example"
    folder = Path(layout.landing) / str(FIRST)
    begun = statement(3, verb={"id": "http://adlnet.gov/expapi/verbs/initialized"}, result={})
    write_delivery(folder, [record(3, Employee_ID=f" {old.upper()} ")], [person(3)], [begun])
    done = statement(4, actor={"mbox": f"mailto:{new}"}, timestamp="2026-10-20T10:00:00Z")
    same = statement(
        5,
        actor={"mbox": f"mailto:{new}"},
        timestamp="2026-10-13T10:00:00Z",
        verb=begun["verb"],
        result={},
    )
    write_delivery(Path(layout.landing) / str(later), [], [person(3, Email=new)], [done, same])
    found = []
    for order in ((FIRST, later), (later, FIRST)):
        for date in order:
            ingest(layout, MAP, date)
        found.append(classified(layout))
        assert {row["person"] for row in found[-1]} == {f"emp:{record(3)['Employee ID']}"}
        assert {row["unresolved"] for row in found[-1]} == {None}
        # The history's row, the exam that was passed, and what was begun twice.
        assert len(found[-1]) == 3
    assert found[0] == found[1]


def test_who_cannot_be_resolved_is_said_to_be_so(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    rows = [record(0), record(1, Employee_ID="7,700,0"), record(2, Employee_ID="8800001")]
    actors = [statement(3, actor={"mbox": "mailto:shared@corp.example"})]
    people = [person(p, Email="shared@corp.example") for p in (0, 1)]
    write_delivery(Path(layout.landing) / str(FIRST), rows, people, actors)
    ingest(layout, MAP, FIRST)
    assert {(row["person"], row["unresolved"], row["set_aside"]) for row in classified(layout)} == {
        ("emp:7700001", None, None),
        ("emp:7,700,0", "damaged", "identifier damaged"),
        ("emp:8800001", "unknown", None),
        ("mbox:mailto:shared@corp.example", "ambiguous", "identifier ambiguous"),
    }


@pytest.mark.parametrize(
    "spelled", [str.lower, str.upper, lambda name: f" {name.replace(' ', '  ')} "]
)
def test_the_case_of_a_header_makes_nobody_a_second_person(tmp_path: Path, spelled: Any) -> None:
    """Between two deliveries of a roster, or of the history."""
    layout, later = Layout(tmp_path), FIRST + dt.timedelta(days=1)
    write_delivery(Path(layout.landing) / str(FIRST), [record(0)], [person(0)])
    folder = write_delivery(Path(layout.landing) / str(later), [record(0)], [person(0)])
    for file in folder.iterdir():
        header, _, rest = file.read_text().partition("\n")
        names = ",".join(spelled(name) for name in header.strip().split(","))
        file.write_text(f"{names}\n{rest}")
    for date in (FIRST, later):
        ingest(layout, MAP, date)
    assert [row["person"] for row in classified(layout)] == ["emp:7700001"]


def test_two_columns_that_differ_in_case_only_are_not_guessed(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    folder = write_delivery(Path(layout.landing) / str(FIRST), [record(0)], [person(0)])
    file = folder / "hr_roster.csv"
    file.write_text(file.read_text().replace("Employee ID,Full Name", "employee id,EMPLOYEE ID"))
    with pytest.raises(MalformedFile, match="missing column"):
        ingest(layout, MAP, FIRST)

"""Days are days: a calendar date is the same date everywhere, an instant has one in the source's or
the region's calendar, and a date that cannot be costs its field and never a run."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.classified.classify import write_classified
from pipeline.errors import BadInput, PolicyError
from pipeline.policy.data_map import DataMap, load_data_map
from pipeline.policy.fields import Audience
from pipeline.policy.form import Form
from pipeline.policy.retention import StorageRule, load_retention
from pipeline.pseudonymized.models import audience_model
from pipeline.raw.deliveries import ingest
from pipeline.raw.readers.base import PLANNED_WITHIN, DeliveryContext
from pipeline.raw.readers.moments import with_moments
from pipeline.requests import fulfil
from pipeline.storage.engine import engine
from pipeline.storage.layout import PROJECT, Layout
from pipeline.storage.relations import files
from pipeline.storage.sql import Sql, literal, tuples
from tests import soak
from tests.company import HISTORY, ROSTER, person, record, statement, write_csv, write_delivery
from tests.estate import as_of, context, policy_with
from tests.fixtures import Estate, errors
from tests.opened import released

DELIVERY = dt.date(2026, 11, 10)
RULES = load_retention(PROJECT / "retention_rules.yaml")
# On both sides of UTC, up to the ends of the world, with both kinds of clock change and with none.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/Los_Angeles",
    "America/St_Johns",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
)
BLANKS = ("", " ", "\t", "\u00a0", " \u2003", "\u200b", "\ufeff", "\u3000\u2009", "\u202f\u0085")
NO_DATES = (
    "soon",
    "n/a",
    "infinity",
    "-infinity",
    "epoch",
    "now",
    "today",
    "2026-02-29",
    "2026-13-45",
    "2026-10-11 09:30 PM",
    "999999-12-31",
    "99999999999999999999-01-01",
    "294247-01-10T04:00:54.775807",
    "2026-10-11T25:00:00Z",
    "10:00",
    "-",
    "(BC)",
)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with engine(tmp_path_factory.mktemp("dates")) as found:
        yield found


def source_context(
    connection: duckdb.DuckDBPyConnection, data_map: DataMap, **changes: Any
) -> DeliveryContext:
    source = data_map.sources["corporate"].model_copy(update=changes)
    return DeliveryContext(
        connection, DELIVERY, data_map.earliest_date, data_map.default_zone, "corporate", source
    )


def read(
    context: DeliveryContext, texts: list[str | None], moment: str = "started"
) -> list[tuple[Any, ...]]:
    """Day, instant and fault of each text."""
    rows = f"(SELECT * FROM (VALUES {tuples(enumerate(texts))}) AS v (n, t))"
    rows = f"(SELECT n, stripped(t::VARCHAR) AS t FROM {rows})"
    return context.connection.sql(
        f"SELECT {moment}.day, {moment}.instant, {moment}_fault FROM "
        f"{with_moments(rows, {moment: 't'}, context)} ORDER BY n"
    ).fetchall()


days = st.one_of(
    st.dates(dt.date(1990, 1, 3), DELIVERY),
    # Leap days, ends of months of 28 to 31 days, and both clock changes on both sides of the sea.
    st.sampled_from(
        [
            dt.date(2024, 2, 29),
            dt.date(2023, 2, 28),
            dt.date(2026, 4, 30),
            dt.date(2026, 1, 31),
            dt.date(2025, 12, 31),
            dt.date(2026, 3, 29),
            dt.date(2026, 10, 25),
            dt.date(2026, 3, 8),
            dt.date(2026, 11, 1),
        ]
    ),
)
times = st.one_of(
    st.builds(dt.time, st.integers(0, 23), st.integers(0, 59), st.integers(0, 59)),
    st.sampled_from([dt.time(), dt.time(0, 0, 1), dt.time(2, 30), dt.time(23, 59, 59)]),
)
offsets = st.one_of(st.none(), st.integers(-12 * 4, 14 * 4).map(lambda n: 15 * n))  # minutes


def written(day: dt.date, time: dt.time | None, offset: int | None, style: int) -> str:
    if time is None:
        return f"{day}"
    text = f"{day}{' T'[style % 2]}{time}"
    if offset is None:
        return text
    hours, minutes = divmod(abs(offset), 60)
    sign = "-" if offset < 0 else "+"
    if not offset and style % 3 == 0:
        return f"{text}Z"
    return f"{text}{sign}{hours:02}{':' if style % 4 < 2 else ''}{minutes:02}"


moments = st.builds(
    lambda day, time, offset, style: (day, time, offset if time else None, style),
    days,
    st.none() | times,
    offsets,
    st.integers(0, 11),
)


def by_hand(
    moment: tuple[dt.date, dt.time | None, int | None, int],
    zone: str | None,
    default: str,
    region: str,
) -> tuple[dt.date, dt.datetime | None]:
    """Date and instant (UTC, naive), by the standard library."""
    day, time, offset, _ = moment
    if time is None or (offset is None and time == dt.time()):
        return day, None
    if offset is None:
        local = dt.datetime.combine(day, time, ZoneInfo(zone or default))
        return day, local.astimezone(dt.UTC).replace(tzinfo=None)
    aware = dt.datetime.combine(day, time, dt.timezone(dt.timedelta(minutes=offset)))
    local = aware.astimezone(ZoneInfo(zone or region))
    at = aware.astimezone(dt.UTC).replace(tzinfo=None)
    return local.date(), None if zone and local.time() == dt.time() else at


@settings(max_examples=soak.times(25, 1_000))
@given(
    found=st.lists(moments, min_size=1, max_size=40),
    zone=st.none() | st.sampled_from(ZONES),
    default=st.sampled_from(ZONES),
    region=st.sampled_from(ZONES),
    around=st.tuples(st.sampled_from(BLANKS), st.sampled_from(BLANKS)),
)
def test_every_moment_has_its_date(
    connection: duckdb.DuckDBPyConnection,
    data_map: DataMap,
    found: list[Any],
    zone: str | None,
    default: str,
    region: str,
    around: tuple[str, str],
) -> None:
    """Dates and times, with and without offsets, blanks around them, in zones on both sides of UTC:
    SQL against the standard library."""
    map_of = data_map.model_copy(update={"default_zone": default})
    context = source_context(connection, map_of, zone=zone)
    rows = read(context, [f"{around[0]}{written(*one)}{around[1]}" for one in found])
    for one, (day, at, fault) in zip(found, rows, strict=True):
        assert fault is None, (one, fault)
        if day is None:  # as pipeline/classified/classified.sql does it
            wall = f"wall_time({literal(at)}, {literal(region)})"
            ((day,),) = connection.sql(f"SELECT {wall}::DATE").fetchall()
        expected = by_hand(one, zone, default, region)
        # A time that the clocks skipped or showed twice has no one instant; its date stays.
        twice = one[1] and one[2] is None and ambiguous(one, zone or default)
        assert (day, None if twice else at) == (expected[0], None if twice else expected[1]), one


def ambiguous(moment: Any, zone: str) -> bool:
    first = dt.datetime.combine(moment[0], moment[1], ZoneInfo(zone))
    return first.utcoffset() != first.replace(fold=1).utcoffset()


@pytest.mark.parametrize("moment", ["assigned", "started", "event", "due"])
def test_what_is_no_date_is_a_fault_and_never_an_error(
    connection: duckdb.DuckDBPyConnection, data_map: DataMap, moment: str
) -> None:
    context = source_context(connection, data_map)
    texts = [
        *NO_DATES,
        "9999-12-31",
        "9999-12-31T23:59:59Z",
        "0001-01-01",
        "1900-01-01",
        "1899-12-30 00:00:00",
        "0044-03-15 (BC)",
        "294246-12-31 23:00:00",
    ]
    late = "too_late" if moment == "due" else "in_the_future"
    rules = ["not_a_date"] * len(NO_DATES) + [late, late, *["too_early"] * 4, late]
    assert read(context, list(texts), moment) == [
        (None, None, f"{moment}_at:{rule}") for rule in rules
    ]
    assert read(context, [None, "", " \t"], moment) == [(None, None, None)] * 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-10-01-07:00", (dt.date(2026, 10, 1), None)),  # XML's date with an offset
        ("2026-10-01Z", (dt.date(2026, 10, 1), None)),
        ("2026-10-01 00:00:00.000", (dt.date(2026, 10, 1), None)),
        ("2026/10/01", (dt.date(2026, 10, 1), None)),
        ("2026-10-01t09:30:00z", (None, dt.datetime(2026, 10, 1, 9, 30))),
        ("2026-10-01T09:30:00,5Z", (None, dt.datetime(2026, 10, 1, 9, 30, 0, 500_000))),
        ("2026-10-01 09:30:00 UTC", (None, dt.datetime(2026, 10, 1, 9, 30))),
        ("2026-10-01 09:30:00 Asia/Tokyo", (None, dt.datetime(2026, 10, 1, 0, 30))),
        ("2026-10-01 09:30:00+02", (None, dt.datetime(2026, 10, 1, 7, 30))),
    ],
)
def test_other_spellings(
    connection: duckdb.DuckDBPyConnection, data_map: DataMap, text: str, expected: Any
) -> None:
    assert read(source_context(connection, data_map), [text]) == [(*expected, None)]


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("%m/%d/%y", "10/11/26", (dt.date(2026, 10, 11), None)),  # in ISO 8601 of the year 10
        ("%d.%m.%Y", "11.10.2026", (dt.date(2026, 10, 11), None)),
        ("%Y%m%d", "20261011", (dt.date(2026, 10, 11), None)),
        (
            "%d.%m.%Y %H:%M",
            "11.10.2026 00:30",
            (dt.date(2026, 10, 11), dt.datetime(2026, 10, 10, 22, 30)),
        ),
        ("%d.%m.%Y %H:%M %z", "11.10.2026 00:30 +0500", (None, dt.datetime(2026, 10, 10, 19, 30))),
        (
            "%m/%d/%Y %I:%M %p",
            "10/11/2026 12:30 AM",
            (dt.date(2026, 10, 11), dt.datetime(2026, 10, 10, 22, 30)),
        ),
        ("%m/%d/%Y %I:%M %p", "2026-10-11T12:30:00Z", (None, dt.datetime(2026, 10, 11, 12, 30))),
        ("%d.%m.%Y", "2026-10-11", (dt.date(2026, 10, 11), None)),
        ("%d.%m.%Y", "31.12.9999", None),
    ],
)
def test_the_sources_own_format(
    connection: duckdb.DuckDBPyConnection, data_map: DataMap, form: str, text: str, expected: Any
) -> None:
    context = source_context(connection, data_map, form=Form(dates=(form,)))
    assert read(context, [text]) == [
        (*expected, None) if expected else (None, None, "started_at:in_the_future")
    ]


def test_a_due_date_may_lie_ten_years_ahead(
    connection: duckdb.DuckDBPyConnection, data_map: DataMap
) -> None:
    context = source_context(connection, data_map)
    last = DELIVERY + dt.timedelta(days=PLANNED_WITHIN)
    texts: list[str | None] = [str(last), str(last + dt.timedelta(days=1))]
    assert read(context, texts, "due") == [(last, None, None), (None, None, "due_at:too_late")]


records = st.lists(
    st.tuples(
        st.none() | moments,
        st.none() | moments,
        st.none() | moments,
        st.sampled_from(["completed", "failed", "in_progress"]),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=soak.times(25, 1_000))
@given(found=records, zone=st.sampled_from(ZONES))
def test_months_days_and_on_time_are_counted_in_days(
    connection: duckdb.DuckDBPyConnection, found: list[Any], zone: str
) -> None:
    """The figures' rows against a calendar on paper: months of 28 to 31 days, leap days, clock
    changes, zones."""
    rows = []
    for n, (assigned, event, due, status) in enumerate(found):
        pairs = [
            by_hand(one, None, zone, zone) if one else (None, None)
            for one in (assigned, event, due)
        ]
        rows.append((n, *(value for pair in pairs for value in pair), status))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE r AS SELECT n::UUID AS record_key, 'p' AS person, "
        "'m' AS manager, 'd' AS department, 'c' AS course_code, a::DATE AS assigned_on, "
        "aa::TIMESTAMP AS assigned_at, e::DATE AS event_on, ea::TIMESTAMP AS event_at, "
        "d::DATE AS due_on, da::TIMESTAMP AS due_at, s AS status, 50.0 AS score FROM (VALUES "
        f"{tuples((f'{n:032x}', *row) for n, *row in rows)}) AS v (n, a, aa, e, ea, d, da, s)"
    )
    pseudonyms = Sql("(VALUES ('p', 'x', 1), ('m', 'y', 2))")
    pseudonyms = Sql(f"(SELECT * FROM {pseudonyms} AS v (person, ref, place))")
    model = audience_model(Audience.COACHING, Sql("r"), pseudonyms)
    made = connection.sql(f"SELECT period, on_time, days FROM ({model})").fetchall()
    for (_, a, _, e, ea, d, da, status), (period, on_time, took) in zip(rows, made, strict=True):
        known = e or a
        assert period == (known and known.replace(day=1))
        done = status == "completed"
        if d is None:
            assert on_time is None
        elif not done:
            assert on_time is False
        elif e is None:
            assert on_time is None
        else:
            # A due date is over when its day is; two instants are compared as such.
            assert on_time is (ea <= da if ea and da else e <= d)
        gap = (e - a).days if done and e and a else None
        assert took == (gap if gap is not None and 0 <= gap <= 3660 else None)


def classified(home: Path, data_map: DataMap) -> pl.DataFrame:
    layout = Layout(home)
    ingest(layout, data_map, DELIVERY)
    with engine(layout.work) as connection:
        stand = replace(context(home), data_map=data_map)
        write_classified(connection, stand, home / "classified")
    return pl.concat([pl.read_parquet(p) for p in (home / "classified").glob("*/*.parquet")])


def folder(home: Path) -> Path:
    return home / "landing" / str(DELIVERY)


@pytest.mark.parametrize(
    ("country", "event_on"),
    [
        ("DE", dt.date(2026, 11, 1)),
        ("GB", dt.date(2026, 10, 31)),
        ("US", dt.date(2026, 10, 31)),
        ("SG", dt.date(2026, 11, 1)),
        ("", dt.date(2026, 11, 1)),
    ],
)
def test_an_instant_has_its_date_in_the_calendar_of_the_region(
    tmp_path: Path, data_map: DataMap, country: str, event_on: dt.date
) -> None:
    rows = [record(0, Completed_Date="2026-10-31T23:30:00Z", Country=country)]
    write_delivery(folder(tmp_path), rows, [person(0, Country=country)])
    (row,) = classified(tmp_path, data_map).to_dicts()
    assert row["event_on"] == event_on
    assert row["event_at"] == dt.datetime(2026, 10, 31, 23, 30)
    assert row["assigned_on"] == dt.date(2026, 10, 1)


def test_a_source_can_have_a_calendar_of_its_own(tmp_path: Path) -> None:
    own = {"xapi": {"zone": "Pacific/Kiritimati"}}
    changed = load_data_map(PROJECT / "data_map.yaml")
    sources = dict(changed.sources)
    sources["xapi"] = sources["xapi"].model_copy(update=own["xapi"])
    changed = changed.model_copy(update={"sources": sources})
    write_delivery(
        folder(tmp_path),
        [],
        [person(0, Country="US")],
        [statement(0, timestamp="2026-10-31T12:00:00Z")],
    )
    (row,) = classified(tmp_path, changed).to_dicts()
    assert (row["region"], row["event_on"]) == ("US", dt.date(2026, 11, 1))


def test_an_unknown_zone_is_an_error_of_the_map(tmp_path: Path) -> None:
    policy = policy_with(tmp_path / "policy", "data_map.yaml", {})
    text = (
        (policy / "data_map.yaml")
        .read_text()
        .replace("default_zone: Europe/Berlin", "default_zone: Europe/Atlantis")
    )
    (policy / "data_map.yaml").write_text(text)
    with pytest.raises(BadInput, match="default_zone: not a time zone"):
        load_data_map(policy / "data_map.yaml")


def stored(layout: Layout, kind: str) -> list[dict[str, Any]]:
    return [row for path in files(layout, kind) for row in pl.read_parquet(path).to_dicts()]


@pytest.mark.parametrize(
    "change",
    [
        {"Due_Date": "9999-12-31"},
        {"Due_Date": "soon"},
        {"Due_Date": "0001-01-01"},
        {"Due_Date": "infinity"},
        {"Assigned_Date": "1900-01-01"},
        {"Started_Date": "9999-12-31"},
        {"Assigned_Date": "2031-01-01"},
        {"Completed_Date": "n/a", "Status": "In Progress"},
        {"Completed_Date": "9999-12-31", "Status": "Not started"},
    ],
)
def test_an_optional_date_costs_its_field_only(
    tmp_path: Path, data_map: DataMap, change: dict[str, str]
) -> None:
    write_delivery(folder(tmp_path), [record(0, **change)])
    layout = Layout(tmp_path)
    ingest(layout, data_map, DELIVERY)
    (row,) = stored(layout, "records")
    assert row["problem"] is row["raw"] is None
    (rule,) = row["discarded"]
    moment = {
        "Due Date": "due",
        "Assigned Date": "assigned",
        "Started Date": "started",
        "Completed Date": "event",
    }[next(iter(change)).replace("_", " ")]
    assert rule.startswith(f"{moment}_at:")
    if moment != "event":
        assert row[f"{moment}_on"] is row[f"{moment}_at"] is None
    assert row["event_on"] == dt.date(2026, 10, 1 if moment == "event" else 11)


@pytest.mark.parametrize("moment", ["due", "assigned", "started"])
def test_policy_may_have_it_cost_the_row(tmp_path: Path, data_map: DataMap, moment: str) -> None:
    source = data_map.sources["corporate"].model_copy(update={"impossible_dates": "row"})
    strict = data_map.model_copy(update={"sources": data_map.sources | {"corporate": source}})
    change = {f"{moment.title()}_Date": "9999-12-31"}
    write_delivery(folder(tmp_path), [record(0, **change), record(1)])
    layout = Layout(tmp_path)
    ingest(layout, strict, DELIVERY)
    bad, good = sorted(stored(layout, "records"), key=lambda row: row["learner_id"])
    assert bad["problem"].startswith(f"{moment}_at:")
    assert "9999-12-31" in bad["raw"]
    assert good["problem"] is None


@pytest.mark.parametrize("left", ["9999-12-31", "0001-01-01", "1900-01-01", "-", "infinity"])
def test_nobody_has_left_on_a_day_that_cannot_be(
    tmp_path: Path, data_map: DataMap, left: str
) -> None:
    """A sentinel for "still here", read as a day of the past, would erase everything at once."""
    row = person(0) | {"Termination Date": left}
    write_csv(folder(tmp_path) / "hr_roster.csv", [row], [*ROSTER, "Termination Date"])
    layout = Layout(tmp_path)
    ingest(layout, data_map, DELIVERY)
    (found,) = stored(layout, "roster")
    assert found["left_on"] is None
    assert len(found["discarded"]) == 1


BLANK = "\u00a0\t {} \u2003\u200b"


def test_blanks_around_a_value_are_no_value(tmp_path: Path, data_map: DataMap) -> None:
    """In CSV, JSON and Parquet, whatever the column and whatever Unicode calls the blank."""
    plain = record(0, Completed_Date="2026-10-11T09:30:00+02:00", Country="US")
    blank = {name: BLANK.format(value) for name, value in plain.items()}
    one = statement(0)
    padded = json.loads(json.dumps(one))
    padded |= {
        "timestamp": BLANK.format(one["timestamp"]),
        "actor": {"mbox": BLANK.format(one["actor"]["mbox"])},
        "verb": {"id": BLANK.format(one["verb"]["id"])},
    }
    parquet = {
        "record_type": "assessment_record",
        "learner_id": "emp:1",
        "course_code": "C",
        "status": "passed",
        "event_at": "2026-10-01",
        "score": "4",
        "score_max": "5",
        "country": "de",
        "free_text": "",
    }
    found = []
    for n, (row, output, cells) in enumerate(
        [
            (plain, one, parquet),
            (blank, padded, {k: BLANK.format(v) for k, v in parquet.items()}),
        ]
    ):
        home = tmp_path / str(n)
        write_csv(folder(home) / "learning_history.csv", [row], HISTORY)
        write_csv(folder(home) / "hr_roster.csv", [{c: row[c] for c in ROSTER}], ROSTER)
        (folder(home) / "xapi.json").write_text(json.dumps([output]))
        pl.DataFrame([cells]).write_parquet(folder(home) / "canonical.parquet")
        layout = Layout(home)
        ingest(layout, data_map, DELIVERY)
        found.append([stored(layout, "records"), stored(layout, "roster")])
        assert [len(rows) for rows in found[-1]] == [3, 1]
    assert found[0] == found[1]
    assert all(row.get("problem") is None for rows in found[0] for row in rows)


def test_a_spelling_does_not_make_another_record(tmp_path: Path, data_map: DataMap) -> None:
    rows = [
        record(0, Assigned_Date=text)
        for text in ("2026-10-01", " 2026-10-01", "2026-10-01 00:00:00", "2026-10-01T00:00")
    ]
    write_delivery(folder(tmp_path), rows)
    assert classified(tmp_path, data_map).height == 1


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-10-02", None, (dt.date(2026, 10, 2), None)),
        ("2026-10-02T10:00:00+02:00", None, (None, dt.datetime(2026, 10, 2, 8))),
        ("2026-10-02 10:00", None, (dt.date(2026, 10, 2), dt.datetime(2026, 10, 2, 8))),
        ("2026-13-02", "ISO 8601", None),
        ("9999-12-31", "must lie between", None),
        ("1900-01-01", "must lie between", None),
    ],
)
def test_a_corrected_date_is_read_like_a_delivered_one(
    estate: Estate, text: str, zone: str | None, expected: Any
) -> None:
    now = dt.datetime(2026, 11, 10, tzinfo=dt.UTC)
    if expected is None:
        with pytest.raises(PolicyError, match=zone):
            fulfil._values(estate.context, {"event_at": text}, now)
        return
    on, at = expected
    assert fulfil._values(estate.context, {"event_at": text}, now) == {
        "event_on": on,
        "event_at": at,
        "event_zone": None,
    }


def test_a_month_is_the_month_of_the_date_in_every_table(estate: Estate, tmp_path: Path) -> None:
    """Twelve people finish on the first of October, twelve on the day on which it was due, in the
    afternoon, and twelve in a month whose figures may not be kept any more, which is no open one.
    One record says "no due date" in the way of a vendor."""
    aggregates = estate.context.rules.storage[StorageRule.AGGREGATES].model_dump()
    rules = {"storage": {"aggregates": aggregates | {"window": "P2M"}}}
    policy = policy_with(tmp_path / "policy", "retention_rules.yaml", rules)
    stand = Estate(estate.home, estate.instance, policy)
    done = {
        "DOOR-1": ("2026-09-10", "2026-10-01", "2026-10-31"),
        "DOOR-2": ("2026-10-06", "2026-10-20 15:00:00", "2026-10-20"),
        "DOOR-3": ("2026-07-01", "2026-08-01", "2026-08-10"),
    }
    rows = [
        record(p, Course_Code=code, Assigned_Date=assigned, Completed_Date=completed, Due_Date=due)
        for code, (assigned, completed, due) in done.items()
        for p in range(12)
    ]
    rows[0]["Due Date"] = "9999-12-31"
    write_delivery(stand.delivery(DELIVERY), rows, [person(p) for p in range(12)])
    with as_of(dt.datetime(2026, 11, 10, tzinfo=dt.UTC)):
        result = stand.run(DELIVERY)
    assert result.success, errors(result)
    october = dt.date(2026, 10, 1)
    with released(stand.home) as c:
        output = c.execute(
            "SELECT period, course_code, learners, on_time_rate, median_days "
            "FROM coaching_db.coaching_course ORDER BY course_code"
        ).fetchall()
        assert output == [(october, "DOOR-1", 12, 1.0, 21.0), (october, "DOOR-2", 12, 1.0, 14.0)]
        detail = c.execute(
            "SELECT DISTINCT course_code, assigned_on, event_on, event_at, due_on "
            "FROM hr_legal_detail_db.hr_legal_detail WHERE course_code <> 'DOOR-3' ORDER BY ALL"
        ).fetchall()
    sixth, twentieth = dt.date(2026, 10, 6), dt.date(2026, 10, 20)
    assert detail == [
        ("DOOR-1", dt.date(2026, 9, 10), october, None, dt.date(2026, 10, 31)),
        ("DOOR-1", dt.date(2026, 9, 10), october, None, None),
        ("DOOR-2", sixth, twentieth, dt.datetime(2026, 10, 20, 13), twentieth),
    ]
    for row in json.loads((stand.layout.reconciliation / f"{DELIVERY}.json").read_text()):
        assert row["balanced"]
        if row["table"].startswith("coaching"):
            assert row["suppressed"]["older than the aggregates window"] == 12
            assert row["suppressed"]["period still open"] == 0

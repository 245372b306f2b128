"""retention_rules.yaml: strict, without gaps or contradictions, and exact to the day."""

from __future__ import annotations

import calendar
import copy
import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PolicyError
from pipeline.policy.data_map import DataMap
from pipeline.policy.duration import Duration
from pipeline.policy.fields import Audience
from pipeline.policy.retention import RecordType, RetentionRules, load_retention, require_current
from pipeline.policy.retention_coverage import require_coverage
from pipeline.policy.windows import (
    kept_until,
    latest_due,
    make_cutoffs,
    published_until,
    with_due,
)
from pipeline.storage.engine import load_macros
from pipeline.storage.layout import PROJECT
from tests import soak

RAW: dict[str, Any] = yaml.safe_load((PROJECT / "retention_rules.yaml").read_text())
AUTHORITY = {"basis": "b", "source": "s", "owner": "o", "review_by": dt.date(2030, 1, 1)}


def changed(**sections: Any) -> dict[str, Any]:
    return copy.deepcopy(RAW) | sections


@pytest.mark.parametrize(
    "window", ["", "P", "P0D", "3 years", "PT5H", "-P1D", None, "P101Y", "P1Y0W0DT1H", 3]
)
def test_an_empty_window_never_means_for_ever(window: object) -> None:
    for section in ("records", "tables", "storage", "logs"):
        raw = changed()
        next(iter(raw[section].values()))["window"] = window
        with pytest.raises(ValueError, match="window"):
            RetentionRules.model_validate(raw)


@pytest.mark.parametrize("publication_lead", ["", "P0D", None, 2])
def test_tables_let_go_of_a_record_before_it_is_due(publication_lead: object) -> None:
    with pytest.raises(ValueError, match="publication_lead"):
        RetentionRules.model_validate(changed(publication_lead=publication_lead))


@pytest.mark.parametrize("section", ["records", "storage", "logs"])
def test_nothing_that_is_kept_may_lack_a_rule(section: str) -> None:
    for name in RAW[section]:
        raw = changed()
        del raw[section][name]
        with pytest.raises(ValueError, match=name):
            RetentionRules.model_validate(raw)


def test_every_published_table_has_a_rule(data_map: DataMap) -> None:
    for name in RAW["tables"]:
        raw = changed()
        del raw["tables"][name]
        with pytest.raises(PolicyError, match=name):
            require_coverage(RetentionRules.model_validate(raw), data_map)
    raw = changed()
    raw["tables"]["coaching_team"] = raw["tables"]["coaching_team"] | {"window": "P1Y"}
    with pytest.raises(PolicyError, match="same window"):
        require_coverage(RetentionRules.model_validate(raw), data_map)


def test_a_stale_rule_of_any_kind_stops_the_run() -> None:
    rules = load_retention(PROJECT / "retention_rules.yaml")
    require_current(rules, dt.date(2027, 6, 30))
    with pytest.raises(PolicyError, match=r"overrides\.uk-safety-assessments"):
        require_current(rules, dt.date(2027, 7, 1))
    with pytest.raises(PolicyError, match=r"records\.milestone_flag.*storage\.backups.*logs"):
        require_current(rules, dt.date(2027, 11, 1))


def override(name: str, **limit: str) -> dict[str, Any]:
    return {"name": name, "regions": ["EU"], "records": ["milestone_flag"], **limit, **AUTHORITY}


@pytest.mark.parametrize(("least", "most"), [("P2Y", "P1Y"), ("P1M", "P30D"), ("P366D", "P1Y")])
def test_a_contradiction_names_both_rules(least: str, most: str) -> None:
    """A month can be longer than 30 days, a year shorter than 366."""
    raw = changed(overrides=[override("keep-it", minimum=least), override("drop-it", maximum=most)])
    with pytest.raises(ValueError, match=r"keep-it.*drop-it"):
        RetentionRules.model_validate(raw)
    raw["overrides"][1]["regions"] = ["US"]
    RetentionRules.model_validate(raw)


@pytest.mark.parametrize(("least", "most"), [("P1Y", "P12M"), ("P28D", "P1M"), ("P365D", "P1Y1D")])
def test_limits_that_can_both_be_kept_are_no_contradiction(least: str, most: str) -> None:
    RetentionRules.model_validate(
        changed(overrides=[override("keep-it", minimum=least), override("drop-it", maximum=most)])
    )


def test_termination_needs_an_end_for_people_who_stay() -> None:
    raw = changed()
    raw["records"]["milestone_flag"] |= {"clock": "termination"}
    with pytest.raises(ValueError, match="at_the_latest"):
        RetentionRules.model_validate(raw)


def by_hand(day: dt.date, months: int, days: int) -> dt.date:
    """The end of a period, worked out without the library that the product uses."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return dt.date(year, month + 1, min(day.day, last)) + dt.timedelta(days=days)


durations = st.tuples(st.integers(0, 40), st.integers(0, 400)).filter(any)
# Leap days, month ends and the days that zones make short or long come up often.
days = st.one_of(
    st.dates(dt.date(2019, 1, 1), dt.date(2026, 12, 31)),
    st.sampled_from(
        [
            dt.date(2024, 2, 29),
            dt.date(2020, 2, 29),
            dt.date(2023, 1, 31),
            dt.date(2026, 3, 29),
            dt.date(2025, 10, 26),
            dt.date(2025, 12, 31),
        ]
    ),
)
moments = st.builds(
    lambda day, second: dt.datetime.combine(day, dt.time()) + dt.timedelta(seconds=second),
    days,
    st.one_of(st.integers(0, 86_399), st.sampled_from([0, 3_600, 7_200, 79_200, 82_800, 86_399])),
)


@given(days, durations)
def test_periods_end_as_the_regulation_says(day: dt.date, period: tuple[int, int]) -> None:
    months, more = period
    assert Duration.parse(f"P{months}M{more}D").ends(day) == by_hand(day, months, more)


def test_a_leap_day_and_a_year() -> None:
    assert Duration.parse("P1Y").ends(dt.date(2024, 2, 29)) == dt.date(2025, 2, 28)
    assert Duration.parse("P4Y").ends(dt.date(2024, 2, 29)) == dt.date(2028, 2, 29)


rows = st.lists(
    st.tuples(
        st.sampled_from(["milestone_flag", "assessment_record", "communications_log"]),
        st.sampled_from(["EU", "UK", "US", "APAC", None]),
        st.none() | days,
        st.none() | days,
        st.none() | days,
        days,
        st.none() | days,
        st.booleans(),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=soak.times(40, 2_000))
@given(
    rows=rows,
    windows=st.tuples(durations, durations, durations, durations),
    clock=st.sampled_from(["completion", "last_activity", "termination"]),
    limits=st.tuples(st.none() | durations, st.none() | durations),
    now=moments,
    later=st.floats(0, 1),
)
def test_nothing_is_due_early_and_nothing_late(
    data_map: DataMap,
    rows: list[Any],
    windows: Any,
    clock: str,
    limits: Any,
    now: dt.datetime,
    later: float,
) -> None:
    """SQL against the calendar, row by row: rules, clocks, overrides, leap days and zones."""

    def iso(period: tuple[int, int]) -> str:
        return f"P{period[0]}M{period[1]}D"

    raw = changed(overrides=[])
    for record, window in zip(raw["records"].values(), windows, strict=False):
        record["window"] = iso(window)
    flag = raw["records"]["milestone_flag"]
    flag["clock"] = clock
    if clock == "termination":
        flag["at_the_latest"] = iso(windows[3])
    least, most = limits
    if least:
        raw["overrides"].append(override("least", minimum=iso(least)))
    if most and not (least and not Duration.parse(iso(least)).within(Duration.parse(iso(most)))):
        raw["overrides"].append(override("most", maximum=iso(most)))
    rules = RetentionRules.model_validate(raw)
    aware = now.replace(tzinfo=dt.UTC)

    def due(row: Any) -> bool:
        record, region, event, started, assigned, first, left, rostered = row
        zone = ZoneInfo(raw["zones"].get(region or "default", raw["zones"]["default"]))
        today = aware.astimezone(zone).date()

        def over(start: dt.date, period: tuple[int, int]) -> bool:
            last = by_hand(start, *period)
            if region == "EU" and record == "milestone_flag":
                for limit in raw["overrides"]:
                    if "minimum" in limit:
                        last = max(last, by_hand(start, *least))
                for limit in raw["overrides"]:
                    if "maximum" in limit:
                        last = min(last, by_hand(start, *most))
            return last < today

        known = [m for m in (event, started, assigned) if m]
        window = windows[list(raw["records"]).index(record)]
        kind = raw["records"][record]["clock"]
        if kind == "termination":
            if over(known[0] if known else first, windows[3]):
                return True
            if left or rostered:
                return bool(left) and over(left, window)
        moment = max(known) if known and kind == "last_activity" else known[0] if known else None
        return over(moment or first, window)

    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t (id INTEGER, record_type VARCHAR, region VARCHAR, event_on DATE, "
            "started_on DATE, assigned_on DATE, first_seen DATE, left_on DATE, "
            "on_roster BOOLEAN)"
        )
        connection.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(n, *row) for n, row in enumerate(rows)],
        )
        load_macros(connection)

        def with_due_at(
            rows: str, moment: dt.datetime, audience: Audience | None, name: str
        ) -> str:
            made = make_cutoffs(connection, f"at_{name}", rules, data_map, moment, audience)
            return with_due(rows, made, name)

        found = connection.sql(
            f"SELECT id, due FROM {with_due_at('t', aware, None, 'due')} ORDER BY id"
        ).fetchall()
        assert [bool(test) for _, test in found] == [due(row) for row in rows]
        assert all(test is not None for _, test in found)
        # A published table never shows what the store may not keep.
        kept = with_due_at("t", aware, None, "due")
        both = with_due_at(kept, aware, Audience.MANAGER, "hidden")
        (late,) = connection.sql(
            f"SELECT count(*) FROM {both} WHERE due AND NOT hidden"
        ).fetchall()[0]
        assert late == 0
        # Nor what an erasure finds before the run's `until`.
        until = published_until(rules, aware)
        assert until == aware + dt.timedelta(days=2)
        moment = aware + later * (until - aware)
        kept = with_due_at("t", moment, None, "due")
        both = with_due_at(kept, until, Audience.MANAGER, "hidden")
        (late,) = connection.sql(
            f"SELECT count(*) FROM {both} WHERE due AND NOT hidden"
        ).fetchall()[0]
        assert late == 0
    for row in rows:
        horizon = latest_due(rules, data_map, aware, RecordType(row[0]))
        known = [m for m in row[2:5] if m]
        if horizon is not None and known and known[0] > horizon:
            assert not due(row)


def test_the_binding_rule_is_named() -> None:
    rules = load_retention(PROJECT / "retention_rules.yaml")
    day = dt.date(2026, 1, 15)
    record, message = list(rules.records)[1:]
    assert kept_until(rules, record, "UK", rules.records[record].duration, day) == (
        dt.date(2028, 1, 15),
        "overrides.uk-safety-assessments",
    )
    assert kept_until(rules, record, "US", rules.records[record].duration, day) == (
        dt.date(2027, 1, 15),
        "records.assessment_record",
    )
    assert kept_until(rules, message, "EU", rules.records[message].duration, day) == (
        dt.date(2026, 3, 16),
        "overrides.eu-messages",
    )

"""How much of a delivery was lost on the way in, and how much of it there is: counts by file and
source, of rows in quarantine and of lines that could not be read, against the data map's limits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

import duckdb

from pipeline.policy.data_map import DataMap, DeliveryRules
from pipeline.raw import register
from pipeline.storage.engine import count
from pipeline.storage.layout import Layout
from pipeline.storage.relations import files, left_out_of, parquet, rejects_of, source_of
from pipeline.storage.schema import LEFT_OUT, REJECTS

QUARANTINE_RULE, LINES_RULE = "quarantine.not_most", "lines.readable"
EMPTY_RULE, LESS_RULE = "volume.some", "volume.not_less"
RULES = (QUARANTINE_RULE, LINES_RULE, EMPTY_RULE, LESS_RULE)
SHOWN = 5  # line numbers in a message


@dataclass(frozen=True)
class Loss:
    """What was read of one file, or of all files of a source.

    Attributes:
        file: its name, where that is known; rows that are in no quarantine do not name it.
        rows: that could be read, those in quarantine among them.
        quarantined: rows that break a rule.
        unreadable: lines that could not be read at all.
        left_out: records that were read and, by policy, only counted; they are in no share.
        lines: numbers of the first of those.
    """

    source: str
    file: str | None
    rows: int
    quarantined: int
    unreadable: int
    lines: tuple[int, ...] = ()
    left_out: int = 0

    @property
    def received(self) -> int:
        return self.rows + self.unreadable

    @property
    def lost(self) -> int:
        return self.quarantined + self.unreadable

    def __str__(self) -> str:
        named = f"{self.source}, {self.file}" if self.file else self.source
        numbers = ", ".join(map(str, self.lines))
        where = f" (lines {numbers}{' …' if self.unreadable > len(self.lines) else ''})"
        return (
            f"{named}: {self.lost:,} of {self.received:,} lost, {self.quarantined:,} in quarantine "
            f"and {self.unreadable:,} unreadable{where if self.lines else ''}"
        )


def by_file(connection: duckdb.DuckDBPyConnection, layout: Layout, delivery: dt.date) -> list[Loss]:
    """What was lost of every file of a delivery, rosters included."""
    found = []
    for kind, bad in (("records", "count(problem), any_value(file)"), ("roster", "0, NULL")):
        for path in files(layout, kind, str(delivery)):
            rows, quarantined, file = connection.execute(
                f"SELECT count(*), {bad} FROM {parquet([path], {})}"
            ).fetchall()[0]
            unreadable, named, lines = connection.execute(
                "SELECT count(*), any_value(file), list_sort(list(line)) "
                f"FROM {parquet(rejects_of(path), REJECTS)}"
            ).fetchall()[0]
            shown = tuple((lines or [])[:SHOWN])
            counted = parquet([one for one in [left_out_of(path)] if one.exists()], LEFT_OUT)
            left_out = count(connection, f"SELECT coalesce(sum(records), 0) FROM {counted}")
            found.append(
                Loss(source_of(path), named or file, rows, quarantined, unreadable, shown, left_out)
            )
    return found


def by_source(losses: Iterable[Loss]) -> list[Loss]:
    """The same, summed up by source."""
    found: dict[str, Loss] = {}
    for one in losses:
        so_far = found.get(one.source, Loss(one.source, None, 0, 0, 0))
        found[one.source] = Loss(
            one.source,
            None,
            so_far.rows + one.rows,
            so_far.quarantined + one.quarantined,
            so_far.unreadable + one.unreadable,
            left_out=so_far.left_out + one.left_out,
        )
    return list(found.values())


def too_many_lost(losses: list[Loss], rules: DeliveryRules) -> dict[str, list[str]]:
    """Rule to the files and sources that break it, in words."""
    most = [
        str(one)
        for one in (*losses, *by_source(losses))
        if one.lost > rules.quarantined * one.received
    ]
    lines = [
        str(one)
        for one in losses
        if one.unreadable > rules.unreadable * (one.received + one.left_out)
    ]
    return {QUARANTINE_RULE: most, LINES_RULE: lines}


def too_little(
    layout: Layout, data_map: DataMap, delivery: dt.date, losses: list[Loss]
) -> dict[str, list[str]]:
    """Rule to the sources that brought too little, in words. A full export is compared with the
    last accepted ones, and any correction with what it corrects.

    Compared is what was read, those of erased people among it, who are refused afterwards. Somebody
    can allow the very content: `milestones delivery allow`. What was accepted stays so, although
    retention and erasures take rows out of it.
    """
    steps = register.steps(layout, delivery)
    last, used = register.latest(steps), register.accepted(steps)
    allowed = last is not None and last.sha256 and register.allowed(steps, last.sha256)
    here = layout.canonical / str(delivery)
    if allowed or (used and used.version == register.version_of(here)):
        return {EMPTY_RULE: [], LESS_RULE: []}
    rows = {one.source: one.rows + one.left_out for one in by_source(losses)} | register.rows_of(
        here
    )
    empty = [
        f"{source}: no row, and every delivery of it is a full export"
        for source, n in rows.items()
        if not n and data_map.sources[source].full
    ]
    return {EMPTY_RULE: empty, LESS_RULE: list(_less(layout, data_map, delivery, rows))}


def _less(
    layout: Layout, data_map: DataMap, delivery: dt.date, rows: dict[str, int]
) -> Iterator[str]:
    rules = data_map.deliveries
    corrected = register.rows_of(layout.replaced / str(delivery))
    for source, before in corrected.items():
        if rows.get(source, 0) < rules.least * before:
            yield f"{source}: {rows.get(source, 0):,} rows correct {before:,} accepted ones"
    usual = [register.rows_of(layout.canonical / str(day)) for day in _accepted(layout, delivery)]
    for source, n in rows.items():
        counts = [one[source] for one in usual if source in one][-rules.compared_with :]
        if data_map.sources[source].full and counts and n < rules.least * median(counts):
            yield f"{source}: {n:,} rows, where the last deliveries had {median(counts):,.0f}"


def absent(layout: Layout, rules: DeliveryRules, delivery: dt.date) -> list[str]:
    """Sources that every one of the last accepted deliveries had, and this one has no file of, in
    words. No rule: a source can have its reasons, and somebody has to know."""
    days = _accepted(layout, delivery)[-rules.compared_with :]
    usual = [register.rows_of(layout.canonical / str(day)) for day in days]
    here = register.rows_of(layout.canonical / str(delivery))
    always = set.intersection(*map(set, usual)) if len(usual) > 1 else set()
    return [
        f"no file of {source}, of which the last {len(usual)} deliveries had "
        f"{median(one[source] for one in usual):,.0f} rows"
        for source in sorted(always - set(here))
    ]


def _accepted(layout: Layout, but_for: dt.date) -> list[dt.date]:
    return [
        day
        for day in register.known(layout)
        if day != but_for and register.accepted(register.steps(layout, day)) is not None
    ]

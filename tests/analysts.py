"""What an attacker does with the analysts' table: plain Polars over published rows and what is
known of the raw ones. It shares no code with what chose the rows; `before` is the form of earlier
releases, against which the same attackers win."""

from __future__ import annotations

import random
from collections.abc import Iterator

import polars as pl

K, NOT_ADVERSE = 5, 2
PLACES = ("region", "department")
ADVERSE = (pl.col("status") == "failed") | (pl.col("score_band") == "low")
# One row per person, course, record type and period, as it was before it was published.
SHAPE = {
    "person": pl.String,
    "team": pl.String,
    "period": pl.Date,
    "record_type": pl.String,
    "region": pl.String,
    "department": pl.String,
    "category": pl.String,
    "course_code": pl.String,
    "status": pl.String,
    "score_band": pl.String,
    "tries": pl.Int32,
}


def holds(group: pl.DataFrame) -> bool:
    """Are these people enough, and enough of them not adverse?"""
    people = group.group_by("person").agg((~ADVERSE).fill_null(True).any().alias("fine"))
    return people.height >= K and int(people["fine"].sum()) >= NOT_ADVERSE


def holds_without_any_team(group: pl.DataFrame) -> bool:
    """The same, and of whoever is left when a manager takes the own team away."""
    left = (group.filter(pl.col("team").ne_missing(one)) for one in group["team"].unique() if one)
    return holds(group) and all(one.is_empty() or holds(one) for one in left)


def broken(rows: pl.DataFrame) -> list[str]:
    """What can be worked out about fewer than k, in words.

    Args:
        rows: all rows, each with what is published of it as published_<name>; detail is empty if
            nothing is.
    """
    key = ["period", "record_type", *(f"published_{n}" for n in (*PLACES, "category"))]
    key += ["published_course_code", "published_detail"]
    shown = rows.filter(pl.col("published_detail").is_not_null())
    found = [
        f"class {name}" for name, one in shown.group_by(key) if not holds_without_any_team(one)
    ]
    for total in ("course_code", "category", "department", "record_type"):
        of_total = rows.filter(pl.col(total).is_not_null())
        for name, one in of_total.group_by({"period", "record_type", total}):
            kept = pl.col(f"published_{total}" if total != "record_type" else "published_detail")
            rest = one.filter(kept.is_null())
            # Without any row of it, nothing can be subtracted.
            if 0 < rest.height < one.height and not holds_without_any_team(rest):
                found.append(f"remainder of {name}")
    return found


def before(events: pl.DataFrame) -> pl.DataFrame:
    """The table of earlier releases: a pseudonym per person, and classes of k by what is left of
    month, course, department and region.

    Args:
        events: person, month, category, course_code, region, department, status, score_band.
    """
    steps = [
        {"month": pl.col("month").dt.truncate("1q")},
        {"course_code": pl.lit(None, pl.String)},
        {"month": pl.col("month").dt.truncate("1y")},
        {"department": pl.lit(None, pl.String)},
        {"region": pl.lit(None, pl.String)},
        {"category": pl.lit(None, pl.String)},
        {"month": pl.lit(None, pl.Date)},
    ]
    key, left, placed = ["month", "category", "course_code", *PLACES], events, []
    for step in [{}, *steps]:
        left = left.with_columns(**step)
        large = (
            left.group_by(key).agg(pl.col("person").n_unique().alias("n")).filter(pl.col("n") >= K)
        )
        placed.append(left.join(large, on=key, nulls_equal=True, how="semi"))
        left = left.join(large, on=key, nulls_equal=True, how="anti")
    return pl.concat(placed)


def _could_be(row: dict[str, object], unit: str) -> pl.Expr:
    """Could a published row be this event? What was left out could be anything."""
    day = pl.lit(row["month"])
    same = [
        pl.col(name).is_null() | (pl.col(name) == pl.lit(row[name]))
        for name in ("category", "course_code", *PLACES)
    ]
    when = {
        "month": pl.col("month").is_null()
        | (pl.col("month") == day)
        | (pl.col("month") == day.dt.truncate("1q"))
        | (pl.col("month") == day.dt.truncate("1y")),
        "period": pl.col("period") == day.dt.truncate("1q"),
    }[unit]
    return pl.all_horizontal(when, *same)


def linked_candidates(table: pl.DataFrame, known: list[dict[str, object]]) -> int:
    """Whom several known events of one person leave, where its rows share a pseudonym."""
    sets = [
        set(table.filter(_could_be(one, "month"))["person"].unique().to_list()) for one in known
    ]
    return len(set.intersection(*sets))


def unlinked_candidates(table: pl.DataFrame, known: list[dict[str, object]]) -> int:
    """Whom several known events leave, where no row leads to another: as many as the smallest set
    of rows in which one of them is. Rows of which too few are not adverse leave nobody."""
    found = []
    for one in known:
        rows = table.filter(_could_be(one, "period"))
        fine = rows.filter((~ADVERSE).fill_null(True)).height
        found.append(rows.height if fine >= NOT_ADVERSE else 0)
    return min(found)


def known_events(
    events: pl.DataFrame, m: int, times: int, seed: int = 1
) -> Iterator[list[dict[str, object]]]:
    """What an attacker knows of somebody, again and again: m different events of one person."""
    chance, people = random.Random(seed), events.partition_by("person")
    able = [one for one in people if one.height >= m]
    for _ in range(times):
        one = chance.choice(able)
        yield [one.row(at, named=True) for at in chance.sample(range(one.height), m)]


# What identifies a row by its content: all of it but tries, score band, and how it was completed.
_CONTENT = ("period", "record_type", *(f"published_{n}" for n in (*PLACES, "category")))
RESULT = pl.col("status").replace("waived", "completed").alias("result")


def found_by_content(rows: pl.DataFrame) -> pl.DataFrame:
    """Whose details somebody would take for a person's own: of the rows that say what is known of
    the person, one is chosen. Known is everything but the details, as a manager knows it of the own
    reports by the 1:1 sheet, and their department, region and courses.

    Args:
        rows: as for `broken`; `tries` is a number that only this person's own row has, and
            drawn_tries the one that was published with the row.

    Returns:
        person, course_code, candidates (rows that say the same) and right: was it the own one?
    """
    key = [*_CONTENT, "published_course_code", "published_detail", "result"]
    shown = rows.with_columns(RESULT).filter(
        pl.col("published_detail").is_not_null(), pl.col("drawn_tries").is_not_null()
    )
    return shown.with_columns(
        candidates=pl.len().over(key), chosen=pl.col("drawn_tries").first().over(key)
    ).select("person", "course_code", "candidates", right=pl.col("chosen") == pl.col("tries"))

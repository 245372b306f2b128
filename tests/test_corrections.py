"""A month that was published from an incomplete delivery is corrected, and nobody is given away.

The kind of fault: whoever has the old and the new figures subtracts them, and the difference is
about the few people who were missing. The attacker here has both versions, and knows who is in
which only to judge what was found.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from expectations import corrected_pair, published_once
from pipeline.access.corrections import SignedCorrection
from pipeline.disclosure.correction import Before, Corrected, corrected
from pipeline.disclosure.pattern import protect
from pipeline.disclosure.period import COUNTED, Bools, Ints, Period, tally
from pipeline.errors import BadInput, PolicyError
from pipeline.governance import figures
from pipeline.policy.fields import Audience
from pipeline.published import gate, publication_history
from pipeline.storage.engine import engine
from pipeline.storage.relations import pseudonymized
from pipeline.storage.sql import Sql
from tests import soak
from tests.command import milestones
from tests.company import company, number, write_delivery
from tests.estate import KEYS, NOW
from tests.fixtures import RUN_DATE, Estate, errors
from tests.opened import released
from tests.tables import RULE, random_period

pytestmark = pytest.mark.usefixtures("plainly")
OCTOBER = dt.date(2026, 10, 1)


def only(period: Period, there: Bools) -> Period:
    """The contributions that are there; the cells stay."""
    parts = ("cell", "person", *COUNTED)
    return replace(period, **{name: getattr(period, name)[there] for name in parts})


def first_version(period: Period, rng: np.random.Generator) -> Period:
    """What an incomplete or wrong delivery had of it: half of everything, all but some people or
    one, not one of the teams, or other results."""
    people = int(period.person.max()) + 1
    team = period.team[period.cell]
    how = int(rng.integers(0, 5))
    if how == 0:
        return only(period, rng.random(len(team)) < 0.5)
    if how == 1:
        return only(period, (rng.random(people) < rng.choice([0.5, 0.9]))[period.person])
    if how == 2:
        return only(period, period.person != rng.integers(0, people))
    if how == 3:
        return only(period, team != rng.integers(0, len(period.teams.group)))
    changed = np.where(rng.random(len(team)) < 0.1, 0, period.complete)
    return replace(period, complete=changed, on_time=np.minimum(period.on_time, changed))


def nodes(period: Period) -> Bools:
    """One row a node (company, departments, teams), one column a cell: is it in the node?"""
    tree = period.teams
    groups, leaves = len(tree.group_named), len(tree.group)
    rows = [np.ones(period.cells, bool)]
    rows += [tree.group[period.team] == g for g in range(groups)]
    rows += [period.team == t for t in range(leaves)]
    return np.array(rows)


def before(first: Period) -> Before:
    """The figures of the first version, by node."""
    shown = protect(first, RULE, exact=False).teams
    published = np.concatenate([[shown.root], shown.groups, shown.leaves])
    people, records, complete = (np.zeros(len(published), np.int64) for _ in range(3))
    for at, node in enumerate(nodes(first)):
        if published[at]:
            inside = node[first.cell]
            people[at] = len(set(first.person[inside]))
            records[at], complete[at] = (
                getattr(first, name)[inside].sum() for name in ("records", "complete")
            )
    return Before(people, records, complete)


def given_away(first: Period, second: Period, shown: Bools) -> int:
    """Sums of differences that are about fewer than k people, of all sums that two or three of the
    figures which both versions show can be combined to."""
    cells = nodes(second)[shown].astype(int)
    found = 0
    for size in (1, 2, 3):
        for chosen in combinations(range(len(cells)), size):
            for signs in ([1, *([-1] * (size - 1))], [1] * size):
                weights = (np.array(signs)[:, None] * cells[list(chosen)]).sum(axis=0)
                found += _is_thin(first, second, weights)
    return found


def _is_thin(first: Period, second: Period, weights: Ints) -> bool:
    """Is a difference to be seen, and about people fewer than k?"""
    seen = any(
        (weights[one.cell] * getattr(one, name)).sum()
        != (weights[other.cell] * getattr(other, name)).sum()
        for one, other in [(first, second)]
        for name in ("records", "complete")
    )
    inside = weights != 0
    return seen and len(_changed(first, second, inside)) < RULE.k


def _changed(first: Period, second: Period, inside: Bools) -> set[int]:
    """Who has other records in these cells in one version than in the other."""

    def mine(period: Period) -> set[tuple[int, ...]]:
        there = inside[period.cell]
        parts = (period.cell, period.person, period.records, period.complete, period.due)
        return set(zip(*(part[there].tolist() for part in parts), strict=True))

    return {one[1] for one in mine(first) ^ mine(second)}


def test_both_versions_together_give_nobody_away() -> None:
    rng = soak.rng()
    thin = careless = new = kept = 0
    for _ in range(soak.times(50, 2_000)):
        second = random_period(rng)
        first = first_version(second, rng)
        old = before(first)
        found = corrected(second, old, RULE)
        thin += given_away(first, second, found.replaced | found.kept)
        everything = protect(second, RULE, exact=False).teams
        all_new = np.concatenate([[everything.root], everything.groups, everything.leaves])
        careless += given_away(first, second, all_new & (old.people > 0))
        new, kept = new + found.replaced.sum(), kept + found.kept.sum()
        assert _is_figure_of_its_own(second, found)
    assert thin == 0
    assert careless > 10, "whoever publishes all of it again"
    assert (new > 10, kept > 10) == (True, True), (new, kept)


def test_what_a_few_people_make_is_not_corrected() -> None:
    """One more person, or one less: both figures of everything that has them are known."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        second = random_period(rng)
        one = only(second, second.person != second.person[0])
        for old, new in ((one, second), (second, one)):
            assert not corrected(new, before(old), RULE).replaced.any()


def test_the_check_of_a_pair_finds_what_is_too_close() -> None:
    """By sets of people: a figure itself, and what is left of the company after a department."""
    keys = {"level": [0, 1], "department": [None, "Sales"], "team_ref": [None, None]}
    shape = {"department": pl.String, "team_ref": pl.String}

    def version(company: int, sales: int) -> pl.DataFrame:
        people = [company, sales]
        counts = {"learners": people, "records": people, "complete": people}
        return pl.DataFrame(keys | counts, schema_overrides=shape)

    def records(company: int, sales: int) -> pl.DataFrame:
        of = ["Sales"] * sales + ["Ops"] * (company - sales)
        return pl.DataFrame(
            {"department": of, "team_ref": ["t"] * company, "person": range(company)}
        ).with_columns(complete=1)

    def found(first: tuple[int, int], second: tuple[int, int]) -> int:
        return corrected_pair.too_close(records(*second), version(*first), version(*second), k=5)

    assert found((20, 10), (30, 15)) == 0
    assert found((20, 10), (25, 15)) == 0, "what is left is as it was"
    assert found((20, 10), (20, 10)) == 0
    assert found((20, 10), (24, 10)) == 2, "the company, and so what is left of it"
    assert found((20, 10), (26, 15)) == 1, "the one person who is in no department that is shown"


def _is_figure_of_its_own(second: Period, found: Corrected) -> bool:
    """Would everything that is shown pass the rules, had it been the first version?"""
    shown = found.replaced | found.kept
    groups = np.where(nodes(second)[shown], 0, -1)
    return all(tally(second, group, 1).may_be_published(RULE)[0] for group in groups)


@pytest.fixture
def halved(estate: Estate) -> Estate:
    """October was published without half of Sales; by now their records are there."""
    rows, people, statements = company()
    late = {number(p) for p in range(6, 12)}
    write_delivery(
        estate.delivery(), [r for r in rows if r["Employee ID"] not in late], people, statements
    )
    result = estate.run()
    assert result.success, errors(result)
    write_delivery(estate.delivery(RUN_DATE + dt.timedelta(days=1)), rows, people, statements)
    result = estate.run(RUN_DATE + dt.timedelta(days=1))
    assert result.success, errors(result)
    return estate


def shown(estate: Estate) -> dict[str, list[tuple[object, ...]]]:
    """What October has in every coaching table: learners by department, if any."""
    tables = ("period", "department", "team", "category", "course", "team_course")
    with released(estate.home) as connection:
        return {
            table: connection.sql(
                f"SELECT learners FROM coaching_db.coaching_{table} "
                f"WHERE period = DATE '{OCTOBER}' ORDER BY ALL"
            ).fetchall()
            for table in tables
        }


def test_a_month_is_corrected_once_and_by_whoever_may(
    halved: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unsigned, by another role, killed, and twice."""
    stand = halved.context
    first = shown(halved)
    assert (first["period"], first["department"]) == ([(13,)], [(6,)])
    planned = figures.preview(stand, OCTOBER, NOW)
    stranger = Ed25519PrivateKey.generate()
    for actor, key in (("hana", KEYS["hana"]), ("lea", stranger), ("nobody", KEYS["lea"])):
        with pytest.raises(PolicyError, match="may not sign corrections"):
            figures.correct(stand, OCTOBER, "half of Sales", actor, key, NOW)
    with pytest.raises(BadInput, match="no figures of"):
        figures.correct(stand, dt.date(2026, 8, 1), "x", "lea", KEYS["lea"], NOW)
    assert shown(halved) == first

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gate, "release", killed)
        with pytest.raises(KeyboardInterrupt):
            figures.correct(stand, OCTOBER, "half of Sales", "lea", KEYS["lea"], NOW)
    assert shown(halved) == first
    # On record: whatever publishes next shows it, and it cannot be done a second time.
    with pytest.raises(PolicyError, match="corrected before"):
        figures.correct(stand, OCTOBER, "half of Sales", "lea", KEYS["lea"], NOW)
    second = shown(halved)
    assert (second["period"], second["department"]) == ([(19,)], [(12,)])
    assert (planned.replaced, second["course"]) == (3, [])
    assert str(OCTOBER) in publication_history.corrections(stand.layout)
    with engine(stand.layout.work) as connection:
        rows = Sql(pseudonymized(stand.layout, Audience.COACHING))
        rules = stand.disclosure.coaching
        left = publication_history.periods_to_publish(
            connection, rows, stand.layout, rules, dt.date.min
        )
    assert OCTOBER not in left, "the next run would publish it a third time"
    listed = milestones(halved.home, "history", "list")
    assert "half of Sales" in listed.stdout
    manifest = json.dumps(gate.manifest(stand.layout))
    assert "half of Sales" not in manifest
    assert f'"corrected": ["{OCTOBER}"]' in manifest


def test_a_correction_that_nobody_signed_changes_nothing(published: Estate) -> None:
    """Whoever can write beside the staged tables."""
    layout, partition = published.layout, str(RUN_DATE)
    layout.staged(partition).mkdir(parents=True)
    statement = {"period": str(OCTOBER), "because": "x", "by": "lea", "at": NOW, "version": "x"}
    made = SignedCorrection.model_validate({"correction": statement, "signature": "00"})
    publication_history.write_staged_correction(layout, partition, made)
    assert published_once._corrected(published.context, partition) == []

"""What was promised and published is on record, or nothing is published or erased: lost, older and
changed registers and histories, in every place that could lose them."""

from __future__ import annotations

import datetime as dt
import json
import random
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import duckdb
import pytest

from pipeline.access import courses
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy.fields import Audience
from pipeline.published import noise, publication_history
from pipeline.raw import register as register_of
from pipeline.retained import backup, job, recover
from pipeline.retained.remembered import missing, require_remembered
from pipeline.storage import cases, files
from pipeline.storage.layout import Layout
from pipeline.subjects import legal_holds, request_register, restrictions, tombstones
from pipeline.subjects.request_register import Kind, State
from tests import soak
from tests.command import milestones
from tests.company import NUMBER, company, number, record, write_delivery
from tests.estate import NOW, accept, context, decide, hold
from tests.fixtures import RUN_DATE, Estate, errors
from tests.kill_points import die_at, in_child, records, tables

pytestmark = pytest.mark.usefixtures("plainly")

PERSON, OTHER = f"emp:{NUMBER}", f"emp:{number(3)}"
TODAY, LATER = NOW.date(), RUN_DATE + dt.timedelta(days=1)
# Every kind of case, twice: what was written first can be put back afterwards as an older copy.
CASES: dict[str, Callable[[Context, int], object]] = {
    "holds": lambda at, n: legal_holds.place(
        at.layout, hold(name=f"case-{n}", courses=(f"NONE-{n}",))
    ),
    "restrictions": lambda at, n: restrictions.restrict(
        at.layout, f"emp:{number(n)}", [Audience.COACHING], restrictions.OBJECTED
    ),
    "consents": lambda at, n: restrictions.consent(at.layout, f"emp:{number(n)}", "purpose"),
    "tombstones": lambda at, n: tombstones.add(at, [f"emp:gone-{n}"], TODAY),
    "requests": lambda at, n: (
        request_register.receive(at.layout, Kind.ACCESS, PERSON, TODAY, {})
        if n == 1
        else request_register.verify_identity(
            at.layout, request_register.every(at.layout)[0].name, "d"
        )
    ),
}


def register(layout: Layout, kind: str) -> Path:
    folder = layout.vault / kind if kind == "requests" else layout.vault
    return next(iter(sorted(folder.glob("*.enc" if kind == "requests" else f"{kind}.json.enc"))))


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("how", ["removed", "older"])
def test_a_register_that_is_shorter_than_it_was_stops_everything(
    tmp_path: Path, kind: str, how: str
) -> None:
    """Lost as a whole, or put back from before; and no later case covers up the loss."""
    at = context(tmp_path / "home")
    CASES[kind](at, 1)
    require_remembered(at.layout)
    path = register(at.layout, kind)
    older = path.read_bytes()
    CASES[kind](at, 2)
    require_remembered(at.layout)
    newer = path.read_bytes()
    if how == "removed":
        path.unlink()
    else:
        path.write_bytes(older)
    with pytest.raises(PolicyError, match=rf"vault/{kind}.*changes\).*milestones restore"):
        require_remembered(at.layout)
    if kind != "requests" or how == "older":
        with pytest.raises(PolicyError, match="changes are missing"):
            CASES[kind](at, 2 if kind == "requests" else 3)
    with pytest.raises(PolicyError, match=f"vault/{kind}"):
        job.retain(at, NOW)
    path.write_bytes(newer)
    require_remembered(at.layout)


def test_a_kill_between_a_change_and_its_announcement_blocks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = context(tmp_path / "home")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cases, "_announce", killed)
        with pytest.raises(KeyboardInterrupt):
            CASES["holds"](at, 1)
    require_remembered(at.layout)
    CASES["holds"](at, 2)
    assert [one.name for one in legal_holds.live(at.layout)] == ["case-1", "case-2"]


def test_the_release_and_the_receipts_know_of_cases_too(past: Estate) -> None:
    """Where what was announced is lost together with the register."""
    CASES["holds"](past.context, 1)
    assert past.run().success
    path = register(past.layout, "holds")
    kept = path.read_bytes()
    path.unlink()
    (past.home / cases.ANNOUNCED).unlink()
    assert missing(past.layout) == ["vault/holds.json.enc (1 of 1 changes)"]
    path.write_bytes(kept)
    CASES["tombstones"](past.context, 1)
    job.retain(past.context, NOW)
    register(past.layout, "tombstones").unlink()
    (past.home / cases.ANNOUNCED).unlink()
    ran = past.run()
    assert "vault/tombstones.json.enc (1 of 1 changes)" in errors(ran)
    assert ran.steps == ["raw__milestones"]


def test_retention_removes_cases_without_a_loss(tmp_path: Path) -> None:
    """A request past retention is removed, and tombstones become fewer."""
    at = context(tmp_path / "home")
    CASES["requests"](at, 1)
    cases.remove(at.layout, register(at.layout, "requests"))
    CASES["tombstones"](at, 1)
    tombstones.write(at.layout, [])
    require_remembered(at.layout)


def damage(layout: Layout, how: str) -> None:
    history = layout.publication_history
    if how == "removed":
        shutil.rmtree(history)
    elif how == "an older one":
        (history / publication_history.PERIODS).write_text("{}")
        (history / publication_history.NUMBER).write_text("0")
    elif how == "fewer periods":
        (history / publication_history.PERIODS).write_text("{}")
    else:
        for path in history.glob("*.parquet"):
            path.unlink()


@pytest.mark.parametrize("kind", ["holds", "restrictions", "consents", "tombstones"])
def test_two_who_change_one_register_at_once_lose_nothing(tmp_path: Path, kind: str) -> None:
    """Each reads the register and writes it; the other's change comes between, or waits."""
    at = context(tmp_path / "home")
    CASES[kind](at, 1)
    text = len(str(cases.read(at.layout, register(at.layout, kind))))
    ready = threading.Barrier(4)

    def change(n: int) -> None:
        ready.wait()
        for m in range(5):
            CASES[kind](at, 10 + 10 * n + m)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(4)))
    assert cases.number(at.layout, register(at.layout, kind)) == 21
    assert len(str(cases.read(at.layout, register(at.layout, kind)))) > 10 * text


def test_a_request_that_was_withdrawn_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    layout = context(tmp_path / "home").layout
    made = request_register.receive(layout, Kind.ACCESS, PERSON, TODAY, {})
    request_register.withdraw(layout, made.name)
    with pytest.raises(PolicyError, match="withdrawn cannot become verified"):
        request_register.move(layout, made, State.VERIFIED, "late")
    assert request_register.read(layout, made.name).state is State.WITHDRAWN


def test_decisions_about_courses_that_are_missing_at_the_end_are_noticed(
    published: Estate,
) -> None:
    """The lines before them say nothing of it; the release does, and a backup has them."""
    at, file = published.context, courses.path(published.layout)
    made = backup.make(at, NOW)
    whole = file.read_text()
    file.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(PolicyError, match=r"governance/courses.jsonl \(the last 1 of 2"):
        require_remembered(at.layout)
    assert recover.recover(at) == []
    assert sorted(file.read_text().splitlines()) == sorted(whole.splitlines())
    shutil.rmtree(made)
    file.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    assert len(recover.accept(at, "the disk burned")) == 1
    require_remembered(at.layout)
    # What was decided to be ordinary before may have become sensitive by what is lost.
    assert courses.valid(at.layout, at.access) == []
    assert decide(at, "SEC-101").number == 3
    assert [one.number for one in courses.valid(at.layout, at.access)] == [3]


def remembered(layout: Layout) -> dict[str, object]:
    """What the publication history says: which periods are published, by which rules, and the
    figures of each."""
    with duckdb.connect() as c:
        figures = {
            path.name: c.execute(f"FROM '{path}' ORDER BY ALL").fetchall()
            for path in layout.publication_history.glob("*.parquet")
        }
    periods = publication_history.periods(layout), publication_history.rules(layout)
    return {"periods": periods, **figures}


@pytest.mark.parametrize("how", ["removed", "an older one", "fewer periods", "figures lost"])
def test_a_shorter_history_stops_everything_until_it_is_recovered(
    published: Estate, how: str
) -> None:
    before = remembered(published.layout)
    damage(published.layout, how)
    assert remembered(published.layout) != before
    ran = published.run()
    assert ran.steps == ["raw__milestones"]
    assert "publication history" in errors(ran)
    assert "milestones recover" in errors(ran)
    with pytest.raises(PolicyError, match="Nothing is published or erased"):
        job.retain(published.context, NOW)
    assert recover.recover(published.context) == []
    require_remembered(published.layout)
    assert remembered(published.layout) == before


def test_after_a_recovery_the_figures_are_those_that_were_published(published: Estate) -> None:
    """With other records by now, its periods would be published anew with other figures."""
    before = tables(published.home)
    damage(published.layout, "removed")
    assert recover.recover(published.context) == []
    rows, people, statements = company()
    write_delivery(published.delivery(LATER), rows[: len(rows) // 2], people, statements)
    ran = published.run(LATER)
    assert ran.success, errors(ran)
    coaching = {name: rows for name, rows in tables(published.home).items() if "coaching" in name}
    assert coaching == {name: before[name] for name in coaching}


def test_a_loss_can_be_accepted_and_is_noted(
    published: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Periods stay published, though their figures are lost with the release's."""
    layout = published.layout
    CASES["holds"](published.context, 1)
    CASES["requests"](published.context, 1)
    for kind in ("holds", "requests"):
        register(layout, kind).unlink()
    known = publication_history.periods(layout)
    damage(layout, "removed")
    (layout.current / "coaching.duckdb").unlink()
    shown = milestones(published.home, "recover")
    assert shown.returncode == 4
    assert "vault/holds.json.enc" in shown.stdout + shown.stderr
    burned = ("recover", "--accept-loss", "the disk burned")
    assert milestones(published.home, *burned).returncode == 3, "not the engineer alone"
    monkeypatch.setenv("MILESTONES_ACTOR", "dora")
    nothing = milestones(published.home, "recover", "--accept-loss", " ")
    assert nothing.returncode == 3
    done = milestones(published.home, *burned)
    assert done.returncode == 0, done.stderr
    log = "".join(p.read_text() for p in (layout.vault / "access").glob("*") if p.is_file())
    assert log.count("accepted as lost") == 3
    assert publication_history.periods(layout) == known
    require_remembered(layout)
    assert milestones(published.home, "recover").returncode == 0
    ran = published.run()
    assert ran.success, errors(ran)
    assert not tables(published.home)["coaching_period"]


def fresh(estate: Estate, name: str = "fresh") -> Estate:
    """A new data folder with nothing but the two keys that no backup holds."""
    home = estate.home.parent / name
    (home / "vault").mkdir(parents=True, mode=0o700)
    shutil.copy2(estate.layout.storage_key, home / "vault")
    return Estate(home, estate.instance)


def test_a_backup_in_a_new_folder_forgets_nobody(past: Estate) -> None:
    """The next export brings no erased person back, retention keeps what a hold keeps, a restricted
    person stays restricted, and what was published stays as it was."""
    job.erase_person(past.context, PERSON, None, NOW)
    legal_holds.place(past.layout, hold(courses=("OLD-1",)))
    restrictions.restrict(past.layout, OTHER, list(Audience), restrictions.RESTRICTED)
    request = request_register.receive(past.layout, Kind.ACCESS, OTHER, TODAY, {})
    made = backup.make(past.context, NOW)
    estate = fresh(past)
    done = backup.restore(estate.context, made)
    assert done.missing == []
    layout = estate.layout
    assert [one.name for one in legal_holds.live(layout)] == ["case-7"]
    assert restrictions.restricted(layout) == [OTHER]
    assert request_register.every(layout)[0].name == request.name
    assert publication_history.periods(layout) == publication_history.periods(past.layout)
    assert len(list(layout.receipts.glob("*.json"))) == 1
    write_delivery(estate.delivery(LATER), *company())
    ran = estate.run(LATER)
    assert ran.success, errors(ran)
    assert PERSON not in {row[0] for row in records(estate.home)}
    # A team's pseudonym ends with its key; the other figures are as they were published.
    figures = ("coaching_period", "coaching_category", "coaching_course")
    assert [tables(estate.home)[n] for n in figures] == [tables(past.home)[n] for n in figures]
    before = len([r for r in records(estate.home) if r[2] == "OLD-1"])
    job.retain(estate.context, NOW)
    assert len([r for r in records(estate.home) if r[2] == "OLD-1"]) == before > 0


def test_an_older_backup_takes_nothing_away_that_came_later(published: Estate) -> None:
    """Holds, tombstones, restrictions and periods of later stay; deliveries of later are named."""
    layout = published.layout
    CASES["holds"](published.context, 1)
    CASES["restrictions"](published.context, 1)
    made = backup.make(published.context, NOW)
    legal_holds.lift(layout, "case-1", TODAY)
    CASES["holds"](published.context, 2)
    restrictions.release(layout, f"emp:{number(1)}")
    CASES["tombstones"](published.context, 1)
    write_delivery(published.delivery(LATER), [record(1, Course_Code="SQL-220")])
    accept(published.context, LATER)
    history = publication_history.statement(layout)
    done = milestones(published.home, "restore", str(made))
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 4
    assert f"not in this backup: the deliveries of {LATER}" in output
    assert f"backfill --from {LATER} --to {LATER}" in output
    assert [one.name for one in legal_holds.live(layout)] == ["case-2"]
    assert restrictions.entries(layout) == []
    assert len(tombstones.entries(layout)) == 1
    assert publication_history.statement(layout) == history
    require_remembered(layout)
    ran = published.run(LATER)
    assert ran.success, errors(ran)
    assert "SQL-220" in {row[2] for row in records(published.home)}


def test_two_histories_are_united(published: Estate) -> None:
    """Whatever either of two data folders published stays published, as each had it first."""
    made = backup.make(published.context, NOW)
    other = Layout(made)
    periods = publication_history.periods(other)
    dropped, *rest = sorted(periods)
    (published.layout.publication_history / publication_history.PERIODS).write_text(
        json.dumps({day: "mine" for day in rest})
    )
    backup.restore(published.context, made)
    merged = publication_history.periods(published.layout)
    assert merged == {dropped: periods[dropped], **dict.fromkeys(rest, "mine")}


def test_an_erased_person_is_in_no_register_of_a_backup(stored: Estate) -> None:
    """A backup from when a restriction, a request and a hold named the person blocks no erasure."""
    layout = stored.layout
    restrictions.restrict(layout, PERSON, [Audience.COACHING], restrictions.OBJECTED)
    request_register.receive(layout, Kind.ACCESS, PERSON, TODAY, {"note": PERSON})
    legal_holds.place(layout, hold(people=(PERSON,)))
    backup.make(stored.context, NOW)
    legal_holds.lift(layout, "case-7", TODAY)
    job.erase_person(stored.context, PERSON, None, NOW)
    (copy,) = backup.copies(layout)
    for path in cases.registers(copy):
        assert PERSON not in (cases.read(copy, path) or "")


class Line:
    """A data folder over its life, through new folders too, and beside it what it must hold: plain
    sets, each backup a copy of them."""

    def __init__(self, work: Path, rng: random.Random) -> None:
        self.work, self.rng, self.n = work, rng, 0
        self.at = context(work / "home-0")
        self.held: dict[str, set[str]] = {name: set() for name in (*KINDS, "deliveries")}
        self.accepted: set[str] = set()
        self.backups: list[tuple[Path, dict[str, set[str]]]] = []
        self.deliver("2026-01-01")

    def deliver(self, name: str) -> None:
        folder = self.at.layout.canonical / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "delivery.json").write_text("{}")
        self.held["deliveries"].add(name)
        self.accepted.add(name)
        day = dt.date.fromisoformat(name)
        version = register_of.version_of(folder)
        register_of.note(self.at.layout, day, register_of.State.ACCEPTED, version=version)

    def found(self) -> dict[str, set[str]]:
        layout = self.at.layout
        return {
            "holds": {one.name for one in legal_holds.live(layout)},
            "restrictions": set(restrictions.restricted(layout)),
            "tombstones": {str(len(tombstones.entries(layout)))},
            "periods": set(publication_history.periods(layout)),
            "deliveries": {path.parent.name for path in layout.canonical.glob("*/delivery.json")},
        }

    def expected(self) -> dict[str, set[str]]:
        return {**self.held, "tombstones": {str(len(self.held["tombstones"]))}}

    def change(self) -> None:
        """One case or period more, or a hold or restriction less; killed on the way, or not."""
        self.n += 1
        kind, layout = self.rng.choice(KINDS), self.at.layout
        name = str(dt.date(2000, 1, 1) + self.n * dt.timedelta(days=1))
        old = sorted(self.held[kind])
        lifts = bool(old) and kind in ("holds", "restrictions") and self.rng.random() < 0.4

        def do() -> None:
            if kind == "tombstones":
                tombstones.add(self.at, [name], TODAY)
            elif kind == "periods":
                published(layout, name)
            elif kind == "holds" and lifts:
                legal_holds.lift(layout, old[0], TODAY)
            elif kind == "holds":
                legal_holds.place(layout, hold(name=name, courses=("NONE",)))
            elif lifts:
                restrictions.release(layout, old[0])
            else:
                restrictions.restrict(layout, name, list(Audience), restrictions.RESTRICTED)

        before = self.found()
        if self.rng.random() < 0.3:
            in_child(partial(die_at, do, self.rng.randrange(6)))
            require_remembered(layout)
        if self.found() == before:
            do()
        if lifts:
            self.held[kind].discard(old[0])
        else:
            self.held[kind].add(name)

    def back_up(self) -> None:
        self.backups.append((backup.make(self.at, NOW), {k: set(v) for k, v in self.held.items()}))

    def restore(self) -> None:
        """Only the store becomes older; what it lacks then is named."""
        if self.backups:
            made, then = self.rng.choice(self.backups)
            backup.restore(self.at, made)
            missing = sorted(self.accepted - then["deliveries"])
            assert [str(day) for day in register_of.lost(self.at.layout)] == missing
            self.held["deliveries"] = set(then["deliveries"])

    def move(self) -> None:
        """The folder is lost; the newest backup is restored into a new one."""
        if self.backups:
            made, then = self.backups[-1]
            home = self.work / f"home-{self.n}-{self.rng.random()}"
            (home / "vault").mkdir(parents=True)
            shutil.copy2(self.at.layout.storage_key, home / "vault")
            self.at = context(home)
            backup.restore(self.at, made)
            self.held = {name: set(held) for name, held in then.items()}
            self.accepted = {str(day) for day in register_of.known(self.at.layout)}


KINDS = ("holds", "restrictions", "tombstones", "periods")


def published(layout: Layout, period: str) -> None:
    """The history as a run leaves it that published one period more."""
    with files.atomic_build(layout.publication_history, layout.work) as beside:
        beside.mkdir()
        periods = {**publication_history.periods(layout), period: "run"}
        times = publication_history.number(layout) + 1
        publication_history._write_periods(beside, periods, times)
        noise.write_ledger(beside, [])


@pytest.mark.more
def test_random_backups_restores_and_kills_forget_nothing(tmp_path: Path) -> None:
    """A sequence over one line of data folders, each state compared with plain sets."""
    rng = random.Random(soak.seed or 23)
    line = Line(tmp_path, rng)
    for n in range(soak.times(40, 1_000)):
        choice = rng.random()
        if choice < 0.6:
            line.change()
        elif choice < 0.7:
            line.deliver(f"2026-01-{n % 28 + 1:02}")
        elif choice < 0.85:
            line.back_up()
        elif choice < 0.95:
            line.restore()
        else:
            line.move()
        require_remembered(line.at.layout)
        assert line.found() == line.expected(), n

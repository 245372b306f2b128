"""Erasure of one person, looked at from outside, and what happens when a store is left out."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from pipeline.access import audit, staff
from pipeline.access.authorize import AccessRequest
from pipeline.classified import population
from pipeline.context import Context
from pipeline.errors import ErasureError, PolicyError
from pipeline.policy.access import Role
from pipeline.raw import landing
from pipeline.retained import (
    backup,
    data_inventory,
    job,
    plan,
    rebuild,
    receipts,
    residue_scan,
    verify,
)
from pipeline.retained.dagster_storage import DagsterStorage
from pipeline.retained.journal import fresh_name, pending
from pipeline.storage import encryption
from pipeline.storage.engine import engine
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.subjects import legal_holds
from pipeline.subjects.identity import alone, find
from tests import soak
from tests.company import EMAIL, NAME, NUMBER, TEXT, company, record, write_delivery
from tests.estate import NOW, context, hold
from tests.fixtures import RUN_DATE, Estate, errors, quickly
from tests.opened import references, texts
from tests.test_run_storage import careless_run, clean_run

pytestmark = pytest.mark.usefixtures("plainly")

CANARIES = re.compile(rb"(?i)quentin|zzyzx|(?:^|[^0-9])" + NUMBER.encode() + rb"(?:$|[^0-9])")
PERSON = f"emp:{NUMBER}"
ASK = AccessRequest("someone", Role.HR, "misconduct_case", "hr_legal_detail")


def has_canary(content: bytes) -> bool:
    """Is one in it? Without a search of its own for each letter of megabytes."""
    parts = (b"quentin", b"zzyzx", NUMBER.encode())
    return any(part in content.lower() for part in parts) and bool(CANARIES.search(content))


def seen_by_bytes(root: Path) -> set[str]:
    """Files with a canary in their bytes, by the first two parts of their path."""
    return {
        "/".join(path.relative_to(root).parts[:2])
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and has_canary(path.read_bytes())
    }


def seen_by_reading(home: Path) -> set[str]:
    """Stores with a canary in any value, opened and read without the product's code."""
    return {
        "/".join(name.split("/")[:2])
        for name, text in texts(home).items()
        if has_canary(text.encode())
    }


def mentions(home: Path, refs: set[str]) -> list[str]:
    """Released, pseudonymized and vault files in which a pseudonym of the person stands."""
    return [
        name
        for name, text in texts(home).items()
        if not name.endswith(".enc") and any(ref in text for ref in refs)
    ]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home and Dagster instance of a company with canaries of one person in every place."""
    base = tmp_path_factory.mktemp("planted")
    home, dagster = base / "home", base / "dagster"
    dagster.mkdir()
    with dg.instance_for_test(temp_dir=str(dagster)) as instance:
        estate = Estate(home, instance)
        rows, people, statements = company()
        rows.append(record(0, Course_Code="SQL-220", Score="n/a", Comments=TEXT))  # quarantined
        rows.append(record(5, Course_Code="SQL-221", Score="n/a", Comments=TEXT))  # names them
        rows.append(record(3, Manager_ID=NUMBER))  # reports to them
        folder = write_delivery(estate.delivery(), rows, people, statements)
        with (folder / "learning_history.csv").open("a") as stream:
            stream.write(f"{NUMBER},{NAME},only,three,too,many\r\n")  # cannot be split
        result = estate.run()
        assert result.success, errors(result)
        backup.make(context(home), NOW)
        package = home / "vault" / "packages" / "20261120-x" / "package.json.enc"
        encryption.write_text(estate.layout, package, f'"{EMAIL}"')
        staff.put(estate.layout, staff.Member(actor="quentin", roles=(Role.HR,), person=PERSON))
        audit.note(context(home), ASK, references(home, PERSON))
        (home / "work" / "left-behind.tmp").write_text(NAME)
        careless_run(instance)
        clean_run(instance)
    return base


@dataclass(frozen=True)
class Erased:
    """The company before its person was erased, when that was to be verified, and at the end. Each
    is a folder with home and Dagster instance; for reading only.

    Attributes:
        changed: files of the data folder that the erasure changed or removed.
    """

    before: Path
    unverified: Path
    after: Path
    changed: frozenset[str]
    receipt: dict[str, Any]


@pytest.fixture(scope="module")
def erased(once: Path, tmp_path_factory: pytest.TempPathFactory) -> Erased:
    base = tmp_path_factory.mktemp("erased")
    unverified, after = base / "unverified", base / "after"
    shutil.copytree(once, after, symlinks=True)
    honest = verify.require_gone

    def copied_before(*arguments: Any) -> dict[str, int]:
        shutil.copytree(after, unverified, symlinks=True)
        return honest(*arguments)

    with (
        pytest.MonkeyPatch.context() as patch,
        dg.instance_for_test(temp_dir=str(after / "dagster")) as instance,
    ):
        quickly(patch)
        patch.setattr(verify, "require_gone", copied_before)
        storage = DagsterStorage(instance)
        receipt = job.erase_person(context(after / "home"), PERSON, None, NOW, storage)
    hashes = [
        {name: file_sha256(path) for name, path in data_inventory.files(Layout(base / "home"))}
        for base in (once, unverified)
    ]
    changed = frozenset(name for name, _ in hashes[0].items() - hashes[1].items())
    return Erased(once, unverified, after, changed, receipt)


@pytest.fixture
def planted(once: Path, tmp_path: Path) -> Iterator[tuple[Estate, Context]]:
    """A copy of it, to be erased from."""
    shutil.copytree(once, tmp_path / "copy", symlinks=True)
    with dg.instance_for_test(temp_dir=str(tmp_path / "copy" / "dagster")) as instance:
        home = tmp_path / "copy" / "home"
        yield Estate(home, instance), context(home)


DECLARED_WITH_CANARIES = {
    f"landing/{RUN_DATE}",
    "store/canonical",
    "store/row_history",
    "vault/reference_values.parquet",
    "vault/packages",
    "backups",
    "work/left-behind.tmp",
}


def test_after_an_erasure_nothing_is_found_anywhere(erased: Erased) -> None:
    home, dagster = erased.before / "home", erased.before / "dagster"
    before = seen_by_bytes(home) | seen_by_reading(home)
    for place in DECLARED_WITH_CANARIES:
        assert any(one.startswith(place) for one in before), f"no canary was planted in {place}"
    assert seen_by_bytes(dagster), "no canary was planted in Dagster's storage"
    refs = references(home, PERSON)
    assert len(refs) == 4
    assert mentions(home, refs)

    home, dagster, output = erased.after / "home", erased.after / "dagster", erased.receipt
    layout = context(home).layout
    assert not seen_by_bytes(home)
    assert not seen_by_reading(home)
    assert not mentions(home, refs)
    assert not seen_by_bytes(dagster)
    assert not (home / "landing" / str(RUN_DATE)).exists()
    assert not list(layout.erasures.glob("*"))
    # The receipt: counts before and after, rule, hashes, time; and no value.
    assert (
        output["rows"]["canonical records"]["before"] > output["rows"]["canonical records"]["after"]
    )
    assert {"GDPR Art. 17"} == {line["rule"] for line in output["plan"]}
    assert all(len(one["sha256_after"]) == 64 for one in output["files"])
    assert sum(output["found_afterwards"].values()) == 0
    assert output["removed_whole"]["Dagster runs"] == 1
    dt.datetime.fromisoformat(output["completed_at"])
    assert not CANARIES.search(json.dumps(output).encode())
    # Everybody else is still there.
    with duckdb.connect() as c:
        people = c.execute(
            f"SELECT count(DISTINCT person) FROM '{home}/store/classified/*/*.parquet'"
        ).fetchall()[0][0]
    assert people == 18
    assert not data_inventory.undeclared_files(layout)


# What of the data folder as it was before is put back, and where that is found at least.
PUT_BACK = {
    "records": ("store/canonical/*/*/records-corporate-?.parquet", "canonical records"),
    "statements": ("store/canonical/*/*/records-xapi-?.parquet", "canonical records"),
    "roster": ("store/canonical/*/*/roster-*", "roster"),
    "rejected lines": ("store/canonical/*/*/*.rejects.parquet", "quarantine"),
    "classified": ("store/classified/*/*.parquet", "classified"),
    "population": ("store/classified/people.parquet", "classified"),
    "identifiers": ("store/classified/identifiers.parquet", "classified"),
    "pseudonymized": ("store/pseudonymized/*/*/*", "pseudonymized"),
    "row history": ("store/row_history/*", "row history"),
    "release": ("releases/*/**/*", "releases"),
    "deny-list": ("vault/reference_values.parquet", "identity vault"),
    "vault": ("vault/identities-*.parquet", "identity vault"),
    "names": ("vault/names.parquet", "names"),
    "staff": ("vault/staff.json.enc", "staff"),
    "raw deliveries": ("landing/*/*", "raw deliveries"),
    "backups": ("backups/*/**/*", "backups"),
    "packages": ("vault/packages/*/*", "packages"),
    "work": ("work/*", "work"),
}


def found_left(stand: Context, runs: DagsterStorage | None = None) -> dict[str, int]:
    """What the verification of the erasure under way finds, by place."""
    (journal,), said = pending(stand.layout), ""
    with engine(stand.layout.work) as connection:
        try:
            found = verify.require_gone(connection, stand, journal, *journal.subject(), runs)
        except ErasureError as error:
            said = str(error)
        else:
            assert not sum(found.values())
    assert not CANARIES.search(said.encode())
    listed = said.partition("still there: ")[2].split(", ") if said else []
    return {place: int(n) for place, _, n in (one.rpartition(" ") for one in listed)}


def copied(erased: Erased, to: Path, *patterns: str) -> Context:
    """A copy of what was to be verified, with files put back as they were before."""
    home, before = to / "home", erased.before / "home"
    shutil.copytree(erased.unverified / "home", home, symlinks=True)
    old = [path.relative_to(before) for pattern in patterns for path in before.glob(pattern)]
    put_back = erased.changed & {path.as_posix() for path in old}
    assert bool(put_back) == bool(patterns)
    for name in put_back:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).unlink(missing_ok=True)
        shutil.copy2(before / name, home / name)
    return context(home)


@pytest.mark.parametrize("store", PUT_BACK)
def test_whatever_is_left_is_found(erased: Erased, tmp_path: Path, store: str) -> None:
    """The kind: the erasure has left out one store. Its files are put back as they were, and the
    verification on which the receipt depends says where somebody still is."""
    pattern, place = PUT_BACK[store]
    assert set(found_left(copied(erased, tmp_path, pattern))) == {place}


def test_no_other_store_that_an_erasure_changes_names_the_person(erased: Erased) -> None:
    """Whoever adds a store adds it to those that are put back."""
    home = erased.before / "home"
    patterns, refs = (pattern for pattern, _ in PUT_BACK.values()), references(home, PERSON)
    others = erased.changed - {
        path.relative_to(home).as_posix() for pattern in patterns for path in home.glob(pattern)
    }
    inside = texts(home)
    for name in others:
        text = inside.get(name, "") + (home / name).read_bytes().decode("latin-1")
        assert not has_canary(text.encode()), name
        assert not any(ref in text for ref in refs), name


def test_a_file_that_nobody_declared_and_a_run_are_found_and_nothing_else(
    erased: Erased, tmp_path: Path
) -> None:
    stand = copied(erased, tmp_path)
    assert found_left(stand) == {}
    stray = stand.layout.root / "exports" / "team.csv"
    stray.parent.mkdir()
    stray.write_text("nothing personal")
    assert data_inventory.undeclared_files(stand.layout) == ["exports (*.csv)"]
    assert found_left(stand) == {"undeclared files: exports (*.csv)": 1}
    shutil.rmtree(stray.parent)
    shutil.copytree(erased.unverified / "dagster", tmp_path / "dagster")
    with dg.instance_for_test(temp_dir=str(tmp_path / "dagster")) as instance:
        assert found_left(stand, DagsterStorage(instance)) == {}
        careless_run(instance)
        assert set(found_left(stand, DagsterStorage(instance))) == {"Dagster"}


def skip_edits(monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    honest = job.edits_of_person
    monkeypatch.setattr(
        job,
        "edits_of_person",
        lambda layout, subject: [one for one in honest(layout, subject) if of not in one.path.name],
    )


LEFT_OUT = {
    "records": ("reconcile", lambda m: skip_edits(m, "records-corporate")),
    "statements": ("reconcile", lambda m: skip_edits(m, "records-xapi")),
    "roster": ("roster", lambda m: skip_edits(m, "roster-")),
    "rejected lines": ("quarantine", lambda m: skip_edits(m, "rejects")),
    "classified": (
        "reconcile",
        lambda m: m.setattr(job, "classified_edits_of_person", lambda *_: []),
    ),
    "population": ("classified", lambda m: m.setattr(population, "change", lambda *_: None)),
    "pseudonymized": (
        "reconcile",
        lambda m: m.setattr(rebuild, "_rebuild_month", lambda *_: False),
    ),
    "row history": (
        "row history",
        lambda m: m.setattr(job.row_history, "rewrite", lambda *_: None),
    ),
    "release": ("releases", lambda m: m.setattr(rebuild, "publish_survivors", lambda *_: None)),
    "deny-list": (
        "identity vault",
        lambda m: m.setattr(rebuild, "rebuild_reference_values", lambda *_: None),
    ),
    "vault": ("identity vault", lambda m: m.setattr(rebuild, "forget_identities", lambda *_: None)),
    "raw deliveries": ("raw deliveries", lambda m: m.setattr(landing, "remove", lambda *_: None)),
    "backups": ("backups", lambda m: m.setattr(backup, "copies", lambda *_: [])),
    "packages": ("packages", lambda m: m.setattr(rebuild, "forget_packages", lambda *_: None)),
    "work": ("work", lambda m: m.setattr(rebuild, "empty_work", lambda *_: None)),
    "Dagster": ("Dagster", lambda m: m.setattr(DagsterStorage, "forget", lambda *_: 0)),
}


def refused(stand: Context, erase: Callable[[], object]) -> str:
    """Why an erasure does not come to its end; there is no receipt then, and it stays open."""
    with pytest.raises(ErasureError) as caught:
        erase()
    assert not CANARIES.search(str(caught.value).encode())
    assert not receipts.newest_first(stand.layout), "a receipt was written all the same"
    assert list(stand.layout.erasures.glob("*")), "the order was forgotten"
    return str(caught.value)


def test_an_erasure_that_left_stores_out_is_resumed_until_nothing_is_left(
    planted: tuple[Estate, Context],
) -> None:
    """First the counts do not reconcile, then the verification finds what is left."""
    estate, stand = planted
    storage = DagsterStorage(estate.instance)
    erase = partial(job.erase_person, stand, PERSON, None, NOW, storage)
    with pytest.MonkeyPatch.context() as patch:
        LEFT_OUT["records"][1](patch)
        assert "do not reconcile" in refused(stand, erase)
    with pytest.MonkeyPatch.context() as patch:
        for store in ("vault", "packages", "Dagster"):
            LEFT_OUT[store][1](patch)
        assert job.resume(stand, storage, NOW) == []
    (reason,) = job.set_aside(stand.layout).values()
    assert all(f"{place} " in reason for place in ("identity vault", "packages", "Dagster"))
    assert not receipts.newest_first(stand.layout)
    _comes_to_its_end(estate, stand, storage)


@pytest.mark.soak
@pytest.mark.parametrize("store", LEFT_OUT)
def test_a_store_that_is_left_out_is_caught(
    planted: tuple[Estate, Context], monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """As `test_whatever_is_left_is_found`, by whole erasures that leave a step out."""
    estate, stand = planted
    place, leave_out = LEFT_OUT[store]
    storage = DagsterStorage(estate.instance)
    with monkeypatch.context() as patch:
        leave_out(patch)
        assert place in refused(stand, partial(job.erase_person, stand, PERSON, None, NOW, storage))
    # And the same order, with the store no longer left out, comes to its end.
    _comes_to_its_end(estate, stand, storage)


def _comes_to_its_end(estate: Estate, stand: Context, storage: DagsterStorage) -> None:
    (output,) = job.resume(stand, storage, NOW)
    assert sum(output["found_afterwards"].values()) == 0
    assert not seen_by_bytes(estate.home)
    assert not seen_by_reading(estate.home)


def test_a_delivery_that_was_removed_by_half_is_removed(
    erased: Erased, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though what is left of it names nobody."""
    stand = copied(erased, tmp_path, PUT_BACK["raw deliveries"][0])
    (journal,) = pending(stand.layout)
    journal._notes.unlink()
    halved: list[Path] = []

    def half(layout: Layout, delivery: dt.date) -> None:
        halved.append(Path(layout.landing) / str(delivery))
        for path in halved[-1].rglob("*"):
            path.unlink()
        raise InterruptedError

    subject, _ = journal.subject()
    with monkeypatch.context() as patch:
        patch.setattr(landing, "remove", half)
        with pytest.raises(InterruptedError):
            job._raw_deliveries(stand, journal, subject)
    assert halved[0].is_dir()
    job._raw_deliveries(stand, journal, subject)
    assert not halved[0].exists()


def test_the_sweep_finds_a_canary_in_every_kind_of_file(tmp_path: Path) -> None:
    """The search itself: compressed stores are opened, bytes are read, across chunks too."""
    with duckdb.connect() as c:
        c.execute(f"CREATE TABLE t AS SELECT '{EMAIL}' AS a, range AS b FROM range(2000)")
        c.execute(f"COPY t TO '{tmp_path}/a.parquet' (FORMAT parquet, COMPRESSION zstd)")
        assert residue_scan.rows_with(c, f"'{tmp_path}/a.parquet'", "(?i)zzyzx") == 2000
    path = tmp_path / "seam.bin"
    path.write_bytes(b"x" * (landing.CHUNK - 3) + NAME.encode() + b"y" * 100)
    assert residue_scan.bytes_with(path, CANARIES)


@pytest.mark.more
def test_the_scan_of_bytes_counts_what_the_pattern_alone_would_find() -> None:
    """It searches twice, first in a quick way: at both ends, in other letters, within words, among
    bytes of no encoding."""
    rng = soak.rng()
    terms = ["quentin zzyzx", "müller-šimek", NUMBER, "a.b+c@x.de", "王", "o'k\\n", "[a]{2}"]
    spelled = [form(term).encode() for term in terms for form in (str.lower, str.upper)]
    parts = [*spelled, b"\n", b"\0", b"\xff\xc3", b" ", b"a", b"1", b"\xe3\xa9"]
    counts = set()
    for _ in range(soak.times(2_000, 100_000)):
        meant = tuple(rng.choice(terms, rng.integers(0, 4)))
        pattern = re.compile(alone(meant).encode())
        content = b"".join(parts[n] for n in rng.integers(0, len(parts), rng.integers(1, 6)))
        found = landing.hits_in(BytesIO(content), pattern)
        assert found == len(pattern.findall(content)), (meant, content)
        counts.add(found)
    assert counts >= {0, 1, 2}


def test_an_erased_person_does_not_come_back(erased: Erased, tmp_path: Path) -> None:
    """Neither by the next export nor by an old backup."""
    home, (old,) = tmp_path / "home", (erased.before / "home" / "backups").iterdir()
    shutil.copytree(erased.after / "home", home, symlinks=True)
    estate, stand = Estate(home, dg.DagsterInstance.ephemeral()), context(home)
    later = RUN_DATE + dt.timedelta(days=1)
    write_delivery(estate.delivery(later), *company())
    result = estate.run(later)
    assert result.success, errors(result)
    shutil.rmtree(estate.delivery(later))
    assert not {one for one in seen_by_reading(home) if one.startswith("store")}
    shutil.rmtree(stand.layout.canonical)
    assert backup.restore(stand, old).removed > 0
    assert not {one for one in seen_by_reading(home) if one.startswith("store/canonical")}
    assert list(stand.layout.canonical.glob("*/*/*.parquet"))
    # What came back is in no index yet; the next deletion makes it anew before it erases.
    job.retain(stand, NOW)
    assert not {one for one in seen_by_reading(home) if one.startswith("store")}
    with pytest.raises(PolicyError, match="no backup"):
        backup.restore(stand, home / "releases")


def test_a_hold_keeps_a_person(planted: tuple[Estate, Context]) -> None:
    _, stand = planted
    legal_holds.place(stand.layout, hold(people=(PERSON,)))
    with pytest.raises(PolicyError, match="case-7"):
        job.erase_person(stand, PERSON, None, NOW)
    assert not list(stand.layout.erasures.glob("*"))
    assert not receipts.newest_first(stand.layout)
    legal_holds.lift(stand.layout, "case-7", NOW.date())
    with engine(stand.layout.work) as connection:
        assert plan.of_person(connection, stand, find(connection, stand.layout, PERSON)).items


def test_a_delivery_that_was_never_taken_in_keeps_an_erasure_open(
    erased: Erased, tmp_path: Path
) -> None:
    stand = copied(erased, tmp_path)
    estate = Estate(stand.layout.root, dg.DagsterInstance.ephemeral())
    later = RUN_DATE + dt.timedelta(days=1)
    write_delivery(estate.delivery(later), [record(0), record(1)])
    assert job.resume(stand, None, NOW) == []
    (reason,) = job.set_aside(stand.layout).values()
    assert re.search(f"never ingested.*{later}", reason)
    result = estate.run(later)
    assert result.success, errors(result)
    assert len(job.resume(stand, None, NOW)) == 1
    assert not seen_by_bytes(estate.home)


def test_receipts_are_chained(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for n in range(3):
        receipts.write(layout, fresh_name(), {"rows": {"classified": {"before": n, "after": 0}}})
    assert not receipts.broken(layout)
    newest, middle, _ = receipts.newest_first(layout)
    output: dict[str, Any] = json.loads(middle.read_text())
    output["rows"] = {}
    middle.write_text(json.dumps(output))
    assert receipts.broken(layout) == [newest.stem]
    middle.unlink()
    assert receipts.broken(layout) == [newest.stem]

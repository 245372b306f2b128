"""Ed25519 (RFC 8032) keys and signed statements, for people and for the access log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from pipeline.errors import PolicyError


def private_pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_bytes(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_pem(key: Ed25519PrivateKey) -> str:
    return public_bytes(key.public_key()).decode()


def fingerprint(pem: str) -> str:
    """What two people read to each other, to know that they speak of one public key."""
    digest = hashlib.sha256(public_bytes(load_public_key(pem.encode()))).hexdigest()
    return " ".join(digest[at : at + 4] for at in range(0, 32, 4))


def load_private_key(pem: bytes) -> Ed25519PrivateKey:
    """A private key from PEM; raises PolicyError on anything else."""
    try:
        found = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PolicyError("the file is not a PEM private key without a passphrase") from None
    if not isinstance(found, Ed25519PrivateKey):
        raise PolicyError("the private key is not an Ed25519 key")
    return found


def load_public_key(pem: bytes) -> Ed25519PublicKey:
    """A public key from PEM; raises PolicyError on anything else."""
    try:
        found = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise PolicyError("the file is not a PEM public key") from None
    if not isinstance(found, Ed25519PublicKey):
        raise PolicyError("the public key is not an Ed25519 key")
    return found


def _bytes(kind: str, statement: Mapping[str, object]) -> bytes:
    # The kind comes first, so that a signature under one kind of statement is not valid under
    # another.
    return f"milestones {kind}\n".encode() + json.dumps(statement, sort_keys=True).encode()


def sign(key: Ed25519PrivateKey, kind: str, statement: Mapping[str, object]) -> str:
    """Sign a statement; returns the signature in hexadecimal."""
    return key.sign(_bytes(kind, statement)).hex()


def signed(pem: str, kind: str, statement: Mapping[str, object], signature: object) -> bool:
    """Is the signature of the statement valid under the key of that PEM?"""
    try:
        load_public_key(pem.encode()).verify(bytes.fromhex(str(signature)), _bytes(kind, statement))
    except (InvalidSignature, ValueError):
        return False
    return True

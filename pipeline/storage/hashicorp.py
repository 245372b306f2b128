"""Secrets in HashiCorp Vault: a KV store, version 2, at VAULT_ADDR with VAULT_TOKEN."""

from __future__ import annotations

from pipeline.errors import PolicyError


def read(place: str, what: str) -> str:
    """A secret.

    Args:
        place: `mount/path#field`.
        what: which secret, for the message.

    Raises:
        PolicyError: Vault did not return it.
    """
    # Only installations that keep secrets there need the client.
    import hvac

    where, _, field = place.partition("#")
    mount, _, path = where.partition("/")
    try:
        found = hvac.Client().secrets.kv.v2.read_secret_version(
            path=path, mount_point=mount, raise_on_deleted_version=True
        )
        return str(found["data"]["data"][field])
    except (hvac.exceptions.VaultError, OSError, KeyError) as error:
        raise PolicyError(
            f"{what}: HashiCorp Vault did not return it ({type(error).__name__})"
        ) from None

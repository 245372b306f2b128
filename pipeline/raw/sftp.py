"""SFTP to a server that is known: fsspec's own file system would accept the key of any server."""

from __future__ import annotations

import fsspec
import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from pipeline.errors import SettingsError


class _Known(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Refuses a server before anything is sent to it."""

    def missing_host_key(self, client: object, hostname: str, key: object) -> None:
        raise SettingsError(
            "MILESTONES_LANDING: the key of the SFTP server is not in ~/.ssh/known_hosts; compare "
            "it with what its operator says, and add it (ssh-keyscan)"
        )


class KnownServer(SFTPFileSystem):  # type: ignore[misc]
    """The files of a server whose key is in ~/.ssh/known_hosts."""

    protocol = ("sftp", "ssh")

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        self.client.load_system_host_keys()
        self.client.set_missing_host_key_policy(_Known())
        try:
            self.client.connect(self.host, **self.ssh_kwargs)
        except (paramiko.AuthenticationException, paramiko.BadHostKeyException) as error:
            raise SettingsError(
                f"MILESTONES_LANDING: no connection to the SFTP server ({type(error).__name__})"
            ) from None
        self.ftp = self.client.open_sftp()


def register() -> None:
    """Open sftp:// and ssh:// so from here on."""
    for scheme in KnownServer.protocol:
        fsspec.register_implementation(scheme, KnownServer, clobber=True)

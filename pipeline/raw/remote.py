"""A landing folder elsewhere (S3, SFTP, any fsspec URL): connected, asked again, fetched whole.

A connection that breaks is made anew and what was asked is asked again. A file is only there for
readers when as many bytes have arrived as the folder lists; a part of it never is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import fsspec
from fsspec.registry import known_implementations

from pipeline.errors import SettingsError, Unfinished

ATTEMPTS = 4
WAIT = 1.0  # seconds before the second attempt; doubled before each further one
# Extras of this project, by what stands before :// in a URL.
EXTRAS = {"s3": "s3", "s3a": "s3", "sftp": "sftp", "ssh": "sftp"}
PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

Answer = TypeVar("Answer")


def opened(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system and path of a URL, or of a local path.

    Raises:
        SettingsError: a package is missing, or nobody reads such URLs; names the kind of URL only.
        Unfinished: it cannot be reached.
    """
    try:
        if url.startswith(("sftp://", "ssh://")):
            from pipeline.raw import sftp

            sftp.register()
        system, path = asked(lambda: fsspec.core.url_to_fs(url))
    except SettingsError:
        raise
    except (ImportError, ValueError):
        raise SettingsError(f"MILESTONES_LANDING: {_advice(url.partition('://')[0])}") from None
    return system, path


def _advice(scheme: str) -> str:
    if scheme in EXTRAS:
        return f"{scheme}:// needs a package: pip install 'lms-milestones[{EXTRAS[scheme]}]'"
    if scheme in known_implementations:
        advice = known_implementations[scheme].get("err", "see the documentation of fsspec")
        return f"{scheme}:// needs a package that does not come with this project: {advice}"
    return f"no package reads {scheme}:// URLs; s3:// and sftp:// are supported"


def asked(question: Callable[[], Answer]) -> Answer:
    """The answer of another system, asked up to four times.

    Raises:
        OSError: there is no such file, or no permission; asking again would not help.
        Unfinished: every attempt failed.
    """
    failure = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(WAIT * 2 ** (attempt - 1))
        try:
            return question()
        except PERMANENT:
            raise
        except _interruptions() as error:
            failure = type(error).__name__
            _disconnect()
    raise Unfinished(
        f"the landing folder did not answer, or broke off, {ATTEMPTS} times ({failure}); run it "
        "again when it can be reached"
    )


def _interruptions() -> tuple[type[BaseException], ...]:
    """What a broken connection raises; the client of SFTP has errors of its own."""
    paramiko = sys.modules.get("paramiko")
    return (OSError, EOFError, *([paramiko.SSHException] if paramiko else []))


def _disconnect() -> None:
    """Forget connections, so that the next question makes a new one."""
    for system in {*fsspec.registry.values()}:
        system.clear_instance_cache()


def fetch(url: str, path: str, size: int | None, to: Path) -> None:
    """Copy a file, whole; raises as `asked`.

    Args:
        url: of the landing folder.
        path: of the file in its file system.
        size: in bytes, as the folder lists it; None if it does not.
        to: appears when all of it is there.
    """
    part = to.with_name(f"{to.name}.part")

    def copy() -> None:
        part.unlink(missing_ok=True)
        fsspec.core.url_to_fs(url)[0].get_file(path, str(part))
        if size is not None and part.stat().st_size != size:
            raise EOFError

    asked(copy)
    part.replace(to)

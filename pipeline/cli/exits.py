"""How a command ends: the one list of exit codes, and which error is which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer


class Exit(IntEnum):
    """Exit codes; 2 is also what a wrong option or argument ends with."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    REFUSED = 3
    INCOMPLETE = 4


MEANING = {
    Exit.DONE: "done",
    Exit.FAILED: "failed: an error, a failed run, or a log that does not verify",
    Exit.BAD_INPUT: "bad input: wrong usage or date, a missing file, an invalid policy file",
    Exit.REFUSED: "refused: access denied, policy not signed or expired, delivery not admitted",
    Exit.INCOMPLETE: "incomplete: cut off, not run yet, or something left over; run it (again)",
}
# Every paragraph of an epilog is a line of its own.
EPILOG = "\n\n".join(["Exit codes:", *(f"{code.value}  {text}" for code, text in MEANING.items())])


def _kinds() -> list[tuple[type[Exception], Exit]]:
    """Errors with an exit code of their own, the particular before the general."""
    from pydantic import ValidationError

    from pipeline.access.authorize import AccessDenied
    from pipeline.errors import BadInput, ErasureError, PolicyError, Unfinished
    from pipeline.raw.readers.base import MalformedFile

    return [
        (BadInput, Exit.BAD_INPUT),
        (ValidationError, Exit.BAD_INPUT),
        (Unfinished, Exit.INCOMPLETE),
        (ErasureError, Exit.INCOMPLETE),
        (AccessDenied, Exit.REFUSED),
        (PolicyError, Exit.REFUSED),
        (MalformedFile, Exit.REFUSED),
    ]


def of(error: BaseException) -> Exit:
    """The exit code of an error."""
    return next((code for kind, code in _kinds() if isinstance(error, kind)), Exit.FAILED)


def of_run(failures: Iterable[str]) -> Exit:
    """The exit code of a failed run.

    Args:
        failures: names of its errors' classes, as Dagster keeps them.
    """
    codes = {kind.__name__: code for kind, code in _kinds()}
    found = {codes.get(name, Exit.FAILED) for name in failures}
    return found.pop() if len(found) == 1 else Exit.FAILED


def end(code: Exit) -> None:
    """End the command unless all is done."""
    if code is not Exit.DONE:
        raise typer.Exit(code)


@contextmanager
def given(what: str) -> Iterator[None]:
    """An error over something that the user gave, such as a key's file, is bad input."""
    from pipeline.errors import BadInput, PolicyError

    try:
        yield
    except OSError as error:
        raise BadInput(f"{what}: {error.strerror}") from None
    except PolicyError as error:
        raise BadInput(str(error)) from None
    except ValueError:
        raise BadInput(f"{what}: not understood") from None

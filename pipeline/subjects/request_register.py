"""Requests of data subjects (GDPR Art. 12 and 15 to 21): states, deadlines, verified identity.

Each is one file in the vault, written atomically, so that it survives any restart. Nothing is
done for a request whose sender's identity is not verified.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.errors import PolicyError
from pipeline.policy.base import Strict
from pipeline.policy.duration import Duration
from pipeline.storage import encryption
from pipeline.storage.layout import Layout

# Art. 12(3): one month from receipt, two further months where complexity demands it.
ANSWER = Duration.parse("P1M")
EXTENDED = Duration.parse("P3M")


class Kind(StrEnum):
    ACCESS = "access"
    RECTIFICATION = "rectification"
    ERASURE = "erasure"
    RESTRICTION = "restriction"
    OBJECTION = "objection"


class State(StrEnum):
    RECEIVED = "received"
    VERIFIED = "verified"
    RUNNING = "running"
    WAITING = "waiting"  # for a hold to end, or for a delivery to be read
    DONE = "done"
    REFUSED = "refused"


NEXT: dict[State, set[State]] = {
    State.RECEIVED: {State.VERIFIED, State.REFUSED},
    State.VERIFIED: {State.RUNNING, State.REFUSED},
    State.RUNNING: {State.RUNNING, State.WAITING, State.DONE, State.REFUSED},
    State.WAITING: {State.RUNNING, State.REFUSED},
    State.DONE: set(),
    State.REFUSED: set(),
}


class HistoryEntry(Strict):
    at: dt.datetime
    state: State
    note: str


class Request(Strict):
    """One request. `identifier` is forgotten once an erasure is under way: its journal has it."""

    name: str
    kind: Kind
    identifier: str | None
    received_on: dt.date
    verified_by: str | None = None
    extended_because: str | None = None
    state: State = State.RECEIVED
    history: tuple[HistoryEntry, ...] = ()
    details: dict[str, Any] = Field(default_factory=dict)
    closed_on: dt.date | None = None
    receipt: str | None = None

    @property
    def deadline(self) -> dt.date:
        """Last day for the answer."""
        return (EXTENDED if self.extended_because else ANSWER).ends(self.received_on)

    def overdue(self, today: dt.date) -> bool:
        return self.closed_on is None and self.deadline < today


def path(layout: Layout, name: str) -> Path:
    return layout.vault / "requests" / f"{name}.json.enc"


def _save(layout: Layout, request: Request) -> Request:
    encryption.write_text(layout, path(layout, request.name), request.model_dump_json(indent=1))
    return request


def every(layout: Layout) -> list[Request]:
    """All requests, oldest first."""
    return [
        Request.model_validate_json(encryption.read_text(layout, file) or "")
        for file in sorted((layout.vault / "requests").glob("*.json.enc"))
    ]


def read(layout: Layout, name: str) -> Request:
    """Raises PolicyError when there is no request of that name."""
    for request in every(layout):
        if request.name == name:
            return request
    raise PolicyError("no request of that name; `milestones request list` shows them")


def receive(
    layout: Layout, kind: Kind, identifier: str, today: dt.date, details: dict[str, Any]
) -> Request:
    """Take a request in; its clock starts."""
    name = f"{today:%Y%m%d}-{kind}-{uuid.uuid4().hex[:6]}"
    request = Request(
        name=name, kind=kind, identifier=identifier, received_on=today, details=details
    )
    return move(layout, request, State.RECEIVED, "received")


def move(layout: Layout, request: Request, state: State, note: str, **changes: Any) -> Request:  # noqa: ANN401 (fields of Request)
    """Move a request to a state and store it.

    Raises:
        PolicyError: that state does not follow from the one it is in.
    """
    if request.history and state not in NEXT[request.state]:
        raise PolicyError(f"request {request.name}: {request.state} cannot become {state}")
    step = HistoryEntry(at=dt.datetime.now(dt.UTC), state=state, note=note)
    changes |= {"state": state, "history": (*request.history, step)}
    if state in (State.DONE, State.REFUSED):
        changes.setdefault("closed_on", step.at.date())
    return _save(layout, request.model_copy(update=changes))


def verify_identity(layout: Layout, name: str, by: str) -> Request:
    """Say who checked that the sender is the person."""
    return move(layout, read(layout, name), State.VERIFIED, f"identity verified by {by}",
                verified_by=by)  # fmt: skip


def extend(layout: Layout, name: str, because: str, today: dt.date) -> Request:
    """Extend the deadline by two months; the person must be told within the first.

    Raises:
        PolicyError: the first month is over, or no reason is given.
    """
    request = read(layout, name)
    if not because.strip():
        raise PolicyError("an extension needs its reason (GDPR Art. 12(3))")
    if today > ANSWER.ends(request.received_on) or request.closed_on:
        raise PolicyError("an extension must be told within the first month (GDPR Art. 12(3))")
    step = HistoryEntry(
        at=dt.datetime.now(dt.UTC), state=request.state, note=f"extended: {because}"
    )
    return _save(layout, request.model_copy(
        update={"extended_because": because, "history": (*request.history, step)}
    ))  # fmt: skip


def forget(layout: Layout, ids: Iterable[str]) -> None:
    """Forget whose requests an erased person's were; that they were made and answered stays."""
    gone = set(ids)
    for request in every(layout):
        if request.identifier in gone:
            _save(layout, request.model_copy(update={"identifier": None, "details": {}}))


def refuse(layout: Layout, name: str, because: str) -> Request:
    """Refuse a request, with the reason that the person is told (GDPR Art. 12(4))."""
    return move(layout, read(layout, name), State.REFUSED, because)

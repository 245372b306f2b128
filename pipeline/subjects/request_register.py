"""Requests of data subjects (GDPR Art. 12 and 15 to 21): states, deadlines, verified identity.

Each is one file in the vault, replaced atomically, so that it survives any restart. A request is
fulfilled only once the sender's identity is verified.
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
from pipeline.storage import cases
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
    WAITING = "waiting"  # set aside with its reason: amend it, retry it, refuse it
    DONE = "done"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


# A request that was answered, or that there is no more.
CLOSED = (State.DONE, State.REFUSED, State.WITHDRAWN)
NEXT: dict[State, set[State]] = {
    State.RECEIVED: {State.RECEIVED, State.VERIFIED, State.REFUSED, State.WITHDRAWN},
    State.VERIFIED: {State.RECEIVED, State.VERIFIED, State.RUNNING, State.REFUSED, State.WITHDRAWN},
    State.RUNNING: {State.RUNNING, State.WAITING, State.DONE, State.REFUSED, State.WITHDRAWN},
    State.WAITING: {State.RECEIVED, State.VERIFIED, State.RUNNING, State.REFUSED, State.WITHDRAWN},
    State.DONE: set(),
    State.REFUSED: set(),
    State.WITHDRAWN: set(),
}


class HistoryEntry(Strict):
    at: dt.datetime
    state: State
    note: str


class Request(Strict):
    """One request.

    Attributes:
        identifier: the person's raw identifier; removed once the person is erased.
        also: further numbers of the same person, as the operator confirmed.
        received_by, named_by: who received it, and who last said whom it is about.
        details: what the kind of request needs, such as the fields to correct.
    """

    name: str
    kind: Kind
    identifier: str | None
    also: tuple[str, ...] = ()
    received_on: dt.date
    received_by: str | None = None
    named_by: str | None = None
    verified_by: str | None = None
    extended_because: str | None = None
    state: State = State.RECEIVED
    history: tuple[HistoryEntry, ...] = ()
    details: dict[str, Any] = Field(default_factory=dict)
    closed_on: dt.date | None = None
    receipt: str | None = None

    @property
    def deadline(self) -> dt.date:
        """The last day for the answer."""
        return (EXTENDED if self.extended_because else ANSWER).ends(self.received_on)

    def overdue(self, today: dt.date) -> bool:
        return self.closed_on is None and self.deadline < today


def path(layout: Layout, name: str) -> Path:
    return layout.vault / "requests" / f"{name}.json.enc"


def _save(layout: Layout, request: Request) -> Request:
    cases.write(layout, path(layout, request.name), request.model_dump_json(indent=1))
    return request


def every(layout: Layout) -> list[Request]:
    """All requests, oldest first."""
    return [
        Request.model_validate_json(cases.read(layout, file) or "")
        for file in sorted((layout.vault / "requests").glob("*.json.enc"))
    ]


def read(layout: Layout, name: str) -> Request:
    """A request by its name.

    Raises:
        PolicyError: there is no request of that name.
    """
    for request in every(layout):
        if request.name == name:
            return request
    raise PolicyError(
        "there is no request of that name; `milestones request list` shows all requests"
    )


def receive(
    layout: Layout,
    kind: Kind,
    identifier: str,
    today: dt.date,
    details: dict[str, Any],
    also: tuple[str, ...] = (),
    by: str | None = None,
) -> Request:
    """Register a request; its deadline starts to run."""
    request = Request(
        name=f"{today:%Y%m%d}-{kind}-{uuid.uuid4().hex[:6]}",
        kind=kind,
        identifier=identifier,
        also=also,
        received_on=today,
        received_by=by,
        details=details,
    )
    return move(layout, request, State.RECEIVED, "received")


@cases.changes
def move(
    layout: Layout,
    request: Request,
    state: State,
    note: str,
    **changes: Any,  # noqa: ANN401
) -> Request:
    """Move a request, as it is by now, to a state and store it.

    Args:
        changes: fields of the request that change with it.

    Raises:
        PolicyError: that state cannot follow the present one.
    """
    if stored := cases.read(layout, path(layout, request.name)):
        request = Request.model_validate_json(stored)
    if request.history and state not in NEXT[request.state]:
        raise PolicyError(f"request {request.name}: {request.state} cannot become {state}")
    step = HistoryEntry(at=dt.datetime.now(dt.UTC), state=state, note=note)
    changes |= {"state": state, "history": (*request.history, step)}
    if state in CLOSED:
        changes.setdefault("closed_on", step.at.date())
    return _save(layout, request.model_copy(update=changes))


def done_by(layout: Layout, name: str) -> dict[str, str]:
    """Steps of a request, as access_rules.yaml names them, to who did them.

    Raises:
        PolicyError: there is no request of that name.
    """
    request = read(layout, name)
    steps = {
        "request receive": request.received_by,
        "request amend": request.named_by,
        "request verify": request.verified_by,
    }
    return {step: who for step, who in steps.items() if who is not None}


def verify_identity(layout: Layout, name: str, by: str) -> Request:
    """Record who verified that the sender is the person."""
    return move(
        layout, read(layout, name), State.VERIFIED, f"identity verified by {by}", verified_by=by
    )


@cases.changes
def extend(layout: Layout, name: str, because: str, today: dt.date) -> Request:
    """Extend the deadline by two months; the person must be informed within the first month.

    Raises:
        PolicyError: the first month is over, or no reason is given.
    """
    request = read(layout, name)
    if not because.strip():
        raise PolicyError("an extension needs a reason (GDPR Art. 12(3))")
    if today > ANSWER.ends(request.received_on) or request.closed_on:
        raise PolicyError(
            "the person must be informed of an extension within the first month (GDPR Art. 12(3))"
        )
    step = HistoryEntry(
        at=dt.datetime.now(dt.UTC), state=request.state, note=f"extended: {because}"
    )
    return _save(
        layout,
        request.model_copy(
            update={"extended_because": because, "history": (*request.history, step)}
        ),
    )


@cases.changes
def forget(layout: Layout, ids: Iterable[str]) -> None:
    """Remove the identifier from an erased person's requests; that they were answered stays."""
    erased = set(ids)
    for request in every(layout):
        if request.identifier in erased or erased & set(request.also):
            gone: dict[str, Any] = {"identifier": None, "also": (), "details": {}}
            _save(layout, request.model_copy(update=gone))


@cases.changes
def amend(
    layout: Layout,
    name: str,
    people: tuple[str, ...],
    details: dict[str, Any] | None,
    by: str | None = None,
) -> Request:
    """Mend a request that is not answered yet: whom it is about, or its details. About somebody
    else, it has to be verified again: whose identity was verified is not whom it is about.

    Raises:
        PolicyError: it is closed.
    """
    request = read(layout, name)
    changes: dict[str, Any] = {}
    if people:
        changes |= {"identifier": people[0], "also": people[1:]}
        changes |= {"named_by": by, "verified_by": None}
    if details:
        changes["details"] = request.details | details
    state = State.RECEIVED if people or request.verified_by is None else State.VERIFIED
    mended = [what for what in ("identifier", "details") if what in changes]
    if request.state is State.RUNNING:
        request = move(layout, request, State.WAITING, "interrupted")
    return move(layout, request, state, f"amended: {', '.join(mended) or 'nothing'}", **changes)


def withdraw(layout: Layout, name: str) -> Request:
    """Close a request that its sender has withdrawn."""
    return move(layout, read(layout, name), State.WITHDRAWN, "withdrawn by the sender")


def refuse(layout: Layout, name: str, because: str) -> Request:
    """Refuse a request, with the reason for the person (GDPR Art. 12(4))."""
    return move(layout, read(layout, name), State.REFUSED, because)

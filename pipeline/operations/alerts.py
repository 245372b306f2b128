"""Alerts for runs that failed, and for jobs that did not run: which job, partition, steps and
checks, and never an exception's text.

Most exceptions are the pipeline's own and free of values; others are not, and an alert cannot
distinguish them. So an alert names and links, and the reader looks it up.

    MILESTONES_ALERT_WEBHOOK  receives JSON by POST: `text`, as chat programs expect it, and the
                              same in parts
    MILESTONES_ALERT_SMTP     smtp://host:port; mail goes to everybody under `escalation` in
                              governance.yaml
    MILESTONES_URL            the address of Dagster's UI, for the link
"""

from __future__ import annotations

import json
import smtplib
import ssl
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from urllib.parse import urlsplit

import dagster as dg

from pipeline.policy.governance import Governance
from pipeline.settings import settings, variable

WEBHOOK, SMTP, UI = map(variable, ("alert_webhook", "alert_smtp", "url"))
SECONDS = 20


@dataclass(frozen=True)
class Alert:
    """A failed run.

    Attributes:
        failed: steps with the kind of error; empty if the run died or was ended from outside.
        checks: checks that did not pass.
        link: to the run in Dagster's UI; None if its address is not set.
    """

    job: str
    partition: str | None
    run_id: str
    failed: tuple[str, ...]
    checks: tuple[str, ...]
    link: str | None

    @property
    def subject(self) -> str:
        return f"{self.job} failed"

    @property
    def text(self) -> str:
        what = [*self.failed, *(f"check {name}" for name in self.checks)] or ["the run was ended"]
        lines = [
            f"{self.job} failed{f' for {self.partition}' if self.partition else ''}: "
            f"{', '.join(what)}.",
            "Nothing was published; the tables of the last successful run stay in place."
            if self.job == "nightly"
            else "The next run continues where it stopped.",
            f"Run {self.run_id}{f': {self.link}' if self.link else ''}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Missed:
    """A job that has not succeeded for too long, whether it failed or never started.

    Attributes:
        hours: since its last success, or since it was first due.
        last_success: ISO instant; None if there was none.
    """

    job: str
    hours: int
    last_success: str | None

    @property
    def subject(self) -> str:
        return f"{self.job} has not succeeded for {self.hours} hours"

    @property
    def text(self) -> str:
        return (
            f"{self.subject}. See in Dagster whether the daemon, the schedule and the sensors are "
            "on (`dagster schedule list`) and whether runs failed or wait in the queue."
        )


def _kind(error: object) -> str:
    """The class of the innermost error; unlike its text it cannot hold a value."""
    name = "Error"
    while error is not None:
        name = getattr(error, "cls_name", None) or name
        error = getattr(error, "cause", None)
    return name


def alert(run: dg.DagsterRun, events: Iterable[dg.EventLogEntry]) -> Alert:
    """What an alert may say of a failed run."""
    failed, checks = [], []
    for entry in events:
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type is dg.DagsterEventType.STEP_FAILURE:
            failed.append(f"{event.step_key} ({_kind(event.step_failure_data.error)})")
        elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            outcome = event.asset_check_evaluation_data
            if not outcome.passed:
                checks.append(f"{outcome.asset_key.to_user_string()} {outcome.check_name}")
    ui = settings().url
    link = f"{ui.rstrip('/')}/runs/{run.run_id}" if ui else None
    return Alert(
        run.job_name,
        run.tags.get("dagster/partition"),
        run.run_id,
        tuple(failed),
        tuple(checks),
        link,
    )


def send(failure: Alert | Missed, governance: Callable[[], Governance]) -> list[str]:
    """Send an alert to every configured receiver; returns which received it.

    Args:
        governance: loaded for mail only, and last: a broken policy file must not stop the rest.

    Raises:
        OSError: a receiver cannot be reached; the sensor's next tick tries again.
    """
    sent = []
    given = settings()
    if given.alert_webhook is not None:
        body = json.dumps({"text": failure.text, **asdict(failure)}).encode()
        request = urllib.request.Request(
            given.alert_webhook.get_secret_value(),
            body,
            {"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=SECONDS):
            sent.append("webhook")
    if given.alert_smtp is not None:
        server = given.alert_smtp.get_secret_value()
        place, policy, mail = urlsplit(server), governance(), EmailMessage()
        mail["Subject"] = f"milestones: {failure.subject}"
        mail["From"] = policy.controller.dpo
        mail["To"] = ", ".join(step.who for step in policy.escalation)
        mail.set_content(failure.text)
        with smtplib.SMTP(place.hostname or "", place.port or 25, timeout=SECONDS) as connection:
            if place.username:
                connection.starttls(context=ssl.create_default_context())
                connection.login(place.username, place.password or "")
            connection.send_message(mail)
            sent.append("mail")
    return sent

"""retention_rules.yaml: how long each record type may live (GDPR Art. 5(1)(e))."""

from __future__ import annotations

import datetime as dt
import re
from enum import StrEnum
from pathlib import Path

from pydantic import field_validator, model_validator

from pipeline.policy.base import PolicyError, Strict, load


class RecordType(StrEnum):
    MILESTONE_FLAG = "milestone_flag"
    ASSESSMENT_RECORD = "assessment_record"
    COMMUNICATIONS_LOG = "communications_log"


class Clock(StrEnum):
    COMPLETION = "completion"
    TERMINATION = "termination"
    LAST_ACTIVITY = "last_activity"


class Action(StrEnum):
    ERASE = "erase"
    AGGREGATE_THEN_ERASE = "aggregate_then_erase"


class RetentionRule(Strict):
    """One record type's window, what starts it, its basis and who answers for it."""

    window: str
    clock: Clock
    basis: str
    action: Action
    owner: str
    review_by: dt.date

    @field_validator("window")
    @classmethod
    def _iso_duration(cls, window: str) -> str:
        match = re.fullmatch(r"P(?:(\d{1,3})Y)?(?:(\d{1,3})M)?(?:(\d{1,4})D)?", window)
        if not match or not any(int(part) for part in match.groups() if part):
            raise ValueError("window is an ISO-8601 duration in years, months and days, not zero")
        return window

    @field_validator("basis", "owner")
    @classmethod
    def _said(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("basis and owner must be said")
        return text


class RetentionRules(Strict):
    """The whole file; every record type has a rule."""

    version: int
    rules: dict[RecordType, RetentionRule]

    @model_validator(mode="after")
    def _complete(self) -> RetentionRules:
        missing = sorted(set(RecordType) - set(self.rules))
        if missing:
            raise ValueError(f"no retention rule for {', '.join(missing)}")
        return self


def load_retention(path: Path) -> RetentionRules:
    """retention_rules.yaml; raises PolicyError as `load`."""
    return load(RetentionRules, path)


def require_current(rules: RetentionRules, today: dt.date) -> None:
    """Stop the run when a rule is past its review date.

    Raises:
        PolicyError: naming the stale rules.
    """
    stale = [name for name, rule in rules.rules.items() if rule.review_by < today]
    if stale:
        raise PolicyError(f"retention_rules.yaml: past review_by: {', '.join(stale)}")

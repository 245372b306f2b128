"""retention_rules.yaml: how long anything may be kept (GDPR Art. 5(1)(e)).

A record's window comes from the rule of its type, lengthened by legal minimums and shortened by
legal maximums of its jurisdiction. A published table may show a record for a shorter time than the
store keeps it; every other place where data lies has a window of its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from pipeline.errors import PolicyError
from pipeline.policy.base import PolicyFile, Strict, Zone, load
from pipeline.policy.duration import Duration


class RecordType(StrEnum):
    MILESTONE_FLAG = "milestone_flag"
    ASSESSMENT_RECORD = "assessment_record"
    COMMUNICATIONS_LOG = "communications_log"


class Clock(StrEnum):
    """What starts the window.

    A record without that date is counted from its latest known date instead, and without any from
    the delivery that first brought it: no record is kept for ever.
    """

    COMPLETION = "completion"
    TERMINATION = "termination"
    LAST_ACTIVITY = "last_activity"


class Action(StrEnum):
    ERASE = "erase"
    AGGREGATE_THEN_ERASE = "aggregate_then_erase"


class StorageRule(StrEnum):
    """Everything that is stored and is neither a record nor a published table."""

    RAW_DELIVERIES = "raw_deliveries"
    QUARANTINE = "quarantine"
    ROSTER = "roster"
    ROSTER_HISTORY = "roster_history"
    AGGREGATES = "aggregates"
    RECONCILIATION = "reconciliation"
    BACKUPS = "backups"
    REQUESTS = "requests"
    PACKAGES = "packages"
    TOMBSTONES = "tombstones"
    RECEIPTS = "receipts"
    DAGSTER_RUNS = "dagster_runs"
    KEY_EPOCHS = "key_epochs"
    APPROVALS = "approvals"
    STAFF = "staff"


class Log(StrEnum):
    ACCESS_LOG = "access_log"


class Reviewed(Strict):
    """What every rule states: its basis and source, its owner and when it is reviewed next."""

    basis: str
    source: str
    owner: str
    review_by: dt.date

    @field_validator("basis", "source", "owner")
    @classmethod
    def _said(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("basis, source and owner cannot be empty")
        return text


def _checked(window: str) -> str:
    Duration.parse(window)
    return window


class WindowRule(Reviewed):
    """A window, counted from when the thing was made."""

    window: str

    _duration = field_validator("window")(_checked)

    @cached_property
    def duration(self) -> Duration:
        return Duration.parse(self.window)


class RecordRule(WindowRule):
    """One record type's window, what starts it and what happens at its end.

    Attributes:
        at_the_latest: only for the clock `termination`, which never starts for people who stay: a
            window from completion that ends the record all the same.
    """

    clock: Clock
    action: Action
    at_the_latest: str | None = None

    @model_validator(mode="after")
    def _ends(self) -> RecordRule:
        if (self.clock is Clock.TERMINATION) != (self.at_the_latest is not None):
            raise ValueError("at_the_latest is required for the clock termination, and only for it")
        if self.at_the_latest:
            Duration.parse(self.at_the_latest)
        return self


class Override(Reviewed):
    """A jurisdiction's legal minimum or maximum for some record types."""

    name: str
    regions: tuple[str, ...] = Field(min_length=1)
    records: tuple[RecordType, ...] = Field(min_length=1)
    minimum: str | None = None
    maximum: str | None = None

    _durations = field_validator("minimum", "maximum")(
        lambda value: _checked(value) if value is not None else None
    )

    @model_validator(mode="after")
    def _one(self) -> Override:
        if (self.minimum is None) == (self.maximum is None):
            raise ValueError("an override needs either a minimum or a maximum")
        return self

    @property
    def duration(self) -> Duration:
        return Duration.parse(self.minimum or self.maximum or "")


class RetentionRules(PolicyFile):
    """The whole of retention_rules.yaml.

    Attributes:
        publication_lead: how long before it is due a record leaves the published tables.
        zones: region to the time zone of its calendar days; `default` for the rest.
    """

    format: ClassVar[int] = 2
    renamed: ClassVar[dict[str, str]] = {
        "ahead": "publication_lead",
        "keeping": "storage",
        "storage.raw_drops": "storage.raw_deliveries",
    }
    publication_lead: str
    zones: dict[str, Zone]
    records: dict[RecordType, RecordRule]
    overrides: tuple[Override, ...] = ()
    tables: dict[str, WindowRule]
    storage: dict[StorageRule, WindowRule]
    logs: dict[Log, WindowRule]

    _lead = field_validator("publication_lead")(_checked)

    @model_validator(mode="after")
    def _complete(self) -> RetentionRules:
        for kinds, rules in (
            (RecordType, self.records),
            (StorageRule, self.storage),
            (Log, self.logs),
        ):
            missing = sorted(set(map(str, kinds)) - set(map(str, rules)))
            if missing:
                raise ValueError(f"no retention rule for {', '.join(missing)}")
        if "default" not in self.zones:
            raise ValueError("zones needs a default")
        if len({o.name for o in self.overrides}) < len(self.overrides):
            raise ValueError("two overrides have the same name")
        return self

    @model_validator(mode="after")
    def _without_contradiction(self) -> RetentionRules:
        for least in (o for o in self.overrides if o.minimum):
            for most in (o for o in self.overrides if o.maximum):
                meet = set(least.regions) & set(most.regions) and set(least.records) & set(
                    most.records
                )
                if meet and not least.duration.within(most.duration):
                    raise ValueError(
                        f"{least.name} demands at least {least.minimum}, but {most.name} allows "
                        f"at most {most.maximum}"
                    )
        return self

    def zone(self, region: str | None) -> ZoneInfo:
        return ZoneInfo(self.zones.get(region or "default", self.zones["default"]))

    def calendars(self, regions: Iterable[str]) -> dict[str, str]:
        """Region to the zone of its calendar; '' to that of people of no region."""
        return {region: self.zone(region or None).key for region in (*regions, "")}

    def overrides_of(self, record: RecordType, region: str | None) -> list[Override]:
        """The legal minimums and maximums of a record type in a region."""
        return [o for o in self.overrides if region in o.regions and record in o.records]

    def reviewed(self) -> dict[str, Reviewed]:
        """Every rule of the file, by its name in errors and plans."""
        return {
            **{f"records.{name}": rule for name, rule in self.records.items()},
            **{f"overrides.{rule.name}": rule for rule in self.overrides},
            **{f"tables.{name}": rule for name, rule in self.tables.items()},
            **{f"storage.{name}": rule for name, rule in self.storage.items()},
            **{f"logs.{name}": rule for name, rule in self.logs.items()},
        }


def load_retention(path: Path) -> RetentionRules:
    """retention_rules.yaml; raises PolicyError as `load`."""
    return load(RetentionRules, path)


def require_current(rules: RetentionRules, today: dt.date) -> None:
    """Stop the run when a rule is past its review date.

    Raises:
        PolicyError: naming these rules.
    """
    stale = [name for name, rule in rules.reviewed().items() if rule.review_by < today]
    if stale:
        raise PolicyError(f"retention_rules.yaml: past their review_by date: {', '.join(stale)}")

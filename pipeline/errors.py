"""The errors that people see; no message quotes a value."""

from __future__ import annotations


class PolicyError(ValueError):
    """Something is not allowed or not possible; the text names the rule or the thing, no value."""


class BadInput(PolicyError):
    """What was given cannot be used: a policy file, a date, a key, a name."""


class Unfinished(PolicyError):
    """Something that has to be run first, or again, is missing."""


class SettingsError(BadInput):
    """An environment variable has a wrong value; the text names the variable, never the value."""


class EngineError(RuntimeError):
    """A failure of DuckDB, without its own text where that could quote a value."""


class ErasureError(RuntimeError):
    """An erasure is not complete; the text names places and counts, no value."""

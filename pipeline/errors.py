"""The errors that people see; none of them quotes a value."""

from __future__ import annotations


class PolicyError(ValueError):
    """A rule of the policy files is broken; the text names the rule, never a value."""


class BadInput(PolicyError):
    """What was given cannot be used: a policy file, a date, a key, a name."""


class Unfinished(PolicyError):
    """Something that has to be run first, or again, is missing."""


class EngineError(RuntimeError):
    """A failure of DuckDB without DuckDB's words, which quote the offending value."""


class ErasureError(RuntimeError):
    """An erasure did not reach its end; the text names places and counts, never a value."""

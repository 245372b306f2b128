"""The errors that people see; none of them quotes a value."""

from __future__ import annotations


class PolicyError(ValueError):
    """A rule of the policy files is broken; the text names the rule, never a value."""


class SettingsError(PolicyError):
    """An environment variable has a wrong value; the text names the variable, never the value."""


class EngineError(RuntimeError):
    """A failure of DuckDB without DuckDB's words, which quote the offending value."""


class ErasureError(RuntimeError):
    """An erasure did not reach its end; the text names places and counts, never a value."""

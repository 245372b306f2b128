"""What all policy files share: strict models, one way to load them, one error."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict


class PolicyError(ValueError):
    """A rule of the policy files is broken; the text names the rule, never a value."""


class Strict(BaseModel):
    """Base of all policy models: unknown keys are errors, instances are immutable."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )


Policy = TypeVar("Policy", bound=Strict)


def load(model: type[Policy], path: Path) -> Policy:
    """Read and validate one policy file.

    Raises:
        PolicyError: the file is absent, not YAML, or breaks a rule of the model.
    """
    try:
        return model.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise PolicyError(f"{path.name}: {error}") from error

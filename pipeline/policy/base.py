"""What all policy files share: strict models, one way to load them, one error."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict

from pipeline.errors import BadInput


class Strict(BaseModel):
    """Base of all policy models: unknown keys are errors, instances are immutable."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )


Policy = TypeVar("Policy", bound=Strict)


@lru_cache(maxsize=64)
def _validated(model: type[Policy], text: str) -> Policy:
    # By content, so that a step that asks ten times parses once and a changed file is another one.
    return model.model_validate(yaml.safe_load(text))


def load(model: type[Policy], path: Path) -> Policy:
    """Read and validate one policy file.

    Raises:
        BadInput: the file is absent, not YAML, or breaks a rule of the model.
    """
    try:
        found: Policy = _validated(model, path.read_text("utf-8"))
        return found
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise BadInput(f"{path.name}: {error}") from error

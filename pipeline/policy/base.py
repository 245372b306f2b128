"""What all policy files share: strict models, one way to load them, one kind of error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ValidationError,
    field_validator,
    model_validator,
)

from pipeline.errors import BadInput

# How pydantic's own kinds of error read in a policy file.
PLAIN = {"extra_forbidden": "there is no such key", "missing": "is missing"}


def _known_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        raise ValueError("not a time zone of the IANA database, such as Europe/Berlin") from None
    return zone


Zone = Annotated[str, AfterValidator(_known_zone)]  # by its name in the IANA database


class Strict(BaseModel):
    """Base of all policy models: unknown keys are errors, instances are immutable.

    Attributes:
        renamed: former key to the key of today, both as paths of the model (`storage.raw_drops`);
            a file that still has the former one is refused with the name of the new one.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )
    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _has_todays_keys(cls, content: object) -> object:
        old = [
            f"`{was}` is now called `{now}`"
            for was, now in cls.renamed.items()
            if _has(content, was)
        ]
        if old:
            raise ValueError(", ".join(old))
        return content


def _has(content: object, path: str) -> bool:
    """Is there a key of that path in some nested mappings?"""
    key, _, rest = path.partition(".")
    if not isinstance(content, dict) or key not in content:
        return False
    return not rest or _has(content[key], rest)


class PolicyFile(Strict):
    """The whole of one policy file.

    Attributes:
        format: the number that the file's `version` must have.
        version: the format that the file was written in.
    """

    format: ClassVar[int] = 1
    version: int

    @field_validator("version", mode="before")
    @classmethod
    def _is_read(cls, found: object) -> object:
        _require_format(found, cls.format)
        return found


Policy = TypeVar("Policy", bound=PolicyFile)


def _require_format(found: object, wanted: int) -> None:
    if found == wanted and isinstance(found, int):
        return
    has = f"it has format {found}" if isinstance(found, int) else "it does not name its format"
    raise ValueError(
        f"{has}; this version reads format {wanted}. Start from the file of that name that comes "
        f"with this version, or install the version that yours was written for"
    )


@lru_cache(maxsize=64)
def _validated(model: type[Policy], text: str) -> Policy:
    # By content, so that a step that loads it ten times parses once and a changed file is another.
    content = yaml.safe_load(text)
    if isinstance(content, dict):
        _require_format(content.get("version"), model.format)
    return model.model_validate(content)


def _explained(error: ValidationError) -> str:
    """What is wrong, and where, without the values; each fault once, with its first place."""
    places: dict[str, list[str]] = {}
    for one in error.errors(include_url=False, include_input=False):
        fault = PLAIN.get(one["type"]) or one["msg"].removeprefix("Value error, ")
        places.setdefault(fault, []).append(".".join(map(str, one["loc"])))
    return "; ".join(_placed(fault, where) for fault, where in places.items())


def _placed(fault: str, where: list[str]) -> str:
    more = f" (and in {len(where) - 1} more places)" if len(where) > 1 else ""
    return f"{where[0]}: {fault}{more}" if where[0] else f"{fault}{more}"


def load(model: type[Policy], path: Path) -> Policy:
    """Read and validate one policy file.

    Raises:
        BadInput: the file is absent, not YAML, of another format, has a key of before, or breaks
            a rule of the model; the text names the key, never a value.
    """
    try:
        found: Policy = _validated(model, path.read_text("utf-8"))
        return found
    except ValidationError as error:
        raise BadInput(f"{path.name}: {_explained(error)}") from error
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise BadInput(f"{path.name}: {error}") from error

"""What all policy files share: strict models, one way to load them, one kind of error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar
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
from pipeline.faults import explained


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


class PolicyLoader(yaml.CSafeLoader):
    """YAML as a policy needs it: no key twice, of which only the last would count; and a day that
    the calendar does not have stays a text, so that the model names its key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != MERGE and str(key.value) in seen:
                problem = f"the key `{key.value}` stands here twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _day(loader: PolicyLoader, node: yaml.ScalarNode) -> object:
    try:
        return loader.construct_yaml_timestamp(node)
    except ValueError:
        return loader.construct_scalar(node)


PolicyLoader.add_constructor("tag:yaml.org,2002:timestamp", _day)
MERGE = "tag:yaml.org,2002:merge"


def _at(mark: yaml.Mark | None) -> str:
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _unreadable(error: yaml.MarkedYAMLError) -> str:
    """What is wrong with the text, without the lines around it."""
    if isinstance(error, yaml.constructor.ConstructorError):
        return str(error.problem)
    tabs = "; indent with blanks, not tabs" if "start any token" in str(error.problem) else ""
    return f"is not valid YAML here: {error.problem}{tabs}"


@lru_cache(maxsize=64)
def _validated(model: type[Policy], text: str, presets: tuple[tuple[str, str], ...]) -> Policy:
    # By content, so that a step that loads it ten times parses once and a changed file is another.
    content = yaml.load(text, Loader=PolicyLoader)
    if isinstance(content, dict):
        _require_format(content.get("version"), model.format)
    return model.model_validate(content, context=dict(presets))


def load(
    model: type[Policy], path: Path, presets: Callable[[Path, str], Mapping[str, str]] | None = None
) -> Policy:
    """Read and validate one policy file.

    Args:
        presets: folder and text of the file to the presets that it switches on.

    Raises:
        BadInput: the file is absent, not YAML, of another format, has a key of before, or breaks
            a rule of the model; the text names the key, never a value.
    """
    try:
        text = path.read_text("utf-8")
        used = presets(path.parent, text) if presets else {}
        found: Policy = _validated(model, text, tuple(sorted(used.items())))
        return found
    except ValidationError as error:
        raise BadInput(f"{path.name}: {explained(error, model)}") from None
    except yaml.MarkedYAMLError as error:
        raise BadInput(f"{path.name}{_at(error.problem_mark)}: {_unreadable(error)}") from None
    except yaml.YAMLError:
        raise BadInput(f"{path.name}: has a character that YAML does not allow") from None
    except OSError as error:
        raise BadInput(f"{path.name}: {(error.strerror or 'cannot be read').lower()}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path.name}: is not UTF-8") from None
    except ValueError as error:
        raise BadInput(f"{path.name}: {error}") from None

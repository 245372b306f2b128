"""Presets: sources of well-known systems, which one line in data_map.yaml switches on.

    sources:
      learndash: {preset: learndash-courses}

Keys beside `preset` replace those of the preset; the entries of mappings (`fields`, `statuses`) are
added, and one that is null is taken out. Those that come with the pipeline are in the folder
`presets` beside this; one of one's own is a file `presets/NAME.yaml` beside data_map.yaml,
which comes before one of the same name. What is in use is part of the policy's version
(pipeline/policy/version.py), so that nobody changes it without signatures.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from pipeline.policy.base import PolicyLoader, Strict

FOLDER = "presets"
KEY = "preset"
# How a preset is named. The loader and the version find the names in the text of the data map, so a
# name that is written in another way is refused (`switched_on`).
NAMED = re.compile(r"(?:^|[\s{,])preset: *[\"']?([A-Za-z0-9][A-Za-z0-9_-]*)")
ZONE = "{zone}"  # in the name of a column: the source's time zone, UTC if it names none


class Preset(Strict):
    """One preset.

    Attributes:
        read_from: the vendor's document or the public sample that its columns were read in.
        dated: when that was written or published; None where it does not say.
        read_on: when it was read.
        notes: what the export must be like for the preset to fit.
        source: keys of a source, as in data_map.yaml.
    """

    read_from: Annotated[str, Field(min_length=1)]
    dated: dt.date | None = None
    read_on: dt.date
    notes: str = ""
    source: dict[str, Any]


@cache
def shipped() -> dict[str, str]:
    """The presets that come with the pipeline: name to text."""
    folder = files("pipeline.policy") / FOLDER
    return {
        one.name.removesuffix(".yaml"): one.read_text("utf-8")
        for one in sorted(folder.iterdir(), key=lambda one: one.name)
        if one.name.endswith(".yaml")
    }


def in_use(folder: Path, data_map: str) -> dict[str, str]:
    """The presets that a data map switches on: name to text; without those that are nowhere.

    Args:
        folder: of the policy files.
        data_map: the text of data_map.yaml.

    Raises:
        OSError, UnicodeDecodeError: a preset of one's own cannot be read.
    """
    found = {}
    for name in sorted(set(NAMED.findall(data_map))):
        own = folder / FOLDER / f"{name}.yaml"
        if own.exists():
            found[name] = own.read_text("utf-8")
        elif name in shipped():
            found[name] = shipped()[name]
    return found


def parsed(name: str, text: str) -> Preset:
    """A preset from its text.

    Raises:
        ValueError: it is no YAML, or breaks a rule of the model.
    """
    try:
        return Preset.model_validate(yaml.load(text, Loader=PolicyLoader))
    except yaml.YAMLError:
        raise ValueError(f"the preset `{name}` is not valid YAML") from None
    except ValidationError as error:
        keys = ", ".join(sorted({str(one["loc"][0]) for one in error.errors() if one["loc"]}))
        raise ValueError(f"the preset `{name}` has a wrong or missing key: {keys}") from None


def switched_on(source: object, texts: Mapping[str, str]) -> object:
    """A source with the keys of its preset, which its own keys replace.

    Args:
        source: as data_map.yaml has it.
        texts: the presets that can be switched on.

    Raises:
        ValueError: there is no such preset, or it is broken.
    """
    if not isinstance(source, dict) or KEY not in source:
        return source
    name = str(source[KEY])
    if name not in texts:
        raise ValueError(
            f"there is no preset `{name}`; allowed are {', '.join(shipped())}, and the name of a "
            f"file in the folder `{FOLDER}` beside this one, written as `{KEY}: NAME`"
        )
    both = _merged(parsed(name, texts[name]).source, source)
    zone = str(both.get("zone") or "UTC")
    fields = both.get("fields")
    if isinstance(fields, dict):
        both["fields"] = {str(key).replace(ZONE, zone): entry for key, entry in fields.items()}
    return both


def _merged(preset: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A preset's keys under those of a source; entries of mappings one by one."""
    both = preset | own
    for key, value in preset.items():
        if isinstance(value, dict) and isinstance(own.get(key), dict):
            entries = value | own[key]
            both[key] = {one: entry for one, entry in entries.items() if entry is not None}
    return both

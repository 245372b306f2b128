"""What a model finds wrong with what people wrote, as they would say it: the key, what stands
there, what is allowed, and what was probably meant. The value itself is never quoted.
"""

from __future__ import annotations

import datetime as dt
import types
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

# The first word of pydantic's own kinds of error, and what should stand there instead.
EXPECTED = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "date": "a date, YYYY-MM-DD",
    "datetime": "a date and time",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen": "a list",
    "dict": "a mapping (key: value)",
    "model": "a mapping (key: value)",
    "path": "a path",
    "url": "a URL",
}
KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "nothing"),
    (bool, "true or false"),
    ((int, float), "a number"),
    (str, "a text"),
    (dt.datetime, "a date and time"),
    (dt.date, "a date"),
    ((list, tuple, set), "a list"),
    (dict, "a mapping (key: value)"),
)
LIMITS = {
    "greater_than_equal": ("ge", "must be at least {}"),
    "greater_than": ("gt", "must be more than {}"),
    "less_than_equal": ("le", "must be at most {}"),
    "less_than": ("lt", "must be less than {}"),
    "too_short": ("min_length", "must have at least {} entries"),
    "too_long": ("max_length", "must have at most {} entries"),
    "string_too_long": ("max_length", "must have at most {} characters"),
}
SWITCHES = "yes, no, on and off mean true or false in YAML: put the word in quotes"


def explained(
    error: ValidationError,
    model: type[BaseModel] | None = None,
    called: Callable[[str], str] = str,
) -> str:
    """What is wrong, and where, without the values; each fault once, with its first place.

    Args:
        model: what the content was read as, so that a wrong key is shown with those allowed.
        called: what people call a key, if that is not its path.
    """
    places: dict[str, list[str]] = {}
    for one in error.errors(include_url=False):
        places.setdefault(_fault(one, model), []).append(called(_place(one["loc"])))
    return "; ".join(_placed(fault, where) for fault, where in places.items())


def meant(given: object, allowed: Iterable[str]) -> str:
    """The end of a sentence that names what was probably meant; empty if nothing is close."""
    names = list(allowed)
    near = {name.casefold(): name for name in names}
    found = get_close_matches(str(given).casefold(), near, n=1)
    return f"; did you mean `{near[found[0]]}`?" if found else ""


def _place(loc: Sequence[str | int]) -> str:
    """The path of keys; entries of a list are counted from 1."""
    return ".".join(str(one + 1 if isinstance(one, int) else one) for one in loc if one != "[key]")


def _placed(fault: str, where: list[str]) -> str:
    more = f" (and in {len(where) - 1} more places)" if len(where) > 1 else ""
    return f"{where[0]}: {fault}{more}" if where[0] else f"{fault}{more}"


def _fault(one: ErrorDetails, model: type[BaseModel] | None) -> str:
    kind, given, limits = one["type"], one["input"], one.get("ctx", {})
    if kind == "extra_forbidden":
        return _no_such_key(str(one["loc"][-1]), _keys(model, one["loc"][:-1]))
    if kind == "missing":
        return "is missing"
    if kind in ("enum", "literal_error"):
        return _not_allowed(given, _choices(str(limits["expected"])))
    if kind in ("string_too_short", "string_pattern_mismatch"):
        return "must not be empty"
    if kind in LIMITS:
        name, sentence = LIMITS[kind]
        return sentence.format(f"{limits[name]:g}")
    if kind in ("value_error", "assertion_error"):
        return one["msg"].partition(", ")[2]
    return _wrong_kind(kind, given)


def _no_such_key(given: str, allowed: list[str]) -> str:
    listed = f" Allowed here: {', '.join(allowed)}" if allowed else ""
    return f"there is no such key{meant(given, allowed) or '.' * bool(listed)}{listed}"


def _not_allowed(given: object, allowed: list[str]) -> str:
    kind = "" if isinstance(given, str) else f", and is {_kind(given)}"
    return f"must be one of {', '.join(allowed)}{kind}{meant(given, allowed)}"


def _wrong_kind(kind: str, given: object) -> str:
    """Of pydantic's `int_parsing`, `string_type` and the like, whatever it may add to them."""
    wanted = EXPECTED.get(kind.partition("_")[0], "something else")
    hint = f" ({SWITCHES})" if isinstance(given, bool) and wanted == "a text" else ""
    return f"must be {wanted}, and is {_kind(given)}{hint}"


def _kind(given: object) -> str:
    return next((name for types_, name in KINDS if isinstance(given, types_)), "something else")


def _choices(expected: str) -> list[str]:
    """The allowed words of pydantic's `'a', 'b' or 'c'`."""
    return expected.replace("' or '", "', '").strip("'").split("', '")


def _keys(model: type[BaseModel] | None, loc: Sequence[str | int]) -> list[str]:
    """The keys that are allowed at a place of a model, as people write them."""
    found: object = model
    for key in loc:
        found = _inside(found, key)
    at = _as_model(found)
    return [field.alias or name for name, field in at.model_fields.items()] if at else []


def _inside(kind: object, key: str | int) -> object:
    """The type of what stands under a key, or in a list; None if that is not known."""
    kind = _plain(kind)
    model = _as_model(kind)
    if model is not None:
        fields = {(field.alias or name): field for name, field in model.model_fields.items()}
        return fields[str(key)].annotation if key in fields else None
    arguments = get_args(kind)
    if not arguments:
        return None
    return arguments[1] if get_origin(kind) is dict else arguments[0]


def _plain(kind: object) -> object:
    """A type without what is annotated to it, and without None."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return _plain(next(one for one in get_args(kind) if one is not type(None)))
    return kind


def _as_model(kind: object) -> type[BaseModel] | None:
    kind = _plain(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None

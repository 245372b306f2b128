"""Policy files of another format, and keys that had another name: what the errors say."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import PolicyError
from pipeline.faults import explained
from pipeline.policy.access import load_access
from pipeline.policy.data_map import load_data_map
from pipeline.policy.disclosure import load_disclosure
from pipeline.policy.governance import RegisteredPurpose, load_governance
from pipeline.policy.retention import load_retention
from pipeline.policy.version import FILES
from pipeline.storage.layout import PROJECT

LOADERS = {
    "access_rules.yaml": load_access,
    "data_map.yaml": load_data_map,
    "disclosure_rules.yaml": load_disclosure,
    "governance.yaml": load_governance,
    "retention_rules.yaml": load_retention,
}
RENAMED = (
    ("retention_rules.yaml", (), "ahead", "publication_lead"),
    ("retention_rules.yaml", (), "keeping", "storage"),
    ("retention_rules.yaml", ("storage",), "raw_drops", "raw_deliveries"),
    (
        "disclosure_rules.yaml",
        ("coaching", "tables", "coaching_team"),
        "but_for",
        "minimum_not_adverse",
    ),
    (
        "disclosure_rules.yaml",
        ("classes", "analytics_milestones"),
        "but_for",
        "minimum_not_adverse",
    ),
    ("disclosure_rules.yaml", ("classes", "analytics_milestones"), "coarsen", "generalize"),
    (
        "disclosure_rules.yaml",
        ("coaching", "noise", "coaching_team"),
        "at_most",
        "max_records_per_person",
    ),
    ("access_rules.yaml", ("roles", "hr"), "opens", "queries"),
    ("data_map.yaml", ("published", "coaching_team"), "purpose", "audience"),
    ("data_map.yaml", ("sources", "xapi", "fields", "id"), "purposes", "audiences"),
)


def content(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((PROJECT / name).read_text("utf-8"), yaml.CSafeLoader)
    if name == "disclosure_rules.yaml":
        found["coaching"] |= {
            "noise": {"coaching_team": {"epsilon": 1.0, "max_records_per_person": 8}},
            "budget": {"epsilon": 12.0, "per": "P1Y"},
        }
    return found


def refusal(folder: Path, name: str, changed: object) -> str:
    path = folder / name
    path.write_text(yaml.dump(changed, Dumper=yaml.CSafeDumper), "utf-8")
    with pytest.raises(PolicyError) as refused:
        LOADERS[name](path)
    return str(refused.value)


@pytest.mark.parametrize(("name", "where", "old", "new"), RENAMED)
def test_a_former_key_is_refused_with_the_name_of_the_new_one(
    tmp_path: Path, name: str, where: tuple[str, ...], old: str, new: str
) -> None:
    changed = content(name)
    node = changed
    for key in where:
        node = node[key]
    node[old] = node.pop(new)
    message = refusal(tmp_path, name, changed)
    assert name in message
    assert f"{old}` is now called `" in message
    assert f"{new}`" in message
    assert "\n" not in message


def test_a_fault_in_many_places_is_named_once(tmp_path: Path) -> None:
    changed = content("data_map.yaml")
    for spec in changed["published"].values():
        spec["purpose"] = spec.pop("audience")
    message = refusal(tmp_path, "data_map.yaml", changed)
    assert message.count("is now called") == 1
    assert f"and in {len(changed['published']) - 1} more places" in message


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("version", [0, 7, "1", None])
def test_a_file_of_another_format_is_refused_with_what_to_do(
    tmp_path: Path, name: str, version: object
) -> None:
    message = refusal(tmp_path, name, content(name) | {"version": version, "unheard_of": 1})
    assert message.startswith(f"{name}: it ")
    assert "this version reads format" in message
    assert "Start from the file" in message
    assert "unheard_of" not in message


@pytest.mark.parametrize("name", FILES)
def test_what_is_wrong_is_named_and_not_quoted(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path, name, content(name) | {"unheard_of": "a value"})
    assert message.startswith(f"{name}: unheard_of: there is no such key. Allowed here: version, ")


# What stands in a file, what somebody wrote instead, and what they read then.
MAP_LINES = (PROJECT / "data_map.yaml").read_text("utf-8").split("\n")
TWICE = MAP_LINES.index("  successfactors:") + 1
FAULTS = {
    "another word": (
        "treatment: drop",
        "treatment: Pseudonymise",
        "sources.corporate.fields.Full Name.treatment: must be one of drop, pseudonymize, "
        "generalize, tokenise, keep; did you mean `pseudonymize`?",
    ),
    "no word": ("treatment: drop", "treatment: 4", "and is a number"),
    "a mistyped key": ("risk: high", "rsik: high", "no such key; did you mean `risk`? Allowed"),
    "a mistyped section": ("default_zone", "defaultzone", "did you mean `default_zone`?"),
    "Norway": ('"NO"', "NO", "regions.EU.30: must be a text, and is true or false (yes, no"),
    "a text": ("unreadable: 0.05", "unreadable: few", "must be a number, and is a text"),
    "too much": ("unreadable: 0.05", "unreadable: 5", "deliveries.unreadable: must be at most 1"),
    "a share of days": ("compared_with: 5", "compared_with: 1.5", "must be a whole number"),
    "one for a list": ("set_aside: [ambiguous, damaged]", "set_aside: damaged", "must be a list"),
    "no day": ("1990-01-01", "1990-02-30", "earliest_date: must be a date, YYYY-MM-DD"),
    "no zone": ("Europe/Berlin", "Berlin", "default_zone: not a time zone of the IANA database"),
    "twice": (
        "  successfactors:",
        "  corporate:",
        f"line {TWICE}, column 3: the key `corporate` stands",
    ),
    "a tab": ("  roster:", "\troster:", "indent with blanks, not tabs"),
    "no end": ("regions:", "regions: [", "is not valid YAML here: "),
    "nothing left": ("version: 1", "version: 1\n--- x", "is not valid YAML here: "),
}
NOISE = ("Input", "pydantic", "https://", "type=", "\n", "Errno", "<unicode string>", '"')


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_said_with_its_key_and_what_is_allowed(tmp_path: Path, kind: str) -> None:
    there, instead, says = FAULTS[kind]
    text = (PROJECT / "data_map.yaml").read_text("utf-8")
    assert there in text
    (tmp_path / "data_map.yaml").write_text(text.replace(there, instead, 1), "utf-8")
    with pytest.raises(PolicyError) as refused:
        load_data_map(tmp_path / "data_map.yaml")
    message = str(refused.value)
    assert message.startswith("data_map.yaml")
    assert says in message
    assert not [one for one in NOISE if one in message]


@pytest.mark.parametrize("content", [b"- a list", b"", b"text", b"\xff\xfea", b"a: \x07", None])
def test_what_is_no_policy_file_is_said_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "governance.yaml").write_bytes(content)
    with pytest.raises(PolicyError) as refused:
        load_governance(tmp_path / "governance.yaml")
    message = str(refused.value)
    assert message.startswith("governance.yaml")
    assert str(tmp_path) not in message
    assert not [one for one in NOISE if one in message]


class Everything(BaseModel):
    """A field of every kind that a policy or a setting has."""

    model_config = ConfigDict(extra="forbid")
    text: str = ""
    whole: int = 0
    number: float = 0.0
    switch: bool = False
    day: dt.date = dt.date.min
    moment: dt.datetime = dt.datetime.min
    many: tuple[str, ...] = ()
    some: frozenset[int] = frozenset()
    by_name: dict[str, int] = Field(default_factory=dict)
    few: Annotated[tuple[int, ...], Field(min_length=1)] = (1,)
    word: Literal["a", "b"] = "a"
    place: Path = Path()
    inner: RegisteredPurpose | None = None


@pytest.mark.parametrize("field", Everything.model_fields)
@pytest.mark.parametrize("given", [None, True, 7.5, "s3cret", [], ["s3cret", {}], {"s3cret": []}])
def test_no_kind_of_fault_is_said_in_the_words_of_the_validator(field: str, given: object) -> None:
    try:
        Everything.model_validate({field: given})
    except ValidationError as error:
        message = explained(error, Everything)
        assert message.startswith(field)
        assert "something else" not in message
        assert not [one for one in (*NOISE, "valid") if one in message]
        assert "s3cret" not in message.replace("s3cret: there is no such key", "").replace(
            "by_name.s3cret", ""
        )

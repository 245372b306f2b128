"""The default policy files for one company: what the files leave open is filled in, and the rest,
comments and all, stays as it is for people to read and change.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import yaml

from pipeline.errors import BadInput
from pipeline.policy.preset import shipped

# Whom the default files name, and who that is in a company.
PEOPLE = {
    "legal@example.com": "legal",
    "hr-operations@example.com": "hr",
    "dpo@example.com": "dpo",
    "privacy@example.com": "dpo",
    "data-platform@example.com": "engineer",
    "learning-operations@example.com": "engineer",
}
# Sources that are always there: who works in the company, and the pipeline's own schema, which says
# of every published column who may see it.
ALWAYS = ("roster", "canonical")
NAMED = re.compile(r"  (\w+):")  # the line with which a source begins


@dataclass(frozen=True)
class Company:
    """What the files have to know.

    Attributes:
        home_pages: whose account names are the company's own employee numbers or addresses.
        country: where its data is stored; people without a country count as of its region.
        zone: of systems that write times without an offset.
        sources: of the default data map, and presets.
        legal, hr, dpo, engineer: who that is, by address or by name.
    """

    name: str
    country: str
    zone: str
    legal: str
    hr: str
    dpo: str
    engineer: str
    home_pages: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def for_company(texts: Mapping[str, str], company: Company, today: dt.date) -> dict[str, str]:
    """The texts of the policy files for a company.

    Raises:
        BadInput: there is no such source, or no region of the data map has the country.
    """
    changed = dict(texts)
    for name, text in texts.items():
        for who, role in PEOPLE.items():
            text = text.replace(who, _plain(getattr(company, role)))
        changed[name] = text
    changed["data_map.yaml"] = _data_map(changed["data_map.yaml"], company)
    changed["governance.yaml"] = _governance(
        changed["governance.yaml"], company, _region(texts["data_map.yaml"], company), today
    )
    access, retention = "access_rules.yaml", "retention_rules.yaml"
    changed[access] = changed[access].replace("zone: Europe/Berlin", f"zone: {company.zone}")
    changed[retention] = _set(changed[retention], ("zones", "default"), company.zone)
    return changed


def _data_map(text: str, company: Company) -> str:
    text = _set(text, ("default_zone",), company.zone)
    text = _set(text, ("identity", "company_home_pages"), _list(company.home_pages))
    return _with_sources(text, company.sources) if company.sources else text


def _governance(text: str, company: Company, region: str, today: dt.date) -> str:
    text = _set(text, ("controller", "name"), _plain(company.name))
    text = _set(text, ("controller", "address"), "to be filled in")
    text = _set(text, ("controller", "authority"), "to be filled in")
    own = [
        f"  - name: {_plain(f'{company.name}, own servers')}",
        f"    country: {company.country}",
        "    audiences: [coaching, manager, analytics, hr_legal]",
    ]
    text = _replace(text, ("recipients",), ["recipients:", *own])
    text = _set(text, ("transfers", "unknown_region"), region)
    # Contracts are the company's own; without one, what needs it is not published.
    text = _replace(text, ("transfers", "scc"), ["  scc: []"])
    text = text.replace("to: [DE, IE]", f"to: [{company.country}]")
    text = _set(text, ("plan", "started_on"), str(today))
    return re.sub(r"done_on: \d{4}-\d\d-\d\d", "done_on: null", text)


def _region(data_map: str, company: Company) -> str:
    """The region of the data map that has the company's country."""
    first, last = _block(data_map.splitlines(), ("regions",))
    regions = re.findall(
        r"^ +(\w+): \[([^\]]*)\]", "\n".join(data_map.splitlines()[first:last]), re.M
    )
    for region, countries in regions:
        if company.country in re.findall(r"[A-Z]{2}", countries):
            return str(region)
    known = ", ".join(sorted({one for _, all_ in regions for one in re.findall(r"[A-Z]{2}", all_)}))
    raise BadInput(f"--country: no region of data_map.yaml has it; those with one are {known}")


def _with_sources(text: str, wanted: Iterable[str]) -> str:
    """The data map with some of its sources, and presets beside them."""
    lines = text.splitlines()
    first, last = _block(lines, ("sources",))
    own = [m[1] for line in lines[first:last] if (m := NAMED.fullmatch(line))]
    chosen = list(dict.fromkeys(wanted))
    if unknown := [one for one in chosen if one not in own and one not in shipped()]:
        known = ", ".join([*own, *shipped()])
        raise BadInput(f"--source: there is no {', '.join(unknown)}; choose of {known}")
    for name in own:
        if name not in chosen and name not in ALWAYS:
            text = _replace(text, ("sources", name), [])
    added = [f"  {one.replace('-', '_')}: {{preset: {one}}}" for one in chosen if one not in own]
    return text.replace("sources:\n", "\n".join(["sources:", *added, ""]), 1) if added else text


def _block(lines: list[str], keys: tuple[str, ...]) -> tuple[int, int]:
    """The lines of a key and of all below it, from the first to the one after the last."""
    start, end = 0, len(lines)
    for depth, key in enumerate(keys):
        indent = "  " * depth
        start = next(
            n for n in range(start, end) if re.match(rf"{indent}{re.escape(key)}:(\s|$)", lines[n])
        )
        below = (
            n
            for n in range(start + 1, end)
            if lines[n].strip() and not lines[n].startswith(f"{indent} ")
        )
        end = next(below, end)
    return start, end


def _replace(text: str, keys: tuple[str, ...], new: list[str]) -> str:
    """The text with other lines for a key and all below it, and a blank line after them."""
    lines = text.splitlines()
    first, last = _block(lines, keys)
    # The comment before the next key is that one's.
    return "\n".join([*lines[:first], *new, *([""] if new else []), *lines[last:]]) + "\n"


def _set(text: str, keys: tuple[str, ...], value: str) -> str:
    """The text with another value for a key; the comment beside it stays."""
    lines = text.splitlines()
    at, _ = _block(lines, keys)
    key, comment = re.match(r"( *\w+: *).*?( +#.*)?$", lines[at]).groups()  # type: ignore[union-attr]
    lines[at] = f"{key}{value}{comment or ''}"
    return "\n".join(lines) + "\n"


def _plain(value: str) -> str:
    """A text as YAML has it, with quotes if it needs them."""
    plain = re.fullmatch(r"[A-Za-z][\w@.+-]*", value) and yaml.safe_load(value) == value
    return value if plain else json.dumps(value, ensure_ascii=False)


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(json.dumps(one) for one in values)}]"


def with_drafts(data_map: str, drafts: str) -> str:
    """The text of a data map with drafted sources (`milestones sources suggest`) before its own.

    Raises:
        BadInput: the drafts have no `sources`, or one of a name that is there.
    """
    lines, here = drafts.splitlines(), data_map.splitlines()
    try:
        first, last = _block(lines, ("sources",))
    except StopIteration:
        raise BadInput("the drafts have no `sources`") from None
    own = here[slice(*_block(here, ("sources",)))]
    twice = [m[1] for line in lines[first:last] if (m := NAMED.fullmatch(line)) and line in own]
    if twice:
        raise BadInput(f"data_map.yaml has a source of that name: {', '.join(twice)}")
    added = "\n".join(["sources:", *lines[first + 1 : last], "", ""])
    return re.sub(r"(?m)^sources:\n", lambda _: added, data_map, count=1)

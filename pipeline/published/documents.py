"""Documents generated from the policy in force, so that they always say what the run does.

Markdown to edit and compare, HTML to read; both are published with every release.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markdown_it import MarkdownIt

from pipeline.context import Context
from pipeline.policy.access import Role, RoleRule
from pipeline.policy.duration import Duration
from pipeline.policy.fields import Audience, Treatment
from pipeline.policy.governance_checks import mechanism
from pipeline.published import PACKAGE

FOLDER = "documents"
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;
color:#1c2430}h1{font-size:1.6rem}h2{margin-top:2rem;font-size:1.2rem}h3{font-size:1rem}
table{border-collapse:collapse;font-size:.85rem;display:block;overflow-x:auto;margin:1rem 0}
th,td{border-bottom:1px solid #d5dae1;padding:.35rem .7rem .35rem 0;text-align:left;
vertical-align:top}th{color:#4a5563;font-weight:600}thead:not(:has(th:not(:empty))){display:none}
code{background:#f1f3f6;padding:.1em .3em;border-radius:3px}
@media print{body{margin:0;max-width:none;font-size:11px}table{display:table}}"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head><body>
{body}</body></html>
"""

# Fields by the names that people have for them.
PLAIN = {
    "event_at": "completion date",
    "assigned_at": "assignment date",
    "due_at": "due date",
    "started_at": "start date",
    "free_text": "comments",
    "left_on": "leaving date",
    "score_max": "highest possible score",
    "score_min": "lowest possible score",
    "learner_email": "e-mail address",
    "learner_name": "name",
    "attempts": "number of attempts",
}
TECHNICAL = {"-", "record_id", "record_type", "item_type", "first_name", "last_name"}


def words(text: str) -> str:
    """A technical name as people write it."""
    return str(text).replace("_", " ")


def cell(text: str) -> str:
    """A text inside a Markdown table."""
    return str(text).replace("|", "\\|")


def span(text: str) -> str:
    """A duration in words: P1Y6M is 1 year and 6 months."""
    Duration.parse(text)
    units = {"Y": "year", "M": "month", "W": "week", "D": "day"}
    parts = [
        f"{int(n)} {units[u]}{'' if int(n) == 1 else 's'}"
        for n, u in re.findall(r"(\d+)([YMWD])", text)
    ]
    return " and ".join(parts)


class _Policy:
    """What templates can look up in the policy."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def tables(self, audience: Audience) -> list[str]:
        return list(self._context.data_map.tables_of(audience))

    def fields(self, audience: Audience) -> list[str]:
        """The fields that the audience's tables are made from, and how each is treated."""
        data_map = self._context.data_map
        names = {
            origin
            for table in self.tables(audience)
            for column in data_map.published[table].columns
            for origin in data_map.columns[column].made_from
        }
        treatments = {name: data_map.treatment_of(name, audience) for name in sorted(names)}
        return [
            words(name) + ("" if how in (Treatment.KEEP, Treatment.DROP) else f" ({how.value}d)")
            for name, how in treatments.items()
        ]

    def roles(self, purpose: str) -> list[str]:
        rules = self._context.access.roles
        return [role.value for role, rule in rules.items() if purpose in rule.purposes]

    def receives(self, role: str) -> tuple[Audience, ...]:
        return self._context.access.roles.get(Role(role), RoleRule()).receives

    def hidden(self, role: str) -> list[str]:
        """Source fields that the role does not see in its rows about individual people, neither as
        they are nor by a pseudonym or a flag. What a state is worked out from is not seen."""
        access, data_map = self._context.access, self._context.data_map
        single = set(self.receives(role)) & set(access.own_reports)
        hidden = {
            one.name for source in data_map.sources.values() for one in source.fields.values()
        }
        seen = {
            name
            for one in single
            for name in data_map.released(one)
            if data_map.treatment_of(name, one) is not Treatment.GENERALIZE
        }
        if access.sheet and role in self.roles(access.sheet.purpose):
            seen.add("learner_name")
        return sorted(PLAIN.get(name, words(name)) for name in hidden - seen - TECHNICAL)

    def recipients(self, audience: Audience) -> list[str]:
        return [
            f"{one.name} ({one.country})"
            for one in self._context.governance.recipients
            if audience in one.audiences
        ]

    def retention(self, audience: Audience) -> str:
        """How long the audience's tables show a record."""
        rules = self._context.rules.tables
        return ", ".join(sorted({span(rules[table].window) for table in self.tables(audience)}))

    def transfer(self, region: str, country: str) -> str | None:
        """What allows data about a region's people to go to a country; None if nothing does."""
        return mechanism(self._context.governance, self._context.data_map, region, country)


@cache
def _templates() -> dict[str, Template]:
    # Values come from signed files and go to Markdown; HTML in them is shown, not obeyed.
    environment = Environment(autoescape=False, undefined=StrictUndefined)
    environment.filters |= {"words": words, "cell": cell, "span": span}
    folder = files(PACKAGE) / "templates"
    return {
        path.name.removesuffix(".md"): environment.from_string(path.read_text("utf-8"))
        for path in folder.iterdir()
        if path.name.endswith(".md")
    }


def rendered(context: Context, today: dt.date) -> dict[str, str]:
    """Every document's name and Markdown."""
    policy = _Policy(context)
    values = {name: getattr(policy, name) for name in dir(policy) if not name.startswith("_")}
    values |= {
        "g": context.governance,
        "m": context.data_map,
        "r": context.rules,
        "a": context.access,
        "today": today,
        "version": context.version[:12],
        "countries": sorted({one.country for one in context.governance.recipients}),
    }
    return {name: template.render(values) for name, template in _templates().items()}


@lru_cache(maxsize=16)
def page(markdown: str) -> str:
    """One document as a self-contained page; most are the same in every run of a process."""
    title = markdown.split("\n", 1)[0].removeprefix("# ")
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    return PAGE.format(title=title, style=STYLE, body=body)


def write(context: Context, folder: Path, today: dt.date) -> list[Path]:
    """Write all documents; returns the pages."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pages = []
    for name, markdown in rendered(context, today).items():
        (folder / f"{name}.md").write_text(markdown, "utf-8")
        (folder / f"{name}.html").write_text(page(markdown), "utf-8")
        pages.append(folder / f"{name}.html")
    return sorted(pages)

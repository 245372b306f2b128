"""JSON paths: how they are read from statements, listed in the data map, and shown in messages."""

from __future__ import annotations

import duckdb
import pytest

from pipeline.policy import paths

IRI = "https://w3id.org/xapi/video/extensions/time-from"


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ('{"a": {"b": 1, "c": [1]}}', {"a.b", "a.c"}),
        ('{"a": [{"b": 1}, {"c": {"d": 1}}]}', {"a.b", "a.c.d"}),
        ('{"a": [[{"b": [{"c": 1}]}]], "z": 1}', {"a.b.c", "z"}),
        ('{"a": {}, "b": null, "c": []}', {"a.{}", "b.{}", "c.{}"}),
        ('{"a": [1, {"b": 1}]}', {"a"}),
        (f'{{"e": {{"{IRI}": {{"x": 1}}, "": 2}}}}', {f'e."{IRI}".x', 'e.""'}),
        ('{"e": {"a \\"b\\" *": 1}, "en-US": 1}', {'e."a \\"b\\" *"', "en-US"}),
        ("{}", set()),
    ],
)
def test_leaves(statement: str, found: set[str]) -> None:
    with duckdb.connect() as connection:
        structure = connection.execute("SELECT json_structure(?)", [statement]).fetchall()[0][0]
    assert set(paths.leaves(str(structure))) == found


@pytest.mark.parametrize(
    ("path", "pattern", "listed"),
    [
        ("a.b", "a.b", True),
        ("a.b.c", "a.*", False),
        ("a.b.c", "a.**", True),
        ("a", "a.**", False),
        ("ab.c", "a.**", False),
        (f'a."{IRI}"', "a.*", True),
        (f'a."{IRI}"', f'a."{IRI}"', True),
        (f'a."{IRI}"', f"a.{IRI}", True),
        (f'a."{IRI}"', 'a."https://w3id.org/xapi/video/*"', True),
        (f'a."{IRI}".x', 'a."https://w3id.org/*"', False),
        (f'a."{IRI}"', 'a."https://w3id.org"', False),
        (f'a."{IRI}".b.c', "a.*.b.*", True),
        (f'a."{IRI}".b.c', "**.c", True),
        (f'a."{IRI}".b.c', "**.b", False),
        ('a."x.y"', "a.x.*", False),
        ('a."}{"', "a.**", True),
        ("a.{}", "a.b", True),
        ("a.{}", "a.**", True),
        ("a.{}", "ab.c", False),
        ("a+b", "a.b", False),
    ],
)
def test_patterns(path: str, pattern: str, listed: bool) -> None:
    assert paths.listed(path, [pattern]) is listed


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f'a."{IRI}"', f'a."{IRI}"'),
        ('a."http://id.tincanapi.com/v1.0.3/2015/x"', 'a."http://id.tincanapi.com/v1.0.3/2015/x"'),
        ('a."https://x.example/u/p1@acme.example/seen"', 'a."https://x.example/u/*/seen"'),
        ('a."https://x.example/u/p1%40acme.example"', 'a."https://x.example/u/*"'),
        ('a."mailto:p1@acme.example".b', 'a."mailto:*".b'),
        ('a."urn:uuid:80000000-0000-4000-8000-000000000000"', 'a."urn:uuid:*"'),
        ("a.7700001.score", "a.*.score"),
        ("a.771", "a.*"),
        ('a."Jane Doe"', "a.*"),
        ("a.{}", "a"),
    ],
)
def test_names_are_shown_in_full_and_values_are_not(path: str, shown: str) -> None:
    """Whatever is shown can be listed as it stands, and then covers the path."""
    assert paths.shown([path]) == [shown]
    assert paths.listed(path.removesuffix(paths.EMPTY), [shown])


def test_every_path_is_shown_but_keys_that_are_data() -> None:
    names = [f"context.extension{chr(97 + n)}" for n in range(26)]
    people = [f"people.{chr(97 + n // 26)}{chr(97 + n % 26)}.score" for n in range(400)]
    assert paths.shown(names + people) == [*names, "people.*.score"]
    deep = ".".join("a" * 50_000)
    assert paths.shown([deep]) == [".".join("a" * 16) + ".**"]
    assert paths.listed(deep, paths.shown([deep]))

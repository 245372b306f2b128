"""xAPI as it is spoken: which statements are milestones, what they say, what is counted only."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from expectations import canonical
from pipeline.classified.classify import good_rows
from pipeline.cli import attention
from pipeline.policy.data_map import DataMap
from pipeline.raw import quarantine, register
from pipeline.raw.deliveries import ingest
from pipeline.raw.readers import xapi
from pipeline.raw.readers.base import DeliveryContext, MalformedFile
from pipeline.retained import data_inventory
from pipeline.retained.past_retention import canonical_edits
from pipeline.storage.engine import count, engine
from pipeline.storage.file_edit import apply_edit
from pipeline.storage.layout import PROJECT, Layout
from pipeline.storage.relations import left_out, left_out_of, subquery
from tests.company import company, write_delivery
from tests.fixtures import RUN_DATE as NIGHT_OF_RUNS
from tests.fixtures import Estate, errors

RUN_DATE = dt.date(2026, 11, 1)
ADL, VIDEO = "http://adlnet.gov/expapi/verbs/", "https://w3id.org/xapi/video/verbs/"
CASES = PROJECT.parent / "shared" / "cases"


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with engine(tmp_path_factory.mktemp("engine")) as found:
        yield found


class Xapi:
    """The reader over statements, without a store around it."""

    def __init__(
        self, folder: Path, data_map: DataMap, connection: duckdb.DuckDBPyConnection
    ) -> None:
        self.folder, self.data_map, self.connection = folder, data_map, connection
        self.source = data_map.sources["xapi"]

    def write(self, text: str | bytes, name: str = "xapi.json") -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return path

    def rows(self, path: Path) -> list[dict[str, Any]]:
        data_map, out = self.data_map, self.folder / "records-xapi-0"
        context = DeliveryContext(
            self.connection,
            RUN_DATE,
            data_map.earliest_date,
            data_map.default_zone,
            "xapi",
            self.source,
        )
        xapi.read([path], out, context)
        return pl.read_parquet(out.with_suffix(".parquet")).to_dicts()

    def read(self, *statements: dict[str, Any]) -> list[dict[str, Any]]:
        return self.rows(self.write("\n".join(map(json.dumps, statements))))

    @property
    def left_out(self) -> dict[tuple[str, str | None], int]:
        found = pl.read_parquet(left_out_of(self.folder / "records-xapi-0.parquet"))
        return {(reason, name): n for _, reason, name, n in found.iter_rows()}


@pytest.fixture
def reader(tmp_path: Path, data_map: DataMap, connection: duckdb.DuckDBPyConnection) -> Xapi:
    return Xapi(tmp_path, data_map, connection)


def said(verb: str = f"{ADL}completed", number: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "id": f"8000000A-0000-4000-8000-{number:012}",
        "timestamp": f"2026-10-12T10:00:{number:02}Z",
        "actor": {"mbox": "mailto:p1@acme.example"},
        "verb": {"id": verb},
        "object": {"id": "https://lms.acme.example/c/1"},
    } | more


def result(verb: str, **more: Any) -> dict[str, Any]:
    return said(f"{ADL}{verb}", result=more)


def scored(**score: Any) -> dict[str, Any]:
    return result("passed", score=score)


NO_NAME = "an IRI that could be a value, or none"
TIN_CAN = "http://id.tincanapi.com/verb/"
PLAYING = ["played", "paused", "seeked", "interacted", "viewed", "accessed"]
AGENT = {"objectType": "Agent", "mbox": "mailto:p2@acme.example"}
GROUP = {"objectType": "Group", "mbox": "mailto:team@acme.example"}
TEAM = {"member": [AGENT], "account": {"homePage": "https://a.example", "name": "7"}}
BLOCK = "block-v1:OrgX+DemoX+2026+type@video+block@0123456789abcdef"
LATE = said(stored="2026-10-13T10:00:00Z")
del LATE["timestamp"]
WHOLE = {"problem": None}
ADDRESS = {"problem": "course_code:looks_like_an_identifier"}


def is_left_out(reason: str, name: str | None = None) -> tuple[str, str | None]:
    return reason, name


# What is said, and what it comes to: some columns of a row, or why it is counted only.
SAID: dict[str, tuple[dict[str, Any], dict[str, Any] | tuple[str, str | None]]] = {
    # Verbs that are no milestone, in whatever vocabulary, and whatever the result says.
    **{
        f"{verb} of {vocabulary}": (
            said(f"{vocabulary}{verb}", result={"completion": True}),
            is_left_out("not a milestone"),
        )
        for vocabulary in (ADL, VIDEO, TIN_CAN)
        for verb in PLAYING
    },
    # A verb that nobody listed is counted by its name. What another vocabulary means, policy says.
    **{
        f"unknown {verb}": (said(verb), is_left_out("unknown verb", verb))
        for verb in (
            "http://vendor.example/verbs/completed",
            f"{VIDEO}completed",
            f"{ADL}completed/again",
            f"{ADL}zoomed",
        )
    },
    # What stands in the place of a verb can be a value.
    **{
        f"hidden {verb}": (said(verb), is_left_out("unknown verb", NO_NAME))
        for verb in ("mailto:p1@acme.example", "urn:person:7700001", "Jane Doe", "completed")
    },
    # A vocabulary that moved is the same one.
    **{
        f"moved {verb}": (said(verb), {"status": "completed", "problem": None})
        for verb in (
            "https://adlnet.gov/expapi/verbs/completed",
            f"{ADL}completed/",
            "HTTP://ADLnet.gov/expapi/verbs/Completed",
        )
    },
    # Completion and success beside any verb.
    **{
        f"{verb} with {more}": (result(verb, **more), {"status": status, "problem": None})
        for verb, more, status in (
            ("progressed", {"completion": True}, "completed"),
            ("terminated", {"completion": True, "success": True}, "passed"),
            ("attempted", {"success": False}, "failed"),
            ("attempted", {"success": False, "completion": False}, "in_progress"),
            ("experienced", {"completion": True}, "completed"),
            ("attended", {"success": True}, "passed"),
            ("completed", {"completion": False}, "in_progress"),
            ("completed", {"completion": False, "success": True}, "passed"),
            ("waived", {"completion": True, "success": True}, "waived"),
            ("passed", {"completion": False}, "passed"),
            ("commented", {"success": True}, "in_progress"),
            ("registered", {}, "not_started"),
        )
    },
    # A verb that needs a result is no milestone without one.
    **{
        f"experienced with {more}": (result("experienced", **more), is_left_out("not a milestone"))
        for more in ({}, {"completion": False}, {"score": {"scaled": 1}})
    },
    # A verb and a result that contradict each other.
    **{
        f"{verb} with success {success}": (
            result(verb, success=success),
            {"problem": "status:contradicts_the_result"},
        )
        for verb, success in (("passed", False), ("failed", True))
    },
    # Scores are per cent of their scale, and below zero points is zero.
    **{
        f"score {score}": (scored(**score), {"score": percent, "problem": None})
        for score, percent in (
            ({"scaled": 0.85}, 85),
            ({"scaled": 1}, 100),
            ({"scaled": -0.25}, 0),
            ({"scaled": -1}, 0),
            ({"scaled": 0}, 0),
            ({"raw": 15, "min": 10, "max": 20}, 50),
            ({"raw": 0, "min": -50, "max": 50}, 50),
            ({"raw": 7, "max": 10}, 70),
            ({"raw": 42}, 42),
            ({"scaled": 0.5, "raw": 9, "max": 10}, 50),
        )
    },
    **{
        f"score {score}": (scored(**score), {"problem": f"score:{problem}"})
        for score, problem in (
            ({"scaled": 85}, "out_of_scale"),
            ({"scaled": -1.01}, "out_of_scale"),
            ({"raw": 11, "max": 10}, "out_of_scale"),
            ({"raw": -1}, "out_of_scale"),
            ({"raw": 5, "min": 10, "max": 10}, "not_a_number"),
            ({"scaled": "full"}, "not_a_number"),
        )
    },
    # What is about no learner and activity.
    "plan": (said(object=said() | {"objectType": "SubStatement"}), is_left_out("sub-statement")),
    "comment on a statement": (
        said(object={"objectType": "StatementRef", "id": "8-0"}),
        is_left_out("about another statement"),
    ),
    "about a person": (said(object=AGENT), is_left_out("about a person or a group")),
    "about a group": (said(object=GROUP), is_left_out("about a person or a group")),
    "group with a name": (said(actor=GROUP), is_left_out("by a group")),
    "group by its members": (said(actor=TEAM), is_left_out("by a group")),
    "group without a name": (
        said(actor={"objectType": "Group", "member": [AGENT, AGENT]}),
        is_left_out("by a group"),
    ),
    "nobody": (said(actor={"name": "P1"}), {"problem": "learner_id:missing"}),
    "no verb": (said() | {"verb": {}, "result": {"success": True}}, {"problem": "status:unknown"}),
    "an empty statement": ({}, {"problem": "event_at:missing"}),
    # The ids of blocks are no addresses.
    **{
        f"block {code}": (said(object={"id": code}), WHOLE)
        for code in (
            BLOCK,
            f"https://lms.acme.example/xblock/{BLOCK}",
            BLOCK.replace("@", "%40").replace("+", "%2B"),
            "asset-v1:OrgX+DemoX+2026+type@asset+block@plan.pdf",
            "ccx-block-v1:OrgX+DemoX+2026+ccx@1+type@problem+block@3fc5",
            "course-v1:OrgX+DemoX+2026+branch@draft-branch+version@519665f6",
        )
    },
    **{
        f"address {code}": (said(object={"id": code}), ADDRESS)
        for code in (
            "https://lms.acme.example/u/p1@acme.example",
            "https://lms.acme.example/u/p1%40acme.example",
            f"{BLOCK}/p1@acme.example",
        )
    },
    "the time of storing": (LATE, WHOLE | {"event_at": dt.datetime(2026, 10, 13, 10)}),
    "voiding": (
        said(f"{ADL}voided", actor=GROUP, object={"objectType": "StatementRef", "id": "8000000A"}),
        WHOLE | {"status": "voided", "record_id": "8000000a", "learner_id": None},
    ),
    "voiding no statement": (
        said(f"{ADL}voided", object={"id": "https://lms.acme.example/c/1"}),
        {"problem": "object:not_a_statement_ref"},
    ),
}
# Each has a registration of its own, by which its row is found.
NUMBERED = {name: f"r{number}" for number, name in enumerate(SAID)}


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory,
    data_map: DataMap,
    connection: duckdb.DuckDBPyConnection,
) -> tuple[dict[str, dict[str, Any]], dict[tuple[str, str | None], int]]:
    """The rows of all of SAID, read as one file, by registration; and what was left out."""
    reader = Xapi(tmp_path_factory.mktemp("said"), data_map, connection)
    statements = [
        one | {"context": {"registration": NUMBERED[name]}} for name, (one, _) in SAID.items()
    ]
    return {row["occurrence"]: row for row in reader.read(*statements)}, reader.left_out


@pytest.mark.parametrize("name", SAID)
def test_what_a_statement_comes_to(
    outcomes: tuple[dict[str, dict[str, Any]], object], name: str
) -> None:
    row, expected = outcomes[0].get(NUMBERED[name]), SAID[name][1]
    if isinstance(expected, tuple):
        assert row is None
        return
    assert row is not None
    found = {column: row[column] for column in expected}
    assert {c: round(v, 6) if isinstance(v, float) else v for c, v in found.items()} == expected


def test_every_statement_is_a_row_or_counted_by_reason(
    outcomes: tuple[dict[str, dict[str, Any]], dict[tuple[str, str | None], int]],
) -> None:
    rows, left_out = outcomes
    reasons = Counter(expected for _, expected in SAID.values() if isinstance(expected, tuple))
    assert left_out == reasons
    assert len(rows) + sum(left_out.values()) == len(SAID)


def test_policy_says_what_a_verb_means(reader: Xapi) -> None:
    """The more exact entry goes before, in whatever order they stand."""
    verbs = {
        "https://v.example/*": "not_a_milestone",
        "https://v.example/verbs/*ed": {"status": "passed", "record_type": "assessment_record"},
        "https://v.example/verbs/waved": "waived",
        "https://v.example/100%_seen": "completed",
    }
    reader.source = type(reader.source).model_validate(
        reader.source.model_dump(by_alias=True) | {"verbs": verbs}
    )
    ends = ["verbs/waved", "verbs/cleared", "verbs/hid", "100%_seen", "100xyseen"]
    rows = reader.read(*(said(f"https://v.example/{end}", n) for n, end in enumerate(ends)))
    assert [(row["status"], row["record_type"]) for row in rows] == [
        ("waived", "milestone_flag"),
        ("passed", "assessment_record"),
        ("completed", "milestone_flag"),
    ]
    assert reader.left_out == {("not a milestone", None): 2}
    reader.source = reader.source.model_copy(update={"verbs": {}})
    assert not reader.read(said())


def shapes() -> dict[str, str | bytes]:
    two = [said(number=n, actor={"mbox": f"mailto:p{n}@acme.example"}) for n in range(2)]
    lines, pretty = "\n".join(map(json.dumps, two)), [json.dumps(one, indent=2) for one in two]
    answers = [{"statements": two[:1], "more": "/2"}, {"more": "", "statements": two[1:]}]
    pages = [json.dumps(one) for one in answers]
    return {
        "NDJSON": lines,
        "NDJSON with CRLF": lines.replace("\n", "\r\n") + "\r\n",
        "NDJSON with a BOM": b"\xef\xbb\xbf" + lines.encode(),
        "NDJSON after blank lines": f"\n\n{lines}\n\n",
        "array": json.dumps(two),
        "array with a BOM, over lines": b"\xef\xbb\xbf" + json.dumps(two, indent=1).encode(),
        "objects over lines": "\n".join(pretty),
        "objects over lines with CRLF": "\r\n".join(pretty).replace("\n", "\r\n"),
        "answer": json.dumps({"statements": two, "more": ""}),
        "answer over lines": json.dumps({"statements": two}, indent=4),
        "answers": "\n".join(pages),
        "answers over lines": "\n".join(json.dumps(json.loads(one), indent=1) for one in pages),
        "answers in an array": f"[{','.join(pages)}]",
        "answer that says more of itself": json.dumps({"count": 2, "next": None} | answers[1])
        + pages[0],
    }


@pytest.mark.parametrize("shape", shapes())
def test_statements_in_every_shape(reader: Xapi, shape: str) -> None:
    path = reader.write(shapes()[shape])
    assert {"actor.mbox", "verb.id", "object.id"} <= set(xapi.columns(path))
    assert {row["learner_id"] for row in reader.rows(path)} == {
        "mbox:mailto:p0@acme.example",
        "mbox:mailto:p1@acme.example",
    }


def test_one_statement_printed_over_lines(reader: Xapi) -> None:
    assert len(reader.rows(reader.write(json.dumps(said(), indent=2)))) == 1


@pytest.mark.parametrize("broken", [0, 1])
def test_a_broken_line_is_one_broken_line_wherever_it_stands(reader: Xapi, broken: int) -> None:
    lines = [json.dumps(said(number=n)) for n in range(3)]
    lines[broken] = lines[broken][:-20]
    rows = reader.rows(reader.write("\n".join(lines)))
    assert [row["problem"] for row in rows].count(None) == 2
    assert "line:not_a_json_object" in [row["problem"] for row in rows]


def test_a_part_of_an_answer_is_refused_unless_policy_admits_it(reader: Xapi) -> None:
    path = reader.write(json.dumps({"statements": [said()], "more": "/xapi/statements?more=2"}))
    with pytest.raises(MalformedFile, match=r"xapi\.json: an incomplete export.*`more`"):
        reader.rows(path)
    reader.source = reader.source.model_copy(update={"incomplete": "admit"})
    assert len(reader.rows(path)) == 1


def test_no_depth_is_too_much(reader: Xapi) -> None:
    deep = '{"a":' * 5_000 + "1" + "}" * 5_000
    text = json.dumps(said(context={"extensions": {"https://x.example/deep": 0}}))
    path = reader.write(text.replace('/deep": 0', f'/deep": {deep}'))
    assert not [one for one in xapi.columns(path) if not reader.source.lists(one)]
    assert [row["problem"] for row in reader.rows(path)] == [None]


def delivered(tmp_path: Path, data_map: DataMap, text: str) -> Layout:
    """A store with one delivery of statements in it."""
    layout = Layout(tmp_path)
    folder = Path(layout.landing) / str(RUN_DATE)
    folder.mkdir(parents=True)
    (folder / "xapi.ndjson").write_text(text, "utf-8")
    ingest(layout, data_map, RUN_DATE)
    return layout


@pytest.fixture
def case(request: pytest.FixtureRequest) -> str:
    folder = CASES / request.param
    if not folder.exists():
        pytest.skip(f"the cases beside the project are not here: {request.param}")
    return (folder / "xapi.ndjson").read_text("utf-8")


@pytest.mark.parametrize("case", ["playing-verbs"], indirect=True)
def test_the_case_of_playing_verbs(tmp_path: Path, data_map: DataMap, case: str) -> None:
    layout = delivered(tmp_path, data_map, case)
    assert canonical.validate(layout, data_map, RUN_DATE).passed
    assert counted(layout) == {("not a milestone", None): 40}
    assert kept(layout) == 4


@pytest.mark.parametrize("case", ["stored-statement"], indirect=True)
def test_the_case_of_a_stored_statement(tmp_path: Path, data_map: DataMap, case: str) -> None:
    layout = delivered(tmp_path, data_map, case)
    assert canonical.validate(layout, data_map, RUN_DATE).passed
    assert kept(layout) == 1


def counted(layout: Layout) -> dict[tuple[str, str | None], int]:
    with engine(layout.work) as connection:
        found = connection.sql(f"SELECT reason, name, records FROM {left_out(layout)}").fetchall()
    return {(reason, name): n for reason, name, n in found}


def kept(layout: Layout) -> int:
    with engine(layout.work) as connection:
        return count(connection, f"SELECT count(*) FROM {good_rows(layout)}")


def test_what_is_counted_is_in_no_share_and_in_the_size(tmp_path: Path, data_map: DataMap) -> None:
    """What is no milestone dilutes no quarantine, and is none itself."""
    played = [said(f"{VIDEO}played", n) for n in range(50)]
    good = [said(number=n, actor={"mbox": f"mailto:p{n}@acme.example"}) for n in range(2)]
    bad = [said(timestamp="never", object={"id": f"c{n}"}) for n in range(3)]
    text = "\n".join(map(json.dumps, played + good))
    layout = delivered(tmp_path / "good", data_map, text)
    assert canonical.validate(layout, data_map, RUN_DATE).passed
    assert register.rows_of(layout.canonical / str(RUN_DATE)) == {"xapi": 52}
    layout = delivered(tmp_path / "bad", data_map, "\n".join(map(json.dumps, played + good + bad)))
    assert set(canonical.validate(layout, data_map, RUN_DATE).broken) == {"quarantine.not_most"}


def test_a_run_counts_what_it_leaves_out(
    estate: Estate, capsys: pytest.CaptureFixture[str]
) -> None:
    """Received = quarantined + superseded + suppressed + published, whatever is left out; the
    counts are shown, declared, and past their retention once."""
    rows, people, statements = company()
    more = [said(f"{VIDEO}played"), said(f"{VIDEO}paused"), said("https://v.example/verbs/done")]
    write_delivery(estate.delivery(), rows, people, [*statements, *more])
    result = estate.run()
    assert result.success, errors(result)
    counts = json.loads((estate.layout.reconciliation / f"{NIGHT_OF_RUNS}.json").read_text())
    for table in counts:
        assert table["balanced"]
        assert table["suppressed"]["not a milestone"] == 2
        assert table["suppressed"]["unknown verb"] == 1
    shown = quarantine.counts(estate.layout, estate.context.data_map, NIGHT_OF_RUNS)
    assert ("counted only: unknown verb: https://v.example/verbs/done", "xapi", 1, "") in shown
    attention.show(estate.home)
    assert "https://v.example/verbs/done (1)" in capsys.readouterr().err
    assert not data_inventory.undeclared_files(estate.layout)
    context, late = estate.context, dt.datetime(2030, 12, 20, tzinfo=dt.UTC)
    none = "SELECT NULL::UUID AS record_key, []::DATE[] AS deliveries, false AS held LIMIT 0"
    with engine(context.layout.work) as connection:
        edits = canonical_edits(connection, context.layout, context.rules, subquery(none), late)
        for edit in edits:
            apply_edit(connection, context.layout, edit)
    assert counted(estate.layout) == {}

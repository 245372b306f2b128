"""xAPI as it is spoken: which statements are milestones, what they say, what is counted only."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from expectations import canonical
from pipeline.classified.classify import good_rows
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
from tests.company import company, write_drop
from tests.conftest import NIGHT as NIGHT_OF_RUNS
from tests.conftest import Estate, errors

NIGHT = dt.date(2026, 11, 1)
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
            NIGHT,
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


PLAYING = ["played", "paused", "seeked", "interacted", "viewed", "accessed"]


@pytest.mark.parametrize("verb", PLAYING)
@pytest.mark.parametrize("vocabulary", [ADL, VIDEO, "http://id.tincanapi.com/verb/"])
def test_what_is_no_milestone_is_counted_and_not_stored(
    reader: Xapi, vocabulary: str, verb: str
) -> None:
    one = said(f"{vocabulary}{verb}", result={"completion": True})
    assert [row["status"] for row in reader.read(one, one, said())] == ["completed"]
    assert reader.left_out == {("not a milestone", None): 2}


@pytest.mark.parametrize(
    "verb",
    [
        "http://vendor.example/verbs/completed",  # what another vocabulary means, policy says
        "https://w3id.org/xapi/video/verbs/completed",
        "completed",
        f"{ADL}completed/again",
        f"{ADL}zoomed",
    ],
)
def test_a_verb_that_nobody_listed_is_counted_by_its_name(reader: Xapi, verb: str) -> None:
    assert len(reader.read(said(verb), said())) == 1
    name = verb if ":" in verb else "an IRI that could be a value, or none"
    assert reader.left_out == {("unknown verb", name): 1}


@pytest.mark.parametrize("key", ["mailto:p1@acme.example", "urn:person:7700001", "Jane Doe"])
def test_what_stands_in_the_place_of_a_verb_can_be_a_value(reader: Xapi, key: str) -> None:
    reader.read(said(key))
    ((_, name),) = reader.left_out
    assert name == "an IRI that could be a value, or none"


@pytest.mark.parametrize(
    "verb",
    [
        "https://adlnet.gov/expapi/verbs/completed",
        f"{ADL}completed/",
        "HTTP://ADLnet.gov/expapi/verbs/Completed",
    ],
)
def test_a_vocabulary_that_moved_is_the_same_one(reader: Xapi, verb: str) -> None:
    assert [row["status"] for row in reader.read(said(verb))] == ["completed"]


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


@pytest.mark.parametrize(
    ("verb", "result", "status"),
    [
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
    ],
)
def test_completion_and_success_beside_any_verb(
    reader: Xapi, verb: str, result: dict[str, bool], status: str
) -> None:
    (row,) = reader.read(said(f"{ADL}{verb}", result=result))
    assert (row["status"], row["problem"]) == (status, None)


def test_a_verb_that_needs_a_result_is_no_milestone_without_one(reader: Xapi) -> None:
    without = [{}, {"completion": False}, {"score": {"scaled": 1}}]
    assert not reader.read(*(said(f"{ADL}experienced", result=one) for one in without))
    assert reader.left_out == {("not a milestone", None): 3}


@pytest.mark.parametrize(("verb", "success"), [("passed", False), ("failed", True)])
def test_a_verb_and_a_result_that_contradict_each_other_are_set_aside(
    reader: Xapi, verb: str, success: bool
) -> None:
    (row,) = reader.read(said(f"{ADL}{verb}", result={"success": success}))
    assert row["problem"] == "status:contradicts_the_result"


@pytest.mark.parametrize(
    ("score", "percent"),
    [
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
    ],
)
def test_scores_are_percent_of_their_scale(
    reader: Xapi, score: dict[str, float], percent: float
) -> None:
    (row,) = reader.read(said(f"{ADL}passed", result={"score": score}))
    assert (row["problem"], row["score"]) == (None, pytest.approx(percent))


@pytest.mark.parametrize(
    ("score", "problem"),
    [
        ({"scaled": 85}, "score:out_of_scale"),
        ({"scaled": -1.01}, "score:out_of_scale"),
        ({"raw": 11, "max": 10}, "score:out_of_scale"),
        ({"raw": -1}, "score:out_of_scale"),
        ({"raw": 5, "min": 10, "max": 10}, "score:not_a_number"),
        ({"scaled": "full"}, "score:not_a_number"),
    ],
)
def test_a_score_outside_its_scale_is_set_aside(
    reader: Xapi, score: dict[str, Any], problem: str
) -> None:
    (row,) = reader.read(said(f"{ADL}passed", result={"score": score}))
    assert row["problem"] == problem


AGENT = {"objectType": "Agent", "mbox": "mailto:p2@acme.example"}
GROUP = {"objectType": "Group", "mbox": "mailto:team@acme.example"}
OTHERS: dict[str, dict[str, Any]] = {
    "sub-statement": {"object": said() | {"objectType": "SubStatement"}},
    "about another statement": {"object": {"objectType": "StatementRef", "id": "8-0"}},
    "about a person or a group": {"object": AGENT},
    "by a group": {"actor": GROUP},
}


@pytest.mark.parametrize("reason", OTHERS)
def test_what_is_about_no_learner_and_activity_is_counted(reader: Xapi, reason: str) -> None:
    assert not reader.read(said(**OTHERS[reason]))
    assert reader.left_out == {(reason, None): 1}


def test_groups_are_groups_with_and_without_a_name(reader: Xapi) -> None:
    anonymous = {"objectType": "Group", "member": [AGENT, AGENT]}
    assert not reader.read(
        said(actor=anonymous),
        said(actor={"member": [AGENT], "account": {"homePage": "https://a.example", "name": "7"}}),
        said(object=GROUP),
    )
    assert reader.left_out == {("by a group", None): 2, ("about a person or a group", None): 1}


BLOCK = "block-v1:OrgX+DemoX+2026+type@video+block@0123456789abcdef"
IDS = {
    BLOCK: None,
    f"https://lms.acme.example/xblock/{BLOCK}": None,
    BLOCK.replace("@", "%40").replace("+", "%2B"): None,
    "asset-v1:OrgX+DemoX+2026+type@asset+block@plan.pdf": None,
    "ccx-block-v1:OrgX+DemoX+2026+ccx@1+type@problem+block@3fc5": None,
    "course-v1:OrgX+DemoX+2026+branch@draft-branch+version@519665f6": None,
    "https://lms.acme.example/u/p1@acme.example": "course_code:looks_like_an_identifier",
    "https://lms.acme.example/u/p1%40acme.example": "course_code:looks_like_an_identifier",
    f"{BLOCK}/p1@acme.example": "course_code:looks_like_an_identifier",
}


@pytest.mark.parametrize("code", IDS)
def test_the_ids_of_blocks_are_no_addresses(reader: Xapi, code: str) -> None:
    (row,) = reader.read(said(object={"id": code}))
    assert row["problem"] == IDS[code]


def test_the_time_of_storing_stands_for_a_missing_one(reader: Xapi) -> None:
    stored = said(stored="2026-10-13T10:00:00Z")
    del stored["timestamp"]
    (row,) = reader.read(stored)
    assert (row["problem"], row["event_at"]) == (None, dt.datetime(2026, 10, 13, 10))


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
    folder = Path(layout.landing) / str(NIGHT)
    folder.mkdir(parents=True)
    (folder / "xapi.ndjson").write_text(text, "utf-8")
    ingest(layout, data_map, NIGHT)
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
    assert canonical.validate(layout, data_map, NIGHT).passed
    assert counted(layout) == {("not a milestone", None): 40}
    assert kept(layout) == 4


@pytest.mark.parametrize("case", ["stored-statement"], indirect=True)
def test_the_case_of_a_stored_statement(tmp_path: Path, data_map: DataMap, case: str) -> None:
    layout = delivered(tmp_path, data_map, case)
    assert canonical.validate(layout, data_map, NIGHT).passed
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
    assert canonical.validate(layout, data_map, NIGHT).passed
    assert register.rows_of(layout.canonical / str(NIGHT)) == {"xapi": 52}
    layout = delivered(tmp_path / "bad", data_map, "\n".join(map(json.dumps, played + good + bad)))
    assert set(canonical.validate(layout, data_map, NIGHT).broken) == {"quarantine.not_most"}


def test_a_run_counts_what_it_leaves_out(estate: Estate) -> None:
    """Received = quarantined + superseded + suppressed + published, whatever is left out; the
    counts are shown, declared, and past their retention once."""
    rows, people, statements = company()
    more = [said(f"{VIDEO}played"), said(f"{VIDEO}paused"), said("https://v.example/verbs/done")]
    write_drop(estate.drop(), rows, people, [*statements, *more])
    result = estate.run()
    assert result.success, errors(result)
    counts = json.loads((estate.layout.reconciliation / f"{NIGHT_OF_RUNS}.json").read_text())
    for table in counts:
        assert table["balanced"]
        assert table["suppressed"]["not a milestone"] == 2
        assert table["suppressed"]["unknown verb"] == 1
    shown = quarantine.counts(estate.layout, NIGHT_OF_RUNS)
    assert ("counted only: unknown verb: https://v.example/verbs/done", "xapi", 1, "") in shown
    assert not data_inventory.undeclared_files(estate.layout)
    context, late = estate.context, dt.datetime(2030, 12, 20, tzinfo=dt.UTC)
    none = "SELECT NULL::UUID AS record_key, []::DATE[] AS deliveries, false AS held LIMIT 0"
    with engine(context.layout.work) as connection:
        edits = canonical_edits(connection, context.layout, context.rules, subquery(none), late)
        for edit in edits:
            apply_edit(connection, context.layout, edit)
    assert counted(estate.layout) == {}

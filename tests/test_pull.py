"""Statements pulled from a Learning Record Store: a real one, and one that misbehaves."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from pydantic import ValidationError

from assets import pulls
from assets.resources import Store
from pipeline.cli.exits import Exit
from pipeline.definitions import definitions
from pipeline.errors import BadInput, PolicyError, Unfinished
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import Source
from pipeline.policy.pull import Pull
from pipeline.raw import landing, pull, register
from pipeline.raw.readers import xapi
from pipeline.raw.register import State
from pipeline.storage.layout import PROJECT, Layout
from tests import lrs
from tests.command import milestones
from tests.environments import environment
from tests.estate import policy_with, sign_policy
from tests.fixtures import QUIET
from tests.lrs import PASSWORD, USER, RecordStore

TODAY = dt.date(2026, 11, 8)
SECRET = "mailto:ada.lovelace@corp.example"


@pytest.fixture(scope="session")
def record_store(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RecordStore]:
    python = environment(pytestconfig.cache.mkdir("environments"), "ralph")
    with lrs.serving(python, tmp_path_factory.mktemp("lrs") / "ralph") as found:
        yield found


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """An empty data folder, and the file of the store's password."""
    file = tmp_path / "credentials.yaml"
    file.write_text(f"xapi: {{user: {USER}, password: {PASSWORD}}}\n")
    file.chmod(0o600)
    monkeypatch.setenv("MILESTONES_LRS_CREDENTIALS", str(file))
    return Layout(tmp_path / "home")


def statement(number: int) -> dict[str, Any]:
    return {
        "id": str(uuid.UUID(int=number)),
        "timestamp": "2026-10-12T10:00:00Z",
        "actor": {"mbox": SECRET},
        "verb": {"id": "http://adlnet.gov/expapi/verbs/completed"},
        "object": {"id": f"https://lms.example/course/{number}"},
    }


def pulled(layout: Layout, data_map: DataMap, endpoint: str, **rules: Any) -> pull.Pulled:
    source = data_map.sources["xapi"]
    return pull.pull(layout, "xapi", source, Pull(endpoint=endpoint, **rules), TODAY)


def delivered(layout: Layout, day: dt.date = TODAY) -> list[dict[str, Any]]:
    """The statements of a delivery, in the order of its files."""
    files = sorted(Path(layout.landing, str(day)).glob("*.ndjson"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def ids(statements: list[dict[str, Any]]) -> set[str]:
    return {str(one["id"]) for one in statements}


def test_a_real_store_is_pulled_page_by_page_and_from_where_it_was_left(
    record_store: RecordStore, layout: Layout, data_map: DataMap
) -> None:
    """What was stored is pulled, over pages of twenty, and what came since with the next pull."""
    first = [statement(n) for n in range(1, 51)]
    record_store.put(first)
    found = pulled(layout, data_map, record_store.endpoint)
    assert (found.statements, found.delivery) == (50, TODAY)
    assert ids(delivered(layout)) == ids(first)
    # What the store adds of its own is on the shipped map.
    (file,) = Path(layout.landing, str(TODAY)).iterdir()
    assert data_map.unlisted("xapi", xapi.columns(file)) == []

    register.note(layout, TODAY, State.RECEIVED)
    now = dt.datetime.now(dt.UTC).isoformat()
    new, late = {**statement(51), "timestamp": now}, statement(52)
    record_store.add([new, late])
    again = pulled(layout, data_map, record_store.endpoint)
    tomorrow = TODAY + dt.timedelta(days=1)
    assert again.delivery == tomorrow, "today's delivery is closed"
    # This store compares `since` with when something happened.
    assert ids(delivered(layout, tomorrow)) == ids([new])
    pulled(layout, data_map, record_store.endpoint, again_days=365)
    assert ids(delivered(layout, tomorrow)) == ids([*first, new, late])


class Script(BaseHTTPRequestHandler):
    """Answers as the script says, one after the other, and remembers what it was asked."""

    answers: list[tuple[int, dict[str, str], object]]
    asked: list[tuple[str, str, str, str]]

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length).decode()
        kind = type(self)
        kind.asked.append((self.command, self.path, self.headers.get("Authorization", ""), body))
        status, headers, content = kind.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


@contextmanager
def scripted(*answers: tuple[int, dict[str, str], object]) -> Iterator[tuple[str, type[Script]]]:
    class Own(Script):
        pass

    Own.answers, Own.asked = list(answers), []
    with HTTPServer(("127.0.0.1", 0), Own) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/xAPI", Own
        server.shutdown()


def page(*numbers: int, more: str = "") -> tuple[int, dict[str, str], object]:
    return 200, {}, {"statements": [statement(n) for n in numbers], "more": more}


REFUSED = {
    "an error": [(404, {}, {"error": SECRET})],
    "a wrong password": [(401, {}, SECRET.encode())],
    "no JSON": [(200, {}, f"<html>{SECRET}</html>".encode())],
    "JSON of another form": [(200, {}, [SECRET])],
    "no statements": [(200, {}, {"more": SECRET})],
    "another host": [page(1, more=f"https://elsewhere.example/{SECRET}")],
    "a redirect": [(302, {"Location": f"https://elsewhere.example/{SECRET}"}, {})],
    "a circle": [page(1, more="/xAPI/next"), page(2, more="/xAPI/next")],
    "an end in the middle": [page(1, more="/xAPI/next"), (500, {}, {})],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_pull_that_fails_leaves_nothing_and_shows_nobody(
    layout: Layout, data_map: DataMap, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind: whatever a store answers, a delivery has a whole pull or nothing of it, the next
    pull begins where this one did, and no answer is quoted."""
    monkeypatch.setattr(pull, "RETRIES", 0)
    with scripted(*REFUSED[kind]) as (endpoint, asked), pytest.raises(PolicyError) as caught:
        pulled(layout, data_map, endpoint)
    assert "ada" not in str(caught.value)
    assert not any("elsewhere" in path for _, path, *_ in asked.asked)
    assert landing.deliveries(layout) == []
    assert pull.pulled_until(layout, "xapi") is None
    assert not [path for path in layout.work.rglob("*") if path.is_file()]

    with scripted(page(1, 2)) as (endpoint, _):
        assert pulled(layout, data_map, endpoint).statements == 2


def test_a_store_that_is_out_of_reach_is_an_answer(
    layout: Layout, data_map: DataMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "RETRIES", 0)
    with pytest.raises(Unfinished, match="localhost"):
        pulled(layout, data_map, "http://localhost:9/xAPI")


def test_a_busy_store_is_asked_again(
    layout: Layout, data_map: DataMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "RETRIES", pull.RETRIES.new(backoff_factor=0))
    busy = (503, {"Retry-After": "0"}, {})
    with scripted(busy, busy, page(1)) as (endpoint, _):
        assert pulled(layout, data_map, endpoint).statements == 1


def test_a_store_says_how_far_it_can_be_trusted(layout: Layout, data_map: DataMap) -> None:
    """What it stored and does not show yet comes with the next pull, and not before."""
    answered = {pull.CONSISTENT: "2026-11-08T01:00:00Z"}
    later = {**statement(1), "stored": "2026-11-08T01:44:59Z"}
    with scripted((200, answered, {"statements": [later]}), page()) as (endpoint, script):
        pulled(layout, data_map, endpoint)
        pulled(layout, data_map, endpoint)
    assert "since=2026-11-08T00%3A55%3A00%2B00%3A00" in script.asked[1][1]


def test_two_pulls_at_once_are_two_files(layout: Layout, data_map: DataMap) -> None:
    """The second began where the first had ended, so it must not replace its file."""
    with scripted(page(1), page(2)) as (endpoint, _):
        for _ in range(2):
            pulled(layout, data_map, endpoint)
    assert ids(delivered(layout)) == ids([statement(1), statement(2)])


def test_nothing_comes_into_a_delivery_that_a_run_is_reading(
    layout: Layout, data_map: DataMap
) -> None:
    """It would never be read: the run has listed the files by then, and closes the delivery."""
    with scripted(page(1)) as (endpoint, script), ThreadPoolExecutor(1) as pool:
        with layout.locked():
            waiting = pool.submit(pulled, layout, data_map, endpoint)
            until = time.monotonic() + 30
            while not script.asked:
                assert time.monotonic() < until
                time.sleep(0.01)
            assert not wait([waiting], 0.3).done
            assert landing.deliveries(layout) == []
            register.note(layout, TODAY, State.RECEIVED)
        assert waiting.result(30).delivery == TODAY + dt.timedelta(days=1)


def test_a_first_pull_may_begin_late(layout: Layout, data_map: DataMap) -> None:
    with scripted(page(1)) as (endpoint, script):
        pulled(layout, data_map, endpoint, since=dt.date(2026, 10, 1))
    assert "since=2026-09-30T23%3A55" in script.asked[0][1]


def test_a_token_opens_what_a_password_asked_for(layout: Layout, data_map: DataMap) -> None:
    """OAuth 2.0 client credentials: the password goes where the token is given, and nowhere
    else."""
    with scripted((200, {}, {"access_token": "short-lived"}), page(1)) as (endpoint, script):
        token_url = endpoint.replace("/xAPI", "/token")
        pulled(layout, data_map, endpoint, token_url=token_url, scope="statements/read")
    (_, first, password, body), (_, second, bearer, _) = script.asked
    assert (first, second.split("?")[0]) == ("/token", "/xAPI/statements")
    assert password.startswith("Basic ")
    assert "grant_type=client_credentials" in body
    assert "scope=statements%2Fread" in body
    assert bearer == "Bearer short-lived"


def test_one_store_keeps_no_other_from_being_pulled(
    layout: Layout, data_map: DataMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "RETRIES", 0)
    xapi = data_map.sources["xapi"]
    with scripted(page(1)) as (endpoint, _):
        reached = xapi.model_copy(update={"pull": Pull(endpoint=endpoint)})
        nameless = xapi.model_copy(update={"pull": Pull(endpoint="http://localhost:9")})
        every: dict[str, Source] = {"other xapi": nameless, "xapi": reached}
        found = dict(pull.every(layout, every, TODAY))
    assert isinstance(found["other xapi"], BadInput)
    assert isinstance(found["xapi"], pull.Pulled)


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Script]]:
    """A signed policy that names a record store, which has a statement once and is then gone."""
    with scripted(page(1), (404, {}, {})) as (endpoint, script):
        section = yaml.safe_load((PROJECT / "data_map.yaml").read_text())["sources"]["xapi"]
        pulls = {"xapi": {**section, "pull": {"endpoint": endpoint}}}
        policy = policy_with(tmp_path / "policy", "data_map.yaml", {"sources": pulls})
        monkeypatch.setenv("MILESTONES_POLICY", str(policy))
        sign_policy(tmp_path / "home", policy)
        yield script


@pytest.mark.usefixtures("named")
def test_the_command_says_how_many_came_and_ends_as_the_pull_did(layout: Layout) -> None:
    done = milestones(layout.root, "pull")
    assert (done.returncode, done.stderr) == (0, "")
    assert "new statements in the delivery of" in " ".join(done.stdout.split())
    done = milestones(layout.root, "pull")
    assert done.returncode == Exit.INCOMPLETE
    assert "404" in done.stderr


def test_without_a_record_store_there_is_no_command_to_wait_for(layout: Layout) -> None:
    sign_policy(layout.root)
    assert milestones(layout.root, "pull").returncode == Exit.BAD_INPUT


@pytest.mark.usefixtures("named")
def test_the_job_pulls_and_fails_as_the_store_does(
    layout: Layout, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Store(home=str(layout.root), policy_folder=str(tmp_path / "policy"))
    monkeypatch.setattr(pulls, "DATA_MAP", found.data_map)
    code = definitions(found)
    assert "nightly_pull" in {one.name for one in code.schedules or ()}
    job = code.resolve_job_def("pull")
    quiet = {"instance": instance, "run_config": QUIET, "raise_on_error": False}
    assert job.execute_in_process(**quiet).success
    (day,) = landing.deliveries(layout)
    assert len(delivered(layout, day)) == 1
    assert not job.execute_in_process(**quiet).success


def test_a_password_that_others_can_read_is_not_used(
    layout: Layout, data_map: DataMap, tmp_path: Path
) -> None:
    (tmp_path / "credentials.yaml").chmod(0o644)
    with pytest.raises(BadInput, match="0600"):
        pulled(layout, data_map, "http://localhost:9")
    (tmp_path / "credentials.yaml").write_text(f"xapi: {PASSWORD}")
    (tmp_path / "credentials.yaml").chmod(0o600)
    with pytest.raises(BadInput) as caught:
        pulled(layout, data_map, "http://localhost:9")
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    ["http://lrs.example/xAPI", "ftp://lrs.example", "lrs.example", "https://a:b@lrs.example"],
)
def test_policy_sends_no_password_in_the_clear(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        Pull(endpoint=endpoint)

"""A real Learning Record Store for tests: ralph (github.com/openfun/ralph) over files.

It pins other versions of what Dagster's web server needs, so it has an environment of its own
(tests/environments.py).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.fixtures import free_port

USER, PASSWORD = "pipeline", "correct horse battery staple"
HASHED = "$2b$04$UkoC5cuW8aF1wAC3ELuP5uW99ZoCZoso26k6U9/WX3EKtoim2ND/e"
HEADERS = {"X-Experience-API-Version": "1.0.3"}


@dataclass(frozen=True)
class RecordStore:
    """A store's endpoint, and what its clients do with it."""

    endpoint: str
    file: Path

    def add(self, statements: list[dict[str, Any]]) -> None:
        """As if somebody had sent them later: over files, ralph 5.1 takes one request alone."""
        now = dt.datetime.now(dt.UTC).isoformat()
        with self.file.open("a") as out:
            for one in statements:
                out.write(json.dumps({**one, "stored": now}) + "\n")

    def put(self, statements: list[dict[str, Any]]) -> None:
        answer = requests.post(
            f"{self.endpoint}/statements",
            json=statements,
            headers=HEADERS,
            auth=(USER, PASSWORD),
            timeout=30,
        )
        assert answer.status_code == requests.codes.ok, answer.text


@contextmanager
def serving(python: Path, folder: Path) -> Iterator[RecordStore]:
    """The store, while the block runs."""
    (folder / "statements").mkdir(parents=True)
    port = free_port()
    who = {"mbox": "mailto:lrs@example.com"}
    users = [{"username": USER, "hash": HASHED, "scopes": ["all"], "agent": who}]
    (folder / "auth.json").write_text(json.dumps(users))
    settings = {
        "RALPH_APP_DIR": str(folder),
        "RALPH_AUTH_FILE": str(folder / "auth.json"),
        "RALPH_RUNSERVER_AUTH_BACKENDS": "basic",
        "RALPH_RUNSERVER_BACKEND": "fs",
        "RALPH_BACKENDS__LRS__FS__DEFAULT_DIRECTORY_PATH": str(folder / "statements"),
        "RALPH_RUNSERVER_MAX_SEARCH_HITS_COUNT": "20",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(python), "-m", "uvicorn", "ralph.api:app", "--port", str(port)],
            env=os.environ | settings,
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 60
        while server.poll() is None:
            try:
                requests.get(f"{url}/__heartbeat__", timeout=5)
                break
            except requests.ConnectionError:
                assert time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.1)
        yield RecordStore(f"{url}/xAPI", folder / "statements" / "fs_lrs.jsonl")
    finally:
        server.terminate()
        server.wait(20)

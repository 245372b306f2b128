"""Statements pulled from a Learning Record Store (xAPI 1.0.3 part 3, section 2.1.3).

A pull takes what was stored since the last one and puts it into the landing folder as one file of
the day's delivery, which then goes the way of all deliveries. Nothing is lost when a pull is
interrupted, refused by the store, or runs late: where it stopped is written down after its file is
in place, the next one begins a little earlier, and a statement that comes twice is one record.

store/pulls/<source>.json says until when a source was pulled; it names nobody.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urljoin, urlsplit

import requests
import yaml
from filelock import FileLock
from pydantic import Field, ValidationError
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pipeline.errors import BadInput, PolicyError, Unfinished
from pipeline.policy.base import Strict
from pipeline.policy.fields import Source
from pipeline.policy.pull import Pull
from pipeline.raw import landing, register
from pipeline.settings import settings, variable
from pipeline.storage.files import replace_text
from pipeline.storage.layout import Layout
from pipeline.storage.spill import spill_folder

CONSISTENT = "X-Experience-API-Consistent-Through"
# A store may show a statement later than it says that it stored it.
OVERLAP = dt.timedelta(minutes=5)
TIMEOUT = (10, 120)  # seconds to connect, and between two pieces of an answer
RETRIES = Retry(
    total=5,
    backoff_factor=1,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=("GET", "POST"),  # asking for a token changes nothing
    raise_on_status=False,
)


class Credentials(Strict):
    """How one store knows the pipeline: a name and a password, or an OAuth client's."""

    user: str = Field(repr=False)
    password: str = Field(repr=False)


@dataclass(frozen=True)
class Pulled:
    """What a pull has brought.

    Attributes:
        statements: how many; with none, no file was written.
        until: what was stored by then has been pulled.
        delivery: the day whose delivery has them.
    """

    statements: int
    until: dt.datetime | None
    delivery: dt.date | None

    def sentence(self) -> str:
        if self.delivery is None:
            return "nothing new was stored"
        return f"new statements in the delivery of {self.delivery}: {self.statements:,}"


def state(layout: Layout, source: str) -> Path:
    return layout.pulls / f"{source}.json"


def pulled_until(layout: Layout, source: str) -> dt.datetime | None:
    """Until when a source was pulled; None if it never was."""
    path = state(layout, source)
    if not path.exists():
        return None
    return dt.datetime.fromisoformat(json.loads(path.read_text("utf-8"))["until"])


def credentials(source: str) -> Credentials:
    """The name and password of a source's store, from the file that the settings name.

    Raises:
        BadInput: there is no such file, others may read it, or it has nothing for the source.
    """
    path, name = settings().lrs_credentials, variable("lrs_credentials")
    if path is None or not path.is_file():
        raise BadInput(f"{source} is pulled: set {name} to the file of its name and password")
    if path.stat().st_mode & 0o077:
        raise BadInput(f"{name}: other users may read the file; set its mode to 0600")
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
        return Credentials.model_validate(found[source])
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError, KeyError, TypeError):
        raise BadInput(
            f"{name}: the file needs an entry `{source}: {{user: ..., password: ...}}`"
        ) from None


def every(
    layout: Layout, sources: Mapping[str, Source], today: dt.date
) -> Iterator[tuple[str, Pulled | PolicyError]]:
    """Pull every source that is pulled; one that cannot be pulled keeps no other from it."""
    for name, source in sources.items():
        if source.pull is not None:
            try:
                yield name, pull(layout, name, source, source.pull, today)
            except PolicyError as error:
                yield name, error


def pull(layout: Layout, name: str, source: Source, rules: Pull, today: dt.date) -> Pulled:
    """Pull what a source's store has stored since the last pull into the landing folder.

    Args:
        name: of the source in the data map.
        rules: where it is pulled from.
        today: the delivery is that of this day, or of the first day after it that was not
            received yet.

    Raises:
        BadInput: the credentials or the name of the source's files are of no use.
        Unfinished: the store gave no answer, or not that of a Learning Record Store; the next pull
            begins where this one did.
    """
    file = f"{name}-pulled-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%fZ}.ndjson"
    if not source.matches(file):
        raise BadInput(f"sources.{name}.files: has to match {name}-pulled-*.ndjson")
    given = credentials(name)
    layout.pulls.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(layout.pulls / f"{name}.lock", mode=0o600):
        since = pulled_until(layout, name) or _start(rules)
        with _written(layout) as (beside, out), _session(rules, given) as session:
            statements, until = _write(_pages(name, session, rules, since), out)
            out.close()
            # A run that is reading a delivery has the lock until it has received it: what came
            # into its folder meanwhile would never be read.
            with layout.locked():
                day = _delivery(layout, today)
                if statements:
                    landing.place(layout, day, beside, file)
                if until is not None:
                    replace_text(state(layout, name), json.dumps({"until": until.isoformat()}))
    return Pulled(statements, until, day if statements else None)


@contextmanager
def _written(layout: Layout) -> Iterator[tuple[Path, TextIO]]:
    """A file that only this process needs, and the stream that fills it. It lies where what a kill
    leaves behind is removed, and what a living process writes is not."""
    folder = spill_folder(layout.work)
    folder.mkdir(parents=True, mode=0o700)
    path = folder / "statements.ndjson"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            yield path, out
    finally:
        shutil.rmtree(folder)


def _start(rules: Pull) -> dt.datetime | None:
    return dt.datetime.combine(rules.since, dt.time.min, dt.UTC) if rules.since else None


def _delivery(layout: Layout, today: dt.date) -> dt.date:
    """The first day from today on whose delivery was not received yet."""
    day = today
    while register.steps(layout, day):
        day += dt.timedelta(days=1)
    return day


def _host(rules: Pull) -> str:
    return str(urlsplit(rules.endpoint).hostname)


def _session(rules: Pull, given: Credentials) -> requests.Session:
    """Requests that are signed, and tried again where the store is busy."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=RETRIES))
    session.mount("https://", HTTPAdapter(max_retries=RETRIES))
    session.headers["X-Experience-API-Version"] = rules.version
    session.auth = (given.user, given.password)
    return session


class _Bearer(requests.auth.AuthBase):
    """An OAuth token in place of a name and a password (RFC 6750)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _token(session: requests.Session, rules: Pull) -> str:
    asked = {"grant_type": "client_credentials", **({"scope": rules.scope} if rules.scope else {})}
    answer = session.post(str(rules.token_url), data=asked, timeout=TIMEOUT, allow_redirects=False)
    token = _json(answer, rules).get("access_token")
    if not isinstance(token, str):
        raise Unfinished(f"{urlsplit(str(rules.token_url)).hostname} gave no access token")
    return token


def _json(answer: requests.Response, rules: Pull) -> dict[str, Any]:
    """An answer's JSON object.

    Raises:
        Unfinished: it is none, or says that something is wrong; its text stays out of the message.
    """
    host = _host(rules)
    if answer.status_code != requests.codes.ok:
        raise Unfinished(f"{host} answered with the HTTP status {answer.status_code}")
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Unfinished(f"{host} did not answer with a JSON object")
    return found


def _pages(
    name: str, session: requests.Session, rules: Pull, since: dt.datetime | None
) -> Iterator[_Answer]:
    """All pages from a moment on.

    Raises:
        Unfinished: the network failed. Its own text has whole URLs, and `more` may name somebody.
    """
    try:
        if rules.token_url:
            session.auth = _Bearer(_token(session, rules))
        yield from _answers(session, rules, since)
    except requests.RequestException as error:
        raise Unfinished(f"{name}: {type(error).__name__} at {_host(rules)}") from None


@dataclass(frozen=True)
class _Answer:
    """One page of statements, and until when the store has shown all that it has."""

    statements: list[dict[str, Any]]
    consistent: dt.datetime | None


def _answers(
    session: requests.Session, rules: Pull, since: dt.datetime | None
) -> Iterator[_Answer]:
    """All pages from a moment on, the oldest statements first; `more` is followed to its end."""
    asked = {"ascending": "true", "format": "exact"}
    if since is not None:
        again = max(OVERLAP, dt.timedelta(days=rules.again_days))
        asked["since"] = (since - again).isoformat()
    first = f"{rules.endpoint}/statements"
    seen: set[str] = set()
    url, parameters = first, asked
    while url not in seen:
        seen.add(url)
        answer = session.get(url, params=parameters, timeout=TIMEOUT, allow_redirects=False)
        found = _json(answer, rules)
        statements = found.get("statements")
        if not isinstance(statements, list):
            raise Unfinished(f"{_host(rules)} answered without a list of statements")
        yield _Answer(statements, _moment(answer.headers.get(CONSISTENT)))
        more = found.get("more")
        if not more or not statements:
            return
        url, parameters = _next(first, str(more)), {}
    raise Unfinished(f"{_host(rules)} leads from one page of statements back to an earlier one")


def _next(first: str, more: str) -> str:
    """The next page's URL.

    Raises:
        PolicyError: it lies on another host, which would be sent the password.
    """
    url = urljoin(first, more)
    if urlsplit(url)[:2] != urlsplit(first)[:2]:
        raise PolicyError(f"{urlsplit(first).hostname} leads to another host for more statements")
    return url


def _moment(text: object) -> dt.datetime | None:
    """An instant of the store's clock; None if it is none."""
    try:
        found = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _write(answers: Iterator[_Answer], out: TextIO) -> tuple[int, dt.datetime | None]:
    """Write statements, a line each; how many there were, and until when they were stored: as far
    as the store vouches for, or else the latest of them."""
    count, latest = 0, None
    consistent: dt.datetime | None = None
    for number, answer in enumerate(answers):
        if number == 0:
            consistent = answer.consistent
        for one in answer.statements:
            out.write(json.dumps(one, ensure_ascii=False) + "\n")
            stored = _moment(one.get("stored")) if isinstance(one, dict) else None
            latest = max(filter(None, (latest, stored)), default=None)
        count += len(answer.statements)
    return count, consistent or latest

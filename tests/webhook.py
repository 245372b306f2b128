"""A receiver of webhooks, as tests of alerts need it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Hook(BaseHTTPRequestHandler):
    """A receiver of webhooks that keeps what it got; it fails first where it is told to."""

    got: list[dict[str, Any]]
    failures: int

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kept = type(self)
        broken = kept.failures > 0
        kept.failures -= broken
        if not broken:
            kept.got.append(body)
        self.send_response(500 if broken else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


@contextmanager
def receiving() -> Iterator[tuple[str, type[Hook]]]:
    """A receiver's address, and what it got."""

    class Own(Hook):
        got, failures = list[dict[str, Any]](), 0

    with HTTPServer(("127.0.0.1", 0), Own) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", Own
        server.shutdown()
        thread.join()

"""Commands for operations: Dagster's settings, metrics, many deliveries at once."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.exits import end
from pipeline.cli.shared import DEFAULT_HOME, Home, date, open_context

Port = Annotated[
    int | None, typer.Option(help="Serve the metrics on this port instead of printing them.")
]
First = Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="First run date.")]
Last = Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="Last run date.")]


def configure(home: Home = DEFAULT_HOME) -> None:
    """Write Dagster's settings (dagster.yaml) into DAGSTER_HOME and prepare its storage.

    Run this once before the daemon and the webserver start.
    """
    from pipeline.cli import run, screen

    with run.instance(home) as instance:
        screen.say(f"written: {Path(instance.root_directory) / 'dagster.yaml'}")


def metrics(home: Home = DEFAULT_HOME, port: Port = None) -> None:
    """Print metrics about the pipeline in Prometheus' text format, or serve them."""
    from prometheus_client import generate_latest, start_http_server

    from pipeline.cli import run, screen
    from pipeline.context import context_from_settings
    from pipeline.operations.metrics import registry

    with open_context(home, valid=False), run.instance(home) as instance:
        made = registry(lambda: context_from_settings(home), instance)
        if port is None:
            sys.stdout.write(generate_latest(made).decode())
            return
        start_http_server(port, registry=made)
        screen.say(f"metrics on port {port}")
        threading.Event().wait()


def backfill(first: First, last: Last, home: Home = DEFAULT_HOME) -> None:
    """Ingest every delivery between two run dates, then publish once, for the last of them.

    What a run publishes depends on all deliveries so far, so the days in between are not published
    only to be replaced. Closed months of coaching figures are published once, from all that is
    known by the last run date. Deliveries that were already ingested are skipped.
    """
    from pipeline.cli import run

    end(run.backfill(home, date(first), date(last)))

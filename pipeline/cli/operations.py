"""Commands for who keeps it running: Dagster's settings, metrics, many nights at once."""

from __future__ import annotations

import datetime as dt
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.exits import end
from pipeline.cli.retained import DEFAULT_HOME, Home, open_context


def configure(home: Home = DEFAULT_HOME) -> None:
    """Write Dagster's settings (dagster.yaml) for the environment as it is, into DAGSTER_HOME, and
    prepare its storage; once before daemon and webserver start."""
    from pipeline.cli import run, screen

    with run.instance(home) as instance:
        screen.say(f"written: {Path(instance.root_directory) / 'dagster.yaml'}")


def metrics(home: Home = DEFAULT_HOME,
            port: Annotated[int | None, typer.Option(help="Serve them here, for Prometheus.")]
            = None) -> None:  # fmt: skip
    """Figures about the pipeline in Prometheus' text format."""
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


def backfill(first: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD")],
             last: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD")],
             home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """Take in every delivery between two nights, then publish once, for the last of them.

    A night is a function of all deliveries so far, so what the nights in between would have published
    is not made only to be replaced; closed months of coaching are told once, with all that is known
    by the last night. Drops that the store has are skipped.
    """
    from pipeline.cli import run

    try:
        days = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    except ValueError:
        raise typer.BadParameter("expected YYYY-MM-DD") from None
    end(run.backfill(home, *days))

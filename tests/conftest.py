"""How the tests are handed out to processes, and which are a soak's. What they share is in
tests/fixtures.py, which a process that only hands out tests does not load: it loads the product."""

from __future__ import annotations

import gc
import os
import secrets
import sys
from typing import Any

import pytest

from tests import soak

# Tests are read by several processes and start many more. Where nothing is to be written beside
# the modules, each of them would compile all of the product and of the tests anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What takes long to set up is set up by one process, which has all tests that need it: fixture to
# group.
DEAR = {
    "web": "dagster",
    "dagster_company": "dagster",
    "objects": "exchange",
    "scheduler": "exchange",
    "by_exchange": "exchange",
    "once": "erasure",
    "deleted": "deletion",
    "run_before": "deletion",
    "server": "postgres",
    "record_store": "record store",
    "oldest": "oldest client",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="Of a soak; by default a new one each time.")


def _soaks(config: pytest.Config) -> bool:
    return str(config.option.markexpr).strip() == "soak"


@pytest.hookimpl(trylast=True)  # after pytest-xdist, which says whether others will do the tests
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed, or take the one that the processes of this run share."""
    shared = getattr(config, "workerinput", None)
    if shared is not None:
        soak.seed = shared["seed"]
    elif _soaks(config):
        given = config.getoption("--seed")
        soak.seed = secrets.randbits(32) if given is None else given
    if not config.pluginmanager.has_plugin("dsession"):
        _prepare(config)


def _prepare(config: pytest.Config) -> None:
    """Load what the tests of this process share."""
    import hypothesis

    config.pluginmanager.import_plugin("tests.fixtures")
    # A failure of the normal run is one of the code, and nobody's luck.
    every = {
        "deadline": None,
        "print_blob": True,
        "suppress_health_check": list(hypothesis.HealthCheck),
    }
    hypothesis.settings.register_profile(
        "normal", derandomize=True, database=None, max_examples=25, **every
    )
    hypothesis.settings.register_profile("soak", max_examples=1_000, **every)
    hypothesis.settings.load_profile("normal" if soak.seed is None else "soak")
    if soak.seed is not None:
        config.option.hypothesis_seed = str(soak.seed)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is loaded by now stays: the garbage collector need not look through it ever again."""
    gc.collect()
    gc.freeze()
    grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
    if hasattr(session.config, "workerinput") and not all("@" in one.nodeid for one in grouped):
        # Each process would set up what is dear, and the tests take half as long again.
        raise pytest.UsageError("pytest-xdist does not keep groups together with this pytest")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["seed"] = soak.seed


def _tell_seed(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if soak.seed is not None and reporter is not None:
        reporter.write_line(f"soak with --seed {soak.seed}")


def pytest_sessionstart(session: pytest.Session) -> None:
    _tell_seed(session.config)


def pytest_terminal_summary(config: pytest.Config) -> None:
    _tell_seed(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process for every core, and one more: some tests wait for a daemon or a server. With two
    more, all take longer."""
    return min(len(os.sched_getaffinity(0)), 4) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is drawn at random, or done in part, belongs to the soak too; there is more of it."""
    if _soaks(config):
        for item in items:
            found = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
            if found or item.get_closest_marker("more"):
                item.add_marker(pytest.mark.soak)
    for item in items:
        shared = [DEAR[name] for name in getattr(item, "fixturenames", ()) if name in DEAR]
        if shared and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(shared[0]))
    # The longest first, so that no process is left alone with one at the end.
    items.sort(key=lambda item: item.get_closest_marker("long") is None)

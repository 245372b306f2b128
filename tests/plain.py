"""A run as plain functions: those of the assets and checks, in the order of Dagster's job.

What Dagster adds (events, retries that wait, its storage) is left out, Great Expectations with it
(`quick` says the same of the same counts), and the drawing of charts. That is most of the time.
tests/test_plain.py holds the first two against the real thing.
"""

from __future__ import annotations

import datetime as dt
import inspect
import logging
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import dagster as dg

from assets import lineage
from assets.common import DATA_MAP
from assets.resources import Store
from expectations import suite as suites
from expectations.suite import SuiteResult
from pipeline.definitions import defs
from pipeline.policy.fields import Audience
from pipeline.published.reports import plots


def quick(suite: str, declared: Iterable[str], evidence: dict[str, int]) -> SuiteResult:
    """The judgement of expectations/suite.py in a hundredth of the time. What is judged, the counts
    over every value, is made as ever."""
    broken = {name: n for name, n in evidence.items() if n}
    rules = list(declared)
    return SuiteResult(suite, len(rules), broken, sorted(set(rules) ^ set(evidence)))


class Axes:
    """Takes whatever is drawn on it."""

    def __getattr__(self, _: str) -> Axes:
        return self

    def __call__(self, *_: object, **__: object) -> Axes:
        return self


@contextmanager
def quickly(*, drawn: bool = False) -> Iterator[None]:
    """Judge as `quick` does, without loading Great Expectations, and draw no charts.

    Args:
        drawn: charts all the same.
    """
    with ExitStack() as changed:
        changed.enter_context(mock.patch.object(suites, "judge", quick))
        changed.enter_context(mock.patch.object(suites, "preload"))
        if not drawn:
            changed.enter_context(mock.patch.object(plots, "_drawing", undrawn))
        yield


@contextmanager
def undrawn(*_: object, **__: object) -> Iterator[tuple[Axes, list[str]]]:
    """In place of reports/plots.py: a chart that nobody looks at. Drawing is a tenth of a run."""
    yield Axes(), ["<svg></svg>"]


@dataclass(frozen=True)
class Ran:
    """What became of a run: as much of Dagster's result as tests ask for.

    Attributes:
        run_id: as the release's manifest has it.
        checks: 'asset check' to its result, of those that ran.
        raised: what steps raised.
        steps: which ran, in order.
    """

    run_id: str
    checks: dict[str, dg.AssetCheckResult] = field(default_factory=dict)
    raised: list[BaseException] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    @property
    def failed_checks(self) -> list[str]:
        return [name for name, one in self.checks.items() if not one.passed]

    @property
    def success(self) -> bool:
        return not self.raised and not self.failed_checks

    @property
    def errors(self) -> str:
        """The texts of what was raised, causes included, as Dagster would keep them."""
        output = []
        for error in self.raised:
            at: BaseException | None = error
            while at is not None:
                output.append(f"{type(at).__name__}: {at}")
                at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
        return "\n".join(output)


@dataclass(frozen=True)
class Step:
    """One step of the job: its function, what it makes, and the steps that it waits for.

    Attributes:
        checks: the asset that is checked to 'asset check'; by None, where it is the only one.
    """

    name: str
    function: Any
    assets: frozenset[dg.AssetKey]
    checks: dict[dg.AssetKey | None, str]
    after: frozenset[str]


# What a run makes before it stages and publishes: three quarters of its time come after that.
STORES = (
    lineage.CANONICAL,
    lineage.CLASSIFIED,
    lineage.REFERENCE_VALUES,
    *map(lineage.pseudonymized_key, Audience),
)


def staged_for(audience: Audience) -> list[dg.AssetKey]:
    """What a run makes and checks up to the staged tables of one audience."""
    tables = map(lineage.published_key, DATA_MAP.with_dimensions(audience))
    return [*STORES[:3], lineage.pseudonymized_key(audience), *tables]


@cache
def steps() -> tuple[Step, ...]:
    """The job's steps, each after those that it waits for; blocking checks are among those."""
    of_op: dict[str, tuple[frozenset[dg.AssetKey], dict[dg.AssetKey | None, str]]] = {}
    for one in (*(defs.assets or ()), *(defs.asset_checks or ())):
        if isinstance(one, dg.AssetsDefinition) and one.is_executable:
            checks: dict[dg.AssetKey | None, str] = {
                key.asset_key: f"{key.asset_key.to_user_string()} {key.name}"
                for key in one.check_keys
            }
            assets = frozenset(one.keys) | {key.asset_key for key in one.check_keys}
            if len(checks) == 1:
                checks = dict.fromkeys([None, *checks], *checks.values())
            of_op[one.op.name] = (assets, checks)
    graph = defs.resolve_job_def("nightly").graph
    after = {
        (invocation.alias or invocation.name): frozenset(
            one.node for dependency in inputs.values() for one in dependency.get_node_dependencies()
        )
        for invocation, inputs in graph.dependencies.items()
    }
    return tuple(
        Step(
            node.name,
            node.definition.compute_fn.decorated_fn,
            *of_op[node.name],  # type: ignore[union-attr]
            after.get(node.name, frozenset()),
        )
        for node in graph.nodes_in_topological_order
    )


def _results(step: Step, store: Store, context: object) -> Iterator[object]:
    """Call a step's function with what it asks for; one result or several."""
    wanted = inspect.signature(step.function).parameters
    found = step.function(**{n: {"store": store, "context": context}[n] for n in wanted})
    if inspect.isgenerator(found):
        yield from found
    else:
        yield found


def _tried(step: Step, store: Store, context: SimpleNamespace) -> list[object]:
    """As a step is tried: again where it asks for that, without the wait."""
    for context.retry_number in range(1_000):
        try:
            return list(_results(step, store, context))
        except dg.RetryRequested as again:
            if context.retry_number == again.max_retries:
                raise
    raise AssertionError("unreachable")


def run(
    store: Store,
    run_date: dt.date,
    assets: Collection[dg.AssetKey] | None = None,
    tags: dict[str, str] | None = None,
    *,
    drawn: bool = False,
) -> Ran:
    """Run the nightly job's steps, or those of some assets and their checks. Steps that wait for
    one that failed, or for a check that did not pass, are left out; the others are not.

    Args:
        drawn: with the charts of the pages.
    """
    with quickly(drawn=drawn):
        return _run(store, run_date, assets, tags)


def _run(
    store: Store,
    run_date: dt.date,
    assets: Collection[dg.AssetKey] | None,
    tags: dict[str, str] | None,
) -> Ran:
    ran, stopped = Ran(str(uuid.uuid4())), set[str]()
    run = SimpleNamespace(
        run_id=ran.run_id, tags={"dagster/partition": str(run_date), **(tags or {})}
    )
    context = SimpleNamespace(run=run, log=logging.getLogger("plain run"), retry_number=0)
    store = store.model_copy()
    store._run = run  # type: ignore[assignment] # within a run the policy is loaded once
    for step in steps():
        if assets is not None and not step.assets & set(assets):
            continue
        if step.after & stopped:
            stopped.add(step.name)
            continue
        ran.steps.append(step.name)
        try:
            results = _tried(step, store, context)
        except Exception as error:
            ran.raised.append(error)
            stopped.add(step.name)
            continue
        for one in results:
            if isinstance(one, dg.AssetCheckResult):
                ran.checks[step.checks[one.asset_key]] = one
                if not one.passed:
                    stopped.add(step.name)
    return ran

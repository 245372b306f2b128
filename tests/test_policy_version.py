"""A run uses one version of the policy: the one that its job, assets and checks were made from."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest

from assets.resources import CHANGED, Store
from pipeline.definitions import definitions
from pipeline.policy.version import FILES
from pipeline.storage.layout import PROJECT
from tests.company import company, write_delivery
from tests.estate import sign_policy
from tests.fixtures import QUIET, RUN_DATE, Estate

FIRST_STEP = {"nightly": "raw__milestones", "retention": "retained__deletion_plan"}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A copy of the policy files, to be changed at will."""
    folder = tmp_path / "policy"
    folder.mkdir()
    for name in FILES:
        shutil.copy(PROJECT / name, folder / name)
    return folder


def change(policy: Path) -> None:
    """Another version of the policy that is as valid as the one before."""
    with (policy / "data_map.yaml").open("a", encoding="utf-8") as stream:
        stream.write("# reviewed\n")


@pytest.mark.parametrize("name", FIRST_STEP)
def test_a_policy_changed_after_loading_stops_the_first_step(
    estate: Estate, policy: Path, name: str
) -> None:
    write_delivery(estate.delivery(), *company())
    job = definitions(Store(home=str(estate.home), policy_folder=str(policy))).resolve_job_def(name)
    change(policy)
    sign_policy(estate.home, policy)
    before = sorted(estate.home.rglob("*"))
    result = job.execute_in_process(
        partition_key=str(RUN_DATE) if name == "nightly" else None,
        instance=estate.instance,
        raise_on_error=False,
        run_config=QUIET,
    )
    failed = {e.step_key: e.step_failure_data.error for e in result.all_events if e.is_step_failure}
    assert list(failed) == [FIRST_STEP[name]]
    error = failed[FIRST_STEP[name]]
    assert error is not None
    assert error.cause is not None
    assert CHANGED in error.cause.message
    assert sorted(estate.home.rglob("*")) == before, "something was written"


def test_within_a_run_the_policy_is_loaded_once(estate: Estate, policy: Path) -> None:
    store = Store(home=str(estate.home), policy_folder=str(policy))
    version = store.context.version

    @dg.op
    def two_steps_in_one(store: Store) -> None:
        first = store.context
        change(policy)
        assert store.context is first
        assert store.data_map is first.data_map

    @dg.job(resource_defs={"store": store})
    def job() -> None:
        two_steps_in_one()

    assert job.execute_in_process(instance=estate.instance).success
    assert store.context.version != version, "outside of runs the files are what counts"

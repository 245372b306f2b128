"""In production: settings, alerts, metrics, lineage elsewhere, retries, many runs, deployment."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import kubernetes_validate
import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from prometheus_client.parser import text_string_to_metric_families

from assets import common, lineage
from assets.resources import Store
from pipeline.cli.exits import Exit
from pipeline.cli.run import run_job
from pipeline.definitions import defs
from pipeline.operations import alerts, instance, openlineage
from pipeline.operations.alerts import Alert
from pipeline.policy.data_map import DataMap
from pipeline.raw.deliveries import ingest
from pipeline.settings import PREFIX, Settings, variable
from pipeline.storage.layout import PROJECT
from tests import plain
from tests.command import milestones
from tests.company import EMAIL, NAME, NUMBER, company, record, write_delivery
from tests.fixtures import RUN_DATE, Estate, errors, free_port
from tests.kill_points import tables
from tests.webhook import Hook

CANARIES = (NAME, EMAIL, NUMBER)


def test_the_database_is_named_and_its_password_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILESTONES_DATABASE", "postgresql://u:secret@h/d")
    instance.write(tmp_path)
    text = (tmp_path / "dagster.yaml").read_text()
    assert "secret" not in text
    report = yaml.safe_load(text)
    assert report["storage"] == {"postgres": {"postgres_url": {"env": "MILESTONES_DATABASE"}}}
    assert report["telemetry"] == {"enabled": False}
    monkeypatch.delenv("MILESTONES_DATABASE")
    instance.write(tmp_path)
    assert "storage" not in yaml.safe_load((tmp_path / "dagster.yaml").read_text())
    # Dagster itself takes the settings.
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        assert found.run_monitoring_enabled
        assert found.get_concurrency_config().pool_config.default_pool_limit == 1
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    instance.write(tmp_path)
    assert (tmp_path / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_what_a_library_prints_is_kept_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whether by Python or below it. It goes where the process writes to; before, Dagster kept a
    copy, for two helper processes a stream to send on, and waited for these a minute wherever
    signals to end are blocked."""

    @dg.op
    def chatty() -> None:
        print(NAME)
        os.write(2, EMAIL.encode())

    @dg.job
    def nightly() -> None:
        chatty()

    monkeypatch.setattr(
        "pipeline.definitions.definitions", lambda _: dg.Definitions(jobs=[nightly])
    )
    with mock.patch.dict(os.environ):
        os.environ.pop("DAGSTER_HOME", None)
        assert run_job(tmp_path, "nightly", None) is Exit.DONE
    printed = capfd.readouterr()
    assert NAME in printed.out
    assert EMAIL in printed.err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"chatty" in path.read_bytes() for path in files), "the run has its events"
    for canary in (NAME, EMAIL):
        assert not [path for path in files if canary.encode() in path.read_bytes()]


def test_whoever_writes_to_the_store_is_in_its_pool() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.executable_asset_keys:
        if key.path != ["retained", "deletion_plan"]:
            assert graph.get(key).pools == {instance.POOL}, key
    for name in ("nightly", "retention"):
        assert defs.resolve_job_def(name).tags["dagster/max_runtime"] == str(instance.LONGEST_RUN)


class Letters:
    """What a mail server was given."""

    def __init__(self) -> None:
        self.got: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.got.append(envelope)
        return "250 taken"


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Iterator[Letters]:
    kept = Letters()
    port = free_port()
    controller = Controller(kept, hostname="127.0.0.1", port=port)
    controller.start()
    monkeypatch.setenv(alerts.SMTP, f"smtp://127.0.0.1:{port}")
    yield kept
    controller.stop()


@pytest.fixture
def failed_run(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterRun:
    """A run whose step fails with a person's data in its exception."""

    def careless(*_: object, **__: object) -> None:
        raise RuntimeError(f"{NAME} <{EMAIL}> has no number {NUMBER}")

    write_delivery(estate.delivery(), *company())
    monkeypatch.setattr("assets.raw.ingest", careless)
    result = estate.run_in_dagster()
    assert not result.success
    run = estate.instance.get_run_by_id(result.run_id)
    assert run is not None
    return run


def sensed(estate: Estate, run: dg.DagsterRun, name: str) -> Any:
    """What the sensor does with an ended run."""
    (event,) = (
        entry.dagster_event
        for entry in estate.instance.all_logs(run.run_id)
        if entry.dagster_event
        and (entry.dagster_event.is_job_failure or entry.dagster_event.is_job_success)
    )
    context = dg.build_run_status_sensor_context(
        name,
        event,
        estate.instance,
        run,
        repository_def=defs.get_repository_def(),
        resources={"store": dict(defs.resources or {})["store"]},
    )
    sensor = defs.get_sensor_def(name)
    if run.is_failure_or_canceled:
        context = context.for_run_failure()
    return sensor(context)


def test_an_alert_says_what_failed_and_no_value(
    estate: Estate,
    failed_run: dg.DagsterRun,
    hook: type[Hook],
    letters: Letters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(alerts.UI, "https://dagster.example/")
    assert sensed(estate, failed_run, "alert_on_failure") is None
    (report,) = hook.got
    assert report["job"] == "nightly"
    assert report["partition"] == str(RUN_DATE)
    assert report["failed"] == ["raw__milestones (RuntimeError)"]
    assert report["link"] == f"https://dagster.example/runs/{failed_run.run_id}"
    assert "last successful run" in report["text"]
    (letter,) = letters.got
    assert letter.rcpt_tos == ["data-platform@example.com", "dpo@example.com", "legal@example.com"]
    text = json.dumps(report) + str(letter.content)
    assert not [one for one in CANARIES if one in text]


def test_an_alert_that_nobody_took_is_sent_again(
    estate: Estate, failed_run: dg.DagsterRun, hook: type[Hook]
) -> None:
    hook.failures = 1
    with pytest.raises(OSError, match="500"):
        sensed(estate, failed_run, "alert_on_failure")
    assert sensed(estate, failed_run, "alert_on_failure") is None
    assert len(hook.got) == 1


def test_without_a_receiver_the_sensor_says_so(estate: Estate, failed_run: dg.DagsterRun) -> None:
    assert "neither an alert webhook" in str(sensed(estate, failed_run, "alert_on_failure"))


def test_an_alert_names_the_checks_that_stopped_the_run(estate: Estate, hook: type[Hook]) -> None:
    write_delivery(estate.delivery(), [record(p, Score="n/a") for p in range(9)] + [record(9)])
    result = estate.run_in_dagster()
    run = estate.instance.get_run_by_id(result.run_id)
    assert run is not None
    sensed(estate, run, "alert_on_failure")
    assert hook.got[0]["checks"] == ["raw/milestones canonical_schema"]


def test_a_killed_run_is_published_of_too() -> None:
    text = Alert("retention", None, "r1", (), (), None).text
    assert "retention failed: the run was ended." in text


def test_what_is_gone_for_a_moment_is_tried_again_and_nothing_else(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, calls = ingest, list[int]()

    def flaky(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionResetError(NAME)
        return honest(*arguments, **named)

    write_delivery(estate.delivery(), *company())
    monkeypatch.setattr(common, "FIRST_WAIT", 0)
    monkeypatch.setattr("assets.raw.ingest", flaky)
    result = estate.run_in_dagster(assets=[lineage.CANONICAL])
    assert result.success, errors(result)
    assert len(calls) == 3
    report = "".join(entry.to_json() for entry in estate.instance.all_logs(result.run_id))
    assert NAME not in report

    def bug(*_: object, **__: object) -> None:
        calls.append(1)
        raise ValueError

    calls.clear()
    monkeypatch.setattr("assets.raw.ingest", bug)
    assert not estate.run_in_dagster(assets=[lineage.CANONICAL]).success
    assert len(calls) == 1

    def away(*_: object, **__: object) -> None:
        calls.append(1)
        raise ConnectionResetError(NAME)

    calls.clear()
    monkeypatch.setattr("assets.raw.ingest", away)
    result = estate.run_in_dagster(assets=[lineage.CANONICAL])
    assert not result.success
    assert len(calls) == 1 + common.RETRIES
    assert NAME not in errors(result)


def test_metrics_tell_ages_and_counts_and_nobody(
    dagster_company: tuple[Estate, dg.ExecuteInProcessResult],
) -> None:
    run_date, result = dagster_company
    done = milestones(run_date.home, "metrics")
    assert done.returncode == 0, done.stderr
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(done.stdout)
        for sample in family.samples
    }
    released = found["milestones_release_timestamp_seconds",]
    record = run_date.instance.get_run_record_by_id(result.run_id)
    assert record is not None
    assert int(record.start_time or 0) <= released <= (record.end_time or 0)
    (story,) = (
        one
        for one in json.loads((run_date.layout.reconciliation / f"{RUN_DATE}.json").read_text())
        if one["table"] == "manager_extract"
    )
    for way in ("received", "quarantined", "superseded", "published"):
        assert found["milestones_records", "manager_extract", way] == story[way]
    assert found["milestones_suppressed_records", "manager_extract", "sensitive course"] > 0
    assert found["milestones_requests_overdue",] == 0
    assert found["milestones_document_days_left", "purpose one_to_one"] > 0
    assert not [one for one in CANARIES if one in done.stdout]
    assert not re.search(r"v1[cmha]\d+_", done.stdout), "a pseudonym is in the metrics"


def test_metrics_of_an_empty_folder(tmp_path: Path) -> None:
    done = milestones(tmp_path / "home", "metrics")
    assert done.returncode == 0, done.stderr
    assert "milestones_release_timestamp_seconds" not in done.stdout
    assert "milestones_erasures_pending 0.0" in done.stdout


def test_openlineage_leads_from_every_published_column_to_delivered_ones(
    dagster_company: tuple[Estate, dg.ExecuteInProcessResult],
    data_map: DataMap,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_date, result = dagster_company
    run = run_date.instance.get_run_by_id(result.run_id)
    assert run is not None
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
    assert "no OpenLineage backend" in str(sensed(run_date, run, "lineage_on_success"))
    path, config = tmp_path / "events.jsonl", tmp_path / "openlineage.yml"
    config.write_text(f"transport: {{type: file, log_file_path: '{path}', append: true}}")
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(config))
    assert sensed(run_date, run, "lineage_on_success") is None
    events = [json.loads(line) for line in path.read_text().splitlines()]
    outputs = {one["name"]: one for event in events for one in event["outputs"]}
    links = {
        (name, column): [(i["name"], i["field"]) for i in report["inputFields"]]
        for name, one in outputs.items()
        for column, report in one["facets"].get("columnLineage", {}).get("fields", {}).items()
    }

    def ends(name: str, column: str) -> set[tuple[str, str]]:
        if name.startswith("landing."):
            return {(name, column)}
        return {end for step in links[name, column] for end in ends(*step)}

    for table, spec in data_map.published.items():
        output = outputs[f"published.{table}"]
        fields = {one["name"] for one in output["facets"]["schema"]["fields"]}
        assert fields == set(spec.columns)
        assert output["outputFacets"]["outputStatistics"]["rowCount"] >= 0
        for column in set(spec.columns) - {"source"}:
            assert ends(f"published.{table}", column), f"{table}.{column}"
    for event in events:
        assert event["run"]["facets"]["parent"]["run"]["runId"] == run.run_id
        assert event["eventType"] == "COMPLETE"
    assert not [one for one in CANARIES if one in path.read_text()]
    assert openlineage.wanted()


def test_a_backfill_publishes_what_run_after_run_would(published: Estate, tmp_path: Path) -> None:
    days = [RUN_DATE + dt.timedelta(days=n) for n in (1, 2)]
    for n, day in enumerate(days):
        write_delivery(published.delivery(day), [record(n, Course_Code="SQL-220")])
    homes = {"at once": published.home, "one by one": tmp_path / "one by one"}
    shutil.copytree(published.home, homes["one by one"], symlinks=True)
    done = milestones(homes["at once"], "backfill", "--from", "2026-11-01", "--to", "2026-12-01")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"delivery of {days[0]}, 1 of 1" in done.stdout
    for day in days:
        ran = plain.run(Store(home=str(homes["one by one"])), day)
        assert ran.success, ran.errors
    at_once, one_by_one = (
        # A month of coaching is published once, with what is known by then.
        {name: rows for name, rows in tables(home).items() if "coaching" not in name}
        for home in homes.values()
    )
    assert at_once == one_by_one
    assert tables(homes["at once"])["coaching_period"]
    # What is in the store by then is not read again, and the last one is run.
    with mock.patch("pipeline.cli.run.run", return_value=Exit.DONE) as run:
        again = milestones(
            homes["at once"], "backfill", "--from", str(days[0]), "--to", str(days[-1])
        )
    assert again.returncode == 0
    assert "delivery of" not in again.stdout
    assert run.call_args.args == (homes["at once"], days[-1])
    nothing = milestones(homes["at once"], "backfill", "--from", "2020-01-01", "--to", "2020-02-01")
    assert nothing.returncode == 2
    assert "there is no delivery between" in nothing.stderr + nothing.stdout


SETTINGS = re.compile(r"\b(?:MILESTONES|OPENLINEAGE|DAGSTER)_[A-Z_]+\b")


def test_the_deployment_sets_only_what_the_product_reads() -> None:
    code = "".join(
        path.read_text()
        for folder in ("pipeline", "assets")
        for path in (PROJECT / folder).rglob("*.py")
    )
    others = {name for name in SETTINGS.findall(code) if not name.startswith(PREFIX)}
    known = others | {"DAGSTER_HOME", "DAGSTER_REDACT_USER_CODE_ERRORS"}
    known |= {variable(name) for name in Settings.model_fields}
    for name in ("Dockerfile", "compose.yaml", "kubernetes.yaml"):
        used = set(SETTINGS.findall((PROJECT / "deploy" / name).read_text()))
        assert used <= known, name
    services = yaml.safe_load((PROJECT / "deploy" / "compose.yaml").read_text())["services"]
    for name in ("code", "daemon", "webserver", "operators", "metrics", "proxy"):
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name].get("cap_add", []) == ["NET_BIND_SERVICE"] * (name == "proxy")
        assert all(port.startswith("127.0.0.1:") for port in services[name].get("ports", []))

    # A volume over a folder that the image does not have would be root's, and closed to its user.
    volumes = {one.split(":")[1] for one in services["code"]["volumes"]}
    made = (PROJECT / "deploy" / "Dockerfile").read_text().split("-m 0700 ")[1].split("\n")[0]
    assert volumes <= set(made.split())

    # Whoever looks or starts runs has neither keys nor data, and no port past the login.
    for name in ("daemon", "webserver", "operators"):
        assert set(services[name]["environment"]) == {"MILESTONES_HOME", "MILESTONES_DATABASE"}
        assert not services[name].get("volumes")
        assert not services[name].get("secrets")
    assert "ports" not in services["operators"]
    assert services["operators"]["networks"] == ["inside"]
    assert "--read-only" in services["webserver"]["command"]
    assert "--read-only" not in services["operators"]["command"]


KEYS = {"MILESTONES_STORAGE_KEY", "MILESTONES_LOG_KEY", "MILESTONES_LOG", "MILESTONES_ANCHOR"}


def test_kubernetes_takes_the_manifests() -> None:
    found = list(yaml.safe_load_all((PROJECT / "deploy" / "kubernetes.yaml").read_text()))
    for one in found:
        kubernetes_validate.validate(one, "1.33", strict=True)
    pods = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in found
        if one["kind"] == "Deployment"
    }
    assert set(pods) == {"code", "dagster", "operators"}
    for name, pod in pods.items():
        assert pod["securityContext"]["runAsNonRoot"]
        claims = {
            one["persistentVolumeClaim"]["claimName"]
            for one in pod["volumes"]
            if len(one) > 1 and "persistentVolumeClaim" in one
        }
        assert claims == ({"data", "anchor"} if name == "code" else set())
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            given = {one["name"] for one in container["env"]}
            assert (given & KEYS == KEYS) if name == "code" else not given & KEYS
            if "dagster-webserver" in container["args"]:
                assert ("--read-only" in container["args"]) == (name == "dagster")
    policies = [one["spec"] for one in found if one["kind"] == "NetworkPolicy"]
    assert {str(one["podSelector"]) for one in policies} >= {
        "{'matchLabels': {'app': 'milestones', 'part': 'code'}}"
    }
    assert all("from" in rule for one in policies for rule in one["ingress"])

"""Every environment variable of the pipeline, once, with its type and what it means.

`settings()` reads the environment afresh, so that a change of it counts from the next call on.
DAGSTER_HOME, VAULT_ADDR, VAULT_TOKEN and OPENLINEAGE_* belong to the libraries that read them.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import SettingsError
from pipeline.faults import explained

PREFIX = "MILESTONES_"


class Settings(BaseSettings):
    """The variables of the environment; each is called MILESTONES_ and the field's name. An empty
    variable counts as unset. What may hold a password or a key does not print itself."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Path = Field(Path("data"), description="The data folder.")
    landing: str | None = Field(
        None, description="Where deliveries arrive, any fsspec URL; default `<home>/landing`."
    )
    policy: Path | None = Field(
        None, description="Folder of the policy files; default the project's own."
    )
    actor: str | None = Field(
        None, description="Who reads or signs; default the user of the operating system."
    )
    first_run_date: dt.date = Field(
        dt.date(2026, 1, 1), description="First run date that Dagster offers, YYYY-MM-DD."
    )
    memory: str = Field(
        "2GB", description="Memory limit of DuckDB; beyond it, DuckDB spills into the data folder."
    )
    threads: int | None = Field(
        None, ge=1, description="Threads of DuckDB, and processes; default one per core."
    )
    stable_seconds: float = Field(
        10,
        ge=0,
        description="For how many seconds nothing in a delivery without a marker may have changed "
        "before it is read.",
    )
    lrs_credentials: Path | None = Field(
        None,
        description="File (YAML, mode 0600) of the names and passwords for the Learning Record "
        "Stores that statements are pulled from; see docs/sources.md.",
    )
    keyring: Path | None = Field(
        None,
        description="File of the pseudonym keys, mode 0600; default `<home>/vault/keyring.json`.",
    )
    storage_key: SecretStr | None = Field(
        None, description="Key for encryption at rest, 256 bits in hexadecimal."
    )
    storage_key_vault: str | None = Field(
        None,
        description="Where the storage key is in HashiCorp Vault (KV version 2), "
        "`mount/path#field`; uses VAULT_ADDR and VAULT_TOKEN.",
    )
    storage_key_file: Path | None = Field(
        None,
        description="File of the storage key, mode 0600; default `<home>/vault/storage.key`, "
        "created by the first run.",
    )
    log: SecretStr | None = Field(
        None, description="PostgreSQL URL for the access log; default files in the vault."
    )
    log_key: Path | None = Field(
        None,
        description="File of the access log's signing key (PEM, mode 0600), outside the data "
        "folder; made with the first entry. Default `<home>/vault/access-key.pem`.",
    )
    log_key_vault: str | None = Field(
        None,
        description="Where the access log's signing key (PEM) is in HashiCorp Vault (KV version "
        "2), `mount/path#field`.",
    )
    production: bool = Field(
        False,
        description="Set it where real people's data is: nothing is done while the access log's "
        "signing key or its anchor lies in the data folder.",
    )
    anchor: Path | None = Field(
        None,
        description="File that shows whether the end of the access log was cut off; keep it on "
        "another system. Default `<home>/vault/access/anchor`.",
    )
    database: SecretStr | None = Field(
        None, description="PostgreSQL URL for Dagster's storage; default SQLite in DAGSTER_HOME."
    )
    alert_webhook: SecretStr | None = Field(
        None, description="URL that receives JSON by POST when a run failed or did not happen."
    )
    alert_smtp: SecretStr | None = Field(
        None,
        description="Mail server for alerts, `smtp://[user:password@]host:port`; mail goes to "
        "everybody under `escalation` in governance.yaml.",
    )
    url: str | None = Field(None, description="Address of Dagster's UI, for links in alerts.")
    cluster: str | None = Field(
        None, description="Address of a Dask scheduler whose workers share the large steps."
    )
    exchange: str | None = Field(
        None,
        description="Object storage between a run and the cluster's workers, any fsspec URL; "
        "default the shared data folder.",
    )
    clock_is_right: dt.date | None = Field(
        None,
        description="Confirms today's date, YYYY-MM-DD, after nothing has run for weeks and "
        "retention refuses to start.",
    )


def variable(field: str) -> str:
    """The environment variable of a field.

    Raises:
        KeyError: there is no such setting.
    """
    Settings.model_fields[field]
    return PREFIX + field.upper()


def settings() -> Settings:
    """The settings as the environment has them now.

    Raises:
        SettingsError: a variable has a wrong value; names the variable, never the value.
    """
    return _read(frozenset((name, os.environ[name]) for name in os.environ if _is_ours(name)))


def _is_ours(name: str) -> bool:
    return name.upper().startswith(PREFIX)


@lru_cache(maxsize=1)
def _read(environment: frozenset[tuple[str, str]]) -> Settings:
    """The settings of an environment; an argument, so that another one is read anew."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = explained(error, Settings, variable)
    raise SettingsError(wrong)


def use_home(home: Path) -> None:
    """Make a folder the data folder of this process and of those that it starts."""
    os.environ[variable("home")] = str(home)


def use_policy(folder: Path) -> None:
    """Make a folder's policy files those of this process and of those that it starts."""
    os.environ[variable("policy")] = str(folder.absolute())


@contextmanager
def changed(values: Mapping[str, str | None]) -> Iterator[None]:
    """Other settings during the block, by their fields; None takes one away."""
    before = dict(os.environ)
    for field, value in values.items():
        os.environ.pop(variable(field), None)
        if value is not None:
            os.environ[variable(field)] = value
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

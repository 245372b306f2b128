"""A data folder and its backups carry a format number; those of another format are refused."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from assets.resources import Store
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.raw.deliveries import ingest
from pipeline.retained import backup
from pipeline.retained.data_inventory import undeclared_files
from pipeline.storage import store_format
from pipeline.storage.layout import Layout
from tests.company import company, write_delivery

FILE, FORMAT = store_format.FILE, store_format.FORMAT
DELIVERY = dt.date(2026, 11, 24)
NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


def filled(home: Path) -> Context:
    """A data folder with one delivery in its store."""
    write_delivery(home / "landing" / str(DELIVERY), *company())
    context = Store(home=str(home)).context
    ingest(context.layout, context.data_map, DELIVERY)
    return context


def test_a_new_data_folder_gets_its_number_with_the_first_write(tmp_path: Path) -> None:
    home = tmp_path / "home"
    layout = Store(home=str(home)).layout
    assert not home.exists()
    with layout.locked():
        assert json.loads((home / FILE).read_text()) == {"format": store_format.FORMAT}
    assert (home / FILE).stat().st_mode & 0o777 == 0o600
    assert not undeclared_files(layout)
    assert Store(home=str(home)).context.layout == layout


def test_the_number_is_written_once(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / FILE).write_text(json.dumps({"format": 7}))
    with Layout(tmp_path).locked():
        assert json.loads((tmp_path / FILE).read_text()) == {"format": 7}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"format": 7}',
            f"This data folder has format 7; this version reads format {FORMAT}. Install the "
            "version that wrote it, or start a new data folder.",
        ),
        ("{}", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_a_data_folder_of_another_format_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    filled(tmp_path)
    (tmp_path / FILE).write_text(content)
    with pytest.raises(PolicyError) as refused:
        _ = Store(home=str(tmp_path)).context
    assert message in str(refused.value)


def test_a_data_folder_from_before_there_were_formats_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / FILE).unlink()
    with Layout(tmp_path).locked():
        assert not (tmp_path / FILE).exists()
    with pytest.raises(PolicyError, match="before formats; start a new data folder"):
        _ = Store(home=str(tmp_path)).layout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": 7}', f"This backup has format 7; this version reads format {FORMAT}"),
        (None, "before formats"),
    ],
)
def test_a_backup_of_another_format_is_refused(
    tmp_path: Path, content: str | None, message: str
) -> None:
    context = filled(tmp_path)
    made = backup.make(context, NOW)
    assert json.loads((made / FILE).read_text()) == {"format": store_format.FORMAT}
    backup.restore(context, made)
    if content is None:
        (made / FILE).unlink()
    else:
        (made / FILE).write_text(content)
    stored = sorted(context.layout.canonical.rglob("*"))
    with pytest.raises(PolicyError, match=message):
        backup.restore(context, made)
    assert sorted(context.layout.canonical.rglob("*")) == stored

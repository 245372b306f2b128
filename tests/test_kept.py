"""A run makes only the months that changed, and has what it would have made from nothing."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

from pipeline.policy.fields import Audience
from pipeline.storage.layout import Layout
from pipeline.subjects import restrictions
from tests import plain
from tests.company import number, record, write_delivery
from tests.estate import BEFORE, NOW, as_of, company_with_a_past
from tests.fixtures import RUN_DATE, Estate, errors
from tests.spread import stored

OLD, SEPTEMBER, OCTOBER = "2023-11-01", "2026-09-01", "2026-10-01"
Month = tuple[str, str]


def files(home: Path) -> dict[Month, int]:
    """Purpose and month to inode."""
    found = sorted(Layout(home).pseudonymized.glob("*/*/rows.parquet"))
    return {
        (path.parent.parent.name, path.parent.name.removeprefix("period=")): path.stat().st_ino
        for path in found
    }


def made(past: Estate, run_date: dt.date = RUN_DATE, moment: dt.datetime = BEFORE) -> set[Month]:
    """Run the job up to the stores; which months it made."""
    before = files(past.home)
    with as_of(moment):
        result = past.run(run_date, plain.STORES)
    assert result.success, errors(result)
    after = files(past.home)
    assert before.keys() <= after.keys()
    return {month for month, inode in after.items() if before.get(month) != inode}


def of(month: str, *purposes: Audience) -> set[Month]:
    return {(one.value, month) for one in purposes or Audience}


def test_a_run_makes_the_months_that_changed(past: Estate) -> None:
    assert {month for _, month in files(past.home)} == {OLD, SEPTEMBER, OCTOBER}
    assert made(past) == set()
    # The same export once more: other deliveries hold the records, and nothing else is new.
    days = [RUN_DATE + dt.timedelta(days=n) for n in (1, 2)]
    write_delivery(past.delivery(days[0]), *company_with_a_past())
    assert made(past, days[0]) == set()
    # A corrected score is in no manager's extract.
    write_delivery(past.delivery(days[1]), [record(1, Score="10")])
    others = (Audience.COACHING, Audience.ANALYTICS, Audience.HR_LEGAL)
    assert made(past, days[1]) == of(OCTOBER, *others)
    # Somebody objects to one purpose.
    layout = past.context.layout
    restrictions.restrict(layout, f"emp:{number(15)}", [Audience.COACHING], restrictions.OBJECTED)
    assert made(past, days[1]) == {
        *of(SEPTEMBER, Audience.COACHING),
        *of(OCTOBER, Audience.COACHING),
    }
    # A window passes; the other tables' own ones were over before.
    assert made(past, days[1], NOW) == of(OLD, Audience.COACHING, Audience.HR_LEGAL)
    # A file is damaged, another is not the one that was made.
    where = layout.pseudonymized_for(Audience.MANAGER)
    one, other = (where / f"period={month}" / "rows.parquet" for month in (SEPTEMBER, OCTOBER))
    good = other.read_bytes()
    other.unlink()
    shutil.copy(one, other)
    assert made(past, days[1], NOW) == of(OCTOBER, Audience.MANAGER)
    assert other.read_bytes() == good
    # All that is what a run makes from nothing.
    found = stored(past.home)
    shutil.rmtree(layout.pseudonymized)
    assert made(past, days[1], NOW) == of(OLD) | of(SEPTEMBER) | of(OCTOBER)
    assert stored(past.home) == found
    # Under another key nothing stays.
    past.context.ring.rotate(NOW.date())
    assert made(past, days[1], NOW) == of(OLD) | of(SEPTEMBER) | of(OCTOBER)

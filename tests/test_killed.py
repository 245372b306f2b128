"""A deletion or a run that dies at any point is made good by one more run."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.retained import backup
from tests.company import company, record, write_delivery
from tests.estate import NOW
from tests.fixtures import RUN_DATE, Estate
from tests.kill_points import SITES
from tests.killed import POINTS, killed

pytestmark = pytest.mark.long


@POINTS
@pytest.mark.parametrize(("deed", "moments", "least"), [("retention", 30, 25), ("person", 24, 2)])
def test_a_killed_deletion_reaches_the_same_end(
    with_a_past: Estate, tmp_path: Path, deed: str, moments: int, least: int, points: str
) -> None:
    """SIGKILL before a change of a name: the release is whole all the time, and one re-run by
    itself reaches the end state of a run that was never killed, with nothing lost. Outside of a
    soak the re-run is cut off as well, at the next place, and so on."""
    output = killed(deed, with_a_past.home, tmp_path, points, moments)
    assert output.chosen >= least
    for point in output.points:
        whole, middle, end = point["whole"], point["middle"], point["end"]
        assert "unreadable" not in middle, ("readers saw half a release", point["site"])
        assert middle["whole"], point["site"]
        assert point["again"] == 0, point["site"]
        for part in ("records", "tables", "named", "open", "work", "releases", "landing"):
            assert end[part] == whole[part], (point["point"], part, point["site"])
        assert end["open"] == end["work"] == []
        # No receipt before everything was gone, and none that counts too little.
        if middle["receipts"]:
            assert middle["records"] == whole["records"]
            assert middle["tables"] == whole["tables"]
        rows = whole["receipts"][0]["rows"]
        for place in ("canonical records", "classified"):
            gone = sum(
                one["rows"][place]["before"] - one["rows"][place]["after"]
                for one in end["receipts"]
                if place in one["rows"]
            )
            assert gone == rows[place]["before"] - rows[place]["after"]


@POINTS
@pytest.mark.parametrize(
    ("deed", "moments", "least"),
    [
        ("run", 20, 30),
        pytest.param("run in two renames", 0, 9, marks=pytest.mark.soak),
    ],
)
def test_a_killed_run_is_made_good_by_one_more(
    published: Estate, tmp_path: Path, deed: str, moments: int, least: int, points: str
) -> None:
    """Readers see a release whole, the old one or the new, and a re-run reaches the new one; also
    where a folder is replaced by two renames, and killed between them."""
    rows, people, statements = company()
    later = RUN_DATE + dt.timedelta(days=1)
    write_delivery(published.delivery(later), rows[:5], people, statements)
    output = killed(deed, published.home, tmp_path, points, moments)
    assert output.chosen >= least
    for point in output.points:
        whole, middle, end = point["whole"], point["middle"], point["end"]
        assert "unreadable" not in middle, point["site"]
        assert middle["partition"] in (str(RUN_DATE), str(later))
        assert middle["whole"]
        assert middle["readable"]
        assert point["again"] == 0, point["site"]
        assert end == whole, point["site"]
        assert (end["partition"], end["whole"], end["releases"]) == (str(later), True, 1)
        assert end["work"] == []
    # Of the points that a soak draws, a share need not have one of each.
    if deed == "run" and points == SITES:
        assert {point["middle"]["partition"] for point in output.points} == {
            str(RUN_DATE),
            str(later),
        }


@POINTS
@pytest.mark.parametrize(
    "deed", [pytest.param("restore", marks=pytest.mark.soak), "restore in two renames"]
)
def test_a_killed_restore_leaves_the_old_store_or_the_new_one(
    published: Estate, tmp_path: Path, deed: str, points: str
) -> None:
    """Whoever comes next, be it a run and no second restore, finds all rows of one of the two."""
    backup.make(published.context, NOW)
    later = RUN_DATE + dt.timedelta(days=1)
    write_delivery(published.delivery(later), [record(n, Course_Code="SQL-220") for n in range(3)])
    assert published.run(later).success
    output = killed(deed, published.home, tmp_path, points)
    assert output.chosen >= 3
    stores = [output.before["records"], output.whole["records"]]
    assert len(stores[0]) == len(stores[1]) + 3
    for point in output.points:
        assert point["middle"]["records"] in stores, point["site"]
        assert point["middle"]["periods"] == output.before["periods"] != {}, point["site"]
        assert point["again"] == 0, point["site"]
        assert point["end"]["records"] == stores[1], point["site"]

"""Countries: what a source may write for one, and what becomes of people from nowhere we know.

The kind of fault: a text that is not understood passes as the most convenient value. Whatever is no
country is unknown, wherever its delivery lay, and unknown is published to nobody unless policy says
by which mechanism.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.classified.classify import home_regions, make_country_names
from pipeline.classified.models import COUNTRY_NAMES
from pipeline.policy import countries
from pipeline.policy.data_map import UNKNOWN_REGION, DataMap
from pipeline.policy.fields import Audience
from pipeline.storage.engine import engine
from pipeline.storage.layout import PROJECT
from pipeline.storage.relations import classified
from pipeline.storage.sql import Sql, tuples
from tests import plain
from tests.company import company, person, record, write_delivery
from tests.estate import policy_with
from tests.fixtures import RUN_DATE, Estate, errors
from tests.opened import released

WRITTEN = {
    "DE": [
        "DE",
        " de ",
        "DEU",
        "276",
        "Germany",
        "GERMANY",
        "Deutschland",
        "Allemagne",
        "Niemcy",
        "Federal Republic of Germany",
        "Bundesrepublik Deutschland",
        "Saksa",
        "Γερμανία",
    ],
    "GB": [
        "GB",
        "GBR",
        "826",
        "UK",
        "U.K.",
        "Great Britain",
        "United Kingdom",
        "england",
        "Großbritannien",
        "GROSSBRITANNIEN",
        "Vereinigtes Königreich",
        "Vereinigtes Koenigreich",
        "Reino Unido",
        "Royaume-Uni",
        "The United Kingdom",
        "united_kingdom",
    ],
    "US": [
        "US",
        "USA",
        "U.S.A.",
        "United States",
        "the United States of America",
        "États-Unis",
        "Etats Unis",
        "EE.UU.",
        "Stany Zjednoczone",
    ],
    "NL": ["NL", "Holland", "The Netherlands", "Niederlande", "Países Bajos", "Paises  Bajos"],
    "AT": ["Austria", "Österreich", "OESTERREICH", "Osterreich", "040"],
    "CZ": ["Czech Republic", "Czechia", "Tschechien", "Česko"],
    "SE": ["Sverige", "Szwecja", "Suède"],
    "DK": ["Dänemark", "Daenemark"],
    "IE": ["Ireland", "Irland", "Republic of Ireland"],
    "KR": ["Korea, Republic of", "Republic of Korea", "South Korea", "Südkorea"],
    "PL": ["Polska", "Polen", "Pologne"],
    "SK": ["Slovenská republika", "Slowakei"],
    "CI": ["Côte d'Ivoire", "Cote d’Ivoire"],
}
UNKNOWN = [
    "Atlantis",
    "EU",
    "Europe",
    "XX",
    "ZZ",
    "D",
    "de-DE",
    "49",
    "+49",
    "+43",
    "44",
    "40",
    "Korea",
    "n/a",
    "-",
    "0",
    "DE/FR",
    "Germany or France",
    "Bavaria",
    "null",
    "?",
]


def meant_by(texts: list[str], tmp_path: Path) -> dict[str, str]:
    """What each text means; nothing for what is no country."""
    with engine(tmp_path) as connection:
        make_country_names(connection)
        return dict(
            connection.sql(
                "SELECT t.text, n.country "
                f"FROM (VALUES {tuples((one,) for one in texts)}) t (text) JOIN {COUNTRY_NAMES} n "
                "ON n.name = country_key(t.text)"
            ).fetchall()
        )


def test_a_country_is_known_by_its_codes_and_names(tmp_path: Path) -> None:
    meant = {text: code for code, texts in WRITTEN.items() for text in texts}
    assert meant_by(list(meant), tmp_path) == meant


def test_readers_that_write_in_capitals_change_nothing(tmp_path: Path) -> None:
    meant = {text.upper(): code for code, texts in WRITTEN.items() for text in texts}
    assert meant_by(list(meant), tmp_path) == meant


def test_what_is_no_country_means_none(tmp_path: Path) -> None:
    assert meant_by(UNKNOWN, tmp_path) == {}


def test_every_code_means_its_country_and_nothing_else(tmp_path: Path) -> None:
    codes = {name: code for name, code, rank in countries.names() if rank == 0}
    assert len(codes) == 3 * 249
    assert meant_by(list(codes), tmp_path) == codes
    with engine(tmp_path) as connection:
        make_country_names(connection)
        rows = connection.sql(f"SELECT count(*), count(DISTINCT name) FROM {COUNTRY_NAMES}")
        ((names, distinct),) = rows.fetchall()
    assert names == distinct


def test_a_region_has_countries_that_exist(data_map: DataMap) -> None:
    assert {code for listed in data_map.regions.values() for code in listed} <= countries.codes()


def test_a_country_has_its_region_or_none(tmp_path: Path, data_map: DataMap) -> None:
    given = ["GERMANY", "UK", "Atlantis", "CH", "276"]
    with engine(tmp_path) as connection:
        rows = Sql(f"(FROM (VALUES {tuples((one,) for one in given)}, (NULL)) t (country))")
        assert home_regions(connection, rows, data_map) == {
            "GERMANY": "EU",
            "UK": "UK",
            "276": "EU",
            "Atlantis": UNKNOWN_REGION,
            "CH": UNKNOWN_REGION,
        }


def _with_strangers(estate: Estate, folder: str = "") -> None:
    """The company, of which twelve more people in Sales are from countries written otherwise."""
    rows, people, statements = company()
    written = ["Germany", "Frankreich", "ATLANTIS", "XX", "Brasil", ""]
    for at in range(20, 32):
        changes = {"Country": written[at % 6], "Course_Code": "SEC-777"}
        rows.append(record(at, **changes))
        people.append(person(at, Country=changes["Country"]))
    write_delivery(estate.delivery() / folder, rows, people, statements)


def _regions(estate: Estate) -> dict[str | None, int]:
    with engine(estate.layout.work) as connection:
        return dict(
            connection.sql(
                f"SELECT region, count(*) FROM {classified(estate.layout)} "
                "WHERE course_code = 'SEC-777' GROUP BY region"
            ).fetchall()
        )


def _suppressed(estate: Estate) -> dict[str, int]:
    (path,) = estate.layout.reconciliation.glob("*.json")
    counts = json.loads(path.read_text())
    return {one["table"]: one["suppressed"].get("country unknown", 0) for one in counts}


def test_unknown_countries_are_published_to_nobody_and_counted(estate: Estate) -> None:
    _with_strangers(estate)
    result = estate.run()
    assert result.success, errors(result)
    assert _regions(estate) == {"EU": 4, UNKNOWN_REGION: 6, None: 2}
    assert set(_suppressed(estate).values()) == {6}
    with released(estate.home) as connection:
        ((shown,),) = connection.sql(
            "SELECT count(DISTINCT learner_ref) FROM hr_legal_detail_db.hr_legal_detail "
            "WHERE course_code = 'SEC-777'"
        ).fetchall()
    assert shown == 6


def test_no_folder_makes_an_unknown_country_known(estate: Estate) -> None:
    """The folder says where people are about whom nothing else is said."""
    _with_strangers(estate, "UK")
    result = estate.run(RUN_DATE, plain.STORES)
    assert result.success, errors(result)
    assert _regions(estate) == {"EU": 4, UNKNOWN_REGION: 6, "UK": 2}


def _mechanism(**changes: Any) -> dict[str, dict[str, object]]:
    there = yaml.safe_load((PROJECT / "governance.yaml").read_text())["transfers"]["unrestricted"]
    return {"transfers": {"unrestricted": [*there, there[0] | {"from": UNKNOWN_REGION} | changes]}}


@pytest.mark.parametrize(
    ("to", "left_out"),
    [
        (["DE"], {Audience.COACHING, Audience.ANALYTICS}),
        pytest.param(["DE", "IE"], set(), marks=pytest.mark.soak),
    ],
)
def test_policy_may_say_what_lets_them_be_transferred(
    estate: Estate, tmp_path: Path, to: list[str], left_out: set[Audience], data_map: DataMap
) -> None:
    """To the audiences of which a recipient is elsewhere they are not; to the others they are."""
    folder = policy_with(tmp_path / "policy", "governance.yaml", _mechanism(to=to))
    stand = Estate(estate.home, estate.instance, folder)
    _with_strangers(stand)
    result = stand.run()
    assert result.success, errors(result)
    assert _suppressed(stand) == {
        table: 6 * (spec.audience in left_out)
        for table, spec in data_map.published.items()
        if spec.dimension is None
    }

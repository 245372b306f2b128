"""The coaching page: what it draws is what the tables tell, and what they withhold it says."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from hashlib import md5
from pathlib import Path

import duckdb
import pytest

from pipeline.access.authorize import AccessRequest
from pipeline.language.languages import language
from pipeline.policy.access import Role
from pipeline.policy.fields import Audience
from pipeline.published import exports
from pipeline.published.reports import coaching_page, plots
from pipeline.read.receive import receive
from pipeline.storage.layout import PROJECT
from tests.company import EMAIL, NAME, NUMBER, TEXT
from tests.fixtures import Estate

K = 5
MONTH = dt.date(2026, 10, 1)
RUN, ENGLISH = "2026-11-08", language("en")
TEAMS = [f"v1c1_{md5(bytes([n])).hexdigest()}" for n in range(60)]


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    """Coaching tables of a company with sixty teams, made by hand."""
    made = duckdb.connect()
    made.execute("ATTACH ':memory:' AS staged")
    measures = (
        "learners BIGINT, records BIGINT, completion_rate DOUBLE, on_time_rate DOUBLE, "
        "median_days DOUBLE"
    )
    bands = ", ".join(f"share_{band} DOUBLE" for band in ("low", "mid", "high", "unscored"))
    for table, keys, more in (
        ("period", "", bands),
        ("department", "department VARCHAR,", ""),
        ("team", "department VARCHAR, team_ref VARCHAR,", ""),
        ("category", "category VARCHAR,", bands),
        ("course", "category VARCHAR, course_code VARCHAR,", bands),
        ("team_course", "department VARCHAR, team_ref VARCHAR, course_code VARCHAR,", ""),
    ):
        columns = f"period DATE, {keys} {measures}{', ' + more if more else ''}"
        made.execute(f"CREATE TABLE staged.coaching_{table} ({columns})")
    made.execute(
        "CREATE TABLE staged.coaching_courses (course_code VARCHAR, course_title VARCHAR, "
        "category VARCHAR)"
    )
    return made


def rows(connection: duckdb.DuckDBPyConnection, table: str, *values: tuple[object, ...]) -> None:
    marks = ", ".join("?" * len(values[0]))
    connection.executemany(f"INSERT INTO staged.coaching_{table} VALUES ({marks})", list(values))


def test_before_a_month_is_published(
    connection: duckdb.DuckDBPyConnection, finished_run: Estate
) -> None:
    output = coaching_page.page(connection, finished_run.context, RUN, ENGLISH)
    assert "No month has been published yet" in output
    assert "What this may be used for" in output


def test_what_is_suppressed_is_said(
    connection: duckdb.DuckDBPyConnection, finished_run: Estate
) -> None:
    rows(connection, "period", (MONTH, 900, 2000, 0.5, None, 7.5, 0.1, 0.2, 0.3, 0.4))
    rows(
        connection,
        "team",
        *(
            (MONTH, "Sales" if n % 2 else None, ref, 10 + n, 20, n / 60, 0.5, None)
            for n, ref in enumerate(TEAMS)
        ),
    )
    # Two teams that look alike once they are shortened are two all the same.
    alike = TEAMS[1][:-1] + "x"
    rows(
        connection,
        "team_course",
        (MONTH, "Sales", alike, "B-1", 6, 9, 0.5, None, None),
        (MONTH, "Sales", TEAMS[1], "A-1", 7, 9, 0.25, None, None),
        (MONTH, "Sales", TEAMS[3], "B-1", 8, 9, 0.75, None, None),
    )
    output = coaching_page.page(connection, finished_run.context, RUN, ENGLISH)
    assert "60 teams; the chart shows the 40 with the most people" in output
    assert "Together they cover 60% of the company's records" in output
    assert "<strong>suppressed</strong>" in output
    assert output.count('class="suppressed">not shown') == 3
    assert "25% <small>(7)</small>" in output
    assert "50% <small>(6)</small>" in output
    assert "75% <small>(8)</small>" in output
    # The smallest teams are not drawn, and a full pseudonym is on no page.
    assert f"{TEAMS[59][:13]}… Sales" in output
    assert not [ref for ref in TEAMS if ref in output]
    # The plot says in words what it shows.
    assert re.search(r'aria-label="Complete per team, Oct 2026: [^"]*Sales 98%', output)


def test_a_measure_that_falls_short_is_said_to_be_withheld(
    connection: duckdb.DuckDBPyConnection, finished_run: Estate
) -> None:
    rows(connection, "period", (MONTH, 900, 2000, 0.5, 0.5, 7.5, 0.1, 0.2, 0.3, 0.4))
    rows(
        connection,
        "course",
        (MONTH, "x", "A-1", 9, 20, 0.5, 0.4, 7, 0.1, 0.2, 0.3, 0.4),
        (MONTH, "x", "B-1", 8, 20, 0.5, 0.4, 7, None, None, None, None),
    )
    context = finished_run.context
    whole = coaching_page.page(connection, context, RUN, ENGLISH)
    assert "Without score bands: 1, since fewer than 5 people have a score" in whole
    assert re.search(r'aria-label="Score bands per course[^"]*A-1 80 and more', whole)
    assert not re.search(r'aria-label="Score bands per course[^"]*B-1', whole), "no bar of nothing"
    assert "<strong>withheld</strong>" not in whole
    rows(connection, "department", (MONTH, "Sales", 9, 20, 1.0, None, 1.0))
    page = coaching_page.page(connection, context, RUN, ENGLISH)
    assert page.count("<strong>withheld</strong>: fewer than 5 people have a due date") == 1


def test_courses_are_called_by_their_titles_with_the_code_beside(
    connection: duckdb.DuckDBPyConnection, finished_run: Estate
) -> None:
    """Titles are text from outside: of any length, with anything in it. As did a department, one
    with `$…$` stopped the drawing of the page, and with it the run."""
    titles = {
        "A-1": "Information security basics for everybody",
        "B-1": "",  # none
        "C-1": r"Costs: $\nosuch$ and <b>$5</b>",
        "D-1": "労働安全衛生の基礎",
    }
    rows(connection, "courses", *((code, title, "other") for code, title in titles.items()))
    for n, code in enumerate([*titles, "Z-9"]):  # of Z-9 the release has no row
        rows(connection, "course", (MONTH, "x", code, 20 - n, 20, *[0.5] * 3, 0.1, 0.2, 0.3, 0.4))
        rows(connection, "team_course", (MONTH, "Sales", TEAMS[0], code, 9, 9, 0.5, None, None))
    page = coaching_page.page(connection, finished_run.context, RUN, ENGLISH)
    beside = "Information security basics for everybody <small>A-1</small>"
    assert page.count(f'class="course">{beside}</th>') == 2, "in both tables"
    assert "Information security basi…</text>" in page, "and on the axis as much as there is room"
    assert "Information security basics for everybody, A-1 80 and more" in page, "aloud"
    assert page.count('class="course">B-1</th>') == page.count('class="course">Z-9</th>') == 2
    assert "Costs: $\\nosuch$ and &lt;b&gt;" in page
    assert "労働安全衛生の基礎" in page
    assert "<b>$5" not in page


def test_without_titles_there_are_codes(
    connection: duckdb.DuckDBPyConnection, finished_run: Estate
) -> None:
    """Policy has no dimension, or the release was made before it had one."""
    rows(connection, "course", (MONTH, "x", "A-1", 20, 20, *[0.5] * 3, 0.1, 0.2, 0.3, 0.4))
    rows(connection, "courses", ("A-1", "Not to be shown", "other"))
    context = finished_run.context
    published = {n: one for n, one in context.data_map.published.items() if not one.dimension}
    data_map = context.data_map.model_copy(update={"published": published})
    without = coaching_page.page(connection, replace(context, data_map=data_map), RUN, ENGLISH)
    connection.execute("DROP TABLE staged.coaching_courses")
    assert coaching_page.page(connection, context, RUN, ENGLISH) == without
    assert "Not to be shown" not in without
    assert 'class="course">A-1</th>' in without


def test_managers_see_which_team_is_theirs(
    connection: duckdb.DuckDBPyConnection, finished_run: Estate
) -> None:
    rows(connection, "period", (MONTH, 900, 2000, 0.5, 0.5, 7.5, 0.1, 0.2, 0.3, 0.4))
    earlier = dt.date(2026, 9, 1)
    mine, other = TEAMS[3], TEAMS[4]
    rows(
        connection,
        "team",
        (earlier, "Sales", mine, 6, 9, 0.5, None, 3),
        (MONTH, "Sales", mine, 6, 9, 0.625, 0.5, None),
        (MONTH, "Sales", other, 90, 99, 0.25, 0.5, 3),
    )
    context = finished_run.context
    page = coaching_page.page(connection, context, RUN, ENGLISH, mine)
    assert '<h2 id="own">Your team</h2>' in page
    assert "<td>+12</td>" in page, "the change since September, in points"
    assert re.search(r'aria-label="Complete in your team, per month: your team Sep 2026 50%', page)
    # Marked and first among the teams, though smaller; of others only the pseudonym.
    assert re.search(r'aria-label="Complete per team, Oct 2026: your team Sales 62%', page)
    assert f"{other[:13]}… Sales" in page
    assert mine[:13] not in page
    for reader in (None, "v1c1_nobody"):
        plain = coaching_page.page(connection, context, RUN, ENGLISH, reader)
        assert "your team" not in plain.lower()
        assert f"{mine[:13]}… Sales" in plain


def test_teams_are_called_by_their_units_where_policy_has_it(
    connection: duckdb.DuckDBPyConnection, finished_run: Estate
) -> None:
    """And nothing but what they are called differs."""
    rows(connection, "team", *((MONTH, "Sales", TEAMS[n], 9, 9, 0.5, 0.5, 3) for n in range(3)))
    context = finished_run.context
    plain = coaching_page.page(connection, context, RUN, ENGLISH)
    columns = ("team_ref", "unit")
    spec = context.data_map.published["coaching_courses"].model_copy(
        update={"dimension": "team", "columns": columns}
    )
    published = context.data_map.published | {"coaching_teams": spec}
    context = replace(
        context, data_map=context.data_map.model_copy(update={"published": published})
    )
    assert coaching_page.page(connection, context, RUN, ENGLISH) == plain, "no such table yet"
    connection.execute("CREATE TABLE staged.coaching_teams (team_ref VARCHAR, unit VARCHAR)")
    rows(connection, "teams", (TEAMS[0], "Sales North"), (TEAMS[1], "Sales"), (TEAMS[2], None))
    page = coaching_page.page(connection, context, RUN, ENGLISH)
    for name in ("Sales North · Sales", "Sales", f"{TEAMS[2][:13]}… Sales"):
        assert f'<th scope="row">{name}</th>' in page
    assert "Sales North, Sales 50%" in page, "aloud"
    assert "by a pseudonym where it has no unit of its own" in page
    assert re.findall(r"<td>[^<]*</td>", page) == re.findall(r"<td>[^<]*</td>", plain)


def test_nothing_is_called_suppressed_where_nothing_is(
    connection: duckdb.DuckDBPyConnection, finished_run: Estate
) -> None:
    rows(connection, "period", (MONTH, 9, 20, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    rows(connection, "department", (MONTH, "Sales", 9, 20, 1.0, 1.0, 1.0))
    output = coaching_page.page(connection, finished_run.context, RUN, ENGLISH)
    assert "nothing is suppressed" in output
    assert "<strong>suppressed</strong>" not in output


def test_a_policy_may_leave_columns_and_tables_out(finished_run: Estate) -> None:
    published = dict(finished_run.context.data_map.published)
    for table in ("coaching_period", "coaching_team_course"):
        published.pop(table)
    data_map = finished_run.context.data_map.model_copy(update={"published": published})
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS staged")
        for table, key in (("department", "department"), ("category", "category")):
            connection.execute(
                f"CREATE TABLE staged.coaching_{table} AS SELECT DATE '{MONTH}' AS period, "
                f"'Sales' AS {key}, 9 AS learners, 20 AS records"
            )
        for table in ("team", "course"):
            connection.execute(
                f"CREATE TABLE staged.coaching_{table} (period DATE, department VARCHAR, category "
                "VARCHAR, team_ref VARCHAR, course_code VARCHAR, learners INT, records INT)"
            )
        output = coaching_page.page(
            connection, replace(finished_run.context, data_map=data_map), RUN, ENGLISH
        )
    assert "Sales" in output
    assert "Month by month" not in output
    assert "<svg" not in output
    assert "Together" not in output


def test_names_from_the_data_cannot_become_code(
    connection: duckdb.DuckDBPyConnection, finished_run: Estate
) -> None:
    hostile = '"><script>alert(1)</script>'
    rows(connection, "period", (MONTH, 9, 20, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    rows(connection, "department", (MONTH, hostile, 9, 20, 1.0, 1.0, 1.0))
    rows(connection, "course", (MONTH, "x", hostile, 9, 20, 1.0, 1.0, 1.0, 0.1, 0.2, 0.3, 0.4))
    rows(connection, "team_course", (MONTH, None, TEAMS[0], hostile, 9, 20, 1.0, None, None))
    assert "<script" not in coaching_page.page(connection, finished_run.context, RUN, ENGLISH)


def test_the_page_leaves_with_the_release_and_names_nobody(finished_run: Estate) -> None:
    layout = finished_run.layout
    output = (layout.current / coaching_page.PAGE).read_text()
    for value in (NAME, EMAIL, NUMBER, TEXT, "MED-900"):
        assert value not in output
    received = {
        path.parent.name
        for path in (layout.current / exports.FOLDER).glob(f"*/{coaching_page.PAGE}")
    }
    rules = finished_run.context.access
    assert received == {
        role.value for role, rule in rules.roles.items() if "coaching" in rule.receives
    }


def test_a_role_receives_the_page_with_the_tables(published: Estate, tmp_path: Path) -> None:
    ask = AccessRequest("ana", Role.ANALYST, "team_coaching", "coaching_team")
    written = receive(published.context, ask, None, tmp_path / "mine")
    names = [path.name for path in written]
    assert (names[0], names[-1]) == ("coaching.duckdb", coaching_page.PAGE)
    assert all(name.startswith("coaching_") and name.endswith(".parquet") for name in names[1:-1])
    assert written[-1].read_text() == (published.layout.current / coaching_page.PAGE).read_text()


def test_the_same_numbers_are_the_same_picture() -> None:
    made = [
        plots.lines(["a", "b"], {"complete": [0.5, None], "on time": [None, None]}, "x")
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert "complete a 50%, b –" in made[0]
    assert plots.shortened("https://lms.example/activity/phishing").startswith("…")
    assert len(plots.shortened("x" * 90)) == plots.LABEL


def test_the_page_speaks_the_languages_of_the_policy(
    connection: duckdb.DuckDBPyConnection, finished_run: Estate
) -> None:
    rows(connection, "period", (MONTH, 1900, 2000, 0.5, None, 7.5, 0.1, 0.2, 0.3, 0.4))
    rows(connection, "course", (MONTH, "x", "A-1", 9, 20, 1.0, 1.0, 1.0, 0.1, 0.2, 0.3, 0.4))
    governance = finished_run.context.governance.model_copy(update={"languages": ("de", "fr")})
    context = replace(finished_run.context, governance=governance)
    assert [*coaching_page.pages(context)] == ["coaching.html", "coaching.fr.html"]
    assert exports.names(context, Audience.COACHING)[-2:] == [*coaching_page.pages(context)]
    german, french = (
        coaching_page.page(connection, context, RUN, spoken)
        for spoken in coaching_page.pages(context).values()
    )
    assert '<html lang="de">' in german
    assert "Lauf vom 8. November 2026" in german
    assert "<td>1.900</td>" in german
    # What is drawn is in the language, too.
    assert re.search(r'aria-label="Anteile je Monat: [^"]*Okt. 2026 50\xa0%', german)
    assert '<html lang="fr">' in french
    assert re.search(r"<td>1\W900</td>", french)
    assert "Tranches de notes par formation, oct. 2026" in french
    english = coaching_page.page(connection, context, RUN, ENGLISH)
    for text in ("Month by month", "complete", "Score bands"):
        assert text in english
        assert text not in german + french


GUIDE = (PROJECT / "docs" / "analysts.md").read_text()
EXAMPLES = re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("\n")[0][3:30])
def test_the_analysts_examples_run_on_what_an_analyst_receives(
    finished_run: Estate, example: str
) -> None:
    folder = finished_run.layout.current / exports.FOLDER / "analyst"
    name = "coaching" if "FROM coaching" in example else "analytics"
    with duckdb.connect(str(folder / f"{name}.duckdb"), read_only=True) as connection:
        found = connection.execute(example.replace(">= 20", ">= 5"))
        assert found.fetchall() or "failed" in example

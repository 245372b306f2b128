"""The 1:1 sheet as a workbook: the same rows, and on a sheet of its own what they are for."""

from __future__ import annotations

from io import BytesIO

import xlsxwriter

from pipeline.language.languages import Language
from pipeline.read.sheet.handover import Sheet
from pipeline.read.sheet.page import fit, limits, outcomes, questions, states

# Whatever a name or a title begins with, it is a text; and nothing is written to temporary files.
OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
WIDTHS = (28, 44, 18, 14, 12)


def render(sheet: Sheet, spoken: Language, contact: str) -> bytes:
    """The workbook; arguments as `page.render`."""
    made, gettext = BytesIO(), spoken.gettext
    called, found = states(spoken), outcomes(spoken)
    rows = [
        (fit(report.name), fit(one.title), fit(one.code), called[one.state], found[one.outcome])
        for report in sheet.reports
        for one in report.trainings
    ]
    lines = [
        gettext("Trainings of your own reports, as of %(day)s.") % {"day": spoken.day(sheet.as_of)},
        gettext("Made for %(actor)s on %(day)s.")
        % {"actor": sheet.actor, "day": spoken.day(sheet.made_on)},
        f"{gettext('Used for:')} {fit(sheet.note)}",
        "",
        gettext("You may ask"),
        *questions(spoken),
        "",
        gettext("What this sheet is not for"),
        *limits(spoken),
        "",
        gettext("Questions about the data: %(contact)s") % {"contact": contact},
    ]
    headings = (
        gettext("name"),
        gettext("training"),
        gettext("code"),
        gettext("state"),
        gettext("outcome"),
    )
    with xlsxwriter.Workbook(made, OPTIONS) as book:
        bold, wrapped = book.add_format({"bold": True}), book.add_format({"text_wrap": True})
        page = book.add_worksheet("1-1")
        for column, (heading, width) in enumerate(zip(headings, WIDTHS, strict=True)):
            page.set_column(column, column, width)
            page.write_string(0, column, heading, bold)
        for number, row in enumerate(rows, 1):
            for column, text in enumerate(row):
                page.write_string(number, column, text)
        page.freeze_panes(1, 0)
        page.set_landscape()
        page.set_paper(9)  # A4
        page.fit_to_pages(1, 0)
        rules = book.add_worksheet("i")
        rules.set_column(0, 0, 100)
        for number, line in enumerate(lines):
            rules.write_string(number, 0, line, wrapped)
    return made.getvalue()

"""The 1:1 sheet as a page: self-contained, printable, readable from phone to desktop."""

from __future__ import annotations

import re

from pipeline.language.languages import Language, template
from pipeline.read.sheet import PACKAGE
from pipeline.read.sheet.handover import Sheet

# Control characters, and those that turn the direction of what stands around a name.
UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def fit(text: str) -> str:
    """A text from a source without what could change how the rest is read."""
    return UNFIT.sub("", text)


def states(spoken: Language) -> dict[str, str]:
    """What the states are called."""
    return {
        "overdue": spoken.gettext("overdue"),
        "in_progress": spoken.gettext("in progress"),
        "not_started": spoken.gettext("not started"),
        "complete": spoken.gettext("complete"),
    }


def outcomes(spoken: Language) -> dict[str, str]:
    """What the outcomes are called; nothing where nothing was assessed."""
    return {"passed": spoken.gettext("passed"), "failed": spoken.gettext("failed"), "none": ""}


def questions(spoken: Language) -> tuple[str, ...]:
    """What may be asked with the sheet."""
    return (
        spoken.gettext(
            "What keeps this training from being finished: time, access, or the course?"
        ),
        spoken.gettext("By when would it suit you, and what can I take off your desk for it?"),
        spoken.gettext("Is something shown here that is not right? We can have it corrected."),
        spoken.gettext("What did you get out of it, and what would you like to learn next?"),
    )


def limits(spoken: Language) -> tuple[str, ...]:
    """What the sheet may not be used for."""
    return (
        spoken.gettext(
            "Do not rate, rank, warn or promote anybody on the strength of this sheet alone. There "
            "are many good reasons why a training is still open."
        ),
        spoken.gettext(
            "Conclude nothing from what is missing. Some courses and some people are on no sheet, "
            "and the reason is not yours to ask for."
        ),
        spoken.gettext(
            "It shows how things stood on the day above. Make a new one for the next conversation, "
            "and destroy this one: do not forward or file it."
        ),
        spoken.gettext(
            "That you received it is in the access log with your reason, and your reports may ask "
            "who has seen their records."
        ),
    )


def render(sheet: Sheet, spoken: Language, contact: str) -> str:
    """The page as HTML.

    Args:
        contact: whom people may ask about their data.
    """
    return template(PACKAGE, "sheet.html", spoken).render(
        sheet=sheet,
        fit=fit,
        states=states(spoken),
        outcomes=outcomes(spoken),
        questions=questions(spoken),
        limits=limits(spoken),
        contact=contact,
    )

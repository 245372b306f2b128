"""The 1:1 sheet as a file: only its reader has it, and never the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.context import Context
from pipeline.errors import BadInput
from pipeline.language.languages import Language, language
from pipeline.policy.access import Role, SheetFormat
from pipeline.read.sheet import page, workbook
from pipeline.read.sheet.handover import Sheet, hand_over
from pipeline.storage.files import replace_bytes

NAME = "one-to-one"


@dataclass(frozen=True)
class Target:
    """Where a sheet goes, as what and in which language."""

    path: Path
    made_as: SheetFormat
    spoken: Language

    def __str__(self) -> str:
        return str(self.path)


def path(context: Context, folder: Path, form: str, spoken: str | None, *, replace: bool) -> Target:
    """Where a sheet would be written; nothing is read for it yet.

    Raises:
        BadInput: no such format or language; or the folder lies in the data folder, or has a sheet
            that may not be replaced.
    """
    if form not in list(SheetFormat):
        raise BadInput(f"there is no such format; choose one of {', '.join(SheetFormat)}")
    languages = context.governance.languages
    if spoken is not None and spoken not in languages:
        raise BadInput(f"policy does not name this language; choose one of {', '.join(languages)}")
    if folder.resolve().is_relative_to(context.layout.root.resolve()):
        raise BadInput(
            "a sheet has names and belongs to its reader: choose a folder outside the data folder"
        )
    target = folder / f"{NAME}.{form}"
    if target.exists() and not replace:
        raise BadInput("the folder already contains a sheet; see --replace")
    return Target(target, SheetFormat(form), language(spoken or languages[0]))


def write(
    context: Context,
    target: Target,
    actor: str,
    role: Role,
    note: str,
    people: tuple[str, ...] = (),
    by: str | None = None,
) -> Sheet:
    """Hand the sheet over as a file, mode 0600, whole or not at all; arguments and errors as
    `hand_over`."""
    sheet = hand_over(context, actor, role, note, target.made_as, people, by)
    contact = context.governance.controller.dpo
    made = (
        page.render(sheet, target.spoken, contact).encode()
        if target.made_as is SheetFormat.HTML
        else workbook.render(sheet, target.spoken, contact)
    )
    replace_bytes(target.path, made)
    return sheet

"""Command to begin with: init."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.shared import DEFAULT_HOME, Home, now, open_context

if TYPE_CHECKING:
    from pipeline.access import staff
    from pipeline.policy.founding import Company

# What is asked, in this order, and what stands there if nothing else is said.
QUESTIONS = {
    "company": ("Name of the company", None),
    "home_page": ("Home page whose account names are your own (none)", ""),
    "country": ("Country where the data is stored", "DE"),
    "zone": ("Time zone of systems that write no offset", "Europe/Berlin"),
    "source": ("Sources, separated by blanks (all)", ""),
    "legal": ("Who is legal, by name or address", None),
    "hr": ("Who is HR", None),
    "dpo": ("Who is the data protection officer", None),
    "engineer": ("Who is the data engineer", None),
}


def init(
    folder: Annotated[Path, typer.Argument(help="Folder; created if it does not exist.")],
    company: Annotated[str | None, typer.Option(help="Name of the company.")] = None,
    home_page: Annotated[
        list[str] | None,
        typer.Option(help="Home page whose account names are the company's own; repeatable."),
    ] = None,
    country: Annotated[
        str | None, typer.Option(help="Country where the data is stored, such as DE.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="Time zone of systems that write no offset.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="Source of the data map, or preset; repeatable.")
    ] = None,
    legal: Annotated[str | None, typer.Option(help="Who is legal, by name or address.")] = None,
    hr: Annotated[str | None, typer.Option(help="Who is HR.")] = None,
    dpo: Annotated[str | None, typer.Option(help="Who is the data protection officer.")] = None,
    engineer: Annotated[str | None, typer.Option(help="Who is the data engineer.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a company's policy files, a workspace.yaml and its first staff list.

    Asks what no option says. Without options and terminal, the default files are copied.
    """
    from pipeline.cli import screen
    from pipeline.policy.version import FILES
    from pipeline.storage.layout import default_policy

    given: dict[str, str | None] = {
        "company": company,
        "home_page": " ".join(home_page or []),
        "country": country,
        "zone": zone,
        "source": " ".join(source or []),
        "legal": legal,
        "hr": hr,
        "dpo": dpo,
        "engineer": engineer,
    }
    names = (*FILES, "workspace.yaml")
    contents = {name: (default_policy() / name).read_bytes() for name in names}
    there = [name for name in names if os.path.lexists(folder / name)]
    if there:
        raise typer.BadParameter(f"{folder} already holds {', '.join(there)}; nothing was written")
    if not any(given.values()) and not _can_ask():
        _write_all(folder, contents)
        lines = [*_copied(folder.absolute()), *_next_steps("lea", "hana")]
    else:
        founded = _company(_answers(given))
        _found(folder, contents, founded, home)
        lines = [*_founded(folder.absolute()), *_next_steps(*_signers(founded))]
    for line in lines:
        screen.say(line, whole=True)


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _answers(given: dict[str, str | None]) -> dict[str, str]:
    """What the options say; the rest is asked on a terminal, or is what usually stands there.

    Raises:
        BadParameter: naming the options that are missing, where nobody can be asked.
    """
    if _can_ask():
        return {
            name: given[name] or typer.prompt(question, default=usual)
            for name, (question, usual) in QUESTIONS.items()
        }
    answers = {name: given[name] or usual for name, (_, usual) in QUESTIONS.items()}
    if missing := [
        f"--{name.replace('_', '-')}" for name, answer in answers.items() if answer is None
    ]:
        raise typer.BadParameter(f"needed where nobody can be asked: {', '.join(missing)}")
    return {name: answer or "" for name, answer in answers.items()}


def _company(answers: dict[str, str]) -> Company:
    from pipeline.policy.founding import Company

    return Company(
        name=answers["company"],
        country=answers["country"].upper(),
        zone=answers["zone"],
        legal=answers["legal"],
        hr=answers["hr"],
        dpo=answers["dpo"],
        engineer=answers["engineer"],
        home_pages=tuple(answers["home_page"].split()),
        sources=tuple(answers["source"].split()),
    )


def _found(folder: Path, contents: dict[str, bytes], company: Company, home: Path) -> None:
    """Write a company's files and its staff list, or nothing."""
    from pipeline.access import acting, audit, staff
    from pipeline.context import load_context
    from pipeline.errors import PolicyError
    from pipeline.governance.validity import require_runnable_policy
    from pipeline.policy.founding import for_company
    from pipeline.policy.version import FILES
    from pipeline.settings import use_policy

    members = _members(company)
    try:
        texts = {name: contents[name].decode() for name in FILES}
        made = for_company(texts, company, now().date())
        with tempfile.TemporaryDirectory() as beside:
            _write(Path(beside) / "policy", {name: text.encode() for name, text in made.items()})
            context = load_context(home, None, Path(beside) / "policy")
            require_runnable_policy(context)
        if acting.founded(context.layout):
            raise PolicyError(
                f"the data folder {home} has a staff list already, or had one: its access log is "
                "there"
            )
    except PolicyError as fault:
        raise typer.BadParameter(f"{fault}; nothing was written") from None
    _write_all(folder, contents | {name: text.encode() for name, text in made.items()})
    use_policy(folder)
    with open_context(home, valid=False) as context:
        for member in members:
            staff.put(context.layout, member)
        named = ", ".join(f"{one.actor} ({', '.join(one.roles)})" for one in members)
        audit.note_change(context, f"founding staff: {named}")


def _signers(company: Company) -> tuple[str, str]:
    return _actor(company.legal), _actor(company.hr)


def _members(company: Company) -> list[staff.Member]:
    """The first staff list: each person once, with all of their roles.

    Raises:
        BadParameter: somebody has no name that fits, or legal and HR are one person.
    """
    from pipeline.access import staff
    from pipeline.policy.access import Role

    roles: dict[str, list[Role]] = {}
    for who, role in (
        (company.legal, Role.LEGAL),
        (company.hr, Role.HR),
        (company.dpo, Role.DPO),
        (company.engineer, Role.DATA_ENGINEER),
    ):
        roles.setdefault(_actor(who), []).append(role)
    legal, hr = _signers(company)
    if legal == hr:
        raise typer.BadParameter("legal and HR sign for each other, so they are two people")
    return [
        staff.Member(actor=actor, roles=tuple(of), founding=actor in (legal, hr))
        for actor, of in roles.items()
    ]


def _actor(who: str) -> str:
    """The name under which somebody acts: what an address has before the @."""
    from pipeline.access.staff import is_name

    actor = who.partition("@")[0].lower()
    if not is_name(actor):
        raise typer.BadParameter(
            "a person is named by an address, or by a name of small letters, digits and dots"
        )
    return actor


def _write_all(folder: Path, contents: dict[str, bytes]) -> None:
    try:
        _write(folder, contents)
    except OSError as error:
        raise typer.BadParameter(f"{folder}: {error.strerror}; nothing was written") from None


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    """Write all of the files or, on an error, none; an existing file is never replaced."""
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for name, content in contents.items():
            with (folder / name).open("xb") as file:
                written.append(folder / name)
                file.write(content)
    except BaseException:
        for path in written:
            path.unlink()
        if new:
            folder.rmdir()
        raise


def _copied(folder: Path) -> list[str]:
    return [
        f"The default policy files and workspace.yaml are in {folder}: adapt them, use them with",
        f"  export MILESTONES_POLICY={folder}",
        "Who is legal, HR, data protection officer and data engineer says `milestones init` with",
        "--company and the others, which fills in the files as well. Then:",
    ]


def _founded(folder: Path) -> list[str]:
    return [
        f"The company's policy files and workspace.yaml are in {folder}; its staff list is made.",
        f"  export MILESTONES_POLICY={folder}",
        "Purposes, balancing tests, retention and transfers are examples for legal to read.",
        "Everybody acts as their own account. Legal and HR each make a key on their own machine,",
        "hand in its public half, and confirm the other's by its fingerprint:",
        "  milestones staff new-key NAME.pem",
        "  milestones staff key NAME.pem.pub",
        "  milestones staff confirm OTHER --key NAME.pem",
    ]


def _next_steps(legal: str, hr: str) -> list[str]:
    return [
        "  milestones rehearse FILES                 what a run would do; publishes nothing",
        "  milestones check --date YYYY-MM-DD        once files are in data/landing/YYYY-MM-DD/",
        f"  milestones policy sign --role legal --key {legal}.pem           as {legal}",
        f"  milestones policy sign --role hr --key {hr}.pem           as {hr}",
        "  milestones run --date YYYY-MM-DD          nobody reads anything of it yet",
        f"  milestones courses decide '*' ordinary --key {legal}.pem …      as {legal}",
        f"  milestones go-live --role legal --key {legal}.pem               as {legal}",
        f"  milestones go-live --role hr --key {hr}.pem               as {hr}",
        "  milestones run --date YYYY-MM-DD          publishes",
        "To look around first with made-up people: milestones demo",
    ]

"""Which commands are open to everybody, and which are another action with an option. Everything
else is an action of access_rules.yaml, or nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable

# Open to everybody, and why: nothing is read of people, and nothing is changed.
OPEN = {
    "demo": "makes people up, in a folder where nobody works",
    "generate": "makes people up, in a folder where nobody works",
    "init": "writes policy files and a staff list where there are none",
    "sources list": "describes the presets that come with the pipeline",
    "sources suggest": "drafts from files that the caller can read anyway, and writes nothing",
    "check": "reads the headers of a delivery only, and writes nothing",
    "status": "counts",
    "metrics": "counts",
    "configure": "writes Dagster's settings, from the environment",
    "policy status": "who has signed the policy, and until when it is valid",
    "go-live": "who has signed to go live",
    "staff new-key": "makes a key pair on one's own machine, without any data folder",
    "access verify": "says whether the access log is whole, and shows no entry",
}
# With these options a command is another action; without a rule of its own, nobody's.
BY_OPTION = (
    "quarantine --export",
    "show --for",
    "receive --for",
    "sheet --for",
    "go-live --role",
    "staff managers --key",
    "recover --accept-loss",
)
# With this option a command is done on somebody's behalf: whoever does it needs that action, and
# whom it is for needs the command itself.
FOR = "--for"
# Decided where what is done is known, beside the command that leads there.
WITHIN = {"staff appoint": "staff put, staff confirm"}


def actions_of(command: str, options: Iterable[str]) -> list[str]:
    """What a command is with these options (`--export`), as access_rules.yaml names it; nothing if
    it is open to everybody."""
    found = [f"{command} {option}" for option in options]
    special = [one for one in found if one in BY_OPTION]
    return special or ([] if command in OPEN else [command])

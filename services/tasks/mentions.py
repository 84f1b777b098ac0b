"""Who is addressed in a comment (contract, 1.17)."""

import re

from models import Agent

MENTION = re.compile(r"(?<![A-Za-z0-9_%+@-])@([A-Za-z][A-Za-z0-9_-]{0,31})")
"""An @ with a name. Behind a letter or a digit it is part of an e-mail address."""

LEAD = "lead"


def tokens(text: str) -> set[str]:
    """Return the names that are mentioned in a text, in lower case."""
    return {name.lower() for name in MENTION.findall(text)}


def mentions(text: str, agent: Agent) -> bool:
    """Say whether a text mentions an agent: by name, by first name, or as the board's lead."""
    found = tokens(text)
    return bool(found & names(agent)) or (agent.is_board_lead and LEAD in found)


def names(agent: Agent) -> set[str]:
    """Return the names by which an agent can be mentioned. `lead` is nobody's name."""
    whole = agent.name.lower()
    return {whole, *whole.split()[:1]} - {LEAD}

"""Who is addressed in what somebody says: comments, chat, notes (contract, 1.17)."""

import re
from collections import Counter
from collections.abc import Iterable

from models import Agent

MENTION = re.compile(r"(?<![A-Za-z0-9_%+@-])@([A-Za-z0-9][A-Za-z0-9_-]{0,99})")
"""An @ with a name. Behind a letter or a digit it is part of an e-mail address."""

LEAD = "lead"  # always the board's lead, whoever is called so
ALL = "all"  # everybody, where it is said in a group of boards


def tokens(text: str) -> set[str]:
    """Return the names that are mentioned in a text, in lower case."""
    return {name.lower() for name in MENTION.findall(text)}


def mentions(text: str, agent: Agent) -> bool:
    """Say whether a text mentions an agent: by name, by first name, or as the board's lead."""
    found = tokens(text)
    return bool(found & names(agent)) or (agent.is_board_lead and LEAD in found)


def mentioned(text: str, crew: Iterable[Agent]) -> list[Agent]:
    """Return those of some agents that a text mentions.

    A first name that several of them share is nobody's; nor is one that is another's whole name.
    """
    found, crew = tokens(text), list(crew)
    owners = Counter(name for agent in crew for name in names(agent))
    whole = {agent.name.lower() for agent in crew}

    def meant(agent: Agent) -> bool:
        own = {name for name in names(agent) if owners[name] == 1 and name not in whole}
        own |= full_names(agent)
        return bool(found & own) or (agent.is_board_lead and LEAD in found)

    return [agent for agent in crew if meant(agent)]


def names(agent: Agent) -> set[str]:
    """Return the names by which an agent can be mentioned."""
    return (full_names(agent) | set(agent.name.lower().split()[:1])) - {LEAD}


def full_names(agent: Agent) -> set[str]:
    """Return an agent's whole name, as it is and with something in place of its blanks."""
    whole = agent.name.lower()
    return {whole, "-".join(whole.split()), "_".join(whole.split())} - {LEAD}

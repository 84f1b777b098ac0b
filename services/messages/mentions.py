"""Mentions of agents in comments, chat messages and notes (contract, 1.17)."""

import re
from collections import Counter
from collections.abc import Iterable

from models import Agent

MENTION = re.compile(r"(?<![A-Za-z0-9_%+@-])@([A-Za-z0-9][A-Za-z0-9_-]{0,99})")
"""An @ with a name. After a letter or a digit it is part of an e-mail address."""

LEAD_MENTION = "lead"  # always the board's lead, even if another agent has this name
ALL_MENTION = "all"  # all agents, in a note of a board group


def extract_mentions(text: str) -> set[str]:
    """Return the names that are mentioned in a text, in lower case."""
    return {name.lower() for name in MENTION.findall(text)}


def is_mentioned(text: str, agent: Agent) -> bool:
    """Return whether a text mentions an agent by name, by first name, or as the board's lead."""
    found = extract_mentions(text)
    return bool(found & mention_names(agent)) or (agent.is_board_lead and LEAD_MENTION in found)


def list_mentioned_agents(text: str, candidates: Iterable[Agent]) -> list[Agent]:
    """Return the agents that a text mentions.

    A first name is ignored if several agents have it, or if it is the whole name of another agent.
    """
    found, agents = extract_mentions(text), list(candidates)
    owners = Counter(name for agent in agents for name in mention_names(agent))
    whole_names = {agent.name.lower() for agent in agents}

    def is_meant(agent: Agent) -> bool:
        names = {
            name for name in mention_names(agent) if owners[name] == 1 and name not in whole_names
        }
        names |= full_mention_names(agent)
        return bool(found & names) or (agent.is_board_lead and LEAD_MENTION in found)

    return [agent for agent in agents if is_meant(agent)]


def mention_names(agent: Agent) -> set[str]:
    """Return the names by which an agent can be mentioned."""
    return (full_mention_names(agent) | set(agent.name.lower().split()[:1])) - {LEAD_MENTION}


def full_mention_names(agent: Agent) -> set[str]:
    """Return an agent's whole name, unchanged and with its spaces replaced by - or _."""
    whole = agent.name.lower()
    return {whole, "-".join(whole.split()), "_".join(whole.split())} - {LEAD_MENTION}


def find_mention(agent: Agent, candidates: Iterable[Agent]) -> str | None:
    """Return the text after the @ that mentions an agent, and if possible no other candidate.

    None if no text can: a mention has only ASCII letters, digits, - and _.
    """
    agents, first_name = list(candidates), agent.name.split()[:1]
    names = ["-".join(agent.name.split()), *first_name, *([LEAD_MENTION] * agent.is_board_lead)]
    names = [name for name in names if MENTION.fullmatch(f"@{name}")]
    found = {name: list_mentioned_agents(f"@{name}", agents) for name in names}
    usable = [name for name in names if agent in found[name]]
    return min(usable, key=lambda name: len(found[name]), default=None)

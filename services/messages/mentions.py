"""Mentions in comments, chat messages and notes: of agents, and of people.

The names of people have letters of all scripts, unlike those of agents. A mention that names an
agent means the agent. See docs/decisions/assignees.md.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol
from uuid import UUID

from models import Agent

# An @ with a name. After a letter or a digit it is part of an e-mail address.
MENTION = re.compile(r"(?<![A-Za-z0-9_%+@-])@([A-Za-z0-9][A-Za-z0-9_-]{0,99})")
PERSON_MENTION = re.compile(r"(?<![A-Za-z0-9_%+@/.-])@([^\W_][\w-]{0,99})")
SEPARATORS = re.compile(r"\W+")  # of addresses; a hyphen replaces them in mentions
OTHER_SIGNS = re.compile(r"[^\w\s-]")  # of names; they are left out in mentions
UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")  # scripts without spaces

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


class NamedPerson(Protocol):
    """A user with the name that others see."""

    @property
    def id(self) -> UUID:
        """The id of the user."""
        ...

    @property
    def name(self) -> str:
        """The name of the user."""
        ...

    @property
    def email(self) -> str | None:
        """The e-mail address, by which people of the same name differ."""
        ...


class MentionedPeople(NamedTuple):
    """The people of a place by the texts after the @ that mention each of them."""

    people_by_text: Mapping[str, UUID]

    def find(self, text: str | None) -> list[UUID]:
        """Return the ids of the people that a text mentions, each once, in their order."""
        found = (self._match(spot[1]) for spot in PERSON_MENTION.finditer(_normalize(text or "")))
        return list(dict.fromkeys(id for id in found if id is not None))

    def _match(self, name: str) -> UUID | None:
        """Return whom a name means. Text may follow at once in a script without spaces."""
        whole = len(name)
        ends = (end for end in range(whole, 0, -1) if end == whole or UNSPACED.match(name, end))
        texts = (name[:end].rstrip("-_") for end in ends)
        return next(
            (self.people_by_text[text] for text in texts if text in self.people_by_text), None
        )


def list_mentionable_people(
    people: Iterable[NamedPerson], agents: Iterable[Agent]
) -> MentionedPeople:
    """Return how people can be mentioned where these agents can be mentioned too.

    A name mentions nobody if several people have it, a first name also if it is the whole name of
    somebody else. The whole name with the beginning of the e-mail address, with the whole address,
    or with the end of the id always means one person.
    """
    taken = {LEAD_MENTION, ALL_MENTION, *(name for one in agents for name in mention_names(one))}
    listed = list(people)
    words = {person.id: _split_name(person.name) for person in listed}
    whole = {id: _with_plain({"-".join(one), "_".join(one)}) for id, one in words.items()}
    counts = Counter(name for names in whole.values() for name in names)
    first = {id: _with_plain(set(one[:1])) - whole[id] for id, one in words.items()}
    first_counts = Counter(name for names in first.values() for name in names)
    texts = {
        name: id
        for id, names in whole.items()
        for name in names
        if counts[name] == 1 and name not in taken
    }
    for id, names in first.items():
        texts |= {
            name: id
            for name in names
            if first_counts[name] == 1 and name not in counts and name not in taken
        }
    unique = {person.id: _list_unique_names(person) for person in listed}
    unique_counts = Counter(name for names in unique.values() for name in names)
    for id, names in unique.items():
        known = taken | texts.keys() | counts.keys()
        texts |= {name: id for name in names - known if unique_counts[name] == 1}
    return MentionedPeople(texts)


def find_person_mention(
    person: NamedPerson, namesakes: Iterable[NamedPerson], agents: Iterable[Agent] = ()
) -> str | None:
    """Return the text after the @ that mentions a person by the whole name; None if none can.

    The text means none of the namesakes, of whom the person is one, and no agent.
    """
    listed = list(agents)
    people = list_mentionable_people(namesakes, listed)
    name = "-".join(OTHER_SIGNS.sub("", unicodedata.normalize("NFC", person.name)).split())
    texts = [name, *(f"{name}-{suffix}" for suffix in _list_suffixes(person))] if name else []
    return next(
        (
            text
            for text in texts
            if PERSON_MENTION.fullmatch(f"@{text}")
            and people.find(f"@{text}") == [person.id]
            and not list_mentioned_agents(f"@{text}", listed)
        ),
        None,
    )


def _list_unique_names(person: NamedPerson) -> set[str]:
    """Return the names of a person with what only this person has."""
    whole = "-".join(_split_name(person.name))
    return _with_plain(
        {f"{whole}-{suffix}" for suffix in _list_suffixes(person)} if whole else set()
    )


def _list_suffixes(person: NamedPerson) -> list[str]:
    """Return what distinguishes people of the same name, the shortest first."""
    address = _normalize(person.email or "")
    texts = [address.partition("@")[0], address, person.id.hex[-8:]]
    suffixes = (SEPARATORS.sub("-", text).strip("-") for text in texts)
    return [suffix for suffix in suffixes if suffix]


def _normalize(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _split_name(name: str) -> list[str]:
    return OTHER_SIGNS.sub("", _normalize(name)).split()


def _with_plain(names: set[str]) -> set[str]:
    """Add the names without accents, for keyboards that do not have them."""
    bare = {
        "".join(
            part for part in unicodedata.normalize("NFD", name) if not unicodedata.combining(part)
        )
        for name in names
    }
    return {name for name in names | {unicodedata.normalize("NFC", one) for one in bare} if name}

"""Mentions of people, whose names have letters of all scripts, unlike agents (mentions.py).

A mention that names an agent means the agent. See docs/decisions/assignees.md.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol
from uuid import UUID

from models import Agent
from services.messages.mentions import (
    ALL_MENTION,
    LEAD_MENTION,
    list_mentioned_agents,
    mention_names,
)

PERSON_MENTION = r"(?<![A-Za-z0-9_%+@/.-])@([^\W_][\w-]{0,99})"
"""An @ with a name. After a letter or a digit it is part of an e-mail address."""

FOUND = re.compile(PERSON_MENTION)
SEPARATORS = re.compile(r"\W+")  # of addresses; a hyphen replaces them in mentions
OTHER_SIGNS = re.compile(r"[^\w\s-]")  # of names; they are left out in mentions
UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")  # scripts without spaces


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
        found = (self._match(spot[1]) for spot in FOUND.finditer(_normalize(text or "")))
        return list(dict.fromkeys(id for id in found if id is not None))

    def _match(self, name: str) -> UUID | None:
        """Return whom a name means. Text may follow at once in a script without spaces."""
        ends = (end for end in range(len(name), 0, -1) if _may_end(name, end))
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
    whole = {person.id: _list_whole_names(person.name) for person in listed}
    counts = Counter(name for names in whole.values() for name in names)
    first = {person.id: _list_first_names(person.name) - whole[person.id] for person in listed}
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
            if FOUND.fullmatch(f"@{text}")
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


def _may_end(name: str, end: int) -> bool:
    return end == len(name) or UNSPACED.match(name, end) is not None


def _normalize(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _list_whole_names(name: str) -> set[str]:
    words = _split_name(name)
    return _with_plain({"-".join(words), "_".join(words)})


def _list_first_names(name: str) -> set[str]:
    return _with_plain(set(_split_name(name)[:1]))


def _split_name(name: str) -> list[str]:
    return OTHER_SIGNS.sub("", _normalize(name)).split()


def _with_plain(names: set[str]) -> set[str]:
    """Add the names without accents, for keyboards that do not have them."""
    plain = {_remove_accents(name) for name in names}
    return {name for name in names | plain if name}


def _remove_accents(name: str) -> str:
    parts = unicodedata.normalize("NFD", name)
    return unicodedata.normalize("NFC", "".join(p for p in parts if not unicodedata.combining(p)))

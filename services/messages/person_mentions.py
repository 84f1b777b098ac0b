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
from services.messages.mentions import ALL_MENTION, LEAD_MENTION, mention_names

PERSON_MENTION = r"(?<![A-Za-z0-9_%+@/.-])@([^\W_][\w-]{0,99})"
"""An @ with a name. After a letter or a digit it is part of an e-mail address."""

FOUND = re.compile(PERSON_MENTION)
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
    somebody else.
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
    return MentionedPeople(texts)


def find_person_mention(name: str) -> str | None:
    """Return the text after the @ that mentions a person by the whole name; None if none can."""
    text = "-".join(OTHER_SIGNS.sub("", unicodedata.normalize("NFC", name)).split())
    return text if FOUND.fullmatch(f"@{text}") else None


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

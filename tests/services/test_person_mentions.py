"""Mentions of people: names of all scripts, beside agents, in any text."""

from typing import NamedTuple
from uuid import UUID, uuid4

import pytest

from models import Agent
from services.messages import find_person_mention, list_mentionable_people
from tests.support.board_rows import make_agent
from tests.support.cpu_time import limit_cpu
from tests.support.world import make_world


class Person(NamedTuple):
    """A user with a name."""

    id: UUID
    name: str
    email: str | None = None


def find_names(text: str, names: list[str], agents: list[Agent] | None = None) -> list[str]:
    """Return the names of the people that a text mentions."""
    people = [Person(uuid4(), name) for name in names]
    found = list_mentionable_people(people, agents or []).find(text)
    return [person.name for id in found for person in people if person.id == id]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@Olga, please look", ["Olga Ruiz"]),
        ("请看@olga。", ["Olga Ruiz"]),
        ("(@OLGA-RUIZ) and @olga_ruiz", ["Olga Ruiz"]),
        ("@Jörg-Müller", ["Jörg Müller"]),
        ("@Jo\u0308rg", ["Jörg Müller"]),
        ("@jorg-muller", ["Jörg Müller"]),
        ("@李娜你好", ["李娜"]),
        ("@Olga你好", ["Olga Ruiz"]),
        ("@sean-obrien.", ["Sean O'Brien"]),
        ("@Jörg then @Olga then @jörg", ["Jörg Müller", "Olga Ruiz"]),
        ("mail me@olga or a@Olga.com, @olgas, @olg, @ruiz, @ olga, @", []),
        ("/@olga and -@olga", []),
    ],
)
def test_people_are_mentioned_by_first_or_whole_name(text, expected) -> None:
    assert find_names(text, ["Olga Ruiz", "Jörg Müller", "李娜", "Sean O'Brien"]) == expected


def test_a_name_of_several_people_mentions_nobody() -> None:
    names = ["Ana Lind", "Ana Berg"]
    assert find_names("@ana", names) == []
    assert find_names("@ana-berg", names) == ["Ana Berg"]
    assert find_names("@ana", [*names, "Ana"]) == ["Ana"]
    assert find_names("@ana-berg", ["Ana Berg", "Ana Berg"]) == []


def test_the_name_of_an_agent_means_the_agent() -> None:
    board = make_world().board
    agents = [make_agent("Olga", board), make_agent("Bo Lead", board, is_board_lead=True)]
    names = ["Olga Ruiz", "Lead", "All", "Bo Lead"]
    assert find_names("@olga @lead @all @bo @bo-lead", names, agents) == []
    assert find_names("@olga-ruiz", names, agents) == ["Olga Ruiz"]


def test_odd_names_are_mentioned_or_cannot_be() -> None:
    for name in ["", " ", "!!!", "@", "_x", "-", "\u0301", "<b>"]:
        assert find_names(f"@{name} @{name.strip()}", [name]) in ([], [name])
    people = [Person(uuid4(), name) for name in ["Jörg Müller", "!!!", "Sean O'Brien"]]
    assert [find_person_mention(one, people) for one in people] == [
        *("Jörg-Müller", None, "Sean-OBrien")
    ]


OLGAS = [
    Person(UUID(int=1), "Olga Ruiz", "olga@tern.example"),
    Person(UUID(int=2), "olga ruiz", "o.ruiz+work@tern.example"),
    Person(UUID(int=0xABCDEF0123), "Olga Ruiz", "OLGA@Plover.example"),
    Person(UUID(int=0xCAFE0004), "Olga Ruiz"),
    Person(UUID(int=5), "Olga Ruiz", "杜@例え.jp"),
]


def test_people_of_the_same_name_are_mentioned_by_their_addresses() -> None:
    texts = [find_person_mention(one, OLGAS) for one in OLGAS]
    assert texts == [
        "Olga-Ruiz-olga-tern-example",
        "olga-ruiz-o-ruiz-work",
        "Olga-Ruiz-olga-plover-example",
        "Olga-Ruiz-cafe0004",
        "Olga-Ruiz-杜",
    ]
    people = list_mentionable_people(OLGAS, [])
    for person, text in zip(OLGAS, texts, strict=True):
        assert people.find(f"(@{text}), see") == [person.id]
    assert people.find("@olga @olga-ruiz @olga-ruiz-olga @olga-ruiz-") == []


def test_a_whole_name_precedes_a_name_with_an_address() -> None:
    people = [*OLGAS[:2], Person(UUID(int=9), "Olga Ruiz Olga")]
    assert list_mentionable_people(people, []).find("@olga-ruiz-olga") == [people[2].id]
    assert find_person_mention(OLGAS[0], people) == "Olga-Ruiz-olga-tern-example"


def test_a_person_with_the_name_of_an_agent_is_mentioned_by_the_address() -> None:
    board = make_world().board
    agents = [make_agent("Olga Ruiz", board), make_agent("Bo", board)]
    assert find_person_mention(OLGAS[0], OLGAS[:1], agents) == "Olga-Ruiz-olga"
    assert find_person_mention(Person(UUID(int=6), "Bo李"), [], agents) is None
    assert find_person_mention(Person(UUID(int=7), "All", "al@x.y"), OLGAS, agents) is None


@pytest.mark.parametrize(
    "part", ["@", "@a", "@a ", "@" + "李" * 99 + " ", "@a-", "@é\u0301 ", "-@_"]
)
def test_hostile_texts_take_linear_time(part) -> None:
    names = ["Olga Ruiz", "李" * 50, "a" * 100]
    text = part * (100_000 // len(part))
    with limit_cpu():
        assert find_names(text, names) in ([], ["李" * 50])

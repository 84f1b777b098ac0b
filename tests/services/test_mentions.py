"""Mentions of agents in texts."""

from models import Agent
from services.messages.mentions import extract_mentions, is_mentioned, list_mentioned_agents
from tests.support.board_rows import make_agent
from tests.support.world import make_world


def test_a_mention_is_a_name_after_an_at_but_not_in_an_address() -> None:
    """C28."""
    assert extract_mentions("@Ada, (@grace-hopper) and 请看@lead: hello@example.com") == {
        "ada",
        "grace-hopper",
        "lead",
    }
    assert extract_mentions("me.and+you@lead.io a@lead b-@lead @@lead @-") == set()


def test_agents_are_mentioned_by_name_by_first_name_or_as_lead() -> None:
    board = make_world().board
    ada, lead = make_agent("Ada Lovelace", board), make_agent("Grace", board, is_board_lead=True)
    pretender = make_agent("Lead", board)
    for text, agents in [
        ("@ada and @GRACE", {ada, lead}),
        ("@lead", {lead}),
        ("@Ada-Lovelace", {ada}),
        ("@ada_lovelace", {ada}),
        ("@adam @lovelace grace", set()),
    ]:
        assert {a for a in (ada, lead, pretender) if is_mentioned(text, a)} == agents
        assert set(list_mentioned_agents(text, [ada, lead, pretender])) == agents


def test_a_first_name_of_several_agents_mentions_none_of_them() -> None:
    """C28."""
    board = make_world().board
    one, two = make_agent("Ada One", board), make_agent("Ada Two", board)
    agents_of_board: list[Agent] = [one, two, make_agent("Bo", board)]
    assert list_mentioned_agents("@ada", agents_of_board) == []
    assert list_mentioned_agents("@ada-two", agents_of_board) == [two]
    only = make_agent("Ada", board)
    assert list_mentioned_agents("@ada", [*agents_of_board, only]) == [only]


def test_long_names_and_names_with_a_leading_digit_can_be_mentioned() -> None:
    """C28."""
    board = make_world().board
    long, digit = make_agent("a" * 100, board), make_agent("2nd", board)
    assert list_mentioned_agents(f"@{'a' * 100}, @2nd?", [long, digit]) == [long, digit]

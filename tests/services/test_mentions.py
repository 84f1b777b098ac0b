"""Who is addressed in what somebody says."""

from models import Agent
from services.mentions import mentioned, mentions, tokens
from tests.world import a_world, an_agent


def test_a_mention_is_a_name_behind_an_at_but_not_in_an_address() -> None:
    """C28."""
    assert tokens("@Ada, (@grace-hopper) and 请看@lead: hello@example.com") == {
        "ada",
        "grace-hopper",
        "lead",
    }
    assert tokens("me.and+you@lead.io a@lead b-@lead @@lead @-") == set()


def test_an_agent_is_mentioned_by_its_name_its_first_name_or_as_the_lead() -> None:
    board = a_world().board
    ada, lead = an_agent("Ada Lovelace", board), an_agent("Grace", board, is_board_lead=True)
    pretender = an_agent("Lead", board)
    for text, agents in [
        ("@ada and @GRACE", {ada, lead}),
        ("@lead", {lead}),
        ("@Ada-Lovelace", {ada}),
        ("@ada_lovelace", {ada}),
        ("@adam @lovelace grace", set()),
    ]:
        assert {a for a in (ada, lead, pretender) if mentions(text, a)} == agents
        assert set(mentioned(text, [ada, lead, pretender])) == agents


def test_a_first_name_that_several_share_is_nobodys() -> None:
    """C28."""
    board = a_world().board
    one, two = an_agent("Ada One", board), an_agent("Ada Two", board)
    crew: list[Agent] = [one, two, an_agent("Bo", board)]
    assert mentioned("@ada", crew) == []
    assert mentioned("@ada-two", crew) == [two]
    only = an_agent("Ada", board)
    assert mentioned("@ada", [*crew, only]) == [only]


def test_long_names_and_those_that_begin_with_a_digit_can_be_mentioned() -> None:
    """C28."""
    board = a_world().board
    long, digit = an_agent("a" * 100, board), an_agent("2nd", board)
    assert mentioned(f"@{'a' * 100}, @2nd?", [long, digit]) == [long, digit]

"""What is written to each file of an agent, and the differences that are shown."""

from typing import Any

from core.security.secrets import hash_token
from services.gateways import files as gateways_files
from tests.support.agent_facts import END_OF_OUR_PART, TOKEN, make_facts


def plan_file(name: str, ours: str, present: str | None, written: str | None) -> Any:
    known = {} if written is None else {name: hash_token(written)}
    [one] = gateways_files.plan_files({name: ours}, {name: present}, known)
    return one


def test_missing_files_are_new_and_equal_files_are_unchanged() -> None:
    new = plan_file("SOUL.md", "a\n", None, None)
    assert (new.state, new.content) == ("new", "a\n")
    assert "+a" in new.diff
    same = plan_file("SOUL.md", "a\n", "a\n", "b\n")
    assert (same.state, same.diff) == ("same", "")


def test_files_changed_by_the_agent_are_kept() -> None:
    kept = plan_file("USER.md", "ours 2\n", "ours 1\nSam likes tea\n", "ours 1\n")
    assert (kept.state, kept.content) == ("kept", "ours 1\nSam likes tea\n")
    assert "-Sam likes tea" in kept.diff


def test_files_written_by_us_or_the_gateway_are_replaced() -> None:
    assert plan_file("SOUL.md", "ours 2\n", "ours 1\n", "ours 1\n").state == "changed"
    assert plan_file("SOUL.md", "ours\n", "The gateway's own.\n", None).state == "changed"


def test_an_existing_memory_file_belongs_to_the_agent() -> None:
    assert plan_file("MEMORY.md", "ours\n", "I know much.\n", None).state == "kept"
    assert plan_file("MEMORY.md", "ours\n", " \n", None).state == "changed"


def test_our_part_of_agents_md_is_written_and_the_agents_part_kept() -> None:
    """Goals, rules and tokens must be correct, whatever the agent has changed."""
    before = f"Goal 1\n\n{END_OF_OUR_PART}\n"
    after = f"Goal 2\n\n{END_OF_OUR_PART}\n"
    edited = f"Goal X\n\n{END_OF_OUR_PART}\n\nMy own notes.\n"
    one = plan_file("AGENTS.md", after, edited, before)
    assert (one.state, one.content) == ("changed", f"{after}\nMy own notes.\n")
    again = plan_file("AGENTS.md", after, one.content, before)
    assert again.state == "same"
    without_line = plan_file("AGENTS.md", after, "Only mine.\n", before)
    assert without_line.content == f"{after}\nOnly mine.\n"
    first = plan_file("AGENTS.md", after, "The gateway's own.\n", None)
    assert first.content == after


def test_a_diff_shows_a_replaced_token_masked() -> None:
    one = plan_file(
        "AGENTS.md",
        "AUTH_TOKEN=mc_agent_new-1\n",
        "AUTH_TOKEN=an older kind\nas mc_agent_old_2 said\n",
        None,
    )
    assert "-AUTH_TOKEN=mc_agent_… (" in one.diff
    assert "+AUTH_TOKEN=mc_agent_… (" in one.diff
    assert not any(token in one.diff for token in ("new-1", "older kind", "old_2"))


def test_texts_that_are_too_long_are_not_compared() -> None:
    """An agent may write any text, which must not slow down the comparison."""
    present = "".join(f"{number * 7 % 101}\n" for number in range(3_000))
    kept = plan_file(
        "SOUL.md", "".join(f"{number % 101}\n" for number in range(300)), present, "a\n"
    )
    assert (kept.state, kept.content) == ("kept", present)
    assert kept.diff == "SOUL.md is too long to be compared: it has 3,000 lines."
    shared = plan_file(
        "AGENTS.md", f"Goal\n\n{END_OF_OUR_PART}\n", f"{END_OF_OUR_PART}\n{present}", "a\n"
    )
    assert "too long" in shared.diff
    in_one_line = plan_file("SOUL.md", "ours\n", "x" * 3_000_000, "a\n")
    assert in_one_line.diff == "SOUL.md is too long to be compared: it has 3,000,000 characters."


def test_the_token_is_found_in_a_file() -> None:
    assert (
        gateways_files.find_token(gateways_files.render_files(make_facts())["AGENTS.md"]) == TOKEN
    )
    assert gateways_files.find_token(None) == gateways_files.find_token("nothing") == ""

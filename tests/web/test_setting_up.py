"""That setting a board up is not finished is said on its page, whoever asks or nobody."""

import re

import pytest

NEW = {"name": "Harbour", "description": "All that comes in by sea."}
UNFINISHED = "Setting this board up is not finished."


@pytest.fixture
def harbour(alice):
    """Creates a board that no gateway runs, on the page, and returns its address."""

    async def create() -> str:
        made = await alice.post("/boards", data=NEW)
        assert made.status_code == 303
        return made.headers["Location"].removesuffix("/onboarding")

    return create


async def test_a_board_without_a_gateway_says_that_it_is_not_set_up(alice, harbour) -> None:
    board = await harbour()
    for page in (board, f"{board}/settings"):
        shown = (await alice.get(page)).text
        assert UNFINISHED in shown
        assert f'href="{board}/onboarding">Go on</a>' in shown


async def test_it_says_so_no_more_when_it_is_launched_or_ended(alice, harbour) -> None:
    launched, ended = await harbour(), await harbour()
    form = (await alice.get(f"{launched}/onboarding/review")).text
    seen = dict(re.findall(r'<input type="hidden" name="(last|was_open)" value="([^"]*)">', form))
    goal = {"board_type": "general", "name": "Ava", **seen}
    assert (await alice.post(f"{launched}/onboarding/confirmations", data=goal)).status_code == 200
    assert (await alice.post(f"{ended}/onboarding/endings")).status_code == 303
    for board in (launched, ended):
        assert UNFINISHED not in (await alice.get(board)).text

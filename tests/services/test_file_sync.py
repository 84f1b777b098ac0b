"""What a sync tells is what becomes of the files, once who holds the gateway has written them."""

from collections.abc import AsyncIterator, Mapping

import pytest

from models import Agent
from openclaw import Guard
from services import agent_files, file_sync
from services.file_sync import Report, Wish
from services.gateways import Carrier
from tests.conftest import Transaction
from tests.openclaw.fake import TOKEN
from tests.services.yard import BASE_URL, Yard, a_yard
from tests.world import SEAL, World

PLAIN = Wish()
NOTES = "\nThe printer is in room 4.\n"


@pytest.fixture
async def yard(transaction: Transaction, world: World) -> AsyncIterator[Yard]:
    async with a_yard(transaction, world) as yard:
        yard.gateway.sealed_token = SEAL.close(TOKEN, f"gateways.token:{yard.gateway.id}")
        yield yard


async def told(yard: Yard, wish: Wish = PLAIN, *, dry_run: bool = True) -> Report:
    """Sync, and return what is told of it; unless it is a dry run it is written, too."""
    carrier = Carrier(SEAL, Guard())
    async with yard.transaction() as session:
        prepared = await file_sync.prepare(
            session, SEAL, yard.world.alices, yard.gateway, wish, base_url=BASE_URL
        )
    report = file_sync.report(
        prepared, await file_sync.look(carrier, yard.gateway, prepared.agents)
    )
    assert report.mishaps == []
    if not dry_run:
        async with yard.transaction() as session:
            report = await file_sync.ask(session, yard.world.alices, prepared, report)
        await yard.settle()
    return report


def states(report: Report, agent: Agent) -> Mapping[str, str]:
    [one] = [one for one in report.agents if one.agent.id == agent.id]
    return {file.name: file.state.value for file in one.files}


ALL_SAME = dict.fromkeys(agent_files.NAMES, "same")


async def test_what_a_dry_run_tells_is_what_is_written(yard: Yard) -> None:
    agent = await yard.there()
    assert states(await told(yard), agent) == ALL_SAME
    yard.files(agent)["SOUL.md"] = "I have found myself.\n"
    yard.files(agent)["AGENTS.md"] += NOTES
    await yard.change_board(objective="Grow tomatoes")
    expected = ALL_SAME | {"SOUL.md": "kept", "AGENTS.md": "changed"}
    assert states(await told(yard), agent) == expected
    assert "Grow tomatoes" not in yard.files(agent)["AGENTS.md"]

    assert states(await told(yard, dry_run=False), agent) == expected
    assert yard.files(agent)["SOUL.md"] == "I have found myself.\n"
    assert "Grow tomatoes" in yard.files(agent)["AGENTS.md"]
    assert yard.files(agent)["AGENTS.md"].endswith(NOTES)
    assert states(await told(yard), agent) == ALL_SAME | {"SOUL.md": "kept"}


async def test_overwriting_leaves_an_agent_its_memory_and_what_is_below_the_line(
    yard: Yard,
) -> None:
    """W-35."""
    agent = await yard.there()
    yard.files(agent)["AGENTS.md"] += NOTES
    for name in ("SOUL.md", "IDENTITY.md", "USER.md", "MEMORY.md"):
        yard.files(agent)[name] = "mine\n"
    wish = Wish(overwrite=True)
    expected = dict.fromkeys(agent_files.NAMES, "changed")
    expected |= {"AGENTS.md": "same", "MEMORY.md": "kept"}
    assert states(await told(yard, wish), agent) == expected
    await told(yard, wish, dry_run=False)
    assert [name for name, text in yard.files(agent).items() if text == "mine\n"] == ["MEMORY.md"]
    assert yard.files(agent)["AGENTS.md"].endswith(NOTES)
    assert states(await told(yard), agent) == ALL_SAME | {"MEMORY.md": "kept"}


async def test_other_tokens_are_in_the_files_once_they_are_written(yard: Yard) -> None:
    """W-07."""
    agent, other = await yard.there(), await yard.there("Reader")
    before = yard.token(agent), yard.token(other)
    wish = Wish(rotate_tokens=True, include_main=False)
    assert states(await told(yard, wish), agent) == ALL_SAME | {"AGENTS.md": "changed"}
    await told(yard, wish, dry_run=False)
    after = yard.token(agent), yard.token(other)
    assert len({*before, *after}) == 4
    assert after[0] not in str(yard.files(other))
    assert states(await told(yard), agent) == ALL_SAME


async def test_a_sync_brings_an_agent_that_its_gateway_does_not_have_yet(yard: Yard) -> None:
    agent = await yard.add()
    assert set(states(await told(yard), agent).values()) == {"new"}
    await told(yard, dry_run=False)
    assert states(await told(yard), agent) == ALL_SAME

"""The stream of an agent's messages: its own, as they come."""

from starlette.types import ASGIApp

from models import Agent
from services import messages
from tests.api.conftest import Caller
from tests.api.listening import listening
from tests.conftest import Transaction
from tests.world import World

STREAM = "/agent/messages/stream"


async def write(transaction: Transaction, *to: Agent) -> None:
    async with transaction() as session:
        drafts = [messages.Draft(to=agent, content=f"BOARD CHAT\n{agent.name}") for agent in to]
        await messages.queue(session, drafts)


async def test_an_agent_hears_of_its_own_messages_as_they_come(
    real_house: ASGIApp, really_calling: Caller, real_world: World, real_transaction: Transaction
) -> None:
    world, worker = real_world, really_calling(real_world.worker)
    async with listening(real_house, world.worker, STREAM) as stream:
        await write(real_transaction, world.lead, world.worker, world.charlies_worker)
        heard = await stream.next()
        [message] = (await worker.get("/agent/messages")).json()["items"]
        assert (heard.name, heard.data) == ("message", {"message": message})
        await worker.post(f"/agent/messages/{message['id']}/ack")
        assert await stream.hears_nothing()


async def test_who_comes_back_hears_what_was_said_meanwhile(
    real_house: ASGIApp, real_world: World, real_transaction: Transaction
) -> None:
    await write(real_transaction, real_world.worker, real_world.worker)
    since = f"{STREAM}?since=2026-01-01T00:00:00Z"
    async with listening(real_house, real_world.worker, since) as stream:
        first, second = await stream.next(), await stream.next()
        assert first.data != second.data
    known = {"Last-Event-ID": str(first.id)}
    async with listening(real_house, real_world.worker, STREAM, **known) as stream:
        assert (await stream.next()) == second
        assert await stream.hears_nothing()


async def test_what_is_sent_once_more_is_told_once_more(
    real_house: ASGIApp, really_calling: Caller, real_world: World, real_transaction: Transaction
) -> None:
    await write(real_transaction, real_world.worker)
    async with real_transaction() as session:
        await messages.give_up(session, patience=-messages.PATIENCE)
    path = f"/agents/{real_world.worker.id}/messages"
    alice = really_calling(real_world.alice)
    [failed] = (await alice.get(path)).json()["items"]
    async with listening(real_house, real_world.worker, STREAM) as stream:
        assert (await alice.post(f"{path}/{failed['id']}/retry")).status_code == 200
        assert (await stream.next()).data["message"]["id"] == failed["id"]


async def test_who_has_no_place_any_more_hears_no_more(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    alice = really_calling(real_world.alice)
    worker, garden = real_world.worker, str(real_world.garden.id)
    tasks = f"/boards/{real_world.board.id}/tasks/stream"
    async with (
        listening(real_house, worker, STREAM) as own,
        listening(real_house, worker, tasks) as of_board,
    ):
        moved = await alice.patch(f"/agents/{worker.id}", json={"board_id": garden})
        assert moved.status_code == 200
        await own.ended(patience=4.5)
        await of_board.ended(patience=4.5)
    async with listening(real_house, worker, STREAM) as own:
        await alice.delete(f"/agents/{worker.id}")
        await own.ended(patience=4.5)

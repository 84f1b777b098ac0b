"""The stream of an agent's messages."""

from starlette.types import ASGIApp

from core.db.engine import TransactionFactory
from models import Agent
from services import messages
from tests.support.api_fixtures import ClientFactory
from tests.support.stream_client import open_stream
from tests.support.world import World

STREAM = "/agent/messages/stream"


async def enqueue_message(transaction: TransactionFactory, *to: Agent) -> None:
    async with transaction() as session:
        drafts = [
            messages.OutgoingMessage(to=agent, content=f"BOARD CHAT\n{agent.name}") for agent in to
        ]
        await messages.enqueue_messages(session, drafts)


async def test_an_agent_receives_its_own_messages_immediately(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    world, worker = isolated_world, committing_client_for(isolated_world.worker)
    async with open_stream(committing_api_app, world.worker, STREAM) as stream:
        await enqueue_message(isolated_transaction, world.lead, world.worker, world.charlies_worker)
        received = await stream.next_message()
        [message] = (await worker.get("/agent/messages")).json()["items"]
        assert (received.name, received.data) == ("message", {"message": message})
        await worker.post(f"/agent/messages/{message['id']}/ack")
        assert await stream.is_silent()


async def test_a_reconnecting_agent_receives_missed_messages(
    committing_api_app: ASGIApp, isolated_world: World, isolated_transaction: TransactionFactory
) -> None:
    await enqueue_message(isolated_transaction, isolated_world.worker, isolated_world.worker)
    since = f"{STREAM}?since=2026-01-01T00:00:00Z"
    async with open_stream(committing_api_app, isolated_world.worker, since) as stream:
        first, second = await stream.next_message(), await stream.next_message()
        assert first.data != second.data
    headers = {"Last-Event-ID": str(first.id)}
    async with open_stream(committing_api_app, isolated_world.worker, STREAM, **headers) as stream:
        assert (await stream.next_message()) == second
        assert await stream.is_silent()


async def test_a_retried_message_is_streamed_again(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    await enqueue_message(isolated_transaction, isolated_world.worker)
    async with isolated_transaction() as session:
        await messages.expire_undelivered(session, max_age=-messages.DELIVERY_TIMEOUT)
    path = f"/agents/{isolated_world.worker.id}/messages"
    alice = committing_client_for(isolated_world.alice)
    [failed] = (await alice.get(path)).json()["items"]
    async with open_stream(committing_api_app, isolated_world.worker, STREAM) as stream:
        assert (await alice.post(f"{path}/{failed['id']}/retry")).status_code == 200
        assert (await stream.next_message()).data["message"]["id"] == failed["id"]


async def test_the_message_stream_ends_when_the_agent_loses_its_board(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    alice = committing_client_for(isolated_world.alice)
    worker, garden = isolated_world.worker, str(isolated_world.garden.id)
    tasks = f"/boards/{isolated_world.board.id}/tasks/stream"
    async with (
        open_stream(committing_api_app, worker, STREAM) as own,
        open_stream(committing_api_app, worker, tasks) as of_board,
    ):
        moved = await alice.patch(f"/agents/{worker.id}", json={"board_id": garden})
        assert moved.status_code == 200
        await own.wait_for_end(1)
        await of_board.wait_for_end(1)
    async with open_stream(committing_api_app, worker, STREAM) as own:
        await alice.delete(f"/agents/{worker.id}")
        await own.wait_for_end(1)


async def test_messages_that_a_stop_held_are_streamed_after_the_resume(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    alice, world = committing_client_for(isolated_world.alice), isolated_world
    async with open_stream(committing_api_app, world.worker, STREAM) as stream:
        assert (await alice.post("/organizations/me/stop", json={})).status_code == 200
        await enqueue_message(isolated_transaction, world.worker, world.worker)
        assert await stream.is_silent()
        assert (await alice.delete("/organizations/me/stop")).status_code == 200
        first, second = await stream.next_message(), await stream.next_message()
    held = (await committing_client_for(world.worker).get("/agent/messages")).json()["items"]
    assert [first.data["message"], second.data["message"]] == held

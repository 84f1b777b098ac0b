"""Of which messages it is looked what became, and in which turn."""

from datetime import timedelta

from kit.clock import now
from models import Agent, MessageState
from services.messages import handovers
from tests.world import World, a_gateway, a_message


async def test_of_very_many_messages_that_are_out_all_are_looked_at_in_turn(
    session, world: World
) -> None:
    gateway = a_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    worker = await session.get_one(Agent, world.worker.id)
    worker.gateway_id, worker.openclaw_session_id = gateway.id, "agent:worker:main"
    worker.is_linked, worker.listed_at = True, now()
    many = 2 * handovers.LOOKED_AT + 5
    sent, at = MessageState.SENT, now()
    session.add_all([a_message(worker, state=sent, sent_at=at) for _ in range(many)])
    await session.flush()
    seen: list[int] = []
    for turn in range(3):
        at = now() + timedelta(seconds=turn)
        found = await handovers.handed_over(session, gateway.id, worker.id, at)
        assert 0 < len(found) <= handovers.LOOKED_AT
        in_turn = [letter.message.seq for letter in found]
        assert in_turn == sorted(in_turn)
        seen += in_turn
        for letter in found:
            letter.message.due_at = at + timedelta(milliseconds=500)
        await session.flush()
    assert len(set(seen)) == many

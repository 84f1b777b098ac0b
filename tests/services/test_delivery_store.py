"""The order of status checks."""

from datetime import timedelta

from core.clock import now
from models import Agent, MessageState
from services.messages import gateway_delivery
from tests.support.board_rows import make_message
from tests.support.gateway_rows import make_gateway
from tests.support.world import World


async def test_all_of_very_many_sent_messages_are_checked_in_turn(session, world: World) -> None:
    gateway = make_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    worker = await session.get_one(Agent, world.worker.id)
    worker.gateway_id, worker.openclaw_session_id = gateway.id, "agent:worker:main"
    worker.is_linked, worker.listed_at = True, now()
    many = 2 * gateway_delivery.MAX_STATUS_CHECKS + 5
    sent, at = MessageState.SENT, now()
    session.add_all([make_message(worker, state=sent, sent_at=at) for _ in range(many)])
    await session.flush()
    checked: list[int] = []
    for turn in range(3):
        at = now() + timedelta(seconds=turn)
        due = await gateway_delivery.list_due_checks(session, gateway.id, worker.id, at)
        assert 0 < len(due) <= gateway_delivery.MAX_STATUS_CHECKS
        seqs = [one.message.seq for one in due]
        assert seqs == sorted(seqs)
        checked += seqs
        for one in due:
            one.message.next_attempt_at = at + timedelta(milliseconds=500)
        await session.flush()
    assert len(set(checked)) == many

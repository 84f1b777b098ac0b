"""Pages show messages without an action of their agent, and runs that did nothing."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from core.clock import now
from models import Message, MessageState, Run, RunStatus
from tests.support.board_rows import make_message
from web.agents.presenter import describe_run

HTMX = {"HX-Request": "true"}
IDLE = "Acknowledged, no action on the task for 12 min."


@pytest.fixture
async def message(world, transaction) -> Message:
    """A message that the worker acknowledged 12 minutes ago without doing anything since."""
    task, at = world.make_task(assignee=world.worker), now() - timedelta(minutes=12, seconds=5)
    values = {"state": MessageState.ACKNOWLEDGED, "acknowledged_at": at, "sent_at": at}
    content = "TASK ASSIGNED\nTask: Write the report"
    message = make_message(world.worker, content, created_at=at, board_id=world.board.id, **values)
    async with transaction() as session:
        session.add(task)
        await session.flush()
        message.task_id = task.id
        session.add(message)
    return message


async def test_the_task_shows_the_message_and_an_admin_sends_it_again(
    alice, bob, charlie, world, transaction, message
) -> None:
    page = f"/boards/{world.board.id}/tasks/{message.task_id}"
    again = f"/agents/{world.worker.id}/messages/{message.id}/sendings"
    assert IDLE in (await bob.get(page)).text
    assert again not in (await bob.get(page)).text
    assert again in (await alice.get(page)).text
    assert (await charlie.post(again)).status_code == 404
    assert (await alice.post(again)).status_code == 303
    async with transaction() as session:
        [state] = await session.scalars(select(Message.state))
    assert state is MessageState.QUEUED
    assert IDLE not in (await alice.get(page)).text


async def test_the_messages_of_the_agent_show_it(alice, bob, world, message) -> None:
    path = f"/agents/{world.worker.id}/messages"
    for reader, can_send in ((alice, True), (bob, False)):
        page = (await reader.get(path)).text
        assert IDLE in page
        assert ("Send again" in page) is can_send


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tool_calls": [{"id": "1"}], "tail": ""}, "Ended."),
        ({"tail": "", "is_heartbeat": True}, "Ended."),
        ({"tail": "I will."}, "Ended with an answer only: no action was reported."),
        (
            {"tail": ""},
            "Ended without doing anything: neither an action nor an answer was reported.",
        ),
        ({"tail": "", "status": RunStatus.LOST}, "Lost: the result is unknown."),
    ],
)
def test_a_run_that_did_nothing_says_so(fields, text) -> None:
    values = {"status": RunStatus.ENDED, "is_heartbeat": False, "tool_calls": []} | fields
    assert describe_run(Run(**values)) == text

"""Questions of deciders to the requester: whether they are answered."""

import re
from collections.abc import Awaitable, Callable

import pytest
from httpx2 import AsyncClient

from core.db.engine import TransactionFactory
from models import Actor, Approval, Status
from services import boards, tasks
from tests.support.approval_pages import HTMX, approving, ask
from tests.support.world import World

__all__ = ["ask"]

AddComment = Callable[[Actor, Approval], Awaitable[None]]


@pytest.fixture
def add_comment(transaction: TransactionFactory, world: World) -> AddComment:
    """Comment on the task of an approval."""

    async def comment(actor: Actor, approval: Approval) -> None:
        async with transaction() as session:
            board = await boards.lock_board(session, actor, world.board.id)
            assert approval.task_id is not None
            await tasks.create_comment(session, actor, board, approval.task_id, "Very sure.")

    return comment


async def send_question(client: AsyncClient, approval: Approval) -> None:
    path = f"/approvals/{approval.id}/questions"
    asked = await client.post(path, data={"question": "How sure?"}, headers=HTMX)
    assert asked.status_code == 200


async def list_states(client: AsyncClient, approval: Approval) -> list[str]:
    """Return the states of questions in the list and in the approval that is shown in full."""
    page = (await client.get(f"/approvals/{approval.id}")).text
    return re.findall(r"Question (asked|answered)", page)


async def test_a_comment_of_the_requester_answers_a_question(
    alice, bob, ask, add_comment, world
) -> None:
    in_review = {"status": Status.REVIEW}  # so that a lead may comment
    approval = await ask("First", agent_id=world.worker.id, task_fields=in_review)
    await add_comment(world.worker, approval)
    assert await list_states(alice, approval) == []
    await send_question(alice, approval)
    for other in (world.lead, world.alice, world.bob):
        await add_comment(other, approval)
        assert await list_states(alice, approval) == ["asked", "asked"]
    await add_comment(world.worker, approval)
    for client in (alice, bob):
        assert await list_states(client, approval) == ["answered", "answered"]
    assert 'id="needs-count">1<' in (await alice.get("/approvals")).text


async def test_another_question_waits_for_another_answer(alice, ask, add_comment, world) -> None:
    approval = await ask("First", agent_id=world.worker.id)
    for _ in range(2):
        await send_question(alice, approval)
        assert await list_states(alice, approval) == ["asked", "asked"]
        await add_comment(world.worker, approval)
        assert await list_states(alice, approval) == ["answered", "answered"]


async def test_a_person_who_made_the_request_answers_too(alice, ask, add_comment, world) -> None:
    approval = await ask("First", requested_by_user_id=world.bob.id)
    await send_question(alice, approval)
    await add_comment(world.bob, approval)
    assert await list_states(alice, approval) == ["answered", "answered"]


async def test_an_own_question_is_not_an_answer(bob, ask, world) -> None:
    approval = await ask("First", requested_by_user_id=world.bob.id)
    await send_question(bob, approval)
    assert await list_states(bob, approval) == ["asked", "asked"]


async def test_a_decided_approval_shows_no_question(alice, ask, add_comment, world) -> None:
    approval = await ask("First", agent_id=world.worker.id)
    await send_question(alice, approval)
    await add_comment(world.worker, approval)
    await alice.post(f"/approvals/{approval.id}/answers", data=approving(approval))
    assert await list_states(alice, approval) == []


async def test_the_inbox_reloads_when_a_question_can_be_answered(
    alice, ask, add_comment, world
) -> None:
    approval = await ask("First", agent_id=world.worker.id)
    trigger = f"comments-{approval.task_id} from:body"
    assert trigger not in (await alice.get("/approvals")).text
    await send_question(alice, approval)
    assert trigger in (await alice.get("/approvals")).text
    await add_comment(world.worker, approval)
    assert trigger not in (await alice.get("/approvals")).text


def find_comment_triggers(page: str) -> list[str]:
    inbox = re.findall(r'id="inbox"[^>]* hx-trigger="([^"]*)"', page)[0]
    return [one for one in inbox.split(", ") if one.startswith("comments")]


async def test_the_triggers_of_the_inbox_do_not_grow_with_its_questions(
    alice, ask, add_comment, world
) -> None:
    found = [await ask(f"Task {n}", agent_id=world.worker.id) for n in range(7)]
    for number, approval in enumerate(found, start=1):
        await send_question(alice, approval)
        triggers = find_comment_triggers((await alice.get("/approvals")).text)
        if number <= 5:
            assert len(triggers) == number
        else:
            assert triggers == ["comments from:body throttle:3s"]
    for approval in found[:2]:
        await add_comment(world.worker, approval)
    triggers = find_comment_triggers((await alice.get("/approvals")).text)
    assert triggers == sorted(
        f"comments-{one.task_id} from:body throttle:500ms" for one in found[2:]
    )

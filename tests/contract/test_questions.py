"""Questions of workers to people (an addition to agents-and-gateways 6.21), and their answers."""

from typing import Any

import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Board, Notification, NotificationKind, Task
from services import boards, questions, tasks
from tests.support.api_fixtures import Client
from tests.support.world import World

QUESTION = {"content": "Which of the two logos?"}


@pytest.fixture
def path(world: World) -> str:
    return f"/agent/boards/{world.board.id}/gateway/main/ask-user"


@pytest.fixture
async def allowed(transaction: TransactionFactory, world: World) -> None:
    async with transaction() as session:
        board = await session.get(Board, world.board.id)
        assert board is not None
        board.workers_may_ask_people = True


async def list_asked(transaction: TransactionFactory) -> list[Notification]:
    async with transaction() as session:
        query = select(Notification).where(Notification.kind == NotificationKind.QUESTION)
        return list(await session.scalars(query.order_by(Notification.user_id)))


async def answer(transaction: TransactionFactory, world: World, question_id: Any, text: str):
    async with transaction() as session:
        board = await boards.lock_board(session, world.bob, world.board.id)
        return await questions.answer_question(session, world.bob, board, question_id, text)


async def test_by_default_only_the_lead_asks(worker: Client, lead: Client, path) -> None:
    """The error of a worker names the setting that allows it, and who can change that."""
    refused = await worker.post(path, json=QUESTION)
    assert (refused.status_code, refused.json()["code"]) == (403, "workers_may_not_ask")
    for named in ("“Workers may ask people”", "workers_may_ask_people", "admin"):
        assert named in refused.json()["detail"]
    assert (await lead.post(path, json=QUESTION)).status_code == 200


@pytest.mark.usefixtures("allowed")
async def test_a_question_reaches_who_may_answer_and_the_answer_the_worker(
    worker: Client, world: World, transaction, path
) -> None:
    asked = (await worker.post(path, json=QUESTION | {"correlation_id": "logo"})).json()
    assert asked == {
        "ok": True,
        "board_id": str(world.board.id),
        "main_agent_id": None,
        "main_agent_name": None,
        "correlation_id": "logo",
    }
    found = await list_asked(transaction)
    assert {one.user_id for one in found} == {world.alice.id, world.bob.id}
    assert {one.actor_agent_id for one in found} == {world.worker.id}
    question_id = found[0].data["question_id"]
    await answer(transaction, world, question_id, "The\nred one.")
    [message] = (await worker.get("/agent/messages")).json()["items"]
    assert message["kind"] == "QUESTION ANSWERED"
    for text in ("Correlation ID: logo", "From: Bob", "Which of the two logos?", "The\nred one."):
        assert text in message["content"]
    assert all(one.resolved_at for one in await list_asked(transaction))


@pytest.mark.usefixtures("allowed")
async def test_a_question_about_a_task_reaches_its_watchers_who_may_answer(
    worker: Client, world: World, transaction, path
) -> None:
    task: Task = world.make_task()
    async with transaction() as session:
        session.add(task)
        await session.flush()
        for user in (world.bob, world.rita):
            await tasks.watch_task(session, user, world.board, task.id)
    assert (await worker.post(path, json=QUESTION | {"task_id": str(task.id)})).status_code == 200
    assert [one.user_id for one in await list_asked(transaction)] == [world.bob.id]


@pytest.mark.usefixtures("allowed")
async def test_who_may_not_ask(
    client_for, anonymous: Client, worker: Client, alice: Client, world: World, path
) -> None:
    stranger, gardener = client_for(world.charlies_worker), client_for(world.gardener)
    assert (await stranger.post(path, json=QUESTION)).status_code == 404
    assert (await gardener.post(path, json=QUESTION)).status_code in (403, 404)
    assert (await anonymous.post(path, json=QUESTION)).status_code == 401
    assert (await alice.post(path, json=QUESTION)).status_code == 401
    missing = {"task_id": str(world.board.id)}
    assert (await worker.post(path, json=QUESTION | missing)).status_code == 404
    assert (await worker.post(path, json={"content": " "})).status_code == 422


@pytest.mark.usefixtures("allowed")
async def test_an_agent_has_five_open_questions_at_most(worker: Client, path) -> None:
    sent = [(await worker.post(path, json=QUESTION)).status_code for _ in range(6)]
    assert sent == [200] * 5 + [409]


@pytest.mark.usefixtures("allowed")
async def test_the_board_shows_whether_workers_may_ask(alice: Client, bob: Client, world) -> None:
    path = f"/boards/{world.board.id}"
    assert (await alice.get(path)).json()["workers_may_ask_people"] is True
    off = {"workers_may_ask_people": False}
    assert (await bob.patch(path, json=off)).status_code == 403
    assert (await alice.patch(path, json=off)).json()["workers_may_ask_people"] is False

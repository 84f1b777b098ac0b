"""Questions of workers, and watchers of tasks, through the API."""

import pytest

from core.db.engine import TransactionFactory
from models import AgentQuestion, Board, Organization, User, new_id
from services import questions
from tests.support.api_fixtures import Client
from tests.support.people_rows import make_member
from tests.support.world import World


@pytest.fixture
async def question(transaction: TransactionFactory, world: World) -> AgentQuestion:
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        board.workers_may_ask_people = True
        return await questions.ask_question(session, world.worker, board, "Which logo?")


async def test_questions_are_listed_and_answered(
    alice: Client, bob: Client, worker: Client, world: World, question: AgentQuestion
) -> None:
    [listed] = (await bob.get("/questions?is_open=true")).json()["items"]
    assert (listed["content"], listed["answer"]) == ("Which logo?", None)
    assert (listed["agent_name"], listed["can_answer"]) == ("Worker", True)
    path = f"/questions/{question.id}"
    assert (await bob.get(path)).json() == listed
    answered = (await bob.post(f"{path}/answer", json={"answer": "The red one."})).json()
    assert answered["answer"] == "The red one."
    assert answered["answered_by_user_id"] == str(world.bob.id)
    assert (await bob.get("/questions?is_open=true")).json()["items"] == []
    of_board = f"/questions?is_open=false&board_id={world.board.id}"
    assert [one["id"] for one in (await bob.get(of_board)).json()["items"]] == [str(question.id)]
    of_all, of_launch, of_garden = [
        (await alice.get(f"/questions{query}")).json()["total"]
        for query in ("", f"?board_id={world.board.id}", f"?board_id={world.garden.id}")
    ]
    assert (of_all, of_launch, of_garden) == (1, 1, 0)
    again = await bob.post(f"{path}/answer", json={"answer": "The blue one."})
    assert (again.status_code, again.json()["code"]) == (409, "question_answered")
    assert "The red one." in (await worker.get("/agent/messages")).text


async def test_who_may_not_read_or_answer_questions(
    rita: Client,
    dana: Client,
    charlie: Client,
    anonymous: Client,
    world: World,
    question: AgentQuestion,
) -> None:
    path, body = f"/questions/{question.id}", {"answer": "Me"}
    [seen] = (await rita.get("/questions")).json()["items"]
    assert not seen["can_answer"]
    assert (await rita.post(f"{path}/answer", json=body)).status_code == 403
    for stranger in (dana, charlie):
        assert (await stranger.get("/questions")).json()["items"] == []
        assert (await stranger.get(path)).status_code == 404
        assert (await stranger.post(f"{path}/answer", json=body)).status_code == 404
    of_board = f"/questions?board_id={world.board.id}"
    assert (await dana.get(of_board)).status_code == 403
    assert (await charlie.get(of_board)).status_code == 404
    assert (await anonymous.get("/questions")).status_code == 401
    assert (await anonymous.post(f"{path}/answer", json=body)).status_code == 401


async def test_questions_of_another_organization_are_not_listed_as_none(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    """Only the active organization has a list, also for who is a member of both."""
    async with transaction() as session:
        plover = await session.get_one(Organization, world.charlies_board.organization_id)
        user = await session.get_one(User, world.alice.id)
        session.add(make_member(plover, user, all_boards_read=True))
    path = f"/questions?board_id={world.charlies_board.id}"
    assert (await alice.get(path)).status_code == 404


async def test_a_task_is_watched(
    bob: Client, rita: Client, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        session.add(task := world.make_task())
    path = f"/boards/{world.board.id}/tasks/{task.id}/watchers"
    assert (await rita.get(path)).json() == []
    for _ in range(2):
        assert (await rita.put(f"{path}/me")).json() == {"ok": True}
    assert (await bob.get(path)).json() == [{"user_id": str(world.rita.id), "name": "Rita"}]
    assert (await rita.delete(f"{path}/me")).json() == {"ok": True}
    assert (await bob.get(path)).json() == []


async def test_watchers_need_access_to_the_board_of_the_task(
    alice: Client,
    dana: Client,
    charlie: Client,
    anonymous: Client,
    world: World,
    transaction: TransactionFactory,
) -> None:
    async with transaction() as session:
        session.add(task := world.make_task())
    path = f"/boards/{world.board.id}/tasks/{task.id}/watchers"
    assert (await alice.put(f"{path}/me")).status_code == 200
    for client, status in ((dana, 403), (charlie, 404), (anonymous, 401)):
        assert (await client.get(path)).status_code == status
        assert (await client.put(f"{path}/me")).status_code == status
        assert (await client.delete(f"{path}/me")).status_code == status
    elsewhere = f"/boards/{world.garden.id}/tasks/{task.id}/watchers"
    missing = f"/boards/{world.board.id}/tasks/{new_id()}/watchers"
    for path in (elsewhere, missing):
        assert (await alice.get(path)).status_code == 404
        assert (await alice.put(f"{path}/me")).status_code == 404

"""Streams: what happens is told once, in order, to those who may hear it."""

from starlette.types import ASGIApp

from services import identity
from tests.api.conftest import Caller
from tests.api.listening import listening
from tests.conftest import Transaction
from tests.world import World

ASK = {"action_type": "deploy", "confidence": 80, "payload": {"reason": "It is ready."}}


async def test_a_question_and_its_answer_are_told_as_they_happen(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    worker, alice = really_calling(real_world.worker), really_calling(real_world.alice)
    path = f"/boards/{real_world.board.id}/approvals"
    async with listening(real_house, real_world.worker, f"{path}/stream") as stream:
        asked = (await worker.post(path, json=ASK)).json()
        heard = await stream.next()
        assert heard.name == "approval"
        assert heard.data["approval"] == asked
        assert heard.data["pending_approvals_count"] == 1
        assert "task_counts" not in heard.data

        await alice.patch(f"{path}/{asked['id']}", json={"status": "approved"})
        later = await stream.next()
        assert later.data["approval"]["status"] == "approved"
        assert later.data["pending_approvals_count"] == 0
        assert later.id > heard.id
        assert await stream.hears_nothing()


async def test_who_loses_the_token_hears_no_more(
    real_house: ASGIApp, real_transaction: Transaction, real_world: World
) -> None:
    path = f"/boards/{real_world.board.id}/approvals/stream"
    async with listening(real_house, real_world.alice, path) as stream:
        async with real_transaction() as session:
            [token] = await identity.api_tokens(session, real_world.alice)
            await identity.revoke_api_token(session, real_world.alice, token.id)
        await stream.ended(patience=4.5)


async def test_whatever_happens_to_a_task_is_told_in_order_and_once(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    worker, alice = really_calling(real_world.worker), really_calling(real_world.alice)
    path = f"/boards/{real_world.board.id}/tasks"
    async with listening(real_house, real_world.worker, f"{path}/stream") as stream:
        made = (await alice.post(path, json={"title": "Write"})).json()
        task = f"{path}/{made['id']}"
        claimed = (await worker.patch(task, json={"status": "in_progress"})).json()
        said = (await worker.post(f"{task}/comments", json={"message": "Half of it."})).json()
        created, moved, comment = [await stream.next() for _ in range(3)]
        await alice.delete(task)
        deleted = await stream.next()
        assert {heard.name for heard in (created, moved, comment, deleted)} == {"task"}
        assert created.data["type"] == "task.created"
        assert moved.data["type"] == "task.status_changed"
        assert moved.data["activity"]["message"] == "Task moved to in progress: Write"
        assert moved.data["activity"]["agent_id"] == str(real_world.worker.id)
        assert moved.data["task"] == claimed
        assert comment.data["type"] == "task.comment"
        assert comment.data["comment"] == said
        assert "task" not in comment.data
        assert deleted.data["type"] == "task.deleted"
        assert deleted.data["task"] is None
        assert created.id < moved.id < comment.id < deleted.id
        assert await stream.hears_nothing()

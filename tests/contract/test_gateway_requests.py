"""Requests and runs of agents on gateways, over the API."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Gateway, GatewayRequest, RequestKind, RequestState, Run, RunStatus, Task
from tests.support.api_fixtures import Client
from tests.support.gateway_rows import make_gateway, make_gateway_request, make_run
from tests.support.world import World

QUESTION = '[{"question":"Which colour?","questionId":"colour","options":[{"label":"Blue"}]}]'


@pytest.fixture
async def gateway(transaction: TransactionFactory, world: World) -> Gateway:
    gateway = make_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
    return gateway


async def create_request(
    transaction: TransactionFactory, gateway: Gateway, agent: Agent | None, **fields: Any
) -> GatewayRequest:
    request = make_gateway_request(gateway, agent, **fields)
    async with transaction() as session:
        session.add(request)
    return request


async def test_a_request_has_its_exact_content_and_its_agent(
    bob: Client, transaction: TransactionFactory, gateway: Gateway, world: World
) -> None:
    request = await create_request(transaction, gateway, world.worker, exact="ls  -l\n")
    found = (await bob.get(f"/gateway-requests/{request.id}")).json()
    assert found["command"] == "ls  -l\n"
    assert found["sha256"] == request.sha256
    assert not found["is_masked"]
    assert found["asked_by"] == "Worker"
    assert found["state"] == "waiting"
    assert found["allowed_decisions"] == ["allow-once", "deny"]
    assert found["questions"] == []
    listed = (await bob.get("/gateway-requests")).json()
    assert listed["items"] == [found]
    assert listed["total"] == 1
    none = (await bob.get(f"/gateway-requests?board_id={world.garden.id}")).json()
    assert none["total"] == 0


async def test_an_answer_has_an_author_and_a_time(
    bob: Client, alice: Client, transaction: TransactionFactory, gateway: Gateway, world: World
) -> None:
    long_ago = now() - timedelta(minutes=20)
    request = await create_request(transaction, gateway, world.worker, asked_at=long_ago)
    path, body = f"/gateway-requests/{request.id}/answer", {"sha256": request.sha256}
    stale = await bob.post(path, json={"sha256": "0" * 64, "decision": "deny"})
    assert (stale.status_code, stale.json()["code"]) == (409, "request_changed")
    for bad in ({"decision": "allow-always"}, {"decision": None}, {"answers": {"x": ["y"]}}):
        assert (await bob.post(path, json=body | bad)).status_code == 422
    answered = await bob.post(path, json=body | {"decision": "allow-once"})
    assert answered.status_code == 200
    assert answered.json()["state"] == "answering"
    assert answered.json()["answered_by"] == "Bob"
    assert answered.json()["answered_by_user_id"] == str(world.bob.id)
    at = datetime.fromisoformat(answered.json()["answered_at"])
    assert now() - timedelta(minutes=10) < at.astimezone(UTC) <= now()
    again = await bob.post(path, json=body | {"decision": "allow-once"})
    assert again.json()["answered_at"] == answered.json()["answered_at"]
    late = await alice.post(path, json=body | {"decision": "deny"})
    assert late.status_code == 409
    assert late.json()["code"] == "already_answered"
    assert late.json()["detail"] == "Bob has answered this already."


async def test_questions_are_answered_by_their_ids(
    bob: Client, transaction: TransactionFactory, gateway: Gateway, world: World
) -> None:
    kind = RequestKind.QUESTION
    request = await create_request(transaction, gateway, world.lead, kind=kind, exact=QUESTION)
    path, body = f"/gateway-requests/{request.id}", {"sha256": request.sha256}
    assert (await bob.get(path)).json()["questions"][0]["questionId"] == "colour"
    wrong = await bob.post(f"{path}/answer", json=body | {"answers": {"colour": ["Green"]}})
    assert wrong.status_code == 422
    right = await bob.post(f"{path}/answer", json=body | {"answers": {"colour": ["Blue"]}})
    assert right.json()["answer"] == {"answers": {"colour": ["Blue"]}}


@pytest.mark.parametrize(
    ("name", "on_board", "on_none"), [("rita", 403, 403), ("charlie", 404, 404), ("bob", 200, 403)]
)
async def test_only_writers_of_the_board_see_its_requests(
    name: str,
    on_board: int,
    on_none: int,
    request: pytest.FixtureRequest,
    transaction: TransactionFactory,
    gateway: Gateway,
    world: World,
) -> None:
    client: Client = request.getfixturevalue(name)
    ours = await create_request(transaction, gateway, world.worker)
    nobodys = await create_request(transaction, gateway, None)
    for one, status in ((ours, on_board), (nobodys, on_none)):
        answer = await client.get(f"/gateway-requests/{one.id}")
        assert answer.status_code == status
        assert ("rm -rf" in answer.text) == (status == 200)
    total = (await client.get("/gateway-requests")).json()["total"]
    assert total == (1 if on_board == 200 else 0)


async def test_a_request_that_is_over_has_a_reason(
    alice: Client, transaction: TransactionFactory, gateway: Gateway, world: World
) -> None:
    over = {"state": RequestState.LOST, "error": "Somebody answered it.", "ended_at": now()}
    request = await create_request(transaction, gateway, world.worker, **over)
    found = (await alice.get("/gateway-requests?state=lost")).json()["items"]
    assert [one["error"] for one in found] == ["Somebody answered it."]
    body = {"sha256": request.sha256, "decision": "deny"}
    late = await alice.post(f"/gateway-requests/{request.id}/answer", json=body)
    assert (late.status_code, late.json()["code"]) == (409, "request_closed")


async def test_runs_are_listed_by_agent_and_by_task(
    rita: Client,
    charlie: Client,
    transaction: TransactionFactory,
    gateway: Gateway,
    world: World,
) -> None:
    task: Task = world.make_task()
    call: Any = {"id": "c", "name": "exec", "title": "Exec ls", "detail": "ls", "status": "running"}
    call |= {"started_at": "2026-11-24T22:28:33+00:00", "ended_at": None, "error": None}
    run: Run = make_run(gateway, world.worker, tool_calls=[call], tool="exec", phase="tool")
    ended = make_run(gateway, world.worker, status=RunStatus.ENDED, ended_at=now())
    async with transaction() as session:
        session.add(task)
        await session.flush()
        run.task_id = task.id
        session.add_all([ended, run])
    of_agent = (await rita.get(f"/agents/{world.worker.id}/runs")).json()
    assert [one["id"] for one in of_agent["items"]] == [str(ended.id), str(run.id)]
    path = f"/boards/{world.board.id}/tasks/{task.id}/runs"
    [found] = (await rita.get(path)).json()["items"]
    assert (found["status"], found["phase"], found["tool"]) == ("running", "tool", "exec")
    assert found["tool_calls"][0]["detail"] == "ls"
    assert found["tail"] == "Let me see."
    for one in (path, f"/agents/{world.worker.id}/runs"):
        assert (await charlie.get(one)).status_code == 404


async def test_a_page_of_very_long_requests_ends_early(
    bob: Client, transaction: TransactionFactory, gateway: Gateway, world: World
) -> None:
    """Serializing 200 of them would stop the server for a while."""
    content = {"request": {"command": "x" * 200_000, "later": "y" * 40_000}}
    requests = [
        make_gateway_request(gateway, world.worker, exact="x" * 200_000, content=content)
        for _ in range(12)
    ]
    async with transaction() as session:
        session.add_all(requests)
    seen: list[str] = []
    while len(seen) < len(requests):
        page = (await bob.get(f"/gateway-requests?offset={len(seen)}")).json()
        assert (page["total"], page["offset"]) == (12, len(seen))
        assert 1 <= len(page["items"]) <= 5
        is_last = len(seen) + len(page["items"]) == len(requests)
        assert page["limit"] == (200 if is_last else len(page["items"]))
        assert all(one["content"] == content for one in page["items"])
        seen += [one["id"] for one in page["items"]]
    assert seen == [str(one.id) for one in sorted(requests, key=_newest_first, reverse=True)]
    by_cursors, cursor = [], ""
    while cursor is not None:
        answer = await bob.get(f"/gateway-requests?after={cursor}")
        by_cursors += [one["id"] for one in answer.json()["items"]]
        cursor = answer.headers.get("X-Next-Cursor")
    assert by_cursors == seen
    one = (await bob.get("/gateway-requests?limit=1")).json()
    assert (len(one["items"]), one["limit"]) == (1, 1)


def _newest_first(request: GatewayRequest) -> Any:
    return request.created_at, request.id

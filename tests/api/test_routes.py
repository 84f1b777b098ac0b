"""Access to every route: without a token, and from another organization."""

import logging
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from api.app import root_routes
from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, ApiToken
from tests.conftest import rolled_back_changes
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.api_objects import (
    OPERATIONS_WITH_IDS,
    OPERATIONS_WITH_TOKEN,
    create_api_objects,
    operation_label,
    read_all_rows,
)
from tests.support.people_rows import cookie_secret, token_secret
from tests.support.tiers import repetition, select_options
from tests.support.world import World

OPEN_TO_ALL = {
    *("/health", "/healthz", "/readyz", "/openapi.json", "/docs", "/docs/agents", "/llms.txt"),
    *("/openapi/agent-worker.json", "/openapi/agent-lead.json", "/openapi/people.json"),
}

NOT_404 = {
    ("DELETE", "/agents/{agent_id}"): {200},
    ("POST", "/agents/{agent_id}/heartbeat"): {403, 404},
}
"""Statuses other than 404 for foreign and missing ids.

Deleting a missing agent succeeds (contract, agents 7.7), and an agent may send a heartbeat only for
itself (7.5).
"""


TOKENS = (None, "", "mc_user_nobodys", "mc_agent_nobodys", "something", "ünïcode", "x" * 5000)


async def test_requests_without_a_token_are_rejected(
    anonymous: Client, world: World, transaction: TransactionFactory
) -> None:
    """W-09."""
    async with transaction() as session:
        objects = await create_api_objects(session, world)
        before = await read_all_rows(session)
    for operation in OPERATIONS_WITH_TOKEN:
        # All operations read a token in the same way.
        for token in select_options(operation_label(operation), TOKENS):
            headers = [] if token is None else [(b"Authorization", f"Bearer {token}".encode())]
            path = objects.build_path(operation)
            response = await anonymous.request(operation.method, path, headers=headers)
            assert response.status_code == 401, (operation_label(operation), token)
            assert response.json()["detail"] == "Unauthorized"
    async with transaction() as session:
        assert await read_all_rows(session) == before


async def test_a_cookie_does_not_authenticate(client_for: ClientFactory, world: World) -> None:
    client = client_for(None)
    client.cookies.set("mission_control", cookie_secret(world.alice))
    assert (await client.get("/users/me")).status_code == 401


async def test_only_operations_without_user_data_are_public(anonymous: Client) -> None:
    assert {route.path for route in root_routes} == OPEN_TO_ALL
    for path in OPEN_TO_ALL:
        assert (await anonymous.get(f"http://mission.test{path}")).status_code == 200


@repetition
async def test_a_user_of_another_organization_finds_and_changes_nothing(
    subtests: pytest.Subtests,
    client_for: ClientFactory,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """The rule is stated in test_tenancy.py; here bodies are invalid too."""
    async with transaction() as session:
        objects = await create_api_objects(session, world)
        before = await read_all_rows(session)
    for operation in OPERATIONS_WITH_IDS:
        with subtests.test(operation_label(operation)):
            async with rolled_back_changes(transaction):
                allowed = NOT_404.get((operation.method, operation.path), {404})

                for stranger in objects.list_foreign_callers(operation):
                    client = client_for(stranger)
                    answers = [
                        await client.request(operation.method, objects.build_path(operation)),
                        await client.request(
                            operation.method, objects.build_path(operation), json={}
                        ),
                        await client.request(
                            operation.method, objects.build_path(operation), json={"title": 5}
                        ),
                    ]
                    assert {answer.status_code for answer in answers} <= allowed, answers[0].text
                    assert not any("Launch" in answer.text for answer in answers)

                async with transaction() as session:
                    assert await read_all_rows(session) == before


async def test_foreign_and_missing_objects_give_the_same_error(
    subtests: pytest.Subtests,
    client_for: ClientFactory,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """S24."""
    async with transaction() as session:
        objects = await create_api_objects(session, world)
    for operation in OPERATIONS_WITH_IDS:
        with subtests.test(operation_label(operation)):
            async with rolled_back_changes(transaction):
                client = client_for(objects.list_foreign_callers(operation)[0])
                path = objects.build_path(operation)

                theirs = await client.request(operation.method, path, json={})
                for id in set(path.split("/")):
                    if len(id) == 36:
                        path = path.replace(id, id[:-4] + "0000")
                never = await client.request(operation.method, path, json={})

                assert theirs.status_code == never.status_code
                assert {**theirs.json(), "request_id": ""} == {**never.json(), "request_id": ""}


async def test_an_invalid_id_is_rejected_with_its_location(
    subtests: pytest.Subtests,
    client_for: ClientFactory,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """C9, W-47. A27.5."""
    async with transaction() as session:
        objects = await create_api_objects(session, world)
    for operation in OPERATIONS_WITH_IDS:
        with subtests.test(operation_label(operation)):
            async with rolled_back_changes(transaction):
                parameter = operation.path.partition("{")[2].partition("}")[0]
                path = operation.path.replace(f"{{{parameter}}}", "no-id")

                response = await client_for(objects.get_allowed_caller(operation)).request(
                    operation.method,
                    objects.fill_path(path),
                    json={},
                )

                assert response.status_code == 422
                [fault] = response.json()["detail"]
                assert fault["type"] == "uuid_parsing"
                assert fault["loc"] == ["path", parameter]


async def test_an_unknown_path_returns_an_error_envelope(alice: Client) -> None:
    for method, path, status, reason, code in [
        ("GET", "/nothing", 404, "Not Found", "not_found"),
        ("GET", "/boards/with%0Aa-break", 404, "Not Found", "not_found"),
        ("PUT", "/boards", 405, "Method Not Allowed", "method_not_allowed"),
        ("DELETE", "/users/me/more", 404, "Not Found", "not_found"),
    ]:
        response = await alice.request(method, path)
        assert response.status_code == status
        assert response.json() == {
            "detail": reason,
            "code": code,
            "request_id": response.headers["X-Request-Id"],
        }
    assert set((await alice.put("/boards")).headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}


async def test_a_trailing_slash_redirects_to_the_path_without_it(alice: Client) -> None:
    response = await alice.get("/boards/")
    assert response.status_code == 307
    assert response.headers["Location"].endswith("/api/v1/boards")
    assert (await alice.get("/nothing/")).status_code == 404


@pytest.mark.parametrize("header", ["Authorization", "X-Agent-Token"])
async def test_tokens_are_not_logged(
    anonymous: Client, world: World, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    """S23, W-24: neither valid nor invalid tokens, at any log level."""
    good = [token_secret(world.worker), token_secret(world.alice)]
    with caplog.at_level(logging.DEBUG):
        for token in ["mc_agent_canary", "mc_user_canary", "canary, of elsewhere", *good]:
            value = f"Bearer {token}" if header == "Authorization" else token
            for path in ("/boards", f"/boards/{world.board.id}/tasks", "/agent/heartbeat"):
                await anonymous.get(path, headers={header: value})
            await anonymous.post("/agent/heartbeat", headers={header: value})
    ours = [one for one in caplog.records if one.name.startswith("mission_control")]
    assert len(ours) >= 20
    log_text = " ".join(f"{one.getMessage()} {vars(one)}" for one in ours)
    assert not [word for word in ("canary", "elsewhere", "the-token-of") if word in log_text]


async def test_without_a_token_existing_and_missing_ids_look_the_same(
    anonymous: Client, world: World, transaction: TransactionFactory
) -> None:
    """W-09: authentication comes before any lookup."""
    async with transaction() as session:
        objects = await create_api_objects(session, world)
    for operation in OPERATIONS_WITH_IDS:
        path = objects.build_path(operation)
        ids = {part for part in path.split("/") if len(part) == 36}
        for none in ("00000000-0000-4000-8000-000000000000", "no-id"):
            never = path
            for id in ids:
                never = never.replace(id, none)
            answers = [
                await anonymous.request(operation.method, at, json={}) for at in (path, never)
            ]
            bodies = [{**one.json(), "request_id": ""} for one in answers]
            assert bodies[0] == bodies[1], operation_label(operation)
            assert {one.status_code for one in answers} == {401}, operation_label(operation)


async def test_a_request_records_when_its_token_was_used(
    alice: Client, worker: Client, transaction: TransactionFactory
) -> None:
    start = now()
    async with transaction() as session:
        await session.execute(update(ApiToken).values(last_used_at=None))
        await session.execute(update(Agent).values(last_seen_at=start - timedelta(seconds=30)))
    for client, path, used_at in (
        (alice, "/boards", select(func.max(ApiToken.last_used_at))),
        (worker, "/agent/boards", select(func.max(Agent.last_seen_at))),
    ):
        assert (await client.get(path)).status_code == 200
        async with transaction() as session:
            last_used_at = await session.scalar(used_at)
        assert last_used_at is not None
        assert last_used_at > start

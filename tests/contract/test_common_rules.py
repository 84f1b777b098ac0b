"""The contract's checklist (people-and-boards 7), 1 to 9: rules for all operations."""

import pytest
from starlette.types import ASGIApp

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.http import event_stream
from core.version import VERSION
from models import Agent, new_id
from tests.support.api_fixtures import Client, ClientFactory, create_client
from tests.support.app_on_transactions import build_app_on
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.people_rows import token_secret
from tests.support.stream_client import open_stream
from tests.support.world import World

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}


async def test_the_probe_is_public_and_the_document_lists_roles(anonymous: Client) -> None:
    """Point 1. A27.2."""
    probe = await anonymous.get("http://mission.test/healthz")
    assert (probe.status_code, probe.json()) == (200, {"ok": True, "version": VERSION})
    paths = (await anonymous.get("http://mission.test/openapi.json")).json()["paths"]
    reported = paths["/api/v1/agent/boards/{board_id}/tasks"]["get"]
    assert {"agent-lead", "agent-worker"} <= set(reported["tags"])
    assert reported["x-llm-intent"] == "agent_board_task_discovery"


async def test_every_response_has_a_request_id_and_security_headers(
    alice: Client, anonymous: Client
) -> None:
    """S17. Point 2. tests/api/test_health.py shows it for a 500."""
    for client, path in [(alice, "/users/me"), (anonymous, "/users/me"), (alice, "/nothing")]:
        response = await client.get(path)
        assert len(response.headers["X-Request-Id"]) == 32
        for name, value in HEADERS.items():
            assert response.headers[name] == value
        echoed = await client.get(path, headers={"X-Request-Id": " my-own.id "})
        assert echoed.headers["X-Request-Id"] == "my-own.id"
        odd = await client.get(path, headers={"X-Request-Id": "a b<c>" * 50})
        assert len(odd.headers["X-Request-Id"]) == 32


async def test_every_error_has_the_same_envelope(
    alice: Client, bob: Client, anonymous: Client, client_for: ClientFactory, world: World
) -> None:
    """Point 3. A27.1."""
    board = f"/boards/{world.board.id}"
    rejected = [
        await anonymous.get(board),  # 401
        await bob.get(f"/boards/{world.garden.id}"),  # 403
        await alice.get(f"/boards/{new_id()}"),  # 404
        await alice.put(board),  # 405
        await alice.post("/organizations", json={"name": "TERN"}),  # 409
        await alice.post(f"{board}/tasks", json={}),  # 422
    ]
    assert [answer.status_code for answer in rejected] == [401, 403, 404, 405, 409, 422]
    for answer in rejected:
        body = answer.json()
        assert body["detail"]
        assert body["request_id"] == answer.headers["X-Request-Id"]
        assert body.keys() <= {"detail", "code", "request_id"}


async def test_too_many_wrong_tokens_are_rate_limited(
    api_settings: Settings, transaction: TransactionFactory, world: World
) -> None:
    """W-06. Point 3. The 429 says when to retry (S12)."""
    settings = api_settings.model_copy(
        update={
            "rate_limit_failed_auth": 3,
            "rate_limit_failed_auth_seconds": 3600,
            "rate_limit_requests": 5,
        }
    )
    api_app = build_app_on(settings, transaction)

    worker = create_client(api_app, world.worker)
    for _ in range(5):
        assert (await worker.get("/agent/healthz")).status_code == 200
    limited = await worker.get("/agent/healthz")
    assert limited.status_code == 429
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    assert limited.json()["code"] == "rate_limited"
    other = create_client(api_app, world.other_worker)
    assert (await other.get("/agent/healthz")).status_code == 200

    wrong = create_client(api_app, None)
    for token in ("mc_agent_guessed", "an imported one, maybe"):
        wrong.headers["Authorization"] = f"Bearer {token}"
        tries = [(await wrong.get("/agent/healthz")).status_code for _ in range(4)]
        assert tries == [401] * 3 + [429]
    for number in range(150):
        wrong.headers["Authorization"] = f"Bearer mc_agent_{number}"
        refused = await wrong.get("/agent/healthz")
    assert refused.status_code == 429
    assert (await other.get("/agent/healthz")).status_code == 200


async def test_page_sizes_of_lists_are_limited(alice: Client, world: World) -> None:
    """Point 4. A27.1."""
    path = f"/boards/{world.board.id}/tasks"
    for query in ("limit=0", "limit=201", "offset=-1"):
        assert (await alice.get(f"{path}?{query}")).status_code == 422
    for title in ("one", "two", "three"):
        await alice.post(path, json={"title": title})
    page = (await alice.get(path)).json()
    assert (page["limit"], page["offset"], page["total"]) == (200, 0, 3)
    assert [task["title"] for task in page["items"]] == ["three", "two", "one"]
    page = (await alice.get(f"{path}?limit=1&offset=1")).json()
    assert (page["total"], [task["title"] for task in page["items"]]) == (3, ["two"])
    assert (await alice.get(f"{path}?offset=10")).json()["items"] == []
    assert (await alice.get(f"{path}?offset=10")).json()["total"] == 3


async def test_errors_have_a_defined_precedence(
    anonymous: Client, charlie: Client, alice: Client, world: World
) -> None:
    """Point 5."""
    path = f"/boards/{world.board.id}/tasks"
    assert (await anonymous.post(path, content=b"{")).status_code == 422
    assert (await anonymous.post(path, json={})).status_code == 401
    assert (await charlie.post(path, json={})).status_code == 404
    assert (await alice.post(path, json={})).status_code == 422
    assert (await alice.patch(f"{path}/{new_id()}", json={"status": 5})).status_code == 404


async def test_an_invalid_board_id_is_rejected(alice: Client, worker: Client) -> None:
    """C9. Point 6. Fixed."""
    for path in ("/boards/no-id", "/boards/no-id/tasks", "/boards/no-id/approvals"):
        assert (await alice.get(path)).status_code == 422
    assert (await worker.get("/agent/boards/no-id")).status_code == 422


async def test_the_agent_header_takes_precedence(
    alice: Client, anonymous: Client, world: World
) -> None:
    """Point 7. A27.1."""
    path = f"/boards/{world.board.id}/tasks"
    assert (await alice.get(path, headers={"X-Agent-Token": "wrong"})).status_code == 401
    assert (await alice.get(path, headers={"X-Agent-Token": "  "})).status_code == 200
    token = token_secret(world.worker)
    for headers in ({"X-Agent-Token": token}, {"Authorization": f"BEARER {token}"}):
        assert (await anonymous.get(path, headers=headers)).status_code == 200
        assert (await anonymous.get("/agent/healthz", headers=headers)).status_code == 200
    assert (await alice.get("/users/me", headers={"X-Agent-Token": "wrong"})).status_code == 200
    assert (await alice.get("/agent/healthz")).status_code == 401


async def test_agents_cannot_leave_their_board_or_organization(
    worker: Client, client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    """S1. Point 8. A27.13. Fixed."""
    for path in ("/agent/boards/{}", "/boards/{}/tasks", "/agent/boards/{}/approvals"):
        assert (await worker.get(path.format(world.garden.id))).status_code == 403
        assert (await worker.get(path.format(world.charlies_board.id))).status_code == 404
    main = await create_gateway_agent(transaction, world)
    client = client_for(main)
    assert (await client.get("/agent/healthz")).json()["board_id"] is None
    assert (await client.get("/agent/boards")).json()["items"] == []
    assert (await client.get(f"/agent/boards/{world.board.id}")).status_code == 403
    assert (await client.get(f"/agent/boards/{world.charlies_board.id}")).status_code == 404
    assert (await client.get("/agent/agents")).json()["items"] == []


async def create_gateway_agent(transaction: TransactionFactory, world: World) -> Agent:
    """Create an agent of a gateway that serves none of these boards."""
    gateway = make_gateway(world.tern)
    main, token = make_main_agent(gateway)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all([main, token])
    return main


async def test_a_stream_has_the_headers_and_frames_of_the_contract(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    """Point 9."""
    path = f"/boards/{isolated_world.board.id}/tasks"
    alice = committing_client_for(isolated_world.alice)
    async with open_stream(committing_api_app, isolated_world.worker, f"{path}/stream") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["connection"] == "keep-alive"
        assert stream.headers["x-accel-buffering"] == "no"
        await alice.post(path, json={"title": "Write\r\n\r\nmore"})
        received = await stream.next_message()
        assert stream.raw.startswith(f"id: {received.id}\r\nevent: task\r\ndata: ".encode())
        assert stream.raw.endswith(b"\r\n\r\n")
        assert stream.raw.count(b"\r\n\r\n") == 1


async def test_a_quiet_stream_is_kept_open_by_a_comment_every_15_seconds(
    committing_api_app: ASGIApp, isolated_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Point 9."""
    assert event_stream.PING_INTERVAL == 15
    monkeypatch.setattr("api.streams.subscription.PING_INTERVAL", 0.05)
    path = f"/boards/{isolated_world.board.id}/tasks/stream"
    async with open_stream(committing_api_app, isolated_world.worker, path) as stream:
        assert await stream.next_block() == b": ping"
        assert await stream.next_block() == b": ping"


@pytest.mark.parametrize("since", ["2026-01-01T00:00:00", "2026-01-01T00:00:00Z", "", " ", "null"])
async def test_since_accepts_every_time_format(
    committing_api_app: ASGIApp, isolated_world: World, since: str
) -> None:
    """Point 9."""
    path = f"/boards/{isolated_world.board.id}/tasks/stream?since={since.replace(' ', '%20')}"
    async with open_stream(committing_api_app, isolated_world.worker, path) as stream:
        assert stream.status == 200


async def test_an_invalid_since_is_rejected(alice: Client, world: World) -> None:
    """Point 9. C20, fixed."""
    for since in ("yesterday", "2026-13-01", "99999-01-01", "2026-01-01T00:00:00+01:00"):
        response = await alice.get(f"/boards/{world.board.id}/tasks/stream?since={since}")
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["query", "since"]

"""The MCP server: its callers, its tools, and what they return."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

import api.mcp
from api.mcp.tools import LEAD_TOOLS, PEOPLE_TOOLS, WORKER_TOOLS
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import (
    ApiToken,
    Approval,
    ApprovalStatus,
    ClientConnection,
    CodingClient,
    TokenScope,
    new_id,
)
from services.audit import rejections
from services.events import EventFeed
from tests.support.api_fixtures import ClientFactory, create_client
from tests.support.app_on_transactions import build_app_on
from tests.support.audit_records import list_records
from tests.support.mcp_client import MODERN, McpClient
from tests.support.people_rows import token_secret
from tests.support.task_api import set_board_rules
from tests.support.world import World

ROOT = Path(__file__).parent.parent.parent
VERSIONS = [None, "2025-03-26", "2025-06-18", "2025-11-25", MODERN]
"""The version of the protocol that a request names; None: it names none."""


@pytest.fixture(autouse=True)
def fresh_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record the rejections of each test, however many others had in the same minute."""
    monkeypatch.setattr(rejections, "attempts", rejections.AttemptCounter(clock=lambda: 0.0))


@pytest.fixture
async def mcp_client_for(
    api_settings: Settings, transaction: TransactionFactory
) -> AsyncIterator[ClientFactory]:
    """A factory of clients of an application whose MCP server runs."""
    listener = PostgresListener()
    feed = EventFeed(transaction, listener)
    async with api.mcp.run_server() as server:
        app = build_app_on(
            api_settings, transaction, listener=listener, event_feed=feed, mcp_server=server
        )
        yield lambda actor: create_client(app, actor)


@pytest.fixture
def worker(mcp_client_for: ClientFactory, world: World) -> McpClient:
    return McpClient(mcp_client_for(world.worker))


@pytest.fixture
def lead(mcp_client_for: ClientFactory, world: World) -> McpClient:
    return McpClient(mcp_client_for(world.lead))


@pytest.fixture
def bob(mcp_client_for: ClientFactory, world: World) -> McpClient:
    return McpClient(mcp_client_for(world.bob))


async def add_tasks(transaction: TransactionFactory, *rows: Any) -> None:
    async with transaction() as session:
        session.add_all(rows)


@pytest.mark.parametrize("token", ["", "mc_agent_of-nobody", "mc_user_of-nobody"])
async def test_an_invalid_token_gets_401_without_a_challenge(
    mcp_client_for: ClientFactory, transaction: TransactionFactory, token: str
) -> None:
    """With WWW-Authenticate, clients would search for an OAuth server."""
    http = mcp_client_for(None)
    http.headers["Authorization"] = f"Bearer {token}"
    refused = await McpClient(http).post("tools/list")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert "WWW-Authenticate" not in refused.headers
    rejected = [one.action for one in await list_records(transaction)]
    assert rejected == (["token.rejected"] if token else [])


async def test_a_client_gets_no_connection_for_notifications(worker: McpClient) -> None:
    for method in ("GET", "DELETE"):
        refused = await worker.http.request(method, "http://mission.test/mcp")
        assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
        assert refused.json()["code"] == "method_not_allowed"
    listening = await worker.post("subscriptions/listen", {"notifications": {}})
    assert listening.status_code == 404
    assert listening.json()["error"]["message"] == "Method not found"


async def test_a_page_of_another_site_cannot_call_a_tool(
    worker: McpClient, api_settings: Settings
) -> None:
    refused = await worker.post("tools/list", Origin="http://mission.test")
    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    own = await worker.post("tools/list", Origin=api_settings.base_url, Host="behind-a-proxy:81")
    assert own.status_code == 200


def test_a_process_without_requests_has_not_loaded_what_few_of_them_use() -> None:
    """The SDK, and the page of all components, which only developers see."""
    script = "import sys, app; print({'mcp', 'mcp_types', 'web.design'} & sys.modules.keys())"
    loaded = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True)
    assert loaded == "set()\n"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("header", ["Authorization", "X-Agent-Token"])
async def test_each_version_of_the_protocol_calls_the_same_tools(
    worker: McpClient, world: World, transaction: TransactionFactory, version: str, header: str
) -> None:
    task = world.make_task()
    await add_tasks(transaction, task)
    worker.version = version
    del worker.http.headers["Authorization"]
    scheme = "Bearer " if header == "Authorization" else ""
    worker.http.headers[header] = f"{scheme}{token_secret(world.worker)}"
    assert await worker.list_names() == [one.name for one in WORKER_TOOLS]
    claimed = await worker.call("claim_task", task_id=str(task.id))
    assert claimed["status"] == "in_progress"
    assert claimed["assigned_agent_id"] == str(world.worker.id)


async def test_clients_of_earlier_versions_begin_with_a_handshake(
    worker: McpClient, world: World, transaction: TransactionFactory
) -> None:
    worker.version = None
    client = {"name": "codex-mcp-client", "version": "0.171.0"}
    sent = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
    begun = await worker.request("initialize", sent)
    assert begun["protocolVersion"] == "2025-06-18"
    assert begun["capabilities"] == {"tools": {"listChanged": False}}
    assert "People decide approvals" in begun["instructions"]
    async with transaction() as session:
        connection = await session.scalar(select(ClientConnection))
    assert connection is not None
    assert (connection.agent_id, connection.client) == (world.worker.id, CodingClient.CODEX)
    assert connection.mcp_at is not None
    for info in (7, [], {}, {"name": None}, {"name": "x" * 100_000}):
        await worker.post("initialize", {**sent, "clientInfo": info})


@pytest.mark.parametrize(
    ("tools", "count"), [(WORKER_TOOLS, 12), (LEAD_TOOLS, 15), (PEOPLE_TOOLS, 15)]
)
def test_the_tools_of_a_role_are_few_and_take_few_tokens(tools: Any, count: int) -> None:
    assert len(tools) <= count
    listed = [one.definition.model_dump(by_alias=True, exclude_none=True) for one in tools]
    assert len({one["name"] for one in listed}) == len(tools)
    assert len(json.dumps(listed)) / 4 < 6_000  # a token has about four characters
    assert "$ref" not in json.dumps(listed)


async def test_tools_have_the_fields_and_limits_of_the_api(
    worker: McpClient, lead: McpClient, anonymous: httpx2.AsyncClient
) -> None:
    document = (await anonymous.get("http://mission.test/openapi.json")).json()
    component = document["components"]["schemas"]["TaskUpdate"]["properties"]
    listed = {
        name: {one["name"]: one for one in (await client.request("tools/list"))["tools"]}
        for name, client in (("worker", worker), ("lead", lead))
    }
    own = listed["worker"]["update_task"]["inputSchema"]["properties"]
    claim = {"expected_status", "run_id", "expected_run_id"}
    assert own.keys() == {"task_id", "status", "comment", "custom_field_values"} | claim
    assert listed["worker"]["claim_task"]["inputSchema"]["properties"].keys() == {"task_id"} | claim
    assert own["comment"]["maxLength"] == component["comment"]["anyOf"][0]["maxLength"]
    of_lead = listed["lead"]["update_task"]["inputSchema"]["properties"]
    assert of_lead["assigned_agent_id"] == {"type": ["string", "null"], "format": "uuid"}
    assert "A reason, in payload.reason" in listed["worker"]["request_approval"]["description"]


async def test_a_worker_works_on_the_task_that_matters_most(
    worker: McpClient, world: World, transaction: TransactionFactory
) -> None:
    other, own = world.make_task("other", priority="high"), world.make_task("own", priority="low")
    own.assigned_agent_id = world.worker.id
    taken = world.make_task("taken", priority="high", assigned_agent_id=world.other_worker.id)
    await add_tasks(transaction, other, own, taken)
    assert (await worker.call("next_task"))["task"]["title"] == "own"
    await worker.call("claim_task", task_id=str(own.id))
    assert (await worker.call("next_task"))["task"]["title"] == "own"
    await worker.call("comment", task_id=str(own.id), message="It is written.")
    await worker.call("finish_task", task_id=str(own.id), comment="Done.")
    assert (await worker.call("next_task"))["task"]["title"] == "other"
    await set_board_rules(transaction, world, only_lead_can_change_status=True)
    assert await worker.call("next_task") == {}
    comments = await worker.call("list_comments", task_id=str(own.id))
    assert [one["message"] for one in comments["items"]] == ["It is written.", "Done."]


async def test_two_runs_of_an_agent_do_not_mix(
    worker: McpClient, world: World, transaction: TransactionFactory
) -> None:
    task = world.make_task()
    await add_tasks(transaction, task)
    id = str(task.id)
    claimed = await worker.call("claim_task", task_id=id, run_id="one", expected_status="inbox")
    assert claimed["claimed_run"] == "one"
    for tool, fields in (("claim_task", {}), ("finish_task", {"comment": "Done."})):
        code, _ = await worker.fail(tool, task_id=id, run_id="two", **fields)
        assert code == "claimed_by_other_run"
    taken = await worker.call("claim_task", task_id=id, run_id="two", expected_run_id="one")
    assert taken["claimed_run"] == "two"


async def test_the_text_of_a_result_has_what_is_not_empty(
    worker: McpClient, world: World, transaction: TransactionFactory
) -> None:
    task = world.make_task("Write", description="Two\nlines")
    await add_tasks(transaction, task)
    result = await worker.request(
        "tools/call", {"name": "get_task", "arguments": {"task_id": str(task.id)}}
    )
    text = result["content"][0]["text"]
    assert "title: Write\ndescription: Two\nlines\nstatus: inbox\n" in text
    assert "due_at" not in text
    assert "due_at" not in result["structuredContent"]
    assert result["structuredContent"]["is_blocked"] is False


async def test_an_error_of_a_tool_has_the_sentence_and_the_code(
    worker: McpClient, world: World, transaction: TransactionFactory
) -> None:
    task = world.make_task()
    task.assigned_agent_id = world.worker.id
    await add_tasks(transaction, task)
    await set_board_rules(transaction, world, require_approval_for_done=True)
    code, text = await worker.fail("finish_task", task_id=str(task.id))
    assert code == "approval_required"
    assert "action_type: task.complete" in text
    code, text = await worker.fail("get_task", task_id=str(new_id()))
    assert (code, text.splitlines()[0]) == (
        "task_not_found",
        "There is no such task on this board.",
    )
    for arguments in ({"task_id": "7"}, {}, {"task_id": None}, {"task_id": {"a": [1]}}):
        code, text = await worker.fail("claim_task", **arguments)
        assert (code, "task_id" in text) == ("invalid_fields", True)
    code, text = await worker.fail("claim_task", task_id=str(task.id), status="done")
    assert (code, text.splitlines()[0]) == (
        "invalid_fields",
        "status: There is no such argument",
    )
    code, _ = await worker.fail("list_comments", task_id=str(task.id), limit=1_000)
    assert code == "invalid_fields"


@pytest.mark.parametrize("version", [None, MODERN])
async def test_an_unknown_tool_is_an_error_of_the_protocol(
    worker: McpClient, version: str | None
) -> None:
    worker.version = version
    refused = await worker.post("tools/call", {"name": "create_task", "arguments": {}})
    assert refused.json()["error"]["message"] == "There is no such tool. List the tools."


async def test_a_refused_call_is_recorded(
    worker: McpClient, world: World, transaction: TransactionFactory
) -> None:
    task = world.make_task(assigned_agent_id=world.other_worker.id)
    await add_tasks(transaction, task)
    code, _ = await worker.fail("claim_task", task_id=str(task.id))
    assert code == "task_assignee_mismatch"
    [record] = await list_records(transaction, action="request.refused")
    assert (record.action, record.object_name) == ("request.refused", "POST /mcp claim_task")
    assert record.actor_id == world.worker.id


async def test_a_worker_requests_an_approval_that_nobody_decides_with_a_tool(
    worker: McpClient, bob: McpClient, world: World, transaction: TransactionFactory
) -> None:
    asked = await worker.call(
        "request_approval",
        action_type="deploy",
        confidence=80,
        payload={"reason": "The tests pass."},
    )
    assert asked["status"] == "pending"
    listed = await bob.call("list_approvals", status="pending")
    assert [one["id"] for one in listed["items"]] == [asked["id"]]
    async with transaction() as session:
        approval = await session.scalar(select(Approval))
    assert approval is not None
    assert approval.status is ApprovalStatus.PENDING
    deciding = {one.name for one in PEOPLE_TOOLS if one.operation.options.changes_decisions}
    assert deciding == set()


async def test_a_lead_plans_the_board(lead: McpClient, world: World) -> None:
    created = await lead.call("create_task", title="Plan", assigned_agent_id=str(world.worker.id))
    listed = await lead.call("list_tasks", status="inbox", unassigned=False)
    assert [one["id"] for one in listed["items"]] == [created["id"]]
    agents = (await lead.call("list_agents"))["items"]
    assert str(world.worker.id) in {one["id"] for one in agents}
    moved = await lead.call("update_task", task_id=created["id"], assigned_agent_id=None)
    assert "assigned_agent_id" not in moved
    await lead.call("message_agent", agent_id=str(world.worker.id), message="Please begin.")
    await lead.call("write_board_note", content="Friday.", tags=["decision"])
    assert (await lead.call("read_board_notes"))["items"][0]["content"] == "Friday."


async def test_people_create_tasks_only_where_they_may(
    bob: McpClient, world: World, mcp_client_for: ClientFactory
) -> None:
    boards = await bob.call("list_boards")
    assert [one["name"] for one in boards["items"]] == ["Launch"]
    created = await bob.call("create_task", board_id=str(world.board.id), title="Write")
    assert created["created_by_user_id"] == str(world.bob.id)
    shown = await bob.call("get_task", board_id=str(world.board.id), task_id=created["id"])
    assert shown == created
    rita = McpClient(mcp_client_for(world.rita))
    code, _ = await rita.fail("create_task", board_id=str(world.board.id), title="Write")
    assert code == "board_write_forbidden"
    charlie = McpClient(mcp_client_for(world.charlie))
    code, _ = await charlie.fail("list_tasks", board_id=str(world.board.id))
    assert code == "board_not_found"


async def test_a_token_that_only_reads_has_only_tools_that_read(
    bob: McpClient, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        await session.execute(update(ApiToken).values(scope=TokenScope.READ))
    assert await bob.list_names() == ["list_boards", "list_tasks", "get_task", "list_approvals"]
    assert (await bob.call("list_tasks", board_id=str(world.board.id)))["items"] == []
    refused = await bob.post("tools/call", {"name": "create_task", "arguments": {"title": "X"}})
    assert "error" in refused.json()


async def test_calls_of_tools_count_for_the_rate_limit(
    api_settings: Settings, transaction: TransactionFactory, world: World
) -> None:
    settings = api_settings.model_copy(update={"rate_limit_requests": 2})
    async with api.mcp.run_server() as server:
        app = build_app_on(settings, transaction, mcp_server=server)
        client = McpClient(create_client(app, world.worker))
        assert [(await client.post("tools/list")).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("version", [None, MODERN])
async def test_messages_that_are_no_requests_get_an_error(
    worker: McpClient, version: str | None
) -> None:
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if version:
        headers["MCP-Protocol-Version"] = version
    bodies = [b"{", b"[]", b"null", b"[" * 100_000, b'{"jsonrpc": "2.0", "id": {}, "method": 1}']
    for body in [*bodies, b" " * 3_000_000]:
        refused = await worker.http.post("http://mission.test/mcp", content=body, headers=headers)
        assert refused.status_code in (400, 413), body[:20]


async def test_a_result_that_no_model_can_read_is_an_error(
    worker: McpClient, world: World, transaction: TransactionFactory
) -> None:
    task = world.make_task()
    await add_tasks(transaction, task)
    for _ in range(6):
        await worker.call("comment", task_id=str(task.id), message="x" * 100_000)
    code, text = await worker.fail("list_comments", task_id=str(task.id))
    assert (code, text.splitlines()[0]) == (
        "result_too_large",
        "This is too much for the result of a tool. Ask for fewer items.",
    )
    found = await worker.call("list_comments", task_id=str(task.id), limit=2)
    assert (len(found["items"]), found["total"]) == (2, 6)


@pytest.mark.parametrize("version", [None, MODERN])
async def test_arguments_of_the_maximum_size_get_a_short_error(
    worker: McpClient, version: str | None
) -> None:
    worker.version = version
    many = {f"argument {number}": number for number in range(80_000)}
    nested: Any = "inside"
    for _ in range(150):
        nested = [nested]
    for arguments in (
        many,
        {"task_id": "x" * 1_900_000},
        {"task_id": nested},
        {"x" * 1_900_000: 1},
    ):
        code, text = await worker.fail("claim_task", **arguments)
        assert (code, len(text) < 3_000) == ("invalid_fields", True)


async def test_an_agent_of_another_organization_sees_nothing(
    mcp_client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    task = world.make_task()
    await add_tasks(transaction, task)
    stranger = McpClient(mcp_client_for(world.charlies_worker))
    assert await stranger.call("next_task") == {}
    for name in ("get_task", "claim_task"):
        code, _ = await stranger.fail(name, task_id=str(task.id))
        assert code == "task_not_found"

"""The fake gateway with agents behaves like the real one, as far as we depend on it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from openclaw import ErrorKind, GatewayClient, GatewayError, RetryPolicy
from tests.support.fake_agents_gateway import (
    FakeAgentsGateway,
    Fault,
    LostAfter,
    LostBefore,
    run_fake_agents_gateway,
)
from tests.support.fake_gateway import create_target

RETRY_POLICY = RetryPolicy(first_delay=0.01, max_delay=0.05, total_timeout=1.0)
WRITER = {"agentId": "mc-writer"}


@pytest.fixture
async def fake() -> AsyncIterator[FakeAgentsGateway]:
    async with run_fake_agents_gateway() as fake:
        yield fake


@pytest.fixture
async def client(fake: FakeAgentsGateway) -> AsyncIterator[GatewayClient]:
    async with GatewayClient(create_target(fake), retry_policy=RETRY_POLICY) as client:
        yield client


async def call_rejected(client: GatewayClient, method: str, params: dict[str, Any]) -> GatewayError:
    with pytest.raises(GatewayError) as error_info:
        await client.call_with_retry(method, params)
    assert error_info.value.kind is ErrorKind.REJECTED
    return error_info.value


async def create_agent(client: GatewayClient) -> None:
    await client.call_with_retry("agents.create", {"name": "mc-writer", "workspace": "/x"})
    await client.call_with_retry("agents.list")
    assert "mc-writer" in [
        one["id"] for one in (await client.call_with_retry("agents.list"))["agents"]
    ]


async def test_a_created_agent_is_listed_after_a_delay(client: GatewayClient) -> None:
    await client.call_with_retry("agents.create", {"name": "mc-writer", "workspace": "/x"})
    await call_rejected(client, "agents.update", {**WRITER, "name": "Writer"})
    await call_rejected(client, "agents.create", {"name": "mc-writer", "workspace": "/x"})
    assert len((await client.call_with_retry("agents.list"))["agents"]) == 1
    assert len((await client.call_with_retry("agents.list"))["agents"]) == 2
    await client.call_with_retry("agents.update", {**WRITER, "name": "Writer"})


async def test_a_file_with_an_unexpected_hash_is_not_overwritten(
    client: GatewayClient, fake: FakeAgentsGateway
) -> None:
    await create_agent(client)
    await client.call_with_retry(
        "agents.files.set", {**WRITER, "name": "SOUL.md", "content": "Calm."}
    )
    stored = (await client.call_with_retry("agents.files.get", {**WRITER, "name": "SOUL.md"}))[
        "file"
    ]
    fake.files["mc-writer"]["SOUL.md"] = "Wild."
    new = {**WRITER, "name": "SOUL.md", "content": "Dull.", "expectedHash": stored["hash"]}
    assert (await call_rejected(client, "agents.files.set", new)).details[
        "type"
    ] == "agent_file_conflict"
    assert fake.files["mc-writer"]["SOUL.md"] == "Wild."
    await call_rejected(client, "agents.files.set", {**WRITER, "name": "TOOLS.md", "content": ""})


async def test_a_config_patch_needs_the_current_hash(
    client: GatewayClient, fake: FakeAgentsGateway
) -> None:
    await create_agent(client)
    hash = (await client.call_with_retry("config.get"))["hash"]

    def patch(agents: object, base: str = hash) -> dict[str, str]:
        return {"raw": json.dumps({"agents": agents}), "baseHash": base}

    heartbeat = {"entries": {"mc-writer": {"heartbeat": {"every": "10m", "target": "none"}}}}
    unknown_field = {
        "entries": {"mc-writer": {"heartbeat": {"every": "10m", "includeReasoning": False}}}
    }
    assert not (await call_rejected(client, "config.patch", patch(heartbeat, "stale"))).details
    assert (await call_rejected(client, "config.patch", patch({"list": []}))).details["issues"]
    assert (await call_rejected(client, "config.patch", patch(unknown_field))).details["issues"]
    assert len((await client.call_with_retry("cron.list", WRITER))["jobs"]) == 1
    await client.call_with_retry("config.patch", patch(heartbeat))
    job, _ = (await client.call_with_retry("cron.list", WRITER))["jobs"]
    await client.call_with_retry("cron.scratch.set", {"id": job["id"], "content": "# Nothing"})
    result = await client.call_with_retry("cron.scratch.get", {"id": job["id"]})
    assert result["scratch"] == {"content": "# Nothing", "revision": 1}
    fake.patches_left = 0
    hash = (await client.call_with_retry("config.get"))["hash"]
    with pytest.raises(GatewayError) as error_info:
        await client.call_with_retry("config.patch", patch(heartbeat, hash))
    assert (error_info.value.kind, error_info.value.retry_after) == (ErrorKind.UNAVAILABLE, 59)


async def test_a_message_without_response_is_sent_only_once(
    client: GatewayClient, fake: FakeAgentsGateway
) -> None:
    faults: list[Fault] = [LostAfter(), LostBefore(), None]

    def fault(method: str, _params: object) -> Fault:
        return faults.pop(0) if method == "chat.send" else None

    fake.fault = fault
    params = {"sessionKey": "agent:main:main", "message": "Hello", "idempotencyKey": "once"}
    assert (await client.call_with_retry("chat.send", params, is_idempotent=True))[
        "runId"
    ] == "once"
    assert fake.sent_messages == [("agent:main:main", "Hello")]
    assert len(fake.calls) == 3
    assert len(fake.changes) == 1

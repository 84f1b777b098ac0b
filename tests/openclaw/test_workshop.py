"""The fake gateway with agents does what the real one does, as far as we rely on it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from openclaw import Budget, GatewayError, Link, Trouble
from tests.openclaw.fake import target
from tests.openclaw.workshop import After, Before, Fault, Workshop, working

QUICK = Budget(first_rest=0.01, longest_rest=0.05, whole=1.0)
WRITER = {"agentId": "mc-writer"}


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    async with working() as workshop:
        yield workshop


@pytest.fixture
async def link(workshop: Workshop) -> AsyncIterator[Link]:
    async with Link(target(workshop), budget=QUICK) as link:
        yield link


async def refused(link: Link, method: str, params: dict[str, Any]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await link.call(method, params)
    assert caught.value.trouble is Trouble.REJECTED
    return caught.value


async def created(link: Link) -> None:
    await link.call("agents.create", {"name": "mc-writer", "workspace": "/x"})
    await link.call("agents.list")
    assert "mc-writer" in [one["id"] for one in (await link.call("agents.list"))["agents"]]


async def test_an_agent_is_there_a_while_after_it_was_created(link: Link) -> None:
    await link.call("agents.create", {"name": "mc-writer", "workspace": "/x"})
    await refused(link, "agents.update", {**WRITER, "name": "Writer"})
    await refused(link, "agents.create", {"name": "mc-writer", "workspace": "/x"})
    assert len((await link.call("agents.list"))["agents"]) == 1
    assert len((await link.call("agents.list"))["agents"]) == 2
    await link.call("agents.update", {**WRITER, "name": "Writer"})


async def test_a_file_is_not_overwritten_that_is_other_than_expected(
    link: Link, workshop: Workshop
) -> None:
    await created(link)
    await link.call("agents.files.set", {**WRITER, "name": "SOUL.md", "content": "Calm."})
    kept = (await link.call("agents.files.get", {**WRITER, "name": "SOUL.md"}))["file"]
    workshop.files["mc-writer"]["SOUL.md"] = "Wild."
    new = {**WRITER, "name": "SOUL.md", "content": "Dull.", "expectedHash": kept["hash"]}
    assert (await refused(link, "agents.files.set", new)).details["type"] == "agent_file_conflict"
    assert workshop.files["mc-writer"]["SOUL.md"] == "Wild."
    await refused(link, "agents.files.set", {**WRITER, "name": "TOOLS.md", "content": ""})


async def test_a_config_is_patched_by_who_has_seen_it(link: Link, workshop: Workshop) -> None:
    await created(link)
    hash = (await link.call("config.get"))["hash"]

    def patch(agents: object, base: str = hash) -> dict[str, str]:
        return {"raw": json.dumps({"agents": agents}), "baseHash": base}

    beat = {"entries": {"mc-writer": {"heartbeat": {"every": "10m", "target": "none"}}}}
    old = {"entries": {"mc-writer": {"heartbeat": {"every": "10m", "includeReasoning": False}}}}
    assert not (await refused(link, "config.patch", patch(beat, "stale"))).details
    assert (await refused(link, "config.patch", patch({"list": []}))).details["issues"]
    assert (await refused(link, "config.patch", patch(old))).details["issues"]
    assert len((await link.call("cron.list", WRITER))["jobs"]) == 1
    await link.call("config.patch", patch(beat))
    job, _ = (await link.call("cron.list", WRITER))["jobs"]
    await link.call("cron.scratch.set", {"id": job["id"], "content": "# Nothing"})
    got = await link.call("cron.scratch.get", {"id": job["id"]})
    assert got["scratch"] == {"content": "# Nothing", "revision": 1}
    workshop.patches_left = 0
    hash = (await link.call("config.get"))["hash"]
    with pytest.raises(GatewayError) as caught:
        await link.call("config.patch", patch(beat, hash))
    assert (caught.value.trouble, caught.value.retry_after) == (Trouble.UNAVAILABLE, 59)


async def test_a_message_is_said_once_though_its_answer_was_lost(
    link: Link, workshop: Workshop
) -> None:
    faults: list[Fault] = [After(), Before(), None]

    def fault(method: str, _params: object) -> Fault:
        return faults.pop(0) if method == "chat.send" else None

    workshop.fault = fault
    said = {"sessionKey": "agent:main:main", "message": "Hello", "idempotencyKey": "once"}
    assert (await link.call("chat.send", said, repeatable=True))["runId"] == "once"
    assert workshop.said == [("agent:main:main", "Hello")]
    assert len(workshop.calls) == 3
    assert len(workshop.changes) == 1

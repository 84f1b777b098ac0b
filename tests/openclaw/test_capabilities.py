"""What is learned about a gateway, and the calls that older gateways take in another form."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from core.security.secrets import hash_token
from openclaw import (
    Capability,
    ErrorKind,
    GatewayCapabilities,
    GatewayClient,
    GatewayError,
    RetryPolicy,
    request_api,
)
from openclaw import api as gateway_api
from tests.support.fake_agents_gateway import FakeAgentsGateway, run_fake_agents_gateway
from tests.support.fake_gateway import create_target
from tests.support.older_gateways import MISSING, fake_version

KEY, NAME = "mc-writer", "SOUL.md"
POLICY = RetryPolicy(first_delay=0.01, max_delay=0.05, total_timeout=1.0)


@asynccontextmanager
async def run_version(
    version: str, stored: GatewayCapabilities | None = None
) -> AsyncGenerator[tuple[FakeAgentsGateway, GatewayClient]]:
    """Run a fake gateway of a version with one agent."""
    async with run_fake_agents_gateway(listing_delay=0, **fake_version(version)) as fake:
        target = create_target(fake)
        async with GatewayClient(target, retry_policy=POLICY, capabilities=stored) as client:
            await client.get_hello()
            await gateway_api.create_agent(client, KEY, workspace="/x")
            yield fake, client


def methods_of(fake: FakeAgentsGateway) -> list[str]:
    return [method for method, _ in fake.calls]


@pytest.mark.parametrize("version", MISSING)
async def test_what_a_gateway_lacks_is_learned_from_its_answers(version: str) -> None:
    async with run_version(version) as (_, client):
        await gateway_api.write_agent_file(client, KEY, NAME, "Calm.")
        await gateway_api.write_agent_file(
            client, KEY, NAME, "Wild.", expected_hash=hash_token("Calm.")
        )
        await gateway_api.list_sessions(client, active_only=True)
        answer = request_api.resolve_question(
            client, "q", answers={"a": ["b"]}, resolved_by="Ann", resolution_id="r"
        )
        with pytest.raises(GatewayError):  # there is no such question
            await answer
        assert client.capabilities.missing == MISSING[version]
        assert client.capabilities.version == version


async def test_a_rejected_parameter_is_sent_once_to_each_version() -> None:
    async with run_version("2026.8.2") as (fake, client):
        for _ in range(2):
            await gateway_api.list_sessions(client, active_only=True)
        assert methods_of(fake).count("sessions.list") == 3
        stored = client.capabilities.to_json()
    async with run_version("2026.8.2", GatewayCapabilities(stored)) as (fake, client):
        await gateway_api.list_sessions(client, active_only=True)
        assert methods_of(fake).count("sessions.list") == 1
    async with run_version("2026.9.6", GatewayCapabilities(stored)) as (fake, client):
        await gateway_api.list_sessions(client, active_only=True)
        assert fake.calls[-1][1]["activeOnly"] is True
        assert client.capabilities.to_json()["version"] == "2026.9.6"
        assert not client.capabilities.missing


async def test_a_changed_file_is_not_overwritten_without_hashes() -> None:
    async with run_version("2026.8.2") as (fake, client):
        fake.files[KEY][NAME] = "Theirs."
        with pytest.raises(GatewayError) as error_info:
            await gateway_api.write_agent_file(
                client, KEY, NAME, "Ours.", expected_hash=hash_token("Before.")
            )
        assert error_info.value.is_conflict
        assert error_info.value.details["type"] == gateway_api.FILE_CONFLICT
        assert fake.files[KEY][NAME] == "Theirs."


async def test_a_write_that_somebody_else_overtakes_is_reported() -> None:
    async with run_version("2026.8.2") as (fake, client):
        fake.files[KEY][NAME] = "Before."
        set_file = fake.handlers["agents.files.set"]

        def lose_race(params: dict[str, str]) -> object:
            answer = set_file(params)
            fake.files[KEY][NAME] = "Theirs."
            return answer

        fake.handlers["agents.files.set"] = lose_race
        with pytest.raises(GatewayError) as error_info:
            await gateway_api.write_agent_file(
                client, KEY, NAME, "Ours.", expected_hash=hash_token("Before.")
            )
        assert error_info.value.is_conflict
        assert fake.files[KEY][NAME] == "Theirs."


async def test_the_text_of_a_heartbeat_is_a_file_on_older_gateways() -> None:
    async with run_version("2026.7.1") as (fake, client):
        heartbeat = await gateway_api.find_heartbeat(client, KEY)
        assert heartbeat == gateway_api.Heartbeat(None, None)
        await gateway_api.set_heartbeat_text(client, KEY, heartbeat, "# Nothing\n")
        assert fake.files[KEY]["HEARTBEAT.md"] == "# Nothing\n"
        found = await gateway_api.find_heartbeat(client, KEY)
        assert found == gateway_api.Heartbeat(None, "# Nothing\n")


async def test_a_gateway_without_questions_is_not_asked_for_them() -> None:
    async with run_version("2026.7.1") as (fake, client):
        assert await request_api.list_questions(client) == []
        assert await request_api.question_resolution_id(client, "q") is None
        assert "question.list" not in methods_of(fake)


def rejection(message: str, kind: ErrorKind = ErrorKind.REJECTED) -> GatewayError:
    return GatewayError(kind, message, code="INVALID_REQUEST")


async def test_a_failed_call_of_provisioning_is_remembered_until_one_may_succeed() -> None:
    async with run_version("2026.9.6") as (_, client):
        known = client.capabilities
        known.learn_failure(rejection('config changed since last load; re-run "config.get"'))
        assert known.supports(Capability.AGENTS)
        known.learn_failure(rejection("invalid agents.create params: unexpected property 'name'"))
        assert not known.supports(Capability.AGENTS)
        assert not GatewayCapabilities(known.to_json()).supports(Capability.AGENTS)
        stored = GatewayCapabilities(known.to_json())
        known.forget_failure()
        assert known.supports(Capability.AGENTS)
        hello = await client.get_hello()
        stored.learn_hello(hello)
        assert not stored.supports(Capability.AGENTS)
        stored.learn_hello(replace(hello, version="2026.9.7"))
        assert stored.supports(Capability.AGENTS)


async def test_a_required_restart_is_remembered_until_the_gateway_restarts() -> None:
    message = "config.patch persisted but was not applied to the active Gateway (reload failed)"
    async with run_version("2026.9.6") as (fake, client):
        client.capabilities.learn_failure(rejection(message, ErrorKind.UNAVAILABLE))
        stored = GatewayCapabilities(client.capabilities.to_json())
        assert stored.restart_message == message
        await client.close()
        stored.learn_hello(await client.get_hello())
        assert stored.restart_message == message
        await client.close()
        fake.boot_id = "b-2"
        stored.learn_hello(await client.get_hello())
        assert stored.restart_message == ""


async def test_without_a_boot_id_a_required_restart_is_remembered_until_a_call_succeeds() -> None:
    """A lost connection is no evidence of a restart."""
    message = "config.patch persisted but was not applied to the active Gateway (reload failed)"
    async with run_version("2026.9.6") as (fake, client):
        fake.boot_id = ""
        await client.close()
        known = GatewayCapabilities()
        known.learn_hello(await client.get_hello())
        known.learn_failure(rejection(message, ErrorKind.UNAVAILABLE))
        await client.close()
        known.learn_hello(await client.get_hello())
        assert known.restart_message == message
        known.forget_failure()
        assert known.restart_message == ""


@pytest.mark.parametrize(
    "stored", [None, {}, {"missing": "all", "version": 3}, {"missing": ["unknown", None]}]
)
def test_an_unreadable_record_is_an_empty_one(stored) -> None:
    record = GatewayCapabilities(stored)
    assert (record.version, record.missing) == ("", set())

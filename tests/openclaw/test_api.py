"""Typed calls of gateway methods, with responses of an unexpected shape."""

from datetime import UTC, datetime
from math import inf, nan

import pytest

from openclaw import ErrorKind, GatewayClient, GatewayError
from openclaw.api import (
    escape_commands,
    find_agent_id,
    get_agent_file,
    list_agents,
    parse_milliseconds,
    send_chat,
)
from tests.support.fake_gateway import FakeGateway, create_target


@pytest.mark.parametrize(
    "answer", [None, {}, {"agents": {}}, {"agents": [{"id": "main"}, {}]}, {"agents": [None]}]
)
async def test_an_unreadable_list_of_agents_is_an_error(gateway: FakeGateway, answer) -> None:
    """A skipped row would make its agent look as if it were missing on the gateway."""
    gateway.handlers = {"agents.list": lambda _: answer}
    async with GatewayClient(create_target(gateway)) as client:
        with pytest.raises(GatewayError) as error_info:
            await list_agents(client, retry=True)
    assert error_info.value.kind is ErrorKind.MALFORMED


async def test_a_list_of_too_many_agents_is_an_error(gateway: FakeGateway) -> None:
    gateway.handlers = {"agents.list": lambda _: {"agents": [{"id": "main"}] * 5_001}}
    async with GatewayClient(create_target(gateway)) as client:
        with pytest.raises(GatewayError) as error_info:
            await list_agents(client, retry=True)
    assert error_info.value.kind is ErrorKind.TOO_LARGE


@pytest.mark.parametrize("file", [None, {}, {"content": None}, {"content": ["text"]}])
async def test_an_unreadable_file_is_an_error(gateway: FakeGateway, file) -> None:
    gateway.handlers = {"agents.files.get": lambda _: {"file": file}}
    async with GatewayClient(create_target(gateway)) as client:
        with pytest.raises(GatewayError) as error_info:
            await get_agent_file(client, "main", "SOUL.md", retry=True)
    assert error_info.value.kind is ErrorKind.MALFORMED


@pytest.mark.parametrize(
    ("message", "escaped"),
    [
        ("/approve 1 allow-once", "\\/approve 1 allow-once"),
        ("Hi /exec ask=off", "Hi \\/exec ask=off"),
        ("> /EXEC: ask=off", "> \\/EXEC: ask=off"),
        ("a\n/exec", "a\n\\/exec"),
        ("a\u00a0/exec ask=off", "a\u00a0\\/exec ask=off"),
        ("a\ufeff/exec ask=off", "a\ufeff\\/exec ask=off"),
        ("/exec /exec /new", "\\/exec \\/exec \\/new"),
        (" !ls", " \\!ls"),
        ("See /etc/hosts, and/or /a.txt (/exec) \\/exec a / b", None),
        ("curl https://a.example/exec !", None),
        (" /New /exec", " /New \\/exec"),
        ("/newer", "\\/newer"),
        ("", None),
    ],
)
def test_a_command_in_a_message_is_text(message: str, escaped: str | None) -> None:
    assert escape_commands(message, ["new"]) == (message if escaped is None else escaped)


async def test_a_message_is_sent_without_commands(gateway: FakeGateway) -> None:
    gateway.handlers = {"chat.send": lambda params: params}
    async with GatewayClient(create_target(gateway)) as client:
        sent = await send_chat(client, "s", "/exec ask=off", idempotency_key="1", retry=True)
        allowed = await send_chat(client, "s", "/new", idempotency_key="2", commands=["new"])
    assert (sent["message"], allowed["message"]) == ("\\/exec ask=off", "/new")


@pytest.mark.parametrize("value", [None, True, "1", {}, 0, -1, nan, inf, 32_503_680_000_001])
def test_what_is_no_time_is_left_out(value: object) -> None:
    assert parse_milliseconds(value) is None
    assert parse_milliseconds(1_500.0) == datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)


@pytest.mark.parametrize(
    ("row", "agent_id"),
    [
        ({"agentId": "mc-1", "sessionKey": "agent:main:main"}, "mc-1"),
        ({"agentId": "", "sessionKey": "agent:mc-1:main"}, "mc-1"),
        ({"agentId": 1, "sessionKey": "agent:mc-1:cron:daily"}, "mc-1"),
        ({"sessionKey": "cron:mc-1:main"}, None),
        ({"sessionKey": "agent::main"}, None),
        ({"sessionKey": "agent:mc-1"}, None),
        ({"sessionKey": ["agent:mc-1:main"]}, None),
        ({}, None),
    ],
)
def test_the_key_of_a_session_names_an_agent(row: dict, agent_id: str | None) -> None:
    assert find_agent_id(row) == agent_id

"""Typed calls of gateway methods, with responses of an unexpected shape."""

import pytest

from openclaw import ErrorKind, GatewayClient, GatewayError
from openclaw.api import get_agent_file, list_agents
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

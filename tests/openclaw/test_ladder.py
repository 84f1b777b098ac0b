"""What a person is told when a gateway cannot be reached: where it ends, why, and what helps."""

import datetime
import ssl
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from openclaw import NAMES, CheckState, Guard, Ladder, Target, Trouble, advice, climb
from openclaw import connection as connections
from openclaw.advice import SAID, TO_READ_IT
from openclaw.ladder import RUNGS
from tests.openclaw.fake import TOKEN, Fake, running, target

OK, FAILED, UNKNOWN = CheckState.OK, CheckState.FAILED, CheckState.UNKNOWN


def states(ladder: Ladder) -> dict[str, CheckState]:
    return {check.name: check.state for check in ladder.checks}


def up_to(failed: str) -> dict[str, CheckState]:
    at = NAMES.index(failed)
    return {name: OK if n < at else FAILED if n == at else UNKNOWN for n, name in enumerate(NAMES)}


def with_a_refusal(code: str) -> dict[str, Any]:
    return {"refuses": {"code": "INVALID_REQUEST", "details": {"code": code}}}


async def test_where_all_is_well_every_rung_says_so(gateway: Fake) -> None:
    ladder = await climb(target(gateway))
    assert states(ladder) == dict.fromkeys(NAMES, OK)
    assert ladder.is_well
    assert ladder.failed is None
    assert ladder.hello
    assert all(check.sentence.endswith(".") and not check.command for check in ladder.checks)


@pytest.mark.parametrize(
    ("behaviour", "rung", "command", "words"),
    [
        ({"token": "another"}, "token", TO_READ_IT, "token"),
        ({"asks_for_pairing": True}, "device", "openclaw devices approve req-123", "approve"),
        ({"protocol": 9}, "protocol", "openclaw update", "protocol 9, and we speak 4"),
        ({"starting": 1}, "handshake", None, "starting"),
        ({"first": "nonsense"}, "handshake", "openclaw gateway status", "no JSON"),
        ({"upgrade_status": (404, "")}, "handshake", None, "404"),
        (with_a_refusal("CONTROL_UI_ORIGIN_NOT_ALLOWED"), "handshake", None, "Origin"),
        (with_a_refusal("DEVICE_AUTH_NONCE_MISMATCH"), "device", "openclaw devices list", "sign"),
        (with_a_refusal("DEVICE_IDENTITY_REQUIRED"), "device", None, "device"),
        (with_a_refusal("AUTH_RATE_LIMITED"), "token", None, "moment"),
    ],
)
async def test_each_trouble_stands_on_its_rung_with_the_command_that_helps(
    gateway: Fake, behaviour: dict[str, Any], rung: str, command: str | None, words: str
) -> None:
    for name, value in behaviour.items():
        setattr(gateway, name, value)
    ladder = await climb(target(gateway))
    assert states(ladder) == up_to(rung)
    assert ladder.failed
    assert ladder.failed.command == command
    assert words in ladder.failed.sentence
    assert not ladder.is_well
    assert TOKEN not in str(ladder)


async def test_rights_that_are_missing_are_named(gateway: Fake) -> None:
    gateway.grants = ("operator.read", "operator.write")
    ladder = await climb(target(gateway))
    assert states(ladder) == up_to("scopes")
    assert ladder.failed
    assert "operator.admin, operator.approvals" in ladder.failed.sentence
    assert "operator.read" not in ladder.failed.sentence
    gateway.grants = ()
    ladder = await climb(target(gateway, device=None))
    assert ladder.failed
    assert "pairing on" in ladder.failed.sentence


async def test_what_is_mended_is_well_at_the_next_look(gateway: Fake) -> None:
    gateway.asks_for_pairing = True
    at = target(gateway)
    assert not (await climb(at)).is_well
    gateway.approve()
    assert (await climb(at)).is_well


@pytest.mark.parametrize(
    ("url", "rung", "code"),
    [
        ("http://127.0.0.1", "address", Trouble.ADDRESS_INVALID),
        ("ws://no-such-name.invalid", "address", Trouble.DNS),
        ("ws://10.255.255.1:18789", "address", Trouble.ADDRESS_FORBIDDEN),
        ("ws://169.254.169.254", "address", Trouble.ADDRESS_FORBIDDEN),
        ("ws://127.0.0.1:9", "port", Trouble.REFUSED),
    ],
)
async def test_an_address_that_leads_nowhere_is_told_before_anything_is_sent(
    url: str, rung: str, code: str
) -> None:
    ladder = await climb(Target(url, TOKEN))
    assert states(ladder) == up_to(rung)
    assert ladder.failed
    assert ladder.failed.code == code


async def test_inside_a_container_the_way_out_of_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(advice, "INSIDE_A_CONTAINER", tmp_path)
    for host in ("127.0.0.1", "localhost"):
        ladder = await climb(Target(f"ws://{host}:9", TOKEN))
        assert ladder.failed
        assert "host.docker.internal" in ladder.failed.sentence


async def test_a_certificate_that_nobody_trusts_is_refused_unless_it_is_allowed(
    tmp_path: Path,
) -> None:
    async with running(Fake(), tls=self_signed(tmp_path)) as gateway:
        ladder = await climb(target(gateway))
        assert states(ladder) == up_to("tls")
        assert ladder.failed
        assert "self-signed" in ladder.failed.sentence
        ladder = await climb(target(gateway, allow_insecure_tls=True))
        assert ladder.is_well
        plain = replace(target(gateway), url=gateway.url.replace("wss", "ws"))
        assert states(await climb(plain)) == up_to("handshake")


async def test_who_does_not_speak_tls_is_told_so(gateway: Fake) -> None:
    ladder = await climb(replace(target(gateway), url=gateway.url.replace("ws:", "wss:")))
    assert states(ladder) == up_to("tls")
    assert ladder.failed
    assert "does not speak TLS" in ladder.failed.sentence
    assert "ws://, not with wss://" in ladder.failed.sentence
    assert "certificate" not in ladder.failed.sentence


async def test_where_nobody_listens_the_command_starts_a_gateway() -> None:
    ladder = await climb(Target("ws://127.0.0.1:9", TOKEN))
    assert ladder.failed
    assert ladder.failed.command == "openclaw gateway run"


async def test_of_who_is_silent_behind_tls_nothing_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "TO_CHALLENGE", 0.1)
    async with running(Fake(is_silent=True), tls=self_signed(tmp_path)) as gateway:
        ladder = await climb(target(gateway, allow_insecure_tls=True))
    assert states(ladder) == up_to("handshake") | {"tls": UNKNOWN}


def test_there_is_advice_for_every_trouble_and_none_is_to_switch_safety_off() -> None:
    assert set(SAID) == set(Trouble)
    assert set(RUNGS.values()) <= set(NAMES)
    assert not any("dangerously" in f"{told}" for told in SAID.values())


async def test_a_name_may_have_addresses_of_which_one_is_open(gateway: Fake) -> None:
    at = replace(target(gateway), url=f"ws://localhost:{gateway.port}", guard=Guard())
    assert (await climb(at)).is_well


def self_signed(folder: Path) -> ssl.SSLContext:
    """Make a certificate that signs itself, and what a server needs to show it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "gateway.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context

"""CA certificates and addresses of gateways over the API, and what the audit keeps of them."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import AuditRecord, Event, EventType
from services.gateways.ca_certificates import MAX_CA_LENGTH, normalize_ca_certificates
from tests.support.api_fixtures import Client
from tests.support.fake_gateway import TOKEN, FakeGateway, run_fake_gateway
from tests.support.gateway_api import check_states, create_gateway, gateway_body
from tests.support.tls_certificates import PrivateCa

VERSION_3 = bytes.fromhex("a003020102")  # the field of a certificate, in DER


@pytest.fixture(scope="module")
def ca() -> PrivateCa:
    return PrivateCa.create("Office CA")


@pytest.fixture
async def secure(ca: PrivateCa, tmp_path: Path) -> AsyncIterator[FakeGateway]:
    """A gateway with a certificate of the private CA."""
    tls = ca.create_tls_context(tmp_path)
    async with run_fake_gateway(FakeGateway(), tls=tls) as fake:
        yield fake


async def test_a_gateway_is_connected_with_its_ca_certificate(
    alice: Client, secure: FakeGateway, ca: PrivateCa
) -> None:
    made = await create_gateway(alice, secure)
    failed = next(check for check in made["checks"] if check["state"] == "failed")
    assert (failed["name"], failed["code"]) == ("tls", "tls")
    assert (made["ca_certificates"], made["ca_certificate_details"]) == (None, [])
    at = f"/gateways/{made['id']}"
    refused = await alice.patch(at, json={"ca_certificates": ca.pem})
    assert (refused.status_code, refused.json()["code"]) == (422, "gateway_token_required")
    text = f"Subject: CN = Office CA\n{ca.pem}\n"
    changed = (await alice.patch(at, json={"ca_certificates": text, "token": TOKEN})).json()
    assert set(check_states(changed).values()) == {"ok"}
    assert changed["ca_certificates"] == ca.pem
    [details] = changed["ca_certificate_details"]
    assert details["subject"] == "CN=Office CA"
    assert details["expires_at"][:19] == ca.certificate.not_valid_after_utc.isoformat()[:19]
    assert len(details["fingerprint"]) == 64
    assert (await alice.get(at)).json() == changed
    refused = await alice.patch(at, json={"ca_certificates": " "})
    assert (refused.status_code, refused.json()["code"]) == (422, "gateway_token_required")
    removed = (await alice.patch(at, json={"ca_certificates": " ", "token": TOKEN})).json()
    assert removed["ca_certificates"] is None
    assert check_states(removed)["tls"] == "failed"


async def test_a_gateway_is_created_with_its_ca_certificate(
    alice: Client, secure: FakeGateway, ca: PrivateCa
) -> None:
    made = await create_gateway(alice, secure, ca_certificates=ca.pem)
    assert set(check_states(made).values()) == {"ok"}
    known = (await alice.get("/gateways/status", params={"gateway_url": secure.url})).json()
    assert known["connected"] is False  # without its token
    assert "certificate" not in known["error"]


async def test_the_audit_has_the_subject_of_a_changed_ca_certificate(
    alice: Client, secure: FakeGateway, ca: PrivateCa, transaction: TransactionFactory
) -> None:
    made = await create_gateway(alice, secure)
    change = {"ca_certificates": ca.pem, "token": TOKEN}
    await alice.patch(f"/gateways/{made['id']}", json=change)
    async with transaction() as session:
        types = [EventType.GATEWAY_UPDATED]
        found = select(Event.data).where(Event.type.in_(types))
        changed = [data["changed"] for data in await session.scalars(found)]
        query = select(AuditRecord).where(AuditRecord.action == EventType.GATEWAY_UPDATED.value)
        values = [(one.before or {}, one.after or {}) for one in await session.scalars(query)]
    assert ["ca_certificates"] in changed
    [(before, after)] = [pair for pair in values if "ca_certificates" in pair[0]]
    assert before["ca_certificates"] == []
    assert after["ca_certificates"][0].startswith("CN=Office CA (SHA-256 ")
    assert "BEGIN" not in f"{before} {after}"


async def test_unusable_ca_certificates_are_rejected(
    alice: Client, fake: FakeGateway, ca: PrivateCa
) -> None:
    broken = ca.pem.replace("M", "!", 1)
    rejected = {
        "nonsense": "ca_unreadable",
        broken: "ca_unreadable",
        ca.pem[:200]: "ca_unreadable",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----": "ca_unreadable",
        ca.pem + ca.key_pem: "ca_not_only_certificates",
        ca.pem * 21: "ca_too_many",
    }
    for text, code in rejected.items():
        body = gateway_body(fake, ca_certificates=text)
        response = await alice.post("/gateways", json=body)
        assert (response.status_code, response.json()["code"]) == (422, code), text[:80]
        assert response.json()["detail"][0]["loc"] == ["body", "ca_certificates"]
        assert "PRIVATE" not in response.text
    for value in ("x" * (MAX_CA_LENGTH + 1), 7, [ca.pem], f"{ca.pem}\0"):
        body = gateway_body(fake, ca_certificates=value)
        assert (await alice.post("/gateways", json=body)).status_code == 422
    assert (await alice.get("/gateways")).json()["total"] == 0


@pytest.mark.parametrize(
    "part", ["-----BEGIN CERTIFICATE-----\n", "-----BEGIN ", "-----END CERTIFICATE-----\n", "-"]
)
async def test_a_hostile_text_of_maximum_size_is_rejected_in_time(part: str) -> None:
    text = part * (MAX_CA_LENGTH // len(part))
    async with asyncio.timeout(5):
        with pytest.raises(Exception, match=r"certificates|PEM format"):
            await asyncio.to_thread(normalize_ca_certificates, text)


async def test_a_certificate_of_an_unknown_version_is_rejected(
    alice: Client, fake: FakeGateway, ca: PrivateCa
) -> None:
    content = bytearray(ca.certificate.public_bytes(Encoding.DER))
    content[content.find(VERSION_3) + len(VERSION_3) - 1] = 1
    encoded = base64.encodebytes(bytes(content)).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{encoded}-----END CERTIFICATE-----\n"
    refused = await alice.post("/gateways", json=gateway_body(fake, ca_certificates=pem))
    assert (refused.status_code, refused.json()["code"]) == (422, "ca_unreadable")


async def test_two_gateways_do_not_have_the_same_address(
    alice: Client, charlie: Client, fake: FakeGateway
) -> None:
    made = await create_gateway(alice, fake, url=f"{fake.url}/")
    other = await create_gateway(alice, fake, name="Shed", url="ws://shed.example:1")
    hosts = ("LocalHost", "localhost.", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]")
    same = [
        *(fake.url.replace("127.0.0.1", host) for host in hosts),
        *(fake.url, f"{fake.url}/.", fake.url.replace("ws:", "wss:")),
    ]
    for url in same:
        for response in (
            await alice.post("/gateways", json=gateway_body(fake, name="Third", url=url)),
            await alice.patch(f"/gateways/{other['id']}", json={"url": url, "token": TOKEN}),
        ):
            assert response.status_code == 409
            assert response.json()["code"] == "gateway_address_taken"
            assert "Workshop" in response.json()["detail"]
    changed = await alice.patch(f"/gateways/{made['id']}", json={"url": fake.url, "name": "Here"})
    assert changed.status_code == 200
    await create_gateway(alice, fake, name="Third", url=f"{fake.url}/other")
    await create_gateway(charlie, fake)

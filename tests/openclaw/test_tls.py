"""Certificates of gateways: private CAs, and why a certificate is not accepted."""

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from openclaw import CheckState, ConnectionCheck, GatewayTarget, diagnose_connection
from openclaw.error_texts import COMMANDS
from tests.support.fake_gateway import FakeGateway, create_target, run_fake_gateway
from tests.support.tls_certificates import PrivateCa


async def diagnose(
    server: ssl.SSLContext, ca_certificates: str, **fields: bool
) -> tuple[FakeGateway, ConnectionCheck]:
    """Connect to a gateway with a certificate, and return it with its check of TLS."""
    async with run_fake_gateway(FakeGateway(), tls=server) as gateway:
        target = create_target(gateway, ca_certificates=ca_certificates, **fields)
        diagnosis = await diagnose_connection(target)
    check = next(check for check in diagnosis.checks if check.name == "tls")
    assert diagnosis.is_ok == (check.state is CheckState.OK)
    return gateway, check


async def test_a_certificate_of_the_ca_of_the_gateway_is_trusted(tmp_path: Path) -> None:
    ca, other = PrivateCa.create(), PrivateCa.create("Other CA")
    server = ca.create_tls_context(tmp_path)
    for trusted in (ca.pem, other.pem + ca.pem):
        _, check = await diagnose(server, trusted)
        assert check.state is CheckState.OK
        assert "CA of this gateway" in check.sentence


async def test_a_certificate_of_another_ca_is_not_trusted(tmp_path: Path) -> None:
    server = PrivateCa.create().create_tls_context(tmp_path)
    for trusted in ("", PrivateCa.create().pem):  # the second one has the same name
        gateway, check = await diagnose(server, trusted)
        assert (check.state, check.code) == (CheckState.FAILED, "tls")
        assert "Enter the certificate of the CA" in check.sentence
        assert gateway.connect_params == []


async def test_other_cas_are_not_trusted_beside_that_of_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = PrivateCa.create()
    server = ca.create_tls_context(tmp_path)
    file = tmp_path / "ca.pem"
    file.write_text(ca.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    _, check = await diagnose(server, "")
    assert check.state is CheckState.OK
    _, check = await diagnose(server, PrivateCa.create("Other CA").pem)
    assert check.state is CheckState.FAILED


@pytest.mark.skipif(
    not ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT,
    reason="this version of Python accepts a CA without key usage",
)
async def test_a_ca_without_key_usage_is_explained_with_its_fix(tmp_path: Path) -> None:
    ca = PrivateCa.create(has_key_usage=False)
    server = ca.create_tls_context(tmp_path)
    _, check = await diagnose(server, ca.pem)
    assert (check.state, check.code) == (CheckState.FAILED, "ca_key_usage")
    assert check.values["certificate"] == "CA cert does not include key usage extension"
    assert "does not include the key usage extension" in check.sentence
    assert check.command == COMMANDS["ca_key_usage"]
    (tmp_path / "ca.pem").write_text(ca.pem)
    (tmp_path / "ca.key").write_text(ca.key_pem)
    renewal = await asyncio.create_subprocess_exec("sh", "-c", check.command, cwd=tmp_path)
    assert await renewal.wait() == 0
    _, check = await diagnose(server, (tmp_path / "new-ca.pem").read_text())
    assert check.state is CheckState.OK


async def test_a_certificate_for_another_name_is_reported(tmp_path: Path) -> None:
    ca = PrivateCa.create()
    _, check = await diagnose(ca.create_tls_context(tmp_path, "gateway.example"), ca.pem)
    assert (check.state, check.code) == (CheckState.FAILED, "certificate_name")
    assert "127.0.0.1" in check.sentence


async def test_an_expired_certificate_is_reported(tmp_path: Path) -> None:
    ca = PrivateCa.create()
    _, check = await diagnose(ca.create_tls_context(tmp_path, age=timedelta(days=9)), ca.pem)
    assert (check.state, check.code) == (CheckState.FAILED, "certificate_expired")
    assert "Renew it" in check.sentence


async def test_unreadable_ca_certificates_fail_the_check(tmp_path: Path) -> None:
    gateway, check = await diagnose(PrivateCa.create().create_tls_context(tmp_path), "nonsense")
    assert (check.state, check.code) == (CheckState.FAILED, "tls")
    assert gateway.connect_params == []


async def test_any_certificate_is_accepted_if_this_is_allowed(tmp_path: Path) -> None:
    server = PrivateCa.create().create_tls_context(tmp_path, "gateway.example")
    _, check = await diagnose(server, PrivateCa.create().pem, allow_insecure_tls=True)
    assert check.state is CheckState.OK


def test_ca_certificates_are_not_in_the_text_of_a_target() -> None:
    assert "BEGIN" not in repr(GatewayTarget("wss://x", ca_certificates="BEGIN"))

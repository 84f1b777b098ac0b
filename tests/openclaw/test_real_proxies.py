"""A real gateway behind a proxy: TLS with a private CA, pairing, and an origin that is refused."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from openclaw import (
    ConnectionCheck,
    DeviceIdentity,
    GatewayTarget,
    diagnose_connection,
)
from tests.support.fake_llm import FakeLlm, do_nothing
from tests.support.header_proxy import REMOTE_CLIENT, run_header_proxy
from tests.support.real_gateway import RealGateway
from tests.support.tls_certificates import PrivateCa

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)

OTHER_ORIGIN = "Origin: https://board.example.com"
PLAIN_HEADER = "X-Request-Id: 1"


@pytest.fixture
def gateway(real_gateway: RealGateway, model: FakeLlm) -> RealGateway:
    model.behavior = do_nothing
    return real_gateway


def create_target(gateway: RealGateway, url: str, ca: str = "") -> GatewayTarget:
    return GatewayTarget(
        url, token=gateway.token, device=DeviceIdentity.generate(), ca_certificates=ca
    )


async def find_fault(target: GatewayTarget) -> ConnectionCheck:
    """Return the failed check of a connection."""
    failed = (await diagnose_connection(target)).failed_check
    assert failed is not None
    return failed


async def test_a_proxy_with_a_private_ca_is_trusted_with_its_certificate(
    gateway: RealGateway, tmp_path: Path
) -> None:
    ca = PrivateCa.create()
    async with run_header_proxy(
        gateway.port, PLAIN_HEADER, ca.create_tls_context(tmp_path)
    ) as address:
        target = create_target(gateway, address, ca.pem)
        assert (await diagnose_connection(target)).is_ok
        check = await find_fault(replace(target, ca_certificates=""))
        assert (check.name, check.code) == ("tls", "tls")
        plain = replace(target, url=address.replace("wss:", "ws:"), ca_certificates="")
        check = await find_fault(plain)
        assert (check.name, check.code) == ("tls", "tls_required")


async def test_a_device_is_paired_through_a_proxy_with_tls(
    gateway: RealGateway, tmp_path: Path
) -> None:
    ca = PrivateCa.create()
    async with run_header_proxy(
        gateway.port, REMOTE_CLIENT, ca.create_tls_context(tmp_path)
    ) as address:
        target = create_target(gateway, address, ca.pem)
        check = await find_fault(target)
        assert (check.name, check.code) == ("device", "pairing_required")
        program, *command = (check.command or "").split()
        assert program == "openclaw"
        await asyncio.to_thread(gateway.run_cli, *command, "--token", gateway.token)
        assert (await diagnose_connection(target)).is_ok


async def test_a_refused_origin_shows_the_line_for_the_proxy(gateway: RealGateway) -> None:
    async with run_header_proxy(gateway.port, OTHER_ORIGIN) as address:
        check = await find_fault(create_target(gateway, address))
    assert (check.name, check.code) == ("handshake", "origin_refused")
    assert check.command == 'proxy_set_header Origin "";'


async def test_a_gateway_that_stops_behind_its_proxy_is_down(gateway: RealGateway) -> None:
    async with run_header_proxy(gateway.port, PLAIN_HEADER) as address:
        target = create_target(gateway, address)
        assert (await diagnose_connection(target)).is_ok
        await asyncio.to_thread(gateway.kill)
        try:
            check = await find_fault(target)
        finally:
            await asyncio.to_thread(gateway.start)
        assert (check.name, check.code) == ("handshake", "down_behind_proxy")
        assert (await diagnose_connection(target)).is_ok

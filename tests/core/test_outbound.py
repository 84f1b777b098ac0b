"""Requests to addresses that users or settings name, including hosts that misbehave."""

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.config.parsers import LOOPBACK_NETWORKS, PRIVATE_NETWORKS
from core.http import address_policy, outbound
from core.http.address_policy import AddressPolicy, build_service_policy
from core.http.outbound import (
    GuardedTransport,
    OutboundClient,
    OutboundOutcome,
    OutboundRequest,
    OutboundResult,
)
from tests.support.http_host import HostPage, HttpHost, run_http_host
from tests.support.name_service import resolve_to
from tests.support.tls_certificates import create_tls_context

CLIENT = OutboundClient(LOOPBACK_NETWORKS)


@pytest.fixture
async def host() -> AsyncIterator[HttpHost]:
    async with run_http_host() as host:
        yield host


async def send(url: str, client: OutboundClient = CLIENT, **options: Any) -> OutboundResult:
    request = OutboundRequest(url, b'{"a":1}', **options)
    async with asyncio.timeout(10):
        return await client.send(request, allows_private=True)


async def test_a_request_is_delivered_with_its_headers_and_body(host: HttpHost) -> None:
    host.pages["/hook?a=1"] = HostPage(b"thanks", status=202, headers={"Retry-After": "5"})
    result = await send(f"{host.address}/hook?a=1#part", headers={"X-Id": "7", "Host": "other"})
    assert result.is_delivered
    assert (result.status, result.body, result.is_truncated) == (202, b"thanks", False)
    assert result.headers["retry-after"] == "5"
    [(head, body)] = host.received
    assert head.startswith("POST /hook?a=1 HTTP/1.1")
    assert "X-Id: 7" in head
    assert f"Host: {host.address.removeprefix('http://')}" in head
    assert "other" not in head
    assert body == b'{"a":1}'


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
async def test_another_status_is_a_rejection(host: HttpHost, status: int) -> None:
    host.pages["/hook"] = HostPage(b"no", status=status)
    result = await send(f"{host.address}/hook")
    assert (result.outcome, result.status) == (OutboundOutcome.REJECTED, status)
    assert not result.is_delivered


async def test_a_redirect_is_not_followed(host: HttpHost) -> None:
    async with run_http_host() as other:
        location = {"Location": f"{other.address}/a"}
        host.pages["/hook"] = HostPage(status=307, headers=location)
        result = await send(f"{host.address}/hook")
        assert (result.outcome, result.status) == (OutboundOutcome.REDIRECTED, 307)
        assert other.requests == []


async def test_only_the_beginning_of_a_response_is_read(host: HttpHost) -> None:
    host.pages["/huge"] = HostPage(b"x" * 5_000_000)
    host.pages["/bomb"] = HostPage(
        gzip.compress(b"x" * 5_000_000), headers={"Content-Encoding": "gzip"}
    )
    result = await send(f"{host.address}/huge")
    assert result.is_delivered
    assert (len(result.body), result.is_truncated) == (outbound.MAX_RESPONSE_BYTES, True)
    assert len((await send(f"{host.address}/bomb")).body) < 20_000


async def test_a_body_that_never_ends_counts_by_its_status(host: HttpHost) -> None:
    host.pages["/slow"] = HostPage(b"abc", headers={"Content-Length": "100"})
    host.stays_open = True
    client = OutboundClient(LOOPBACK_NETWORKS, body_timeout=0.1)
    result = await send(f"{host.address}/slow", client)
    assert result.is_delivered
    assert (result.body, result.is_truncated) == (b"abc", True)


async def test_a_silent_host_causes_a_timeout(host: HttpHost) -> None:
    host.is_silent = True
    result = await send(
        f"{host.address}/hook", OutboundClient(LOOPBACK_NETWORKS, total_timeout=0.2)
    )
    assert result.outcome is OutboundOutcome.TIMEOUT


async def test_a_name_service_that_does_not_answer_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(address_policy, "_ask_name_service", lambda *_: answered.wait(5))
    monkeypatch.setattr("core.http.address_policy.RESOLVE_TIMEOUT", 0.1)
    results = await asyncio.gather(*(send("https://receiver.example") for _ in range(16)))
    assert {result.outcome for result in results} == {OutboundOutcome.DNS}
    async with asyncio.timeout(1):  # it does not occupy the threads of other work
        await asyncio.to_thread(answered.set)


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("", "scheme"),
        ("receiver.example", "scheme"),
        ("ftp://receiver.example", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("http://", "host"),
        ("http:///path", "host"),
        ("http://me@receiver.example", "password"),
        ("http://me:secret@receiver.example", "password"),
        ("http://receiver.example:0", "port"),
        ("http://receiver.example:65536", "port"),
        ("http://[::1", "malformed"),
        ("http://receiver .example", "characters"),
        ("http://receiver.example/\r\nHost: other", "characters"),
        ("http://receiver.example/" + "a" * 2048, "characters"),
    ],
)
async def test_an_invalid_url_is_an_outcome_with_its_cause(url: str, cause: str) -> None:
    result = await send(url)
    assert (result.outcome, result.detail) == (OutboundOutcome.ADDRESS_INVALID, cause)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]"),
        *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]"),
        *("10.0.0.1", "192.168.1.1", "[fd12::1]", "169.254.169.254", "[fe80::1]", "0.0.0.0"),
    ],
)
async def test_no_notation_of_a_private_address_is_connected(address: str) -> None:
    client = OutboundClient(PRIVATE_NETWORKS)
    result = await client.send(OutboundRequest(f"http://{address}:9/hook"))
    forbidden = (OutboundOutcome.ADDRESS_FORBIDDEN, OutboundOutcome.ADDRESS_INVALID)
    assert result.outcome in forbidden
    assert (result.status, result.body) == (None, b"")


@pytest.mark.parametrize("address", ["169.254.169.254", "[fd00:ec2::254]", "0.0.0.0"])
async def test_no_setting_allows_the_addresses_of_metadata_services(address: str) -> None:
    result = await send(f"http://{address}/latest", OutboundClient(PRIVATE_NETWORKS))
    assert result.outcome is OutboundOutcome.ADDRESS_FORBIDDEN


async def test_a_name_is_resolved_once_and_the_checked_address_used(
    host: HttpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second answer of the name service has no effect (DNS rebinding)."""
    host.pages["/hook"] = HostPage()
    asked = resolve_to(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    port = host.address.rpartition(":")[2]
    result = await send(f"http://evil.example:{port}/hook")
    assert result.is_delivered
    assert asked == ["evil.example"]
    assert f"Host: evil.example:{port}" in host.received[0][0]
    again = await send(f"http://evil.example:{port}/hook")
    assert again.outcome is OutboundOutcome.ADDRESS_FORBIDDEN


async def test_forbidden_addresses_of_a_name_are_left_out(
    host: HttpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, ["169.254.169.254", "10.0.0.1", "127.0.0.2", "127.0.0.1"])
    host.pages["/hook"] = HostPage()
    port = host.address.rpartition(":")[2]  # nobody listens at 127.0.0.2
    assert (await send(f"http://mixed.example:{port}/hook")).is_delivered


async def test_an_unreachable_host_is_an_outcome() -> None:
    assert (await send("http://127.0.0.1:1/a")).outcome is OutboundOutcome.UNREACHABLE
    assert (await send("http://no-such-name.invalid")).outcome is OutboundOutcome.DNS


async def test_a_response_that_is_not_http_is_an_outcome(host: HttpHost) -> None:
    host.pages["/odd"] = HostPage(status=99)
    host.pages["/headers"] = HostPage(headers={"X": "y" * 500_000})
    for path in ("/odd", "/headers"):
        result = await send(host.address + path)
        assert result.outcome is OutboundOutcome.INVALID_RESPONSE


async def test_a_header_cannot_contain_another_header(host: HttpHost) -> None:
    result = await send(f"{host.address}/hook", headers={"X-Name": "a\r\nX-Other: b"})
    assert result.outcome is OutboundOutcome.INVALID_RESPONSE
    assert host.requests == []


async def test_proxies_of_the_environment_are_not_used(
    host: HttpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    host.pages["/hook"] = HostPage()
    assert (await send(f"{host.address}/hook")).is_delivered


async def test_tls_verifies_the_name_of_the_url(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = create_tls_context(tmp_path, "receiver.example")
    resolve_to(monkeypatch, ["127.0.0.1"])
    async with run_http_host(context) as host:
        host.pages["/hook"] = HostPage()
        port = host.address.rpartition(":")[2]
        trusting = OutboundClient(LOOPBACK_NETWORKS)
        trusting.tls_context.load_verify_locations(tmp_path / "server.pem")
        assert (await send(f"https://receiver.example:{port}/hook", trusting)).is_delivered
        wrong_name = await send(f"https://other.example:{port}/hook", trusting)
        untrusted = await send(f"https://receiver.example:{port}/hook")
    assert (wrong_name.outcome, untrusted.outcome) == (OutboundOutcome.TLS, OutboundOutcome.TLS)
    assert "other.example" in wrong_name.detail
    assert "self-signed" in untrusted.detail
    assert len(host.requests) == 1


@pytest.mark.parametrize("answers_tls", [True, False])
async def test_a_host_without_tls_is_an_outcome(
    host: HttpHost, answers_tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.answers_tls = answers_tls
    if not answers_tls:
        monkeypatch.setattr(outbound, "CONNECT_TIMEOUT", 0.1)
    result = await send(host.address.replace("http:", "https:"))
    assert result.outcome is OutboundOutcome.TLS


async def fetch_guarded(url: str, policy: AddressPolicy, *, max_bytes: int = 100) -> bytes:
    transport = GuardedTransport(policy, max_response_bytes=max_bytes)
    async with asyncio.timeout(10), httpx2.AsyncClient(transport=transport) as client:
        return (await client.get(url)).content


async def test_a_client_with_the_guard_connects_to_the_checked_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """TLS verifies the name, which is resolved once for each request."""
    context = create_tls_context(tmp_path, "service.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    asked = resolve_to(monkeypatch, ["127.0.0.1"])
    async with run_http_host(context) as host:
        host.pages["/a"] = HostPage(b"here")
        port = host.address.rpartition(":")[2]
        assert await fetch_guarded(f"https://service.example:{port}/a", AddressPolicy()) == b"here"
        assert f"Host: service.example:{port}" in host.received[0][0]
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await fetch_guarded(f"https://other.example:{port}/a", AddressPolicy())
    assert asked == ["service.example", "other.example"]
    assert len(host.requests) == 1


@pytest.mark.parametrize("follows", [False, True])
async def test_a_redirect_into_the_network_is_refused_by_the_guard(
    host: HttpHost, monkeypatch: pytest.MonkeyPatch, follows: bool
) -> None:
    resolve_to(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    port = host.address.rpartition(":")[2]
    inside = f"http://inside.example:{port}/a"
    host.pages |= {"/moved": HostPage(status=302, headers={"Location": inside})}
    transport = GuardedTransport(AddressPolicy(), max_response_bytes=100)
    async with httpx2.AsyncClient(transport=transport, follow_redirects=follows) as client:
        if follows:
            with pytest.raises(httpx2.ConnectError, match="SERVICES_ALLOW_PRIVATE"):
                await client.get(f"http://service.example:{port}/moved")
        else:
            assert (await client.get(f"http://service.example:{port}/moved")).status_code == 302
    assert host.requests == ["/moved"]


async def test_the_guard_limits_size_and_refuses_compression(host: HttpHost) -> None:
    host.pages |= {
        "/long": HostPage(b"x" * 101),
        "/bomb": HostPage(b"", headers={"Content-Encoding": "gzip"}),
    }
    with pytest.raises(httpx2.ReadError, match="longer than 100 bytes"):
        await fetch_guarded(f"{host.address}/long", AddressPolicy())
    with pytest.raises(httpx2.DecodingError):
        await fetch_guarded(f"{host.address}/bomb", AddressPolicy())


@pytest.mark.parametrize(
    ("host_name", "ip", "is_allowed"),
    [
        ("localhost", "127.0.0.1", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("[fd12::1]", "fd12::1", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("id.example.com", "10.1.2.3", False),
        ("id.example.com", "127.0.0.1", False),
        ("id.example.com", "93.184.216.34", True),
        ("169.254.169.254", "169.254.169.254", False),
    ],
)
def test_a_setting_allows_the_address_that_it_contains(
    host_name: str, ip: str, is_allowed: bool
) -> None:
    assert build_service_policy(host_name, ()).allows(ip_address(ip)) is is_allowed

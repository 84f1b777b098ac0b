"""Fetching a text from another host, including hosts that misbehave."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from functools import partial

import pytest

from core.http import outbound
from core.http.address_policy import AddressPolicy
from core.http.outbound import FetchError, FetchNotFound
from core.version import VERSION
from tests.support.http_host import HostPage, HttpHost, run_http_host

fetch = partial(outbound.fetch_text, policy=AddressPolicy())  # also of this machine


@pytest.fixture
async def host() -> AsyncIterator[HttpHost]:
    async with run_http_host() as host:
        yield host


async def test_a_text_is_fetched_unchanged(host: HttpHost) -> None:
    host.pages["/a"] = HostPage("\ufeffIt's a heron: é".encode())
    assert await fetch(f"{host.address}/a", max_bytes=100) == "It's a heron: é"
    assert host.user_agents == {f"openclaw-mission-control/{VERSION}"}


async def test_a_missing_page_is_distinguished_from_an_error(host: HttpHost) -> None:
    host.pages |= {"/gone": HostPage(status=410), "/broken": HostPage(status=500)}
    for path in ("/nothing", "/gone"):
        with pytest.raises(FetchNotFound):
            await fetch(host.address + path, max_bytes=100)
    with pytest.raises(FetchError, match="status 500") as error_info:
        await fetch(f"{host.address}/broken", max_bytes=100)
    assert not isinstance(error_info.value, FetchNotFound)


async def test_a_response_above_the_size_limit_is_rejected(host: HttpHost) -> None:
    host.pages["/a"] = HostPage(b"x" * 100)
    host.pages["/long"] = HostPage(b"x" * 5_000_000)
    assert len(await fetch(f"{host.address}/a", max_bytes=100)) == 100
    for path, max_bytes in (("/a", 99), ("/long", 1_000)):
        with pytest.raises(FetchError, match="longer than"):
            await fetch(host.address + path, max_bytes=max_bytes)


async def test_a_compressed_response_is_rejected(host: HttpHost) -> None:
    compressed = gzip.compress(b"x" * 10_000_000)
    host.pages["/bomb"] = HostPage(compressed, headers={"Content-Encoding": "gzip"})
    with pytest.raises(FetchError, match="content encoding"):
        await fetch(f"{host.address}/bomb", max_bytes=100_000)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a\0b"])
async def test_a_text_that_cannot_be_stored_is_rejected(host: HttpHost, body: bytes) -> None:
    host.pages["/a"] = HostPage(body)
    with pytest.raises(FetchError):
        await fetch(f"{host.address}/a", max_bytes=100)


async def test_a_redirect_is_followed_only_on_the_same_host(host: HttpHost) -> None:
    async with run_http_host() as other:
        other.pages["/a"] = HostPage(b"elsewhere")
        host.pages |= {
            "/a": HostPage(b"here"),
            "/moved": HostPage(status=302, headers={"Location": "/a"}),
            "/away": HostPage(status=302, headers={"Location": f"{other.address}/a"}),
            "/file": HostPage(status=302, headers={"Location": "file:///etc/passwd"}),
            "/named": HostPage(
                status=302, headers={"Location": host.address.replace("//", "//me@")}
            ),
            "/round": HostPage(status=301, headers={"Location": "/round"}),
        }
        assert await fetch(f"{host.address}/moved", max_bytes=100) == "here"
        for path in ("/away", "/file", "/named", "/round"):
            with pytest.raises(FetchError):
                await fetch(host.address + path, max_bytes=100)
        assert other.requests == []
        assert host.requests.count("/round") == 1 + outbound.MAX_REDIRECTS


async def test_a_silent_host_causes_a_timeout(
    host: HttpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "FETCH_TIMEOUT", 0.2)
    host.is_silent = True
    async with asyncio.timeout(5):
        with pytest.raises(FetchError, match="Timeout"):
            await fetch(f"{host.address}/a", max_bytes=100)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a", "ftp://127.0.0.1/a", "http://[::/a"])
async def test_an_unreachable_host_raises_a_fetch_error(url: str) -> None:
    with pytest.raises(FetchError):
        await fetch(url, max_bytes=100)

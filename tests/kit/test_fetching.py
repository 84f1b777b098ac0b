"""Fetching from another host: what is taken, and that nothing it does can hurt."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from kit import fetching
from kit.fetching import CannotFetch, NothingThere, fetch
from tests.elsewhere import Host, Page, a_host


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with a_host() as host:
        yield host


async def test_a_text_is_fetched_as_it_is(host: Host) -> None:
    host.pages["/a"] = Page("\ufeffIt's a heron: é".encode())
    assert await fetch(f"{host.address}/a", most=100) == "It's a heron: é"
    assert host.agents == {"openclaw-mission-control/1.0"}


async def test_what_is_not_there_is_told_apart_from_what_fails(host: Host) -> None:
    host.pages |= {"/gone": Page(status=410), "/broken": Page(status=500)}
    for path in ("/nothing", "/gone"):
        with pytest.raises(NothingThere):
            await fetch(host.address + path, most=100)
    with pytest.raises(CannotFetch, match="status 500") as refused:
        await fetch(f"{host.address}/broken", most=100)
    assert not isinstance(refused.value, NothingThere)


async def test_no_more_is_read_than_was_asked_for(host: Host) -> None:
    host.pages["/a"] = Page(b"x" * 100)
    host.pages["/long"] = Page(b"x" * 5_000_000)
    assert len(await fetch(f"{host.address}/a", most=100)) == 100
    for path, most in (("/a", 99), ("/long", 1_000)):
        with pytest.raises(CannotFetch, match="longer than"):
            await fetch(host.address + path, most=most)


async def test_what_is_packed_is_not_unpacked(host: Host) -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    host.pages["/bomb"] = Page(bomb, headers={"Content-Encoding": "gzip"})
    with pytest.raises(CannotFetch, match="packed"):
        await fetch(f"{host.address}/bomb", most=100_000)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a\0b"])
async def test_what_cannot_be_stored_is_refused(host: Host, body: bytes) -> None:
    host.pages["/a"] = Page(body)
    with pytest.raises(CannotFetch):
        await fetch(f"{host.address}/a", most=100)


async def test_a_redirect_is_followed_on_the_same_host_only(host: Host) -> None:
    async with a_host() as other:
        other.pages["/a"] = Page(b"elsewhere")
        host.pages |= {
            "/a": Page(b"here"),
            "/moved": Page(status=302, headers={"Location": "/a"}),
            "/away": Page(status=302, headers={"Location": f"{other.address}/a"}),
            "/file": Page(status=302, headers={"Location": "file:///etc/passwd"}),
            "/named": Page(status=302, headers={"Location": host.address.replace("//", "//me@")}),
            "/round": Page(status=301, headers={"Location": "/round"}),
        }
        assert await fetch(f"{host.address}/moved", most=100) == "here"
        for path in ("/away", "/file", "/named", "/round"):
            with pytest.raises(CannotFetch):
                await fetch(host.address + path, most=100)
        assert other.asked == []
        assert host.asked.count("/round") == 1 + fetching.MOST_REDIRECTS


async def test_patience_ends(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PATIENCE", 0.2)
    host.is_silent = True
    async with asyncio.timeout(5):
        with pytest.raises(CannotFetch, match="Timeout"):
            await fetch(f"{host.address}/a", most=100)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a", "ftp://127.0.0.1/a", "http://[::/a"])
async def test_who_cannot_be_reached_is_no_surprise(url: str) -> None:
    with pytest.raises(CannotFetch):
        await fetch(url, most=100)

"""Fetching a text from another host, with a limit for everything that the host could do to us."""

import asyncio
from urllib.parse import urljoin, urlsplit

import httpx2

from kit.text import storable

PATIENCE = 10.0  # seconds for all of it, redirects included
TO_CONNECT = 5.0  # seconds of them
MOST_REDIRECTS = 3
HEADERS = {"User-Agent": "openclaw-mission-control/1.0", "Accept-Encoding": "identity"}
GONE = (404, 410)


class CannotFetch(Exception):
    """There is no text to be had. Why is for the log, and for nobody else: it may name hosts."""


class NothingThere(CannotFetch):
    """The host answers, and says that there is no such thing."""


async def fetch(url: str, *, most: int) -> str:
    """Return the text at an address, of at most `most` bytes. Raises CannotFetch."""
    timeout = httpx2.Timeout(PATIENCE, connect=TO_CONNECT)
    try:
        async with (
            asyncio.timeout(PATIENCE),
            httpx2.AsyncClient(timeout=timeout, headers=HEADERS) as client,
        ):
            return _text(await _followed(client, url, most))
    except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise CannotFetch(f"{url}: {type(error).__name__}: {error}") from error


async def _followed(client: httpx2.AsyncClient, url: str, most: int) -> bytes:
    for _ in range(1 + MOST_REDIRECTS):
        async with client.stream("GET", url) as response:
            if not response.has_redirect_location:
                return await _read(response, most)
            url = _elsewhere(url, response.headers["Location"])
    raise CannotFetch(f"{url}: it leads from one address to the next without an end")


def _elsewhere(url: str, location: str) -> str:
    """Return where a redirect leads, if that is at the same host, and not less well protected."""
    target = urljoin(url, location)
    here, there = urlsplit(url), urlsplit(target)
    is_same = (here.scheme, here.netloc) == (there.scheme, there.netloc)
    is_safer = (here.scheme, there.scheme, here.netloc) == ("http", "https", there.netloc)
    if not (is_same or is_safer):
        raise CannotFetch(f"{url}: it leads elsewhere, to {target[:200]}")
    return target


async def _read(response: httpx2.Response, most: int) -> bytes:
    """Read the body, packed in no way: what is small on its way could be huge when unpacked."""
    if response.status_code in GONE:
        raise NothingThere(f"{response.url}: status {response.status_code}")
    if response.status_code != 200:
        raise CannotFetch(f"{response.url}: status {response.status_code}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise CannotFetch(f"{response.url}: it is packed, though it was asked not to be")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > most:
            raise CannotFetch(f"{response.url}: longer than {most:,} bytes")
    return bytes(body)


def _text(body: bytes) -> str:
    text = body.decode("utf-8-sig")
    if not storable(text):
        raise ValueError("it has a character that cannot be stored")
    return text

"""Fetch a text from a service of the operator, with limits on time, size and redirects."""

import asyncio
from urllib.parse import urljoin, urlsplit

import httpx2

from core.http.address_policy import CONNECT_TIMEOUT, AddressPolicy
from core.http.outbound import GuardedTransport
from core.text import is_storable

TOTAL_TIMEOUT = 10.0  # seconds, including redirects
MAX_REDIRECTS = 3
HEADERS = {"User-Agent": "openclaw-mission-control/1.0", "Accept-Encoding": "identity"}
NOT_FOUND_STATUSES = (404, 410)


class FetchError(Exception):
    """The text cannot be fetched. The message is for the log only, because it can contain hosts."""


class FetchNotFound(FetchError):
    """The host responds that the resource does not exist."""


async def fetch_text(url: str, *, max_bytes: int, policy: AddressPolicy) -> str:
    """Fetch a text of at most `max_bytes` bytes from an allowed address. Raises FetchError."""
    timeout = httpx2.Timeout(TOTAL_TIMEOUT, connect=CONNECT_TIMEOUT)
    transport = GuardedTransport(policy, max_response_bytes=max_bytes)
    try:
        async with (
            asyncio.timeout(TOTAL_TIMEOUT),
            httpx2.AsyncClient(timeout=timeout, headers=HEADERS, transport=transport) as client,
        ):
            return _decode(await _follow_redirects(client, url))
    except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise FetchError(f"{url}: {type(error).__name__}: {error}") from error


async def _follow_redirects(client: httpx2.AsyncClient, url: str) -> bytes:
    for _ in range(1 + MAX_REDIRECTS):
        async with client.stream("GET", url) as response:
            if response.has_redirect_location:
                url = _redirect_target(url, response.headers["Location"])
                continue
            if response.status_code in NOT_FOUND_STATUSES:
                raise FetchNotFound(f"{response.url}: status {response.status_code}")
            if response.status_code != 200:
                raise FetchError(f"{response.url}: status {response.status_code}")
            return await response.aread()
    raise FetchError(f"{url}: too many redirects")


def _redirect_target(url: str, location: str) -> str:
    """Return the target of a redirect; it must be on the same host and keep HTTPS."""
    target = urljoin(url, location)
    here, there = urlsplit(url), urlsplit(target)
    is_same = (here.scheme, here.netloc) == (there.scheme, there.netloc)
    is_safer = (here.scheme, there.scheme, here.netloc) == ("http", "https", there.netloc)
    if not (is_same or is_safer):
        raise FetchError(f"{url}: redirect to another host: {target[:200]}")
    return target


def _decode(body: bytes) -> str:
    text = body.decode("utf-8-sig")
    if not is_storable(text):
        raise ValueError("the text has a character that cannot be stored")
    return text

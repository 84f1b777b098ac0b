"""Send HTTP requests to addresses that users or settings name.

The host is resolved once, and the request goes to an IP address that core/http/address_policy.py
allows; TLS still verifies the host name. Redirects are not followed, proxies of the environment are
not used, and no connection is reused. Time and the size of the response are limited.

`OutboundClient` is for addresses of users: every failure is a named outcome, never an exception.
`GuardedTransport` gives the same guard to clients of services that settings of the operator name;
`fetch_text` is such a client.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cached_property
from typing import Literal
from urllib.parse import urljoin, urlsplit

import httpx2

from core.clock import now
from core.config.parsers import Network
from core.config.settings import Settings
from core.errors import Invalid
from core.http.address_policy import (
    CONNECT_TIMEOUT,
    MAX_ADDRESSES,
    AddressPolicy,
    ForbiddenHost,
    IpAddress,
    UnknownHost,
    can_be_allowed,
    resolve_host,
)
from core.text import N_, is_storable
from core.traces import Span, trace
from core.version import VERSION

MAX_URL_LENGTH = 2048  # characters
TOTAL_TIMEOUT = 20.0  # seconds, from resolving the name to the last byte that is read
BODY_TIMEOUT = 5.0  # seconds for the body of a response; what has arrived then is kept
MAX_RESPONSE_BYTES = 20_000  # of a response that are read
MAX_DETAIL_LENGTH = 200  # characters
DEFAULT_PORTS = {"http": 80, "https": 443}
HEADERS = {
    "User-Agent": f"openclaw-mission-control/{VERSION}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",  # a small compressed body could expand without limit
    "Connection": "close",
}


class OutboundOutcome(StrEnum):
    """What became of a request. The values are stored, and part of the API."""

    DELIVERED = "delivered"  # a status from 200 to 299
    REJECTED = "rejected"  # another status
    REDIRECTED = "redirected"  # a status from 300 to 399; redirects are not followed
    ADDRESS_INVALID = "address_invalid"
    ADDRESS_FORBIDDEN = "address_forbidden"
    DNS = "dns"
    UNREACHABLE = "unreachable"  # no address of the host accepts a connection
    TLS = "tls"
    TIMEOUT = "timeout"  # connected, but no response in time
    INVALID_RESPONSE = "invalid_response"  # not HTTP, headers too large, or closed early
    NOT_SENT = "not_sent"  # by the caller, for a reason of its own


class InvalidUrl(Exception):
    """A URL cannot be used; `cause` is a stable code of the reason."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True)
class OutboundRequest:
    """A request to a URL that a user has entered. Secrets in its headers appear in no `repr`."""

    url: str = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: Literal["GET", "POST", "PUT", "DELETE"] = "POST"


@dataclass(frozen=True)
class OutboundResult:
    """The outcome of a request, and the beginning of the response if there is one.

    `detail` is a short technical text, such as the reason why a certificate is not trusted.
    """

    outcome: OutboundOutcome
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_truncated: bool = False  # there is more of the body than was read
    detail: str = ""
    seconds: float = 0.0

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver has accepted the request."""
        return self.outcome is OutboundOutcome.DELIVERED


def parse_url(url: str) -> httpx2.URL:
    """Parse the URL of a receiver. Raises InvalidUrl."""
    if len(url) > MAX_URL_LENGTH or not url.isprintable() or " " in url:
        raise InvalidUrl("characters")
    try:
        parsed = httpx2.URL(url)
        host = parsed.raw_host.decode("ascii")
    except (httpx2.InvalidURL, ValueError):
        raise InvalidUrl("malformed") from None
    for cause, is_wrong in {
        "scheme": parsed.scheme not in DEFAULT_PORTS,
        "host": not host,
        "password": bool(parsed.userinfo),
        "port": parsed.port is not None and not 0 < parsed.port < 65536,
    }.items():
        if is_wrong:
            raise InvalidUrl(cause)
    return parsed


class OutboundClient:
    """Sends requests to addresses that users have entered."""

    def __init__(
        self,
        allowed_private: Sequence[Network] = (),
        *,
        total_timeout: float = TOTAL_TIMEOUT,
        body_timeout: float = BODY_TIMEOUT,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
    ) -> None:
        self._allowed_private = allowed_private
        self._total_timeout = total_timeout
        self._body_timeout = body_timeout
        self._max_response_bytes = max_response_bytes

    @classmethod
    def from_settings(cls, settings: Settings) -> "OutboundClient":
        """Create the client of this installation."""
        return cls(settings.outbound_allow_private)

    @cached_property
    def tls_context(self) -> ssl.SSLContext:
        """How certificates are verified."""
        return httpx2.create_ssl_context()

    async def send(
        self, request: OutboundRequest, *, allows_private: bool = False
    ) -> OutboundResult:
        """Send a request once; the result says what became of it.

        Private addresses that the settings allow are allowed only with `allows_private`, which is
        for the organization that runs the server. Never call it in a transaction.
        """
        started = time.monotonic()
        policy = self._build_policy(allows_private)
        try:
            async with asyncio.timeout(self._total_timeout):
                result = await self._send(request, policy)
        except TimeoutError:
            result = OutboundResult(OutboundOutcome.TIMEOUT)
        return replace(result, seconds=time.monotonic() - started)

    async def check_address(self, url: str, field: str, *, allows_private: bool = False) -> bool:
        """Check where a URL leads before it is stored; return whether its name resolves now.

        Every request is checked again, so an unknown name is not an error: it may be known later.
        An invalid URL is left to the caller. Never call it in a transaction. Raises Invalid.
        """
        try:
            parsed = parse_url(url.strip())
            host, port = (
                parsed.raw_host.decode("ascii"),
                parsed.port or DEFAULT_PORTS[parsed.scheme],
            )
            await resolve_host(host, port, self._build_policy(allows_private))
        except InvalidUrl:
            return True
        except UnknownHost:
            return False
        except ForbiddenHost as error:
            if not any(map(can_be_allowed, error.ips)):
                reason = N_(
                    "Requests to this address are never allowed: it is link-local or reserved."
                )
                raise Invalid("address_never_allowed", reason, field=field) from None
            reason = N_(
                "This address is in a private network. OUTBOUND_ALLOW_PRIVATE can allow it for"
                " the first organization of this installation."
            )
            raise Invalid("address_forbidden", reason, field=field) from None
        return True

    def _build_policy(self, allows_private: bool) -> AddressPolicy:
        return AddressPolicy(self._allowed_private if allows_private else ())

    async def _send(self, request: OutboundRequest, policy: AddressPolicy) -> OutboundResult:
        try:
            url = parse_url(request.url)
            host, port = url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS[url.scheme]
            ips = await resolve_host(host, port, policy)
        except InvalidUrl as error:
            return OutboundResult(OutboundOutcome.ADDRESS_INVALID, detail=error.cause)
        except UnknownHost:
            return OutboundResult(OutboundOutcome.DNS)
        except ForbiddenHost:
            return OutboundResult(OutboundOutcome.ADDRESS_FORBIDDEN)
        return await self._try_addresses(request, url, ips)

    async def _try_addresses(
        self, request: OutboundRequest, url: httpx2.URL, ips: Sequence[IpAddress]
    ) -> OutboundResult:
        """Send the request to the first address that accepts a connection."""
        result = OutboundResult(OutboundOutcome.UNREACHABLE)
        for ip in ips[:MAX_ADDRESSES]:
            try:
                with _trace_call(request.method, url.host) as span:
                    sent = await self._send_to(request, url, ip)
                    span.note_response(sent.status or 0)
                    return sent
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                tls_error = _find_tls_error(error)
                if tls_error is not None:
                    return OutboundResult(OutboundOutcome.TLS, detail=_describe_tls(tls_error))
                result = OutboundResult(OutboundOutcome.UNREACHABLE, detail=_shorten(str(error)))
            except httpx2.TimeoutException:
                return OutboundResult(OutboundOutcome.TIMEOUT)
            except (httpx2.HTTPError, ValueError) as error:
                return OutboundResult(OutboundOutcome.INVALID_RESPONSE, detail=_shorten(str(error)))
        return result

    async def _send_to(
        self, request: OutboundRequest, url: httpx2.URL, ip: IpAddress
    ) -> OutboundResult:
        """Send the request to one IP address, with the host of the URL for HTTP and for TLS."""
        headers = {**HEADERS, **request.headers, "Host": url.netloc.decode("ascii")}
        timeout = httpx2.Timeout(self._total_timeout, connect=CONNECT_TIMEOUT)
        host = url.raw_host.decode("ascii").rstrip(".")
        async with (
            httpx2.AsyncClient(
                verify=self.tls_context, timeout=timeout, trust_env=False, follow_redirects=False
            ) as client,
            client.stream(
                request.method,
                url.copy_with(host=str(ip), fragment=None),
                content=request.body,
                headers=headers,
                extensions={"sni_hostname": host},
            ) as response,
        ):
            body, is_truncated = await self._read(response)
        status, outcome = response.status_code, OutboundOutcome.REJECTED
        if 200 <= status < 300:
            outcome = OutboundOutcome.DELIVERED
        elif 300 <= status < 400:
            outcome = OutboundOutcome.REDIRECTED
        return OutboundResult(outcome, status, dict(response.headers), body, is_truncated)

    async def _read(self, response: httpx2.Response) -> tuple[bytes, bool]:
        """Read the beginning of a body; the status counts even if the body never ends."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout):
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > self._max_response_bytes:
                        return bytes(body[: self._max_response_bytes]), True
        except (TimeoutError, httpx2.HTTPError):
            return bytes(body), True
        return bytes(body), False


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends the requests of an HTTP client, each to an address that a policy allows.

    Redirects that the client follows are requests of their own, so they are checked too.
    """

    def __init__(self, policy: AddressPolicy, *, max_response_bytes: int) -> None:
        self._policy = policy
        self._max_response_bytes = max_response_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to the first address that accepts a connection. Raises HTTPError."""
        try:
            url = parse_url(str(request.url))
            host, port = url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS[url.scheme]
            ips = await resolve_host(host, port, self._policy)
        except InvalidUrl as error:
            raise httpx2.UnsupportedProtocol(f"the address is invalid: {error.cause}") from None
        except UnknownHost:
            raise httpx2.ConnectError(f"{request.url.host} has no address") from None
        except ForbiddenHost:
            reason = "has only private addresses, and SERVICES_ALLOW_PRIVATE allows none of them"
            raise httpx2.ConnectError(f"{request.url.host} {reason}") from None
        for ip in ips[:MAX_ADDRESSES]:
            sent = httpx2.Request(
                request.method,
                url.copy_with(host=str(ip), fragment=None),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host.rstrip(".")},
            )
            try:
                with _trace_call(request.method, host) as span:
                    response = await self._transport.handle_async_request(sent)
                    span.note_response(response.status_code)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
            else:
                return await self._limit(response)
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    @cached_property
    def _transport(self) -> httpx2.AsyncHTTPTransport:
        """The transport, created on first use because loading certificates is slow.

        A connection that is kept would be used for another host with the same address.
        """
        return httpx2.AsyncHTTPTransport(
            verify=httpx2.create_ssl_context(),
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    async def _limit(self, response: httpx2.Response) -> httpx2.Response:
        """Limit the size of a response. A small compressed one could expand without limit."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            await response.aclose()
            raise httpx2.DecodingError("unexpected content encoding")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        stream = _LimitedStream(response.stream, self._max_response_bytes)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=stream,
            extensions=response.extensions,
        )


class _LimitedStream(httpx2.AsyncByteStream):
    """A body that must not be longer than a limit."""

    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > self._max_bytes:
                raise httpx2.ReadError(f"the response is longer than {self._max_bytes:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _trace_call(method: str, host: str) -> Span:
    """Return a span without the path and the query, which can contain secrets."""
    attributes = {"http.request.method": method, "server.address": host}
    return trace(f"{method} {host}", "client", **attributes)


def _find_tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """Return the error of TLS that has caused an error of the HTTP client."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _describe_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _shorten(error.verify_message)
    return _shorten(error.reason or "")


def _shorten(text: str) -> str:
    return text[:MAX_DETAIL_LENGTH]


FETCH_TIMEOUT = 10.0  # seconds, including redirects
MAX_REDIRECTS = 3


class FetchError(Exception):
    """The text cannot be fetched. The message is for the log only, because it can contain hosts."""


class FetchNotFound(FetchError):
    """The host responds that the resource does not exist."""


async def fetch_text(url: str, *, max_bytes: int, policy: AddressPolicy) -> str:
    """Fetch a text of at most `max_bytes` bytes from an allowed address. Raises FetchError."""
    headers = {"User-Agent": HEADERS["User-Agent"], "Accept-Encoding": "identity"}
    timeout = httpx2.Timeout(FETCH_TIMEOUT, connect=CONNECT_TIMEOUT)
    transport = GuardedTransport(policy, max_response_bytes=max_bytes)
    try:
        async with (
            asyncio.timeout(FETCH_TIMEOUT),
            httpx2.AsyncClient(timeout=timeout, headers=headers, transport=transport) as client,
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
            if response.status_code in (404, 410):
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


MAX_RETRY_AFTER = timedelta(days=1)


def read_retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Return how long the sender of a response wants no request; None if it does not say."""
    found = (value for name, value in headers.items() if name.lower() == "retry-after")
    return parse_retry_after(next(found, None))


def parse_retry_after(value: object) -> timedelta | None:
    """Parse the header Retry-After (RFC 9110): a number of seconds, or a date of HTTP.

    Returns a second to MAX_RETRY_AFTER, or None if it is neither.
    """
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    text = str(value)[:101]
    try:
        seconds = float(text)
    except ValueError:
        seconds = _parse_date(text)
    if seconds is None or seconds != seconds or len(text) > 100:
        return None
    return timedelta(seconds=max(1.0, min(seconds, MAX_RETRY_AFTER.total_seconds())))


def _parse_date(text: str) -> float | None:
    """Return the seconds until a date of HTTP."""
    try:
        at: datetime = parsedate_to_datetime(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return (at - now()).total_seconds()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None

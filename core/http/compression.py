"""Compress responses with zstd or gzip, except event streams and pages that show a secret."""

import gzip
import re
import sys

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipResponder, IdentityResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.http.event_stream import STREAM_PATHS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIN_SIZE = 1_000  # bytes; smaller responses fit into one packet
GZIP_LEVEL = 1  # higher levels take more than twice as long, and save a tenth
ZSTD_LEVEL = 3  # half of the CPU of gzip, and three quarters of its bytes
THREAD_SIZE = 1_000_000  # bytes that take 2 ms, in which no other request would be handled
REFUSED_WEIGHT = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")  # RFC 9110, 12.5.3


class CompressionMiddleware:
    """Compresses responses of more than MIN_SIZE bytes for clients that name zstd or gzip.

    A page that shows a secret is not compressed: its size would depend on the secret and on text
    that another site can put into the address. The API is compressed anyway, because browsers do
    not add its credentials to requests of other sites.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        app = self._app
        # a responder takes memory as long as it is open
        if scope["type"] == "http" and not scope["path"].endswith(STREAM_PATHS):
            app = self._choose_responder(scope)
        await app(scope, receive, send)

    def _choose_responder(self, scope: Scope) -> ASGIApp:
        """Return a responder with the best encoding that the client names, or the application."""
        is_api = scope["path"].startswith("/api/")
        match choose_encoding(scope):
            case "zstd":
                return (_ZstdResponder if is_api else _ZstdPageResponder)(self._app, MIN_SIZE)
            case "gzip":
                responder = GZipResponder if is_api else _GzipPageResponder
                return responder(self._app, MIN_SIZE, compresslevel=GZIP_LEVEL)
        return self._app


def choose_encoding(scope: Scope) -> str:
    """Return the best encoding that the client of a request names: zstd, gzip or ""."""
    header = Headers(scope=scope).get("accept-encoding", "")
    if len(header) > 1_000:  # parsing one of 64 kB takes 50 ms
        return ""
    named = [one.partition(";") for one in header.lower().split(",")]
    accepted = {name.strip() for name, _, weight in named if not REFUSED_WEIGHT.fullmatch(weight)}
    return next((one for one in ("zstd", "gzip") if one in accepted), "")


def compress_once(content: bytes, encoding: str) -> bytes:
    """Compress a content that is sent many times, with a higher level than responses."""
    return gzip.compress(content) if encoding == "gzip" else zstd.compress(content, 9)


_SHARED_COMPRESSOR = zstd.ZstdCompressor(ZSTD_LEVEL)
"""Compresses complete bodies in the event loop, each as one frame, after which it has no state.

A new compressor for each response would allocate more than a megabyte.
"""


class _ZstdResponder(IdentityResponder):
    content_encoding = "zstd"
    _compressor: zstd.ZstdCompressor | None = None

    async def send_with_compression(self, message: Message) -> None:
        """Send a message, unless it is empty and others follow.

        zstd makes no bytes of it. The base class would then name no encoding for the others.
        """
        is_body = message["type"] == "http.response.body"
        if not is_body or message.get("body") or not message.get("more_body"):
            await super().send_with_compression(message)

    async def apply_compression(self, body: bytes, *, more_body: bool) -> bytes:
        """Return the next compressed bytes; large ones are compressed in a thread."""
        if len(body) < THREAD_SIZE:
            if self._compressor is None and not more_body:
                return _SHARED_COMPRESSOR.compress(body, _SHARED_COMPRESSOR.FLUSH_FRAME)
            return self._compress(body, more_body)
        return await anyio.to_thread.run_sync(self._compress, body, more_body)

    def _compress(self, body: bytes, more_body: bool) -> bytes:
        if self._compressor is None:
            self._compressor = zstd.ZstdCompressor(ZSTD_LEVEL)
        compressor = self._compressor
        mode = compressor.FLUSH_BLOCK if more_body else compressor.FLUSH_FRAME
        return compressor.compress(body, mode)


class _PageResponder(IdentityResponder):
    async def send_with_compression(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            if "no-store" in headers.get("cache-control", ""):
                self.content_encoding_set = True  # the base class then passes on the body as it is
                await self.send(message)
                return
        await super().send_with_compression(message)


class _ZstdPageResponder(_PageResponder, _ZstdResponder):
    pass


class _GzipPageResponder(_PageResponder, GZipResponder):
    pass

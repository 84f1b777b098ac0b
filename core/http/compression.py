"""Compress responses with gzip, except event streams and pages that show a secret."""

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIN_SIZE = 1_000  # bytes; smaller responses fit into one packet
LEVEL = 1  # higher levels take more than twice as long, and save a tenth
API_PATH = "/api/"
STREAM_PATHS = ("/events", "/stream")  # their ends; see core/http/event_stream.py


class CompressionMiddleware:
    """Compresses responses of more than MIN_SIZE bytes for clients that name gzip.

    A page that shows a secret is not compressed: its size would depend on the secret and on text
    that another site can put into the address. The API is compressed anyway, because browsers do
    not add its credentials to requests of other sites.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        accepted = (
            Headers(scope=scope).get("accept-encoding", "") if scope["type"] == "http" else ""
        )
        is_stream = scope["path"].endswith(STREAM_PATHS) if scope["type"] == "http" else False
        if "gzip" not in accepted or is_stream:  # a responder takes memory as long as it is open
            await self._app(scope, receive, send)
            return
        is_api = scope["path"].startswith(API_PATH)
        responder = GZipResponder if is_api else _PageResponder
        await responder(self._app, MIN_SIZE, compresslevel=LEVEL)(scope, receive, send)


class _PageResponder(GZipResponder):
    async def send_with_compression(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            if "no-store" in headers.get("cache-control", ""):
                self.content_encoding_set = True  # the base class then passes on the body as it is
                await self.send(message)
                return
        await super().send_with_compression(message)

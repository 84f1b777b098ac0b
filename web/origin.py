"""Keeping other sites out: a form on another site must not act with our visitor's cookie."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

READING = {"GET", "HEAD", "OPTIONS"}


class OwnPagesOnly:
    """Refuses what would change something, unless the browser says that our own page asks for it.

    Every current browser says so in Sec-Fetch-Site, which no page can forge (W3C, Fetch Metadata).
    Where it doesn't (plain HTTP away from the loopback address), Origin must name this host.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http" and scope["method"] not in READING and not asked_by_us(scope):
            await PlainTextResponse("Another site asked for this.", 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def asked_by_us(scope: Scope) -> bool:
    """Say whether one of our own pages asks."""
    headers = Headers(scope=scope)
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("Origin")
    if origin is None:
        return False
    ours = {headers.get("Host", ""), urlsplit(scope["state"]["settings"].base_url).netloc}
    return urlsplit(origin).netloc in ours

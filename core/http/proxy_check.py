"""Report a proxy that is not trusted."""

import logging
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from core.config.parsers import is_loopback
from core.config.settings import Settings
from core.http.client_address import is_trusted

ADVICE = (
    "Add the address of the proxy to TRUSTED_PROXIES. Otherwise all callers behind it count as one"
    " address in rate limits, and sessions show its address."
)

log = logging.getLogger("mission_control")


def find_proxy_problem(settings: Settings) -> str | None:
    """Return a sentence if the address shows that there is a proxy, and none is trusted.

    A stored address of this machine shows none: its port can be that of an earlier start.
    """
    address = urlsplit(settings.base_url)
    default_port = 443 if address.scheme == "https" else 80
    port = default_port if address.port is None else address.port
    is_local = is_loopback(address.hostname or "") and not address.path
    is_direct = address.scheme == "http" and (port == settings.port or is_local)
    if settings.trusted_proxies or is_direct:
        return None
    cause = f"The address {settings.base_url} shows a proxy, and TRUSTED_PROXIES is empty."
    return f"{cause} {ADVICE}"


class ProxyCheckMiddleware:
    """Logs once that a peer which is not trusted sends the headers of a proxy."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._is_reported = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] == "http" and not self._is_reported:
            self._check(HTTPConnection(scope))
        await self.app(scope, receive, send)

    def _check(self, connection: HTTPConnection) -> None:
        names = [one for one in ("Forwarded", "X-Forwarded-For") if one in connection.headers]
        peer = connection.client.host if connection.client else ""
        trusted = connection.state.settings.trusted_proxies
        if names and not is_trusted(peer, trusted):
            self._is_reported = True
            log.warning("%s sends the header %s and is not trusted. %s", peer, names[0], ADVICE)

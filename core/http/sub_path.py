"""Serve the application below a path of its host, such as `/mc` of https://example.com/mc.

The application knows only addresses without this path. It is removed from requests here, and added
to the addresses of responses: in headers, in cookies and in the attributes of pages. Scripts take
it from `data-root` of the page; style sheets, the manifest and workers have relative addresses.
Without such a path none of this is installed.

A proxy may keep the path or remove it. With one that removes it, the path must not be the beginning
of an address of the application, such as `/boards`.
"""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_HEADERS = (b"referer", b"hx-current-url")
"""The headers of a request that contain the address of a page."""
ADDRESS_HEADERS = frozenset(
    {b"location", b"hx-location", b"hx-push-url", b"hx-redirect", b"hx-replace-url"}
    | {b"service-worker-allowed"}
)
"""The headers of a response that contain an address."""
ADDRESS_ATTRIBUTES = (
    *("action", "formaction", "href", "src"),
    *("hx-get", "hx-post", "hx-push-url"),
    *("data-address", "data-cards", "data-changes", "data-dark", "data-href", "data-lit"),
    *("data-live", "data-live-hub-script", "data-moves", "data-none-href", "data-print-from"),
    *("data-refresh", "data-root", "data-shows"),
)
"""The attributes of pages that contain an address. Texts are escaped, so that they have none."""
_ADDRESS = re.compile(rf'(?<=\s)(?:{"|".join(ADDRESS_ATTRIBUTES)})="(?=/(?!/))'.encode())
_COOKIE_PATH = re.compile(rb"(; *path=)(?:/(?=;|$)|(?=/))", re.IGNORECASE)


class SubPathMiddleware:
    """Removes a path from the address of a request, and adds it to the headers of the response."""

    def __init__(self, app: ASGIApp, sub_path: str) -> None:
        self.app = app
        self._path, self._raw_path = sub_path, sub_path.encode()
        origin = rb"(https?://[^/?#]*)"
        self._page = re.compile(origin + re.escape(self._raw_path) + rb"(?=[/?#]|$)")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with an address without the path."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        inner = self._change_scope(scope)

        async def send_with_path(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message.get("headers", ())
                headers = [(name, self._change_header(inner, name, value)) for name, value in given]
                message = {**message, "headers": headers}
            await send(message)

        await self.app(inner, receive, send_with_path)

    def _change_scope(self, scope: Scope) -> Scope:
        path, raw_path = scope["path"], scope.get("raw_path") or b""
        if f"{path}/".startswith(f"{self._path}/"):
            path = path[len(self._path) :] or "/"
            raw_path = raw_path.removeprefix(self._raw_path) or b"/"
        headers = [
            (name, self._page.sub(rb"\1", value, count=1) if name in PAGE_HEADERS else value)
            for name, value in scope["headers"]
        ]
        return {**scope, "path": path, "raw_path": raw_path, "root_path": "", "headers": headers}

    def _change_header(self, scope: Scope, name: bytes, value: bytes) -> bytes:
        if name.lower() == b"set-cookie":
            return _COOKIE_PATH.sub(rb"\1" + self._raw_path, value)
        if name.lower() not in ADDRESS_HEADERS:
            return value
        address = _remove_own_origin(scope, value)
        is_local = address.startswith(b"/") and not address.startswith(b"//")
        return self._raw_path + address if is_local else value


def _remove_own_origin(scope: Scope, address: bytes) -> bytes:
    """Return an address without its origin if only a slash at the end was added or removed.

    The router redirects with such an address; other pages of this host may be of other products.
    """
    host = Headers(scope=scope).get("Host", "")
    origin = f"{scope.get('scheme', 'http')}://{host}".encode("latin-1")
    own = origin + scope["raw_path"].rstrip(b"/")
    is_same = address.partition(b"?")[0].rstrip(b"/") == own
    return address.removeprefix(origin) if is_same else address


class PageAddressMiddleware:
    """Adds a path to the addresses in the attributes of pages, before they are compressed."""

    def __init__(self, app: ASGIApp, sub_path: str) -> None:
        self.app = app
        self._path = sub_path.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, and change the addresses of a page."""
        start: Message = {}  # of a page whose first bytes have not been sent
        is_page = False
        pieces: list[bytes] = []  # from the last tag on, which may be incomplete

        async def send_with_path(message: Message) -> None:
            nonlocal start, is_page, pieces
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.get("headers", []))
                is_page = headers.get("Content-Type", "").startswith("text/html")
                if is_page:
                    start = message
                    return
            elif is_page and message["type"] == "http.response.body":
                is_last = not message.get("more_body")
                body = message.get("body", b"")
                end = len(body) if is_last else body.rfind(b"<")
                if end >= 0:
                    begun, pieces = [*pieces, body[:end]], [body[end:]]
                    body = b"".join(begun)
                elif pieces:
                    pieces.append(body)  # joined once, however many there are
                    body = b""
                body = _ADDRESS.sub(rb"\g<0>" + self._path, body)
                message = {**message, "body": body}
                if start:
                    headers = MutableHeaders(scope=start)
                    if is_last:
                        headers["Content-Length"] = str(len(body))
                    else:
                        del headers["Content-Length"]
                    started, start = start, {}
                    await send(started)
            await send(message)

        await self.app(scope, receive, send_with_path)

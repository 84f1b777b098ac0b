"""Choose the language, the time zone and the names of keys in which a page is rendered."""

from contextvars import ContextVar
from datetime import UTC
from http.cookies import SimpleCookie
from uuid import UUID

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.ui.locale_format import reader_command_key, reader_tag
from web.ui.time_format import get_time_zone, reader_zone
from web.ui.translation import LANGUAGES, PSEUDO, SOURCE, reader_language

reader_id: ContextVar[UUID | None] = ContextVar("reader_id", default=None)
"""The user who reads the page; None until the user is known."""
LANGUAGE_COOKIE = "mission_control_language"
PARAMETER = "lang"  # in an address
MAX_ACCEPTED = 20  # languages that are read from Accept-Language


class LocaleMiddleware:
    """Chooses the language of a page by its address, a cookie, and what the browser accepts.

    An address with `?lang=de` also stores the language, for the pages after it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request with a language, and with UTC until the user is known."""
        connection = HTTPConnection(scope)
        named = find_language(connection.query_params.get(PARAMETER, ""))
        stored = find_language(connection.cookies.get(LANGUAGE_COOKIE, ""))
        accepted = connection.headers.get("Accept-Language", "")
        reader_language.set(named or stored or negotiate_language(accepted))
        reader_tag.set(next(iter(_list_accepted(accepted)), ""))
        is_apple = "Mac OS" in connection.headers.get("User-Agent", "")
        reader_command_key.set("⌘" if is_apple else "Ctrl ")
        reader_zone.set(UTC)
        reader_id.set(None)
        scope["named_language"] = named

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie: SimpleCookie = SimpleCookie({LANGUAGE_COOKIE: named})
                year = str(365 * 24 * 3_600)  # seconds
                cookie[LANGUAGE_COOKIE].update({"path": "/", "max-age": year, "samesite": "lax"})
                headers = MutableHeaders(scope=message)
                headers.append("Set-Cookie", cookie.output(header="").strip())
            await send(message)

        await self.app(scope, receive, send_with_cookie if named else send)


class UserLocaleMiddleware:
    """Uses the language and the time zone that the user has chosen."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request. A language in the address comes first."""
        user = scope["user"]
        reader_zone.set(get_time_zone(user.timezone))
        reader_id.set(user.id)
        chosen = find_language(user.language or "")
        if chosen and not scope.get("named_language"):
            reader_language.set(chosen)
        await self.app(scope, receive, send)


def find_language(name: str) -> str:
    """Return one of our languages by its tag, or ""."""
    return name if name in LANGUAGES or name == PSEUDO else ""


def negotiate_language(accepted: str) -> str:
    """Return the first of our languages in an Accept-Language header (RFC 9110, 12.5.4)."""
    for tag in _list_accepted(accepted):
        primary, _, rest = tag.lower().partition("-")
        if primary == "zh" and not rest.startswith(("hant", "tw", "hk", "mo")):
            return "zh-Hans"
        if primary in LANGUAGES:
            return primary
    return SOURCE


def _list_accepted(accepted: str) -> list[str]:
    """Return the tags of an Accept-Language header, the most preferred first."""
    ranked = []
    for item in accepted.split(",", MAX_ACCEPTED)[:MAX_ACCEPTED]:
        tag, _, weight = item.partition(";")
        ranked.append((_parse_weight(weight), tag.strip()))
    return [tag for weight, tag in sorted(ranked, key=lambda one: -one[0]) if weight > 0]


def _parse_weight(text: str) -> float:
    """Return the weight after "q=": 1 without one, 0 if it is none."""
    name, _, value = text.strip().partition("=")
    if not name:
        return 1
    try:
        weight = float(value) if name.strip() == "q" else 0
    except ValueError:
        return 0
    return weight if 0 <= weight <= 1 else 0

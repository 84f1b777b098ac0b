"""The path of the address is removed from requests, and added to addresses in responses."""

from collections.abc import Iterable
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from core.config.parsers import parse_base_url
from core.http.sub_path import ADDRESS_ATTRIBUTES, PageAddressMiddleware, SubPathMiddleware
from tests.support.cpu_time import limit_cpu
from tests.support.tiers import repetition

MAX_PAGE = 16 * 1024 * 1024  # bytes


async def show_request(request: Request) -> Response:
    scope = request.scope
    return JSONResponse([scope["path"], scope["raw_path"].decode(), dict(request.headers)])


def build_client(*routes: Route) -> httpx2.AsyncClient:
    middleware = [Middleware(SubPathMiddleware, "/mc"), Middleware(PageAddressMiddleware, "/mc")]
    everything = Route("/{path:path}", show_request)
    application = Starlette(routes=[*routes, everything], middleware=middleware)
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(application), base_url="http://mission.test"
    )


def send_page(*pieces: str) -> Route:
    """Return a route of a page that is sent in pieces."""

    async def send(_request: Request) -> Response:
        async def generate() -> Any:
            for piece in pieces:
                yield piece

        if len(pieces) == 1:
            return HTMLResponse(pieces[0])
        return StreamingResponse(generate(), media_type="text/html")

    return Route("/page", send)


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/mc/boards", "/boards"),
        ("/boards", "/boards"),
        ("/mc", "/"),
        ("/mc/", "/"),
        ("/mcx", "/mcx"),
        ("/mc/mc/boards", "/mc/boards"),
        ("/mc/%2Fa%20b", "/%2Fa%20b"),
    ],
)
async def test_the_path_is_removed_once_if_the_proxy_keeps_it(sent: str, seen: str) -> None:
    async with build_client() as client:
        [path, raw_path, _] = (await client.get(sent)).json()
    assert raw_path == seen
    assert path == seen.replace("%2F", "/").replace("%20", " ")


async def test_the_application_sees_the_pages_of_a_browser_without_the_path() -> None:
    pages = {"Referer": "https://a.test/mc?x=/mc", "HX-Current-URL": "https://a.test/mc/boards#b"}
    async with build_client() as client:
        [_, _, headers] = (await client.get("/mc/x", headers=pages)).json()
        [_, _, others] = (await client.get("/mc/x", headers={"Referer": "http://[/mcx"})).json()
    assert headers["referer"] == "https://a.test?x=/mc"
    assert headers["hx-current-url"] == "https://a.test/boards#b"
    assert others["referer"] == "http://[/mcx"


@pytest.mark.parametrize(
    ("name", "sent", "received"),
    [
        ("Location", "/boards?next=/a", "/mc/boards?next=/a"),
        ("Location", "https://provider.test/boards", "https://provider.test/boards"),
        ("Location", "http://mission.test/login", "http://mission.test/login"),
        ("Location", "http://mission.test/x/?a=1", "/mc/x/?a=1"),
        ("Location", "//evil.test", "//evil.test"),
        ("HX-Push-Url", "/", "/mc/"),
        ("HX-Push-Url", "false", "false"),
        ("Set-Cookie", "a=/mc/; Path=/; Secure", "a=/mc/; Path=/mc; Secure"),
        ("Set-Cookie", "a=1; path=/sign-in", "a=1; path=/mc/sign-in"),
        ("ETag", "/x", "/x"),
    ],
)
async def test_headers_lead_below_the_path(name: str, sent: str, received: str) -> None:
    async def answer(_request: Request) -> Response:
        return Response(headers={name: sent})

    async with build_client(Route("/x", answer)) as client:
        assert (await client.get("/mc/x")).headers[name] == received


async def test_attributes_with_addresses_lead_below_the_path() -> None:
    names = " ".join(f'{name}="/a/{name}"' for name in ADDRESS_ATTRIBUTES)
    page = (
        f'<p {names} title="/tmp" value="/boards">href="/a" <a\n href="/">x</a>'
        '<a href="//other.test"></a><a href="#a"></a><i data-href-x="/y"></i>'
    )
    expected = page.replace('="/a/', '="/mc/a/').replace('\n href="/"', '\n href="/mc/"')
    async with build_client(send_page(page)) as client:
        answer = await client.get("/page")
    assert answer.text == expected
    assert int(answer.headers["Content-Length"]) == len(answer.content)


def cut_everywhere(page: str) -> Iterable[tuple[str, str]]:
    return [(page[:at], page[at:]) for at in range(len(page) + 1)]


async def test_an_address_between_two_pieces_of_a_page_leads_below_it() -> None:
    page = '<p>1 < 2</p><a title="a>b" href="/boards">a</a><a href="/x">b</a>'
    whole = page.replace('href="/', 'href="/mc/')
    for pieces in cut_everywhere(page):
        async with build_client(send_page(*pieces)) as client:
            assert (await client.get("/page")).text == whole, pieces


async def test_other_content_is_not_changed() -> None:
    async def answer(_request: Request) -> Response:
        return Response('<a href="/x">', media_type="text/plain")

    async with build_client(Route("/x", answer)) as client:
        assert (await client.get("/x")).text == '<a href="/x">'


@pytest.mark.parametrize(
    "piece",
    [
        *("<a ", ' data-href="'),
        *(pytest.param(one, marks=repetition) for one in (" ", "<", ' href="', "\n\t data-")),
    ],
)
async def test_a_hostile_page_of_any_size_is_sent_unchanged(piece: str) -> None:
    page = piece * (MAX_PAGE // len(piece))
    async with build_client(send_page(page)) as client:
        assert (await client.get("/page")).text == page


@pytest.mark.parametrize("start", ["", "<a"])
async def test_a_hostile_page_of_many_pieces_takes_little_time(start: str) -> None:
    """Of a tag that never ends, and of text that is sent at once."""
    pieces = [start, *[' href="' * 32] * 16_384]
    async with build_client(send_page(*pieces)) as client:
        with limit_cpu():
            answer = await client.get("/page")
    assert answer.text == "".join(pieces)


@pytest.mark.parametrize(
    "path", ["/a b", "/%6d", "/a//b", "/../b", "/.", '/"x', "/ä", f"/{'.' * 100_000}!"]
)
def test_a_path_that_needs_escaping_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_base_url(f"https://a.test{path}")


def test_a_path_of_several_segments_is_accepted() -> None:
    assert parse_base_url("https://a.test/team/mission-control_1.0/").endswith("_1.0")

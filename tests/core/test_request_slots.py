"""Few requests of one caller run at the same time, and disconnected clients are no errors."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import pytest
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import find_credentials
from core.config.settings import Settings
from core.errors import TooMany
from core.http import request_slots
from core.http.caller import Caller, get_bearer_token
from core.http.middleware import ErrorMiddleware
from core.http.request_slots import RequestSlotsMiddleware, recognize_caller, release_slots
from core.security.secrets import hash_token
from tests.support.secret_key import SECRET_KEY

ALICE, BOB = Caller("user alice"), Caller("user bob")


class WaitingApp:
    """An application whose requests run until they may end.

    It accepts the tokens of `callers`. With `is_early` a response begins before that.
    """

    def __init__(
        self,
        callers: Mapping[str, Caller] = MappingProxyType({}),
        *,
        content_type: str = "text/html",
        is_early: bool = False,
    ) -> None:
        self.running = 0
        self.is_early = is_early
        self.callers = callers
        self.may_end = asyncio.Event()
        self.headers = [(b"content-type", content_type.encode())]

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.running += 1
        connection = HTTPConnection(scope)
        if token := get_bearer_token(connection):
            recognize_caller(connection, token, self.callers.get(token))
        start = {"type": "http.response.start", "status": 200, "headers": self.headers}
        if self.is_early:
            await send(start)
        try:
            await self.may_end.wait()
            if not self.is_early:
                await send(start)
        finally:
            self.running -= 1


def build_scope(authorization: str = "", **others: str) -> Scope:
    given = {"authorization": authorization, **others}
    headers = [(name.replace("_", "-").encode(), text.encode()) for name, text in given.items()]
    state = {"settings": Settings(secret_key=SECRET_KEY)}
    return {"type": "http", "method": "POST", "path": "/", "headers": headers, "state": state}


async def ignore(_: Message) -> None:
    pass


async def disconnect() -> Message:
    return {"type": "http.disconnect"}


def build_middleware(app: ASGIApp, **limits: int) -> RequestSlotsMiddleware:
    return RequestSlotsMiddleware(app, find_credentials, **({"max_running": 2} | limits))


async def start(middleware: RequestSlotsMiddleware, token: str, count: int, method: str = "POST"):
    scopes = [build_scope(f"Bearer {token}" if token else "") for _ in range(count)]
    return await start_all(middleware, [{**scope, "method": method} for scope in scopes])


async def start_all(middleware: RequestSlotsMiddleware, scopes: Sequence[Scope]):
    requests = [asyncio.create_task(middleware(scope, disconnect, ignore)) for scope in scopes]
    for _ in range(20):
        await asyncio.sleep(0)
    return requests


def remember(middleware: RequestSlotsMiddleware, **callers: Caller) -> None:
    """Make callers known, as if each had made a request."""
    for token, caller in callers.items():
        middleware.remember(hash_token(token), caller)


async def test_requests_of_a_credential_wait_for_a_slot() -> None:
    app = WaitingApp()
    middleware = build_middleware(app)
    remember(middleware, a=ALICE, b=BOB)
    requests = await start(middleware, "a", 5)
    assert app.running == 2
    requests += await start(middleware, "b", 1)
    requests += await start(middleware, "", 3)
    assert app.running == 6
    requests[4].cancel()  # the client of a waiting request may leave
    app.may_end.set()
    await asyncio.gather(*requests, return_exceptions=True)
    assert app.running == 0
    assert not middleware.slots


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_user_has_no_more_slots_with_more_tokens(method: str) -> None:
    tokens = {f"t{n}": ALICE for n in range(20)}
    app = WaitingApp(tokens)
    middleware = build_middleware(app)
    remember(middleware, **tokens)
    requests = []
    for token in tokens:
        requests += await start(middleware, token, 6, method)
    assert app.running == 2
    requests += await start(middleware, "b", 1, method)
    assert app.running == 3
    for one in requests[::2]:
        one.cancel()  # running and waiting ones
    app.may_end.set()
    await asyncio.gather(*requests, return_exceptions=True)
    assert app.running == 0
    assert not middleware.slots


async def test_the_tokens_of_a_user_leave_slots_to_each_other_and_to_pages() -> None:
    """A program that sends its bodies slowly, or does not read, stops neither."""
    with_token = replace(ALICE, is_user_with_token=True)
    app = WaitingApp({"a": with_token, "b": with_token, "page": ALICE})
    middleware = build_middleware(app, max_running_of_tokens=3)
    remember(middleware, **app.callers)
    requests = await start(middleware, "a", 6)
    assert app.running == 2
    requests += await start(middleware, "b", 6)
    assert app.running == 3
    requests += await start(middleware, "page", 6)
    assert app.running == 5
    app.may_end.set()
    await asyncio.gather(*requests)
    assert not middleware.slots


async def test_a_new_credential_runs_once_until_its_caller_is_known() -> None:
    """Its first request takes no slot of the caller, because it was running already."""
    tokens = {f"t{n}": ALICE for n in range(3)}
    app = WaitingApp(tokens)
    middleware = build_middleware(app)
    requests = await start(middleware, "unknown", 3)
    assert app.running == 1
    for token in tokens:
        requests += await start(middleware, token, 6)
    assert app.running == 1 + 3 + 2
    requests += await start(middleware, "t0", 3)
    assert app.running == 1 + 3 + 2
    app.may_end.set()
    await asyncio.gather(*requests)
    assert not middleware.slots


async def test_a_credential_that_is_rejected_takes_no_slots_of_its_former_caller() -> None:
    app = WaitingApp({"b": ALICE})
    middleware = build_middleware(app)
    remember(middleware, revoked=ALICE, b=ALICE)
    requests = await start(middleware, "revoked", 1)
    assert not middleware.callers.keys() - {hash_token("b")}
    requests += await start(middleware, "revoked", 5)
    requests += await start(middleware, "b", 1)
    assert app.running == 3  # the first request, one of a new credential, and that of Alice
    app.may_end.set()
    await asyncio.gather(*requests)
    assert not middleware.slots


async def test_reads_of_few_callers_leave_slots_of_the_process_to_others() -> None:
    tokens = {name: Caller(f"user {name}") for name in "abcd"}
    app = WaitingApp(tokens)
    middleware = build_middleware(app, max_running_of_process=5)
    remember(middleware, **tokens)
    requests = await start(middleware, "a", 50, "GET")
    requests += await start(middleware, "b", 50, "GET")
    requests += await start(middleware, "c", 1, "GET")
    assert app.running == 5  # each user has at most two
    requests += await start(middleware, "d", 1, "GET")
    assert app.running == 5
    requests += await start(middleware, "d", 1, "POST")
    assert app.running == 6  # writes may wait for their body, so they do not wait for reads
    app.may_end.set()
    await asyncio.gather(*requests)
    assert not middleware.slots


async def test_the_agents_of_an_organization_share_slots_for_reading() -> None:
    tokens = {f"t{n}": Caller(f"agent {n}", "agents of tern") for n in range(5)}
    tokens["other"] = Caller("agent 9", "agents of heron")
    app = WaitingApp(tokens)
    middleware = build_middleware(app, max_running_of_group=3)
    remember(middleware, **tokens)
    requests = []
    for token in tokens:
        requests += await start(middleware, token, 1, "GET")
    assert app.running == 3 + 1
    for token in tokens:
        requests += await start(middleware, token, 1, "POST")
    assert app.running == 3 + 1 + 6
    app.may_end.set()
    await asyncio.gather(*requests)
    assert not middleware.slots


async def test_a_response_that_is_sent_takes_no_slot_of_others() -> None:
    """Its client may be slow."""
    tokens = {name: Caller(f"user {name}") for name in "ab"}
    app = WaitingApp(tokens, is_early=True)
    middleware = build_middleware(app, max_running_of_process=1)
    remember(middleware, **tokens)
    requests = await start(middleware, "a", 3, "GET")
    requests += await start(middleware, "b", 1, "GET")
    assert app.running == 3
    app.may_end.set()
    await asyncio.gather(*requests)
    assert not middleware.slots


async def test_more_requests_than_may_wait_are_refused() -> None:
    app = WaitingApp()
    middleware = build_middleware(app, max_waiting=3)
    remember(middleware, a=ALICE, a2=ALICE, b=BOB)
    requests = await start(middleware, "a", 5)
    refused = await start(middleware, "a", 2)
    for one in refused:
        with pytest.raises(TooMany, match=r"Too many requests wait for earlier ones. Try again"):
            await one
    requests += await start(middleware, "a2", 3)  # wait for slots of their caller
    [refused_too] = await start(middleware, "b", 1)
    assert not refused_too.done()
    app.may_end.set()
    await asyncio.gather(*requests, refused_too)
    assert not middleware.slots


async def test_pages_that_reconnect_do_not_use_up_what_may_wait() -> None:
    app = WaitingApp()
    middleware = build_middleware(app, max_waiting=3)
    remember(middleware, a=ALICE)
    streams = [{**build_scope("Bearer a"), "path": "/events", "method": "GET"} for _ in range(50)]
    requests = await start_all(middleware, streams)
    requests += await start(middleware, "a", 3, "GET")
    assert not any(one.done() for one in requests)
    app.may_end.set()
    await asyncio.gather(*requests)
    assert not middleware.slots


async def test_the_oldest_of_too_many_known_credentials_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_slots, "MAX_CALLERS", 10)
    middleware = build_middleware(WaitingApp())
    remember(middleware, **{f"t{n}": ALICE for n in range(1_000)})
    assert list(middleware.callers) == [hash_token(f"t{n}") for n in range(990, 1_000)]


@pytest.mark.parametrize(
    "variants",
    [
        [{"authorization": f"bearer {' ' * n}a"} for n in range(5)],
        [{"authorization": "Bearer a", "cookie": f"mission_control={n}"} for n in range(5)],
        [{"authorization": f"Bearer {n}", "x_agent_token": "a"} for n in range(5)],
        [{"authorization": "Bearer a", "x_agent_token": f"{n}"} for n in range(5)],
        [{"cookie": f"mission_control=a; other={n}"} for n in range(5)],
    ],
    ids=["spaces", "another session", "another user", "another agent", "another cookie"],
)
async def test_a_credential_has_no_more_slots_with_other_ones(variants) -> None:
    app = WaitingApp({"a": ALICE})
    middleware = build_middleware(app)
    remember(middleware, a=ALICE)
    requests = await start_all(middleware, [build_scope(**one) for one in variants])
    assert app.running == 2
    app.may_end.set()
    await asyncio.gather(*requests)
    assert app.running == 0
    assert not middleware.slots


async def test_a_request_that_waits_for_a_gateway_releases_its_slot() -> None:
    app = WaitingApp()

    async def wait_for_gateway(scope: Scope, receive: Receive, send: Send) -> None:
        release_slots(HTTPConnection(scope))
        await app(scope, receive, send)

    middleware = build_middleware(wait_for_gateway)
    requests = await start(middleware, "a", 5)
    assert app.running == 5
    app.may_end.set()
    await asyncio.gather(*requests)
    assert not middleware.slots


async def test_static_files_take_no_slot() -> None:
    app = WaitingApp()
    middleware = build_middleware(app)
    scopes = [{**build_scope("Bearer a"), "path": "/static/live.js"}] * 5
    requests = await start_all(middleware, scopes)
    assert app.running == 5
    app.may_end.set()
    await asyncio.gather(*requests)


@pytest.mark.parametrize("path", ["/events", "/api/v1/agents/stream"])
async def test_streams_of_all_callers_wait_for_each_other_until_they_start(path: str) -> None:
    """The responses of this application are no streams yet."""
    app = WaitingApp()
    middleware = build_middleware(app)
    scopes = [{**build_scope(f"Bearer {n}"), "path": path} for n in range(5)]
    requests = await start_all(middleware, scopes)
    assert app.running == 2
    app.may_end.set()
    await asyncio.gather(*requests)
    assert not middleware.slots


async def test_event_streams_take_no_slot() -> None:
    app = WaitingApp(content_type="text/event-stream; charset=utf-8", is_early=True)
    requests = await start(build_middleware(app), "a", 5)
    assert app.running == 5
    app.may_end.set()
    await asyncio.gather(*requests)


async def test_a_client_that_disconnects_is_not_logged_as_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def read_body(scope: Scope, receive: Receive, _send: Send) -> None:
        await Request(scope, receive).body()

    async def fail(_request: Request, error: Exception) -> Response:
        raise error

    with caplog.at_level(logging.INFO):
        await ErrorMiddleware(read_body, fail)(build_scope(""), disconnect, ignore)
    assert not [one for one in caplog.records if one.name == "mission_control"]
    with pytest.raises(ClientDisconnect):
        await read_body(build_scope(""), disconnect, ignore)

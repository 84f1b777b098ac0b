"""The search of all objects for garbage, and what must not wait for it."""

import asyncio
import gc
import weakref
from collections.abc import Generator
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from core.config.settings import Settings
from core.db.engine import create_database_engine, has_open_transaction
from core.errors import TooMany
from core.garbage import IS_INCREMENTAL, MIN_SIZE, SEARCH_INTERVAL, FullCollections
from core.http.middleware import ErrorMiddleware
from tests.support.live_server import run_server
from tests.support.people_rows import cookie_secret
from tests.support.world import World
from web.auth.viewer import SESSION_COOKIE

pytestmark = pytest.mark.skipif(IS_INCREMENTAL, reason="Python divides the search")

TIMEOUT = 60  # maximum seconds to wait for the end of all requests


@pytest.fixture(autouse=True)
def _without_earlier_objects() -> Generator[None]:
    thresholds = gc.get_threshold()
    gc.set_threshold(2_000, 10, 10)  # as in Python
    gc.freeze()  # not undone: a search of what all tests have imported takes seconds
    yield
    gc.set_threshold(*thresholds)


def count_searches() -> int:
    return int(gc.get_stats()[2]["collections"])


def make_objects(count: int) -> list[list[int]]:
    return [[number] for number in range(count)]


async def test_a_search_waits_for_the_end_of_a_transaction(isolated_settings: Settings) -> None:
    engine = create_database_engine(isolated_settings)
    collections = FullCollections(has_open_transaction)
    collections.start()
    before = count_searches()
    async with engine.connect():
        kept = make_objects(3 * MIN_SIZE // 2)
        assert collections.collect_if_due()
        assert count_searches() == before
    assert not collections.collect_if_due()
    assert count_searches() == before + 1
    assert not collections.collect_if_due()
    assert count_searches() == before + 1
    await engine.dispose()
    del kept


async def test_a_search_does_not_wait_for_ever(isolated_settings: Settings) -> None:
    engine = create_database_engine(isolated_settings)
    collections = FullCollections(has_open_transaction)
    collections.start()
    before = count_searches()
    async with engine.connect():
        kept = make_objects(3 * MIN_SIZE // 2)
        assert collections.collect_if_due()
        kept += make_objects(2 * MIN_SIZE)
        assert not collections.collect_if_due()
    assert count_searches() == before + 1
    await engine.dispose()


class Link:
    """A part of a circle, which only a search deletes."""

    def __init__(self) -> None:
        self.other = self


async def test_a_little_garbage_is_deleted_after_some_time() -> None:
    time = 0.0
    collections = FullCollections(lambda: False, clock=lambda: time)
    collections.start()
    link = Link()
    for _ in range(20):
        gc.collect(1)  # as after new objects; the link is old then
    reference = weakref.ref(link)
    del link
    assert not collections.collect_if_due()
    assert reference() is not None
    time = SEARCH_INTERVAL + 1
    assert not collections.collect_if_due()
    assert reference() is None
    before = count_searches()
    time += SEARCH_INTERVAL + 1
    assert not collections.collect_if_due()
    assert count_searches() == before, "nothing is new"


async def test_a_large_process_waits_longer() -> None:
    time = 0.0
    collections = FullCollections(lambda: False, clock=lambda: time)
    collections.start()
    kept = make_objects(3 * MIN_SIZE)
    gc.collect(1)
    before = count_searches()
    assert not collections.collect_if_due()
    assert count_searches() == before + 1, "the objects are more than a quarter more"
    for _ in range(20):
        gc.collect(1)
    time = 2 * SEARCH_INTERVAL
    assert not collections.collect_if_due()
    assert count_searches() == before + 1
    time = 4 * SEARCH_INTERVAL
    assert not collections.collect_if_due()
    assert count_searches() == before + 2
    del kept


def count_requests() -> int:
    return sum(isinstance(one, RequestResponseCycle) for one in gc.get_objects())


async def test_a_request_that_has_ended_is_deleted_without_a_search(
    isolated_settings: Settings, isolated_world: World
) -> None:
    cookie = f"{SESSION_COOKIE}={cookie_secret(isolated_world.alice)}"
    board = f"/boards/{isolated_world.board.id}"
    gc.disable()
    try:
        async with run_server(isolated_settings) as url:
            async with httpx2.AsyncClient(base_url=url, headers={"Cookie": cookie}) as client:
                for path in (f"{board}/columns", f"/api/v1{board}", "/api/v1/missing"):
                    await client.get(path)
                async with client.stream("GET", "/events") as stream:
                    await anext(stream.aiter_bytes())
                assert count_requests() > 0
            async with asyncio.timeout(TIMEOUT):
                while count_requests():
                    await asyncio.sleep(0.02)
    finally:
        gc.enable()


async def test_the_error_of_a_refused_request_is_deleted_without_a_search() -> None:
    errors: list[weakref.ref[Exception]] = []

    def create_error() -> Exception:
        error = TooMany(1, "Too many requests.")
        errors.append(weakref.ref(error))
        return error

    async def refuse(_scope: Any, _receive: Any, _send: Any) -> None:
        raise create_error()

    async def respond(_request: Request, _error: Exception) -> Response:
        return Response(status_code=429)

    async def transfer(_message: Any = None) -> Any:
        return None

    gc.disable()
    try:
        scope = {"type": "http", "method": "GET", "path": "/"}
        await ErrorMiddleware(refuse, respond)(scope, transfer, transfer)
        assert [error() for error in errors] == [None]
    finally:
        gc.enable()

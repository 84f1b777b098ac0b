"""A proxy that is not trusted is reported."""

import ipaddress
import logging

import pytest
from starlette.types import Message, Receive, Scope, Send

from core.config.settings import Settings
from core.http.proxy_check import ProxyCheckMiddleware, find_proxy_problem

PROXY = ipaddress.ip_network("10.0.0.0/8")


@pytest.mark.parametrize(
    ("fields", "is_reported"),
    [
        ({}, False),
        ({"port": 0}, False),
        ({"base_url": "http://board.lan:8000", "host": "0.0.0.0"}, False),
        ({"base_url": "http://board.lan", "port": 80}, False),
        ({"base_url": "http://127.0.0.1:9000"}, False),  # stored by a start with another port
        ({"base_url": "http://127.0.0.1:9000/mc"}, True),
        ({"base_url": "https://board.example.com"}, True),
        ({"base_url": "http://board.lan"}, True),
        ({"base_url": "https://board.example.com", "trusted_proxies": "10.0.0.0/8"}, False),
    ],
)
def test_a_base_url_shows_whether_there_is_a_proxy(fields, is_reported) -> None:
    problem = find_proxy_problem(Settings(**fields))
    assert bool(problem) == is_reported
    assert not problem or "TRUSTED_PROXIES" in problem


async def nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pass


async def receive() -> Message:
    return {"type": "http.disconnect"}


async def send(_: Message) -> None:
    pass


@pytest.mark.parametrize(
    ("peer", "header", "is_reported"),
    [
        ("192.0.2.1", "x-forwarded-for", True),
        ("192.0.2.1", "forwarded", True),
        ("10.0.0.1", "x-forwarded-for", False),
        ("192.0.2.1", "x-other", False),
    ],
)
async def test_headers_of_a_proxy_that_is_not_trusted_are_reported_once(
    peer, header, is_reported, caplog
) -> None:
    caplog.set_level(logging.WARNING)
    middleware = ProxyCheckMiddleware(nothing)
    settings = Settings().model_copy(update={"trusted_proxies": (PROXY,)})
    for _ in range(3):
        scope: Scope = {
            "type": "http",
            "client": (peer, 1),
            "headers": [(header.encode(), b"203.0.113.7")],
            "state": {"settings": settings},
        }
        await middleware(scope, receive, send)
    records = [one for one in caplog.records if one.name == "mission_control"]
    assert len(records) == is_reported

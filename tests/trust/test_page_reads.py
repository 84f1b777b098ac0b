"""Pages that only read open no transaction."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from tests.support.app_on_transactions import build_app_on
from tests.support.page_routes import choose_representative_addresses
from tests.support.people_rows import cookie_secret
from tests.support.tiers import repetition
from tests.support.world import World
from web.auth.viewer import SESSION_COOKIE

WRITES = re.compile(
    r"/boards/[0-9a-f-]{36}(/chat|/notes|/tasks/[0-9a-f-]{36}(/conversation)?)?|/souls(/.*)?"
    r"|/notifications/[0-9a-f-]{36}"
)
"""The pages that record what the user has read, or that keep souls of the directory."""


@pytest.fixture
async def transactionless(
    settings: Settings, transaction: TransactionFactory, world: World
) -> AsyncIterator[httpx2.AsyncClient]:
    """Return the client of Alice, whose requests cannot open a transaction."""

    def refuse() -> None:
        raise AssertionError("This page opened a transaction.")

    application = build_app_on(settings, transaction, transaction_factory=refuse)
    transport = httpx2.ASGITransport(application)
    cookies = {SESSION_COOKIE: cookie_secret(world.alice)}
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://mission.test", cookies=cookies
    ) as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="page"),
        pytest.param({"HX-Request": "true"}, id="part", marks=repetition),
    ],
)
async def test_pages_that_only_read_open_no_transaction(
    page_ids: Mapping[str, Sequence[Any]],
    transactionless: httpx2.AsyncClient,
    headers: dict[str, str],
) -> None:
    addresses = choose_representative_addresses(page_ids)
    reading = [one for one in addresses if not WRITES.fullmatch(urlsplit(one).path)]
    assert len(reading) > len(addresses) / 2
    for address in reading:
        response = await transactionless.get(address, headers=headers)
        assert response.status_code < 400, address

"""Below a path of its host, every address of the product is below it too (1.4)."""

import re
from collections.abc import Mapping, Sequence, Set
from functools import cache
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import new_id
from tests.support.api_objects import create_api_objects
from tests.support.every_read import list_api_reads
from tests.support.page_routes import build_address, choose_representative_addresses, list_routes
from tests.support.tiers import IS_COMPLETE_RUN, repetition, select_options
from tests.support.world import World
from tests.trust.test_page_access import FORM
from tests.trust.test_xss import START_TAG
from web.ui.assets import SCRIPTS

HOST = "http://mission.test"
ROOT = "/mc"
SIGN_IN = f"{ROOT}/sign-in"
OUTSIDE = re.compile(rf"{HOST}(?!{ROOT}\b)")
ADDRESS_HEADERS = ("Location", "HX-Location", "HX-Push-Url", "HX-Redirect", "HX-Replace-Url")
WAYS_TO_SEND = ({}, {"HX-Request": "true", "HX-Current-URL": f"{HOST}{ROOT}/boards"})
"""The headers of a form that is sent without a script, and with one."""
TEXTS = {"aria-label", "content", "d", "data-copy", "data-value", "placeholder", "title", "value"}
"""Attributes whose values may begin with a slash, but are no addresses."""
LITERAL = re.compile(r"""["'`(]/([a-z_]+)""")
"""What may be an address from the root of the host in a script or a style sheet."""


@pytest.fixture(scope="session")
def settings(shared_database: Settings) -> Settings:
    return shared_database.model_copy(update={"base_url": HOST + ROOT})


class AddressReader(HTMLParser):
    """Collects the addresses of a tag from the root of the host."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.found |= {
            (name, value) for name, value in attrs if value and re.match("/(?!/)", value)
        }


@cache
def read_addresses(tag: str) -> Set[tuple[str, str]]:
    """Read the addresses of a tag once: all pages have many of the same ones."""
    reader = AddressReader()
    reader.feed(tag)
    reader.close()
    return reader.found


def is_below(address: str) -> bool:
    return address == ROOT or address.startswith((f"{ROOT}/", f"{HOST}{ROOT}/"))


def check_response(answer: httpx2.Response) -> None:
    """Check all addresses in the headers and the body of a response."""
    place = (answer.request.method, str(answer.request.url), answer.status_code)
    for name in ADDRESS_HEADERS:
        value = answer.headers.get(name, "false")
        assert value == "false" or is_below(value), (place, name, value)
    for cookie in answer.headers.get_list("Set-Cookie"):
        assert re.search(rf"; path={ROOT}(/|;|$)", cookie, re.IGNORECASE), (place, cookie)
    assert not OUTSIDE.search(answer.text), place
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        found = set[tuple[str, str]]().union(
            *map(read_addresses, {*START_TAG.findall(answer.text)})
        )
        outside = {one for one in found if one[0] not in TEXTS and not is_below(one[1])}
        assert not outside, (place, outside)


@pytest.mark.parametrize("sent_to", [ROOT, pytest.param("", marks=repetition)])
async def test_no_page_leads_out_of_the_path(
    sent_to: str, page_ids: Mapping[str, Sequence[Any]], alice: httpx2.AsyncClient
) -> None:
    addresses = choose_representative_addresses(page_ids)
    for address in addresses:
        answer = await alice.get(f"{sent_to}{address}")
        assert answer.status_code < 400, (address, answer.status_code)
        check_response(answer)
    assert len(addresses) > (100 if IS_COMPLETE_RUN else 30)


async def test_no_form_leads_out_of_the_path(
    page_ids: Mapping[str, Sequence[Any]],
    alice: httpx2.AsyncClient,
    transaction: TransactionFactory,
) -> None:
    ids = {name: values[0] for name, values in page_ids.items()} | {
        "sign_in_id": new_id(),
        "token_id": new_id(),
    }
    form = FORM | {"ids": str(ids["task_id"]), "shown": f"{ids['approval_id']}:{'0' * 64}"}
    redirected = 0
    for route in sorted(list_routes(), key=lambda one: one.path == "/sign-out"):  # it at the end
        if "POST" not in (route.methods or ()):
            continue
        for headers in select_options(route.path, WAYS_TO_SEND):
            async with transaction() as session:
                change = await session.begin_nested()
                address = f"{ROOT}{build_address(route.path, ids)}"
                answer = await alice.post(address, data=form, headers=headers)
                await change.rollback()
            check_response(answer)
            redirected += not answer.headers.get("Location", SIGN_IN).startswith(SIGN_IN)
    assert redirected > (100 if IS_COMPLETE_RUN else 40)


async def test_no_answer_of_the_api_leads_out_of_the_path(
    anonymous: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        objects = await create_api_objects(session, world)
    for read in list_api_reads(objects):
        answer = await anonymous.get(f"{ROOT}{read.address}", headers=dict(read.headers))
        assert answer.status_code < 400, (read.address, answer.text)
        check_response(answer)


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/openapi.json", "/openapi/agent.json", "/llms.txt", "/docs"]
)
async def test_documents_and_probes_are_below_the_path_and_the_root(path, anonymous) -> None:
    answers = [await anonymous.get(f"{root}{path}") for root in (ROOT, "")]
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].content == answers[1].content
    check_response(answers[0])
    if path == "/openapi.json":
        assert answers[0].json()["servers"] == [{"url": HOST + ROOT}]


async def test_no_file_leads_out_of_the_path(anonymous) -> None:
    page = await anonymous.get(f"{ROOT}/sign-in")
    [sheet] = re.findall(rf'"({ROOT}/static/app\.css\?[^"]+)"', page.text)
    [manifest] = re.findall(rf'"({ROOT}/static/app\.webmanifest\?[^"]+)"', page.text)
    names = {"api", "events", "static", *(one.path.split("/")[1] for one in list_routes())}
    files = [sheet, manifest, f"{ROOT}/service_worker.js"]
    for address in (*files, *(f"{ROOT}/static/{script}" for script in SCRIPTS)):
        text = (await anonymous.get(address)).text
        assert "vendor" in address or names.isdisjoint(LITERAL.findall(text)), address
    read = (await anonymous.get(manifest)).json()
    assert urljoin(manifest, read["scope"]) == urljoin(manifest, read["start_url"]) == f"{ROOT}/"
    assert all(is_below(urljoin(manifest, icon["src"])) for icon in read["icons"])
    worker = await anonymous.get(f"{ROOT}/service_worker.js")
    assert worker.headers["Service-Worker-Allowed"] == f"{ROOT}/"
    [font] = re.findall(rf'<link rel="preload"[^>]* href="({ROOT}[^"]+)"', page.text)[:1]
    assert urlsplit(font).path in {
        urlsplit(urljoin(sheet, link)).path
        for link in re.findall(r'url\("([^"]+)"\)', (await anonymous.get(sheet)).text)
    }

"""Every GET operation of the API and every page, as requests."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from api.app import OPERATIONS
from api.framework.operation import PREFIX
from core.event_loop import ID
from tests.support.api_objects import ApiObjects
from tests.support.operation_requests import build_url
from tests.support.page_routes import list_page_addresses
from tests.support.people_rows import cookie_secret, token_secret
from tests.support.skill_rows import PACK_ID, SKILL_ID
from web.auth.viewer import SESSION_COOKIE

QUERIES = {"/search": ["?q=task", "?q=xssmark"]}
"""Queries of operations that list nothing without them."""

Headers = tuple[tuple[str, str], ...]


class Read(NamedTuple):
    """A request that reads."""

    name: str  # its path and query with "{id}" for each id
    address: str
    headers: Headers


def list_reads(objects: ApiObjects, page_ids: Mapping[str, Sequence[Any]]) -> list[Read]:
    """Return a request for each read operation and each view of a page, by different names.

    Streams have no end, and what waits for a gateway takes the time of the gateway.
    """
    reads = [*list_api_reads(objects), *_list_pages(objects, page_ids)]
    return list({read.name: read for read in reversed(reads)}.values())[::-1]


def list_api_reads(objects: ApiObjects) -> Iterator[Read]:
    """Yield a request for each read operation that answers at once."""
    for operation in OPERATIONS:
        is_stream = operation.response_type is None
        waits = operation.options.waits_for_network
        if operation.method == "GET" and not (is_stream or waits):
            caller = objects.get_allowed_caller(operation)
            token = (("authorization", f"Bearer {token_secret(caller)}"),)
            for query in QUERIES.get(operation.path, [""]):
                address = f"{PREFIX}{build_url(operation, objects)}{query}"
                yield Read(f"GET {ID.sub('{id}', address)}", address, token)


def _list_pages(objects: ApiObjects, page_ids: Mapping[str, Sequence[Any]]) -> Iterator[Read]:
    cookie = f"{SESSION_COOKIE}={cookie_secret(objects.world.alice)}"
    session = (("cookie", cookie), ("sec-fetch-site", "same-origin"))
    ids = {**page_ids, "skill_id": [SKILL_ID], "pack_id": [PACK_ID]}
    for address in list_page_addresses(ids):
        if "wait=1" not in address:
            yield Read(ID.sub("{id}", address), address, session)

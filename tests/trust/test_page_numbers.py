"""No number in the address or in a form of a page is an internal error."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from starlette.datastructures import QueryParams

from core.db.engine import TransactionFactory
from tests.conftest import rolled_back_changes
from tests.support.page_routes import ID, choose_representative_addresses
from tests.support.tiers import IS_COMPLETE_RUN

LARGE = "9" * 4_500  # more digits than int() converts
EXTREME_NUMBERS = ("-1", str(2**63), LARGE, "\u0661")
NUMBERS = (*EXTREME_NUMBERS, str(2**31 - 1), "9" * 17, "1e400")
MIDDLEWARE_NAMES = {"kept", "lang"}  # read in the same way before each page
NAMES_AT_ONCE = 12  # so that an address with the large number is accepted by the client

FORM = re.compile(r"<form\b([^>]*)>(.*?)</form>", re.DOTALL)
INPUT = re.compile(r"<(?:input|button)\b[^>]*>")
ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')


def read_attributes(tag: str) -> dict[str, str]:
    return {name: unescape(value) for name, value in ATTRIBUTE.findall(tag)}


def list_number_forms(page: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """Yield the address and the values of each form that has a number, and the number's name."""
    for head, body in FORM.findall(page):
        form, inputs = read_attributes(head), map(read_attributes, INPUT.findall(body))
        values = {one["name"]: one for one in inputs if "name" in one}
        if form.get("method") == "post" and "action" in form:
            for name, one in values.items():
                if one.get("type") == "number" or one.get("value", "").isdecimal():
                    sent = {name: one.get("value", "on") for name, one in values.items()}
                    yield form["action"], sent, name


@pytest.fixture
def read_names(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the names of the parameters of an address that are read."""
    names: set[str] = set()
    get = QueryParams.get

    def read(self: QueryParams, key: Any, default: Any = None) -> Any:
        names.add(key)
        return get(self, key, default)

    monkeypatch.setattr(QueryParams, "get", read)
    return names


async def test_no_number_in_an_address_is_an_internal_error(
    page_ids: Mapping[str, Sequence[Any]], alice: httpx2.AsyncClient, read_names: set[str]
) -> None:
    paths = {address.partition("?")[0] for address in choose_representative_addresses(page_ids)}
    tried = 0
    known: set[str] = set()  # names that were tried with all numbers
    for path in sorted({ID.sub("id", path): path for path in paths}.values()):
        read_names.clear()
        assert (await alice.get(path)).status_code < 500
        names = sorted(read_names - MIDDLEWARE_NAMES if tried else read_names)
        for start in range(0, len(names), NAMES_AT_ONCE):
            chosen = names[start : start + NAMES_AT_ONCE]
            is_known = known.issuperset(chosen) and not IS_COMPLETE_RUN
            known.update(chosen)
            for number in EXTREME_NUMBERS[len(path) % 4 :: 4] if is_known else NUMBERS:
                query = urlencode(dict.fromkeys(chosen, number))
                response = await alice.get(f"{path}?{query}")
                assert response.status_code < 500, (path, query[:200])
                tried += 1
    assert tried > (200 if IS_COMPLETE_RUN else 50)


async def test_no_number_in_a_form_is_an_internal_error(
    page_ids: Mapping[str, Sequence[Any]],
    alice: httpx2.AsyncClient,
    transaction: TransactionFactory,
) -> None:
    known: set[tuple[str, str]] = set()
    names: set[str] = set()  # of fields that were tried with all numbers
    for address in choose_representative_addresses(page_ids):
        page = (await alice.get(address)).text
        for action, values, name in list_number_forms(page):
            if (place := (ID.sub("id", action), name)) in known:
                continue
            known.add(place)
            is_known = name in names and not IS_COMPLETE_RUN
            names.add(name)
            for number in NUMBERS[:3] if is_known else NUMBERS:
                async with rolled_back_changes(transaction):
                    response = await alice.post(action, data=values | {name: number})
                assert response.status_code < 500, (action, name, number[:40])
    assert len(known) > (10 if IS_COMPLETE_RUN else 5)

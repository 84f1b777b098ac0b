"""What the page of a gateway request shows: everything that the gateway sends, in bounded time."""

import re
from collections.abc import Awaitable, Callable
from html import unescape
from typing import Any

import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Gateway, GatewayRequest, RequestKind, RequestState, new_id
from services.gateways.requests.parser import (
    MAX_CONTENT_LENGTH,
    MAX_VALUES,
    ParsedRequest,
    parse_request,
)
from tests.conftest import rolled_back_changes
from tests.support.cpu_time import limit_cpu
from tests.support.gateway_recordings import VERSIONS, Json, iterate_changes, load_recording
from tests.support.tiers import IS_COMPLETE_RUN, repetition
from tests.support.world import World
from tests.web.test_gateway_requests import gateway, stored

__all__ = ["gateway"]

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#inbox"}
VALUES_NOTE = "Their values are not shown and not part of this approval."

Store = Callable[..., Awaitable[list[GatewayRequest]]]


@pytest.fixture
def store(transaction: TransactionFactory, gateway: Gateway, world: World) -> Store:
    """Store requests as a gateway sends them."""

    async def store(*sent: Json) -> list[GatewayRequest]:
        parsed = [parse_request(RequestKind.EXEC, one) for one in sent]
        rows = [GatewayRequest(**values_of(one)) for one in parsed if one]
        async with transaction() as session:
            session.add_all(rows)
        return rows

    def values_of(request: ParsedRequest) -> dict[str, Any]:
        worker = world.worker
        return request.columns | {
            "id": new_id(),
            "organization_id": gateway.organization_id,
            "gateway_id": gateway.id,
            "gateway_name": gateway.name,
            "agent_id": worker.id,
            "board_id": worker.board_id,
            "state": RequestState.WAITING,
            "created_at": now(),
        }

    return store


def build_row(**request: Any) -> Json:
    """Build a request that is recorded, with other values."""
    row = load_recording()["requests"]["variables"]
    return row | {"request": row["request"] | request}


async def show(browser: Any, request: GatewayRequest, query: str = "") -> str:
    """Return the HTML of what is shown of a request."""
    page = (await browser.get(f"/approvals/requests/{request.id}{query}")).text
    return page.partition('id="detail"')[2].partition("</article>")[0]


def read_text(html: str, request: GatewayRequest) -> str:
    """Return the text of a part of a page without the hash and the id of the row."""
    for varying in (request.sha256, request.sha256[:12], str(request.id)):
        html = html.replace(varying, "")
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def decision_buttons(html: str) -> dict[str, bool]:
    """Return the offered decisions, and whether they can be chosen."""
    found = re.findall(r'<button[^>]*name="decision" value="([^"]*)"([^>]*)>', html)
    return {value: " disabled" not in rest for value, rest in found}


async def test_every_field_of_recorded_requests_changes_the_page(
    alice, store: Store, transaction: TransactionFactory
) -> None:
    changes: dict[str, tuple[Json, Json]] = {}
    for version in VERSIONS:
        for row in load_recording(version)["requests"].values():
            for change, changed in iterate_changes(row):
                if change != "approvalKind removed":
                    changes.setdefault(change, (row, changed))
    assert len(changes) > 100
    if not IS_COMPLETE_RUN:  # fields that are unknown here are shown in the tests below
        changes = {change: rows for change, rows in changes.items() if change.endswith("changed")}
    originals: dict[str, str] = {}
    for change, (row, changed) in changes.items():
        key = str(row)
        if key not in originals:
            async with rolled_back_changes(transaction):
                [request] = await store(row)
                originals[key] = read_text(await show(alice, request), request)
        async with rolled_back_changes(transaction):  # otherwise the number of requests differs
            for request in await store(changed):
                shown = read_text(await show(alice, request), request)
                assert shown != originals[key], change


async def test_the_values_of_variables_are_said_to_be_unknown(alice, store: Store) -> None:
    recorded = load_recording()["requests"]
    [unbound, bound, without] = await store(
        recorded["variables"], recorded["node"], recorded["shell"]
    )
    page = await show(alice, unbound)
    assert ">TARGET</li>" in page
    assert VALUES_NOTE in page
    page = await show(alice, bound)
    assert "the SHA-256 covers their hash" in page
    assert VALUES_NOTE not in page
    assert "variables" not in await show(alice, without)


async def test_what_the_gateway_found_is_shown_in_plain_words(alice, store: Store) -> None:
    analysis = {
        "commandCount": 1,
        "nestedCommandCount": 2,
        "riskKinds": ["inline-eval", "from-the-future"],
        "warningLines": ["Contains inline-eval: python3 -c"],
    }
    [request] = await store(build_row(commandAnalysis=analysis))
    page = await show(alice, request)
    texts = ("It runs code that is written in the command itself.", "from-the-future")
    for text in (*texts, "Contains inline-eval: python3 -c", "Nested commands</dt><dd>2</dd>"):
        assert text in page
    [request] = await store(build_row(commandAnalysis=analysis | {"later": "more"}))
    assert "commandAnalysis</dt>" in await show(alice, request)


@pytest.mark.parametrize(
    ("days", "allowed", "sentence"),
    [
        (None, True, "It ends when the automation is changed or the grant is revoked"),
        (30, True, "creates a standing grant for 30 days"),
        (None, False, "Only this run can be allowed: the next one asks again."),
    ],
)
async def test_a_grant_says_what_it_allows(
    alice, store: Store, days: int | None, allowed: bool, sentence: str
) -> None:
    row = load_recording()["requests"]["automation"]
    scope = row["request"]["scope"] | ({"expiresInDays": days} if days else {})
    decisions = ["allow-once", *(["allow-always"] if allowed else []), "deny"]
    more = {"scope": scope, "allowedDecisions": decisions}
    [request] = await store(row | {"request": row["request"] | more})
    page = await show(alice, request)
    assert "The automation Nightly always asks to run this command." in page
    assert sentence in page
    assert ("creates a standing grant" in page) == allowed


async def test_a_masked_secret_is_said_to_be_no_part_of_the_approval(alice, store: Store) -> None:
    note = "What it has replaced is not shown"
    for version in VERSIONS:
        [request] = await store(load_recording(version)["requests"]["secret"])
        assert note in await show(alice, request)
    [ours, plain] = await store(build_row(command="curl mc_agent_abcdefgh"), build_row())
    for request in (ours, plain):
        assert note not in await show(alice, request)


async def test_fields_of_later_versions_are_shown_openly(alice, store: Store) -> None:
    row = build_row(sandbox={"network": "all"}) | {"requester": 7}
    [request] = await store(row)
    page = (await show(alice, request)).partition("<details")[0]
    assert "sandbox</dt>" in page
    assert "{&#34;network&#34;: &#34;all&#34;}" in page
    assert re.search(r"requester</dt><dd[^>]*>7</dd>", page)


async def test_what_runs_is_shown_openly(alice, store: Store) -> None:
    """A node runs what is bound there, whatever the command says."""
    binding = {"argv": ["rm", "-rf", "/"], "cwd": "/elsewhere", "envHash": "0" * 64}
    more = {"systemRunBinding": binding, "security": "full", "ask": "off"}
    [request] = await store(build_row(argv=["ls"], commandArgv=["rm", "-rf"], **more))
    page = (await show(alice, request)).partition("<details")[0]
    text = read_text(page, request)
    for shown in ('"argv": ["rm", "-rf", "/"]', '"cwd": "/elsewhere"', "full", "off"):
        assert shown in text
    lists = re.findall(r"<ol.*?</ol>", page, re.DOTALL)
    assert [re.findall(r'<li dir="auto">([^<]*)</li>', one) for one in lists] == [
        ["ls"],
        ["rm", "-rf"],
    ]


async def test_hidden_characters_are_revealed_in_all_fields(alice, store: Store) -> None:
    hidden = "a\u202eb"
    row = load_recording()["requests"]["automation"]
    analysis = row["request"]["commandAnalysis"]
    analysis |= {"riskKinds": [hidden], "warningLines": [hidden]}
    scope = {"kind": "standing-grant", "automation": hidden, "command": hidden}
    more = {"envKeys": [hidden], "argv": [hidden], "cwd": hidden, "scope": scope, hidden: hidden}
    [request] = await store(row | {"request": row["request"] | more})
    page = await show(alice, request)
    assert "\u202e" not in page
    assert page.count("U+202E") >= 12


HOSTILE: dict[str, Json] = {
    "values": {f"key{n}": n for n in range(MAX_VALUES - 100)},
    "variables": {"envKeys": ["V"] * (MAX_VALUES - 100)},
    "long value": {"later": "x" * (MAX_CONTENT_LENGTH - 2_000)},
    "hidden characters": {"later": "\u202e_" * ((MAX_CONTENT_LENGTH - 2_000) // 7)},
    "long warning": {"warningText": "w\n" * 50_000},
    "many warnings": {
        "commandAnalysis": {
            "commandCount": 1,
            "nestedCommandCount": 0,
            "riskKinds": ["x"] * 4_000,
            "warningLines": ["y"] * 4_000,
        }
    },
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=repetition if one == "long value" else ()) for one in HOSTILE],
)
async def test_long_content_has_to_be_opened_before_it_is_allowed(
    name: str, alice, store: Store, transaction: TransactionFactory
) -> None:
    [request] = await store(build_row(**HOSTILE[name]))
    path = f"/approvals/requests/{request.id}"
    await alice.get("/approvals?state=gateways")  # templates are compiled once
    with limit_cpu():
        page = await show(alice, request)
    assert decision_buttons(page) == {"deny": True, "allow-always": False, "allow-once": False}
    assert f'href="{path}?all=1"' in page
    form = {"sha256": request.sha256, "decision": "allow-once"}
    for headers in ({}, HTMX):
        refused = await alice.post(f"{path}/answers", data=form, headers=headers)
        assert refused.status_code == 422
        assert "This page did not show everything." in refused.text
    assert (await stored(transaction, request)).state is RequestState.WAITING
    with limit_cpu():
        page = await show(alice, request, "?all=1")
    assert all(decision_buttons(page).values())
    text = unescape(re.sub(r"<[^>]*>", "", page.partition("Everything that the gateway sent")[2]))
    for key in HOSTILE[name]:
        assert f'"{key}":' in text
    complete = form | {"complete": "true"}
    assert (await alice.post(f"{path}/answers", data=complete)).status_code == 303


async def test_long_content_can_be_denied_at_once(
    alice, store: Store, transaction: TransactionFactory
) -> None:
    [request] = await store(build_row(later="x" * 3_000))
    form = {"sha256": request.sha256, "decision": "deny"}
    posted = await alice.post(f"/approvals/requests/{request.id}/answers", data=form)
    assert posted.status_code == 303
    assert (await stored(transaction, request)).answer == {"decision": "deny"}


async def test_recorded_requests_are_allowed_without_opening_more(alice, store: Store) -> None:
    for version in VERSIONS:
        for name, row in load_recording(version)["requests"].items():
            [request] = await store(row | {"id": f"{version} {name}"})
            assert all(decision_buttons(await show(alice, request)).values()), (version, name)

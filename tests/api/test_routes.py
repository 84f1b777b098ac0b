"""Every way in, walked through: who has no token stays out, and a stranger finds nothing."""

import logging

import pytest

from api.app import OPERATIONS, root_routes
from api.operations import Operation
from tests.api.conftest import Caller, Client
from tests.api.walking import WITH_IDS, everything, named, things
from tests.conftest import Transaction
from tests.world import World, cookie_of, token_of

OPEN_TO_ALL = {"/health", "/healthz", "/readyz", "/openapi.json", "/docs"}

NOT_404 = {
    ("DELETE", "/agents/{agent_id}"): {200},
    ("POST", "/agents/{agent_id}/heartbeat"): {403, 404},
}
"""What a stranger is told elsewhere than "not found", as is whoever names an id that never was.

Deleting an agent that is not there is no trouble (contract, agents 7.7), and an agent checks in for
itself alone (7.5).
"""


TOKENS = (None, "", "mc_user_nobodys", "mc_agent_nobodys", "something", "ünïcode", "x" * 5000)


async def test_who_has_no_token_stays_out(
    nobody: Client, world: World, transaction: Transaction
) -> None:
    """W-09."""
    async with transaction() as session:
        there = await things(session, world)
        before = await everything(session)
    for operation in OPERATIONS:
        for token in TOKENS:
            headers = [] if token is None else [(b"Authorization", f"Bearer {token}".encode())]
            path = there.path(operation)
            response = await nobody.request(operation.method, path, headers=headers)
            assert response.status_code == 401, (named(operation), token)
            assert response.json()["detail"] == "Unauthorized"
    async with transaction() as session:
        assert await everything(session) == before


async def test_a_cookie_is_no_token(calling: Caller, world: World) -> None:
    client = calling(None)
    client.cookies.set("mission_control", cookie_of(world.alice))
    assert (await client.get("/users/me")).status_code == 401


async def test_only_what_says_nothing_of_anybody_is_open_to_all(nobody: Client) -> None:
    assert {route.path for route in root_routes} == OPEN_TO_ALL
    for path in OPEN_TO_ALL:
        assert (await nobody.get(f"http://mission.test{path}")).status_code == 200


@pytest.mark.parametrize("operation", WITH_IDS, ids=named)
async def test_a_stranger_finds_nothing_and_changes_nothing(
    operation: Operation, calling: Caller, world: World, transaction: Transaction
) -> None:
    async with transaction() as session:
        there = await things(session, world)
        before = await everything(session)
    allowed = NOT_404.get((operation.method, operation.path), {404})

    for stranger in there.strangers(operation):
        client = calling(stranger)
        answers = [
            await client.request(operation.method, there.path(operation)),
            await client.request(operation.method, there.path(operation), json={}),
            await client.request(operation.method, there.path(operation), json={"title": 5}),
        ]
        assert {answer.status_code for answer in answers} <= allowed, answers[0].text
        assert not any("Launch" in answer.text for answer in answers)

    async with transaction() as session:
        assert await everything(session) == before


@pytest.mark.parametrize("operation", WITH_IDS, ids=named)
async def test_what_is_a_strangers_and_what_never_was_look_alike(
    operation: Operation, calling: Caller, world: World, transaction: Transaction
) -> None:
    """S24."""
    async with transaction() as session:
        there = await things(session, world)
    client = calling(there.strangers(operation)[0])
    path = there.path(operation)

    theirs = await client.request(operation.method, path, json={})
    for id in set(path.split("/")):
        if len(id) == 36:
            path = path.replace(id, id[:-4] + "0000")
    never = await client.request(operation.method, path, json={})

    assert theirs.status_code == never.status_code
    assert {**theirs.json(), "request_id": ""} == {**never.json(), "request_id": ""}


@pytest.mark.parametrize("operation", WITH_IDS, ids=named)
async def test_an_id_that_is_none_is_refused_with_its_place(
    operation: Operation, calling: Caller, world: World, transaction: Transaction
) -> None:
    """C9, W-47. A27.5."""
    async with transaction() as session:
        there = await things(session, world)
    parameter = operation.path.partition("{")[2].partition("}")[0]
    path = operation.path.replace(f"{{{parameter}}}", "no-id")

    response = await calling(there.insider(operation)).request(
        operation.method,
        there.fill(path),
        json={},
    )

    assert response.status_code == 422
    [fault] = response.json()["detail"]
    assert fault["type"] == "uuid_parsing"
    assert fault["loc"] == ["path", parameter]


async def test_a_path_that_leads_nowhere_answers_in_the_envelope(alice: Client) -> None:
    for method, path, status, reason, code in [
        ("GET", "/nothing", 404, "Not Found", "not_found"),
        ("GET", "/boards/with%0Aa-break", 404, "Not Found", "not_found"),
        ("PUT", "/boards", 405, "Method Not Allowed", "method_not_allowed"),
        ("DELETE", "/users/me/more", 404, "Not Found", "not_found"),
    ]:
        response = await alice.request(method, path)
        assert response.status_code == status
        assert response.json() == {
            "detail": reason,
            "code": code,
            "request_id": response.headers["X-Request-Id"],
        }
    assert set((await alice.put("/boards")).headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}


async def test_a_slash_too_many_leads_to_where_it_is_right(alice: Client) -> None:
    response = await alice.get("/boards/")
    assert response.status_code == 307
    assert response.headers["Location"].endswith("/api/v1/boards")
    assert (await alice.get("/nothing/")).status_code == 404


@pytest.mark.parametrize("header", ["Authorization", "X-Agent-Token"])
async def test_no_log_tells_anything_of_a_token(
    nobody: Client, world: World, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    """S23, W-24: neither of a good one nor of one that is refused, however much is logged."""
    good = [token_of(world.worker), token_of(world.alice)]
    with caplog.at_level(logging.DEBUG):
        for token in ["mc_agent_canary", "mc_user_canary", "canary, of elsewhere", *good]:
            value = f"Bearer {token}" if header == "Authorization" else token
            for path in ("/boards", f"/boards/{world.board.id}/tasks", "/agent/heartbeat"):
                await nobody.get(path, headers={header: value})
            await nobody.post("/agent/heartbeat", headers={header: value})
    ours = [one for one in caplog.records if one.name.startswith("mission_control")]
    assert len(ours) >= 20
    told = " ".join(f"{one.getMessage()} {vars(one)}" for one in ours)
    assert not [word for word in ("canary", "elsewhere", "the-token-of") if word in told]


async def test_who_has_no_token_learns_of_no_id_whether_it_is_one(
    nobody: Client, world: World, transaction: Transaction
) -> None:
    """W-09: whoever calls is looked at first, and then what they name."""
    async with transaction() as session:
        there = await things(session, world)
    for operation in WITH_IDS:
        path = there.path(operation)
        ids = {part for part in path.split("/") if len(part) == 36}
        for none in ("00000000-0000-4000-8000-000000000000", "no-id"):
            never = path
            for id in ids:
                never = never.replace(id, none)
            answers = [await nobody.request(operation.method, at, json={}) for at in (path, never)]
            bodies = [{**one.json(), "request_id": ""} for one in answers]
            assert bodies[0] == bodies[1], named(operation)
            assert {one.status_code for one in answers} == {401}, named(operation)

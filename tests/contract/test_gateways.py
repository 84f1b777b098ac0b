"""The contract of gateways (agents-and-gateways 8 and 9; people-and-boards 7, point 34)."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import delete, select, text

from models import Agent, Board, Event, EventType, Gateway, Organization, new_id
from tests.api.conftest import Caller, Client
from tests.conftest import Transaction
from tests.contract.gateways import MESSAGES, SESSIONS, a_fake, entered, new
from tests.openclaw.fake import TOKEN, Fake, Refused, running
from tests.world import World, a_gateway, an_agent_token

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"
THEIRS = {"httpx2", "websockets.server"}  # the logs of the test's own browser and gateway
KEY = "agent:lead-1:main"


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with running(a_fake()) as fake:
        yield fake


@pytest.fixture
async def gateway(alice: Client, fake: Fake, world: World) -> dict[str, Any]:
    """The gateway of Tern, on which is Launch."""
    made = await entered(alice, fake)
    put = await alice.patch(f"/boards/{world.board.id}", json={"gateway_id": made["id"]})
    assert put.status_code == 200
    fake.connects.clear()
    fake.calls.clear()
    return made


def state_of(answer: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in answer["checks"]}


async def test_a_gateway_is_entered_read_listed_changed_and_removed(
    alice: Client, fake: Fake, world: World
) -> None:
    """A9.1 to A9.4."""
    made = await entered(alice, fake)
    given = new(fake)
    assert made | given | {"token": None} == made
    assert made["organization_id"] == str(world.tern.id)
    assert (made["has_token"], made["version"]) == (True, 1)
    assert made["allow_insecure_tls"] is made["disable_device_pairing"] is False
    assert set(state_of(made).values()) == {OK}
    assert made["gateway_version"] == "2026.9.6"
    at = f"/gateways/{made['id']}"
    assert (await alice.get(at)).json() == made
    page = (await alice.get("/gateways")).json()
    assert (page["total"], page["items"]) == (1, [made])
    changed = (await alice.patch(at, json={"workspace_root": " /elsewhere "})).json()
    assert changed["workspace_root"] == "/elsewhere"
    assert changed["version"] == 2
    assert (await alice.delete(at)).json() == {"ok": True}
    assert (await alice.get(at)).status_code == 404
    assert (await alice.get("/agents")).json()["total"] == 4


async def test_with_a_gateway_comes_the_agent_that_looks_after_it(
    alice: Client, fake: Fake, transaction: Transaction
) -> None:
    """A27.3. 9.2, 14.1."""
    made = await entered(alice, fake)
    [main] = (await alice.get(f"/agents?gateway_id={made['id']}")).json()["items"]
    assert main["name"] == "Workshop Gateway Agent"
    assert main["is_gateway_main"] is True
    assert main["board_id"] is None
    assert main["openclaw_session_id"] == f"agent:mc-gateway-{made['id']}:main"
    assert main["identity_profile"] == {
        "role": "Gateway Agent",
        "communication_style": "direct, concise, practical",
        "emoji": ":compass:",
    }
    assert main["status"] == "provisioning"
    async with transaction() as session:
        types = set(await session.scalars(select(Event.type)))
    assert {EventType.GATEWAY_CREATED, EventType.AGENT_CREATED} <= types


async def test_no_answer_no_event_and_no_log_ever_tells_a_token(
    alice: Client, fake: Fake, transaction: Transaction, caplog: pytest.LogCaptureFixture
) -> None:
    """A27.14; W-10."""
    canary = "canary-5f1c"
    with caplog.at_level(logging.DEBUG):
        made = await entered(alice, fake, token=canary)
        at = f"/gateways/{made['id']}"
        address = {"gateway_url": fake.url, "gateway_token": canary}
        answers = [
            await alice.get(at),
            await alice.get("/gateways"),
            await alice.patch(at, json={"token": canary + "-2"}),
            await alice.post(f"{at}/checks"),
            await alice.get("/gateways/status", params=address),
            await alice.get("/activity"),
        ]
    assert all(answer.status_code == 200 for answer in answers)
    assert not any(canary in answer.text for answer in answers)
    assert made["token"] is None
    ours = [record for record in caplog.records if record.name not in THEIRS]
    assert ours
    assert not any(canary in record.getMessage() for record in ours)
    async with transaction() as session:
        for table in ("gateways", "activity_events", "agents"):
            rows = await session.scalar(text(f"select json_agg(t)::text from {table} t"))
            assert rows
            assert canary not in rows
    assert fake.connects[0]["auth"] == {"token": canary}
    assert not any(canary in request for request in fake.requests)


async def test_a_gateway_that_cannot_be_reached_is_kept_and_says_what_is_in_the_way(
    alice: Client, fake: Fake
) -> None:
    """A27.6. W-36, W-46."""
    fake.asks_for_pairing = True
    made = await entered(alice, fake)
    states = state_of(made)
    assert list(states) == [
        *("address", "port", "tls", "handshake", "protocol", "token", "device", "scopes")
    ]
    assert (states["token"], states["device"], states["scopes"]) == (OK, FAILED, UNKNOWN)
    [device] = [check for check in made["checks"] if check["name"] == "device"]
    assert device["command"] == "openclaw devices approve req-123"
    assert device["code"] == "pairing_required"
    fake.approve()
    looked = (await alice.post(f"/gateways/{made['id']}/checks")).json()
    assert looked["is_well"] is True
    assert set(state_of(looked).values()) == {OK}
    read = (await alice.get(f"/gateways/{made['id']}")).json()
    assert read["checks"] == looked["checks"]
    assert read["checked_at"] == looked["checked_at"]
    assert read["version"] == 1


async def test_the_same_device_is_shown_for_ever_and_its_token_is_kept(
    alice: Client, fake: Fake
) -> None:
    """W-23, W-36; A27.10."""
    made = await entered(alice, fake)
    other = await entered(alice, fake, name="Another")
    for id in (made["id"], made["id"], other["id"]):
        await alice.post(f"/gateways/{id}/checks")
    shown = [asked["device"]["id"] for asked in fake.connects]
    assert shown[0] == shown[2] == shown[3]
    assert shown[1] == shown[4] != shown[0]
    fake.token = "the owner has changed it"
    looked = (await alice.post(f"/gateways/{made['id']}/checks")).json()
    assert looked["is_well"] is True
    assert fake.connects[-1]["auth"]["token"].startswith("device token of")


async def test_a_rename_never_asks_the_network(alice: Client, fake: Fake) -> None:
    """W-46, W-02."""
    made = await entered(alice, fake)
    fake.connects.clear()
    at = f"/gateways/{made['id']}"
    renamed = (await alice.patch(at, json={"name": "Shed", "workspace_root": "/x"})).json()
    assert (renamed["name"], renamed["checks"]) == ("Shed", made["checks"])
    assert fake.requests == fake.requests[:1]
    [main] = (await alice.get(f"/agents?gateway_id={made['id']}")).json()["items"]
    assert main["name"] == "Shed Gateway Agent"
    await alice.patch(f"/agents/{main['id']}", json={"name": "Sam"})
    await alice.patch(at, json={"name": "Hut"})
    [main] = (await alice.get(f"/agents?gateway_id={made['id']}")).json()["items"]
    assert main["name"] == "Sam"
    assert not fake.connects


async def test_a_change_of_how_it_is_reached_is_looked_at(
    alice: Client, fake: Fake, transaction: Transaction
) -> None:
    """9.3."""
    made = await entered(alice, fake, token="wrong")
    assert state_of(made)["token"] == FAILED
    at = f"/gateways/{made['id']}"
    mended = (await alice.patch(at, json={"token": TOKEN})).json()
    assert set(state_of(mended).values()) == {OK}
    nowhere = (await alice.patch(at, json={"url": "ws://127.0.0.1:9"})).json()
    assert state_of(nowhere)["port"] == FAILED
    none = (await alice.patch(at, json={"url": fake.url, "token": None})).json()
    assert none["has_token"] is False
    before = len(fake.requests)
    for nothing in ({}, {"url": fake.url}, {"token": None}, {"token": "  "}):
        assert (await alice.patch(at, json=nothing)).json()["version"] == none["version"]
    assert len(fake.requests) == before
    async with transaction() as session:
        query = select(Event.data).where(Event.type == EventType.GATEWAY_UPDATED)
        changed = [data["changed"] for data in await session.scalars(query.order_by(Event.seq))]
    assert changed == [["token"], ["url"], ["token", "url"]]


async def test_fields_that_make_no_sense_are_refused(alice: Client, fake: Fake) -> None:
    """W-46, W-47; A27.14."""
    made = await entered(alice, fake)
    at = f"/gateways/{made['id']}"
    for field in ("name", "url", "workspace_root", "allow_insecure_tls", "disable_device_pairing"):
        assert (await alice.patch(at, json={field: None})).status_code == 422, field
    for field in ("name", "url", "workspace_root"):
        for blank in ("", "   "):
            assert (await alice.patch(at, json={field: blank})).status_code == 422
            refused = await alice.post("/gateways", json=new(fake, **{field: blank}))
            assert refused.status_code == 422
            assert refused.json()["detail"][0]["loc"] == ["body", field]
    for url in ("http://127.0.0.1", "127.0.0.1:18789", "ws://me:secret@here", "ws://here?token=x"):
        refused = await alice.post("/gateways", json=new(fake, name="Other", url=url))
        assert refused.status_code == 422
        assert refused.json()["code"] == "url_invalid"
        assert "secret" not in refused.text
    for name in ("Two\nlines", "Nul\u0000"):
        assert (await alice.post("/gateways", json=new(fake, name=name))).status_code == 422
    assert (await alice.get(at)).json() == made
    assert (await alice.get("/gateways")).json()["total"] == 1


async def test_a_name_is_given_once_in_an_organization(
    alice: Client, charlie: Client, fake: Fake
) -> None:
    await entered(alice, fake)
    other = await entered(alice, fake, name="Shed")
    for name in ("Workshop", " workshop "):
        for response in (
            await alice.post("/gateways", json=new(fake, name=name)),
            await alice.patch(f"/gateways/{other['id']}", json={"name": name}),
        ):
            assert response.status_code == 409
            assert response.json()["code"] == "gateway_name_taken"
    await entered(charlie, fake)
    same = await alice.patch(f"/gateways/{other['id']}", json={"name": "SHED"})
    assert same.json()["name"] == "SHED"


@pytest.mark.parametrize("url", ["ws://10.0.0.1", "ws://169.254.169.254/latest", "ws://[fe80::1]"])
async def test_nobody_sends_us_into_what_lies_around_the_server(
    alice: Client, fake: Fake, url: str
) -> None:
    """A27.14; W-11."""
    made = await entered(alice, fake, url=url)
    assert state_of(made)["address"] == FAILED
    assert made["checks"][0]["code"] == "address_forbidden"
    status = (await alice.get("/gateways/status", params={"gateway_url": url})).json()
    assert (status["connected"], status["code"]) == (False, "gateway_address_forbidden")
    assert not fake.requests


async def test_only_admins_see_gateways(
    alice: Client, bob: Client, dana: Client, worker: Client, lead: Client, gateway: dict[str, Any]
) -> None:
    at = f"/gateways/{gateway['id']}"
    assert (await dana.get(at)).status_code == 200
    for client, status in ((bob, 403), (worker, 401), (lead, 401)):
        for method, path in (
            ("GET", "/gateways"),
            ("POST", "/gateways"),
            ("GET", at),
            ("PATCH", at),
            ("DELETE", at),
            ("POST", f"{at}/checks"),
            ("GET", "/gateways/commands"),
        ):
            body = {"name": "Mine", "url": "ws://here", "workspace_root": "/x"}
            answer = await client.request(method, path, json=body)
            assert answer.status_code == status, (method, path)
    assert (await alice.get(at)).json() == gateway


async def test_for_a_stranger_a_gateway_does_not_exist(
    alice: Client, charlie: Client, gateway: dict[str, Any], fake: Fake, world: World
) -> None:
    at = f"/gateways/{gateway['id']}"
    for method, path in (
        ("GET", at),
        ("PATCH", at),
        ("DELETE", at),
        ("POST", f"{at}/checks"),
        ("GET", f"/agents?gateway_id={gateway['id']}"),
    ):
        answer = await charlie.request(method, path, json={"name": "Mine now"})
        assert answer.status_code == 404, (method, path)
        assert answer.json()["code"] == "gateway_not_found"
    assert (await charlie.get("/gateways")).json()["items"] == []
    theirs = f"/boards/{world.charlies_board.id}"
    taken = await charlie.patch(theirs, json={"gateway_id": gateway["id"]})
    assert taken.status_code == 422
    for path in ("status", "sessions", f"sessions/{KEY}", f"sessions/{KEY}/history"):
        answer = await charlie.get(f"/gateways/{path}?board_id={world.board.id}")
        assert answer.status_code == 404, path
    said = await charlie.post(
        f"/gateways/sessions/{KEY}/message?board_id={world.board.id}", json={"content": "Hi"}
    )
    assert said.status_code == 404
    assert not fake.connects
    assert (await alice.get(at)).json() == gateway


async def test_a_board_takes_a_gateway_of_its_own_organization_or_none(
    alice: Client, bob: Client, gateway: dict[str, Any], world: World, transaction: Transaction
) -> None:
    """Point 34."""
    async with transaction() as session:
        theirs, alone = a_gateway(world.plover), a_gateway(world.tern, "Alone")
        session.add_all([theirs, alone])
    new_board = {"name": "Spring", "description": "What grows", "board_type": "general"}
    for id, status in (
        (gateway["id"], 200),
        (None, 200),
        (str(theirs.id), 422),
        (str(alone.id), 422),
        (str(new_id()), 422),
    ):
        made = await alice.post("/boards", json={**new_board, "gateway_id": id})
        assert made.status_code == status, id
        if status == 422:
            assert made.json()["detail"][0]["loc"] == ["body", "gateway_id"]
        changed = await alice.patch(f"/boards/{world.garden.id}", json={"gateway_id": id})
        assert changed.status_code == status, id
    assert (await alice.get(f"/boards?gateway_id={gateway['id']}")).json()["total"] == 2
    away = await bob.patch(f"/boards/{world.board.id}", json={"gateway_id": None})
    assert away.status_code == 403


async def test_the_agents_of_a_board_are_where_the_board_is(
    alice: Client, gateway: dict[str, Any], world: World
) -> None:
    """7.1, 7.4."""
    found = (await alice.get(f"/agents?gateway_id={gateway['id']}")).json()["items"]
    assert {agent["name"] for agent in found} == {
        *("Workshop Gateway Agent", "Lead", "Worker", "Other worker")
    }
    await alice.patch(f"/boards/{world.board.id}", json={"gateway_id": None})
    found = (await alice.get(f"/agents?gateway_id={gateway['id']}")).json()["items"]
    assert [agent["name"] for agent in found] == ["Workshop Gateway Agent"]


async def test_a_gateway_that_boards_are_on_is_not_removed(
    alice: Client, gateway: dict[str, Any], world: World, transaction: Transaction
) -> None:
    """A9.4, fixed; W-46."""
    at = f"/gateways/{gateway['id']}"
    refused = await alice.delete(at)
    assert refused.status_code == 409
    assert refused.json()["code"] == "gateway_in_use"
    assert (await alice.get(f"/agents?gateway_id={gateway['id']}")).json()["total"] == 4
    await alice.patch(f"/boards/{world.board.id}", json={"gateway_id": None})
    assert (await alice.delete(at)).status_code == 200
    async with transaction() as session:
        assert await session.scalar(select(Agent.id).where(Agent.board_id.is_(None))) is None
        last = await session.scalars(select(Event.type).order_by(Event.seq.desc()).limit(2))
    assert set(last) == {EventType.GATEWAY_DELETED, EventType.AGENT_DELETED}


async def test_with_an_organization_go_its_gateways(
    gateway: dict[str, Any], world: World, transaction: Transaction
) -> None:
    """Point 33."""
    async with transaction() as session:
        await session.execute(delete(Organization).where(Organization.id == world.tern.id))
    async with transaction() as session:
        for model in (Gateway, Board, Agent):
            mine = model.organization_id == world.tern.id
            assert await session.scalar(select(model.id).where(mine)) is None


async def test_the_main_agent_works_on_the_boards_of_its_gateway_alone(
    calling: Caller, gateway: dict[str, Any], world: World, transaction: Transaction
) -> None:
    """S1. Point 8. W-01, fixed."""
    async with transaction() as session:
        main = (await session.scalars(select(Agent).where(Agent.board_id.is_(None)))).one()
        session.add(an_agent_token(main))
    client = calling(main)
    [board] = (await client.get("/agent/boards")).json()["items"]
    assert board["name"] == "Launch"
    assert (await client.get(f"/agent/boards/{world.board.id}/tasks")).status_code == 200
    assert (await client.get(f"/agent/boards/{world.garden.id}")).status_code == 403
    assert (await client.get(f"/agent/boards/{world.charlies_board.id}")).status_code == 404
    names = {agent["name"] for agent in (await client.get("/agent/agents")).json()["items"]}
    assert "Charlie's worker" not in names


async def test_the_status_of_a_gateway(
    alice: Client, gateway: dict[str, Any], fake: Fake, world: World
) -> None:
    """A8; W-52."""
    board = f"board_id={world.board.id}"
    main = {"key": f"agent:mc-gateway-{gateway['id']}:main", "status": "done"}
    fake.methods["sessions.list"] = lambda _: {"sessions": [*SESSIONS, main], "totalCount": 3}
    status = (await alice.get(f"/gateways/status?{board}")).json()
    assert status == {
        "connected": True,
        "gateway_url": fake.url,
        "sessions_count": 3,
        "sessions": [*SESSIONS, main],
        "main_session": main,
        "main_session_error": None,
        "error": None,
        "code": None,
    }
    assert {method for method, _ in fake.calls} == {"sessions.list"}
    for behaviour, code in (
        ({"asks_for_pairing": True, "approved": set()}, "gateway_pairing_required"),
        ({"token": "new", "takes_device_token": False}, "gateway_token_mismatch"),
        ({"protocol": 3}, "gateway_protocol_mismatch"),
    ):
        for name, value in behaviour.items():
            setattr(fake, name, value)
        answer = await alice.get(f"/gateways/status?{board}")
        assert answer.status_code == 200
        assert (answer.json()["connected"], answer.json()["code"]) == (False, code)
        assert answer.json()["error"]


async def test_the_status_of_an_address_that_is_in_no_row(
    alice: Client, bob: Client, dana: Client, fake: Fake
) -> None:
    """A8; W-10: the token is in a header, the query is only for old scripts."""
    at = {"gateway_url": fake.url}
    header = {"X-Gateway-Token": TOKEN}
    for query, headers in ((at, header), ({**at, "gateway_token": TOKEN}, {})):
        answer = await dana.get("/gateways/status", params=query, headers=headers)
        status = answer.json()
        assert status["connected"] is True
        assert status["sessions_count"] == 2
        assert "device" not in fake.connects[-1]
    assert (await alice.get("/gateways/status", params=at)).json()["connected"] is False
    assert (await bob.get("/gateways/status", params=at)).status_code == 403
    assert (await alice.get("/gateways/status")).status_code == 422
    made = await entered(alice, fake)
    fake.connects.clear()
    await alice.get("/gateways/status", params={**at, "gateway_token": TOKEN})
    assert fake.connects[0]["device"]
    await alice.get("/gateways/status", params=at)
    assert "auth" not in fake.connects[-1]
    assert made["has_token"]


async def test_the_sessions_of_a_gateway_are_looked_at_without_changing_anything(
    alice: Client, gateway: dict[str, Any], fake: Fake, world: World
) -> None:
    """A8; W-52. Keys have colons."""
    board = f"board_id={world.board.id}"
    listed = (await alice.get(f"/gateways/sessions?{board}")).json()
    assert listed == {"sessions": SESSIONS, "main_session": None}
    one = (await alice.get(f"/gateways/sessions/{KEY}?{board}")).json()
    assert one == {"session": SESSIONS[1]}
    for key in ("agent:nobody:main", "agent::"):
        missing = await alice.get(f"/gateways/sessions/{key}?{board}")
        assert missing.status_code == 404
        assert missing.json()["code"] == "session_not_found"
    said = (await alice.get(f"/gateways/sessions/{KEY}/history?{board}")).json()
    assert said == {"history": MESSAGES}
    last = (await alice.get(f"/gateways/sessions/{KEY}/history?{board}&limit=1")).json()
    assert last == {"history": MESSAGES[1:]}
    reading = {"sessions.list", "sessions.describe", "chat.history"}
    assert {method for method, _ in fake.calls} == reading


async def test_an_older_gateway_may_answer_with_a_bare_list(
    alice: Client, gateway: dict[str, Any], fake: Fake, world: World
) -> None:
    """A8."""
    fake.methods["sessions.list"] = lambda _: [*SESSIONS, "nonsense", None]
    listed = (await alice.get(f"/gateways/sessions?board_id={world.board.id}")).json()
    assert listed["sessions"] == SESSIONS
    fake.methods["sessions.list"] = lambda _: None
    status = (await alice.get(f"/gateways/status?board_id={world.board.id}")).json()
    assert (status["connected"], status["sessions_count"]) == (True, 0)


async def test_something_is_said_in_a_session_and_once_however_often_it_is_sent(
    alice: Client, gateway: dict[str, Any], fake: Fake, world: World
) -> None:
    """A8; W-43."""
    at = f"/gateways/sessions/{KEY}/message?board_id={world.board.id}"
    fake.closes = {"chat.send": 1012}
    assert (await alice.post(at, json={"content": " Hello "})).json() == {"ok": True}
    [first, again] = [params for _, params in fake.calls]
    assert first == again
    assert (first["sessionKey"], first["message"], first["deliver"]) == (KEY, "Hello", False)
    fake.calls.clear()
    own = {"Idempotency-Key": "my-own"}
    sends = fake.methods["chat.send"]

    def refuse(_params: dict[str, Any]) -> None:
        raise Refused("FORBIDDEN", "no")

    fake.methods["chat.send"] = refuse
    assert (await alice.post(at, json={"content": "Hello"}, headers=own)).status_code == 502
    fake.methods["chat.send"] = sends
    for headers in (own, own, {}):
        sent = await alice.post(at, json={"content": "Hello"}, headers=headers)
        assert sent.json() == {"ok": True}
    failed, done, other = [params["idempotencyKey"] for _, params in fake.calls]
    assert failed == done
    assert len({first["idempotencyKey"], done, other}) == 3
    assert (await alice.post(at, json={"content": " "})).status_code == 422


async def test_who_may_not_change_the_board_says_nothing(
    alice: Client, dana: Client, bob: Client, gateway: dict[str, Any], fake: Fake, world: World
) -> None:
    """A8; W-22."""
    board = f"board_id={world.board.id}"
    at = f"/gateways/sessions/{KEY}/message?{board}"
    for client in (dana, bob):
        assert (await client.post(at, json={"content": "Hello"})).status_code == 403
        assert (await client.get(f"/gateways/sessions?{board}")).status_code == 403
    assert not fake.connects
    garden = f"/gateways/sessions?board_id={world.garden.id}"
    assert (await alice.get(garden)).status_code == 422
    assert (await alice.get(garden)).json()["code"] == "gateway_required"
    assert (await alice.get(f"/gateways/sessions?board_id={new_id()}")).status_code == 404
    assert (await alice.get("/gateways/sessions")).status_code == 422


async def test_what_fails_at_a_gateway_is_told_with_a_code(
    alice: Client, gateway: dict[str, Any], fake: Fake, world: World
) -> None:
    """S16. A8, 13; W-37."""
    board = f"board_id={world.board.id}"
    paths = ("sessions", f"sessions/{KEY}", f"sessions/{KEY}/history")

    def refuse(_params: dict[str, Any]) -> None:
        details = {"code": "MISSING_SCOPE", "missingScope": "operator.read"}
        raise Refused("FORBIDDEN", "no", details=details)

    fake.methods = dict.fromkeys(fake.methods, refuse)
    for path in paths:
        answer = await alice.get(f"/gateways/{path}?{board}")
        assert answer.status_code == 502
        assert answer.json()["code"] == "gateway_missing_scope"
        assert "operator.read" in answer.json()["detail"]
    fake.asks_for_pairing, fake.approved = True, set()
    answer = await alice.get(f"/gateways/sessions?{board}")
    assert answer.json()["code"] == "gateway_pairing_required"
    assert "openclaw devices approve req-123" in answer.json()["detail"]
    assert TOKEN not in answer.text


async def test_what_can_be_asked_of_gateways_is_listed(alice: Client, charlie: Client) -> None:
    """A8."""
    told = (await alice.get("/gateways/commands")).json()
    assert told["protocol_version"] == 4
    assert {"chat.send", "sessions.list", "agents.create"} <= set(told["methods"])
    assert "connect.challenge" in told["events"]
    assert (await charlie.get("/gateways/commands")).json() == told


async def test_ports_are_not_tried_out_from_here(
    calling: Caller, world: World, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W-11."""
    alice, charlie = calling(world.alice), calling(world.charlie)
    at = {"gateway_url": "ws://127.0.0.1:9"}
    answers = [await alice.get("/gateways/status", params=at) for _ in range(121)]
    assert [answer.status_code for answer in answers] == [200] * 120 + [429]
    assert (await charlie.get("/gateways/status", params=at)).status_code == 200
    assert (await alice.post("/gateways", json=new(fake))).status_code == 429

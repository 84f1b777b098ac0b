"""Requests of agents on gateways: shown exactly, answered once, and delivered."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from core.canonical_json import hash_json
from core.clock import now
from core.errors import Conflict, Forbidden, NotFound
from core.paging import Paging
from models import EventType, RequestKind, RequestState
from services.gateways import requests
from services.gateways.requests.parser import parse_request as read
from services.inbox import load_waiting_items
from tests.support.fake_requests_gateway import timestamp_ms
from tests.support.requests_gateway import RequestsHarness, agent_key

COMMAND = "rm -rf 'build'  --  ./out\n# then nothing"
ONCE, DENY = "allow-once", "deny"
WAITING, ANSWERED = RequestState.WAITING, RequestState.ANSWERED
SENT = ("approvalKind", "id", "createdAtMs", "expiresAtMs", "request")
LOST, EXPIRED, CANCELLED = RequestState.LOST, RequestState.EXPIRED, RequestState.CANCELLED


async def test_a_command_is_requested_answered_and_delivered_once(
    harness: RequestsHarness,
) -> None:
    """Market need 11."""
    world = harness.world
    async with harness.run_worker():
        await harness.wait_for(harness.has_listed_questions)
        await harness.fake.request_approval(
            "a-1", COMMAND, agent_key(world.worker), warningText="Careful."
        )
        request = await harness.wait_for_request()
        assert (request.command, request.exact) == (COMMAND, COMMAND)
        row = {name: harness.fake.approvals["a-1"][name] for name in SENT}
        assert request.content == row
        assert request.sha256 == hash_json(row)
        assert (request.agent_id, request.board_id) == (world.worker.id, world.board.id)
        assert (request.cwd, request.run_id) == ("/agents/work", "run-1")
        assert request.context == {"host": "gateway", "path": "/usr/bin/rm", "warning": "Careful."}
        assert request.allowed_decisions == [ONCE, DENY]
        assert request.expires_at > now() + timedelta(minutes=29)
        before = now()
        await harness.answer_request(world.bob, request, decision=ONCE)
        request = await harness.wait_for_request(ANSWERED)
        assert harness.fake.approvals["a-1"]["decision"] == ONCE
    assert (request.answered_by, request.answered_by_user_id) == ("Bob", world.bob.id)
    assert request.answered_at
    assert request.delivered_at
    assert before < request.answered_at < request.delivered_at < now()
    assert request.answer == {"decision": ONCE}
    [stored] = await harness.list_events(EventType.GATEWAY_REQUEST_ASKED)
    [events] = await harness.list_events(EventType.GATEWAY_REQUEST_ANSWERED)
    assert (stored.user_id, events.user_id) == (None, world.bob.id)
    assert events.agent_id == world.worker.id
    assert events.data["sha256"] == request.sha256
    assert "rm -rf" not in str(stored.data) + str(events.data)  # readers of the board see it


async def test_a_request_with_ids_of_many_bytes_hides_no_other(harness: RequestsHarness) -> None:
    """PostgreSQL cannot compress these ids so that they fit into an index."""
    wide = "".join(chr(0x20000 + 7919 * n % 42_000) for n in range(1_000))
    worker = agent_key(harness.world.worker)
    await harness.fake.request_approval(wide, "ls", worker, silently=True, runId=wide)
    await harness.fake.request_approval("a-1", "ls", worker, silently=True)
    async with harness.run_worker():
        await harness.wait_for_request()
    assert "a-1" in [one.request_id for one in await harness.list_requests()]


async def test_a_gateway_stores_a_limited_number_of_new_requests(harness: RequestsHarness) -> None:
    """It could fill the database of all organizations. What it still lists is stored later."""
    worker = agent_key(harness.world.worker)
    for id in ("a-1", "a-2", "a-3"):
        await harness.fake.request_approval(id, "ls", worker, silently=True)

    async def has_listed_repeatedly() -> bool:
        return [method for method, _ in harness.fake.calls].count("exec.approval.list") > 3

    async with harness.run_worker(poll_interval=0.05, max_stored=2):
        await harness.wait_for(lambda: harness.requests_in(WAITING, WAITING))
        await harness.fake.request_approval("a-4", "ls", worker)
        await harness.wait_for(has_listed_repeatedly)
        assert len(await harness.list_requests()) == 2
    async with harness.run_worker():
        await harness.wait_for(lambda: harness.requests_in(WAITING, WAITING, WAITING, WAITING))


async def test_missed_requests_are_loaded_after_every_connect(
    harness: RequestsHarness,
) -> None:
    worker = agent_key(harness.world.worker)
    await harness.fake.request_approval("a-1", "ls one", worker, silently=True)
    async with harness.run_worker():
        await harness.wait_for_request()
        harness.fake.connect_error = {"code": "UNAVAILABLE", "message": "starting", "close": 1013}
        await harness.fake.close_connections(1012)
        await harness.fake.request_approval("a-2", "ls two", worker, silently=True)
        before = now()
        await harness.fake.decide_elsewhere("a-1", DENY)
        harness.fake.connect_error = None
        first, second = await harness.wait_for(lambda: harness.requests_in(LOST, WAITING))
    assert (first.answer, first.answered_by) == ({"decision": DENY}, "Somebody's phone")
    assert first.answered_by_user_id is None
    assert first.answered_at
    assert before < first.answered_at < now()
    assert first.error == "Somebody's phone answered it."
    assert second.command == "ls two"


async def test_an_answer_that_cannot_be_stored_delays_no_other(
    harness: RequestsHarness,
) -> None:
    worker = agent_key(harness.world.worker)
    question = {"questionId": "tea", "header": "Tea", "question": "Which?", "isOther": True}
    async with harness.run_worker():
        await harness.wait_for(harness.has_listed_questions)
        await harness.fake.ask_questions("q-1", question, agent=worker)
        await harness.wait_for_request()
        answered = {"status": "answered", "answers": {"answers": {"tea": ["Green\0"]}}}
        harness.fake.questions["q-1"] |= answered | {"resolvedBy": "Phone\0"}
        await harness.fake.send_event("question.resolved", {"id": "q-1"})
        [first] = await harness.wait_for(lambda: harness.requests_in(LOST))
        await harness.fake.request_approval("a-1", "ls", worker)
        await harness.wait_for(lambda: harness.requests_in(LOST, WAITING))
    assert (first.answer, first.answered_by) == ({"answers": {}}, "Phone\ufffd")


async def test_polling_finds_requests_whose_events_were_dropped(
    harness: RequestsHarness,
) -> None:
    async with harness.run_worker(poll_interval=0.1):
        await harness.wait_for(harness.has_listed_questions)
        await harness.fake.request_approval(
            "a-1", "ls", agent_key(harness.world.worker), silently=True
        )
        await harness.wait_for_request()
        harness.fake.approvals["a-1"] |= {"status": "expired", "reason": "timeout"}
        await harness.wait_for_request(EXPIRED)


async def test_polling_continues_while_many_events_arrive(harness: RequestsHarness) -> None:
    async def send_events() -> None:
        times = {"createdAtMs": timestamp_ms(), "expiresAtMs": timestamp_ms(30)}
        while True:
            await harness.fake.request_approval(
                "a-2", "ls", agent_key(harness.world.other_worker), times=times
            )
            await asyncio.sleep(0.005)

    async with harness.run_worker(poll_interval=0.1):
        await harness.wait_for(harness.has_listed_questions)
        talking = asyncio.create_task(send_events())
        await harness.wait_for_request()
        await harness.fake.request_approval(
            "a-1", "ls", agent_key(harness.world.worker), silently=True
        )
        await harness.wait_for(lambda: harness.requests_in(WAITING, WAITING))
        talking.cancel()
        await asyncio.wait({talking})


async def test_a_request_that_ends_without_an_answer_has_a_reason(harness: RequestsHarness) -> None:
    async with harness.run_worker():
        await harness.wait_for(harness.has_listed_questions)
        for id in ("a-1", "a-2", "a-3"):
            await harness.fake.request_approval(id, f"ls {id}", agent_key(harness.world.worker))
        await harness.wait_for(lambda: harness.requests_in(WAITING, WAITING, WAITING))
        await harness.fake.end_request("a-1", "expired", "timeout")
        await harness.fake.end_request("a-2", "cancelled", "run-aborted")
        await harness.wait_for(lambda: harness.requests_in(EXPIRED, CANCELLED, WAITING))
        harness.fake.forget_requests()
        await harness.fake.close_connections(1012)
        found = await harness.wait_for(lambda: harness.requests_in(EXPIRED, CANCELLED, LOST))
    assert found[2].error == "The gateway no longer knows this request."
    assert {(one.answer, one.answered_by, one.answered_at) for one in found} == {(None, None, None)}
    assert len(await harness.list_events(EventType.GATEWAY_REQUEST_EXPIRED)) == 1
    assert len(await harness.list_events(EventType.GATEWAY_REQUEST_CANCELLED)) == 1
    assert len(await harness.list_events(EventType.GATEWAY_REQUEST_LOST)) == 1


async def test_only_writers_of_the_board_see_and_answer_requests(harness: RequestsHarness) -> None:
    world, request = harness.world, await harness.create_request()
    for user, error in (
        (world.rita, Forbidden),
        (world.dana, Forbidden),
        (world.charlie, NotFound),
    ):
        with pytest.raises(error):
            await harness.answer_request(user, request, decision=ONCE)
    async with harness.transaction() as session:
        for member, count in (
            (world.alice_member, 1),
            (world.bob_member, 1),
            (world.rita_member, 0),
        ):
            found = await load_waiting_items(session, member)
            assert (len(found.page.items), found.summary.counts.total) == (count, count)
        for member in (world.dana_member, world.charlie_member):
            assert not (await load_waiting_items(session, member)).page.items


async def test_requests_without_a_board_are_for_admins(harness: RequestsHarness) -> None:
    world, request = harness.world, await harness.create_request(agent="main")
    assert (request.agent_id, request.board_id, request.agent_key) == (None, None, "main")
    with pytest.raises(Forbidden):
        await harness.answer_request(world.bob, request, decision=ONCE)
    with pytest.raises(NotFound):
        await harness.answer_request(world.charlie, request, decision=ONCE)
    async with harness.transaction() as session:
        for member, count in ((world.dana_member, 1), (world.bob_member, 0)):
            found = await load_waiting_items(session, member)
            assert (len(found.page.items), found.summary.counts.without_board) == (count, count)
    await harness.answer_request(world.dana, request, decision=ONCE)


async def test_requests_expire_without_the_gateway(
    harness: RequestsHarness,
) -> None:
    late: Any = {"times": {"createdAtMs": timestamp_ms(-31), "expiresAtMs": timestamp_ms(-2)}}
    waits, given = (
        await harness.create_request("a-1", **late),
        await harness.create_request("a-2", **late),
    )
    await harness.create_request("a-3")
    await harness.answer_request(harness.world.bob, given, decision=ONCE)
    async with harness.transaction() as session:
        assert await requests.expire_requests(session) == 2
    async with harness.transaction() as session:
        assert await requests.expire_requests(session) == 0
    assert (await harness.reload(waits)).state is EXPIRED
    given = await harness.reload(given)
    assert (given.state, given.error) == (EXPIRED, "It expired before the answer arrived.")
    with pytest.raises(Conflict) as refused:
        await harness.answer_request(harness.world.bob, waits, decision=ONCE)
    assert refused.value.code == "request_closed"


async def test_an_answer_outlives_its_author_and_the_gateway(
    harness: RequestsHarness,
) -> None:
    world, request = harness.world, await harness.create_request()
    await harness.answer_request(world.bob, request, decision=ONCE)
    async with harness.transaction() as session:
        await session.execute(text("update agents set gateway_id = null"))
        await session.execute(text("delete from gateways"))
        await session.execute(text("delete from users where name = 'Bob'"))
    kept = await harness.reload(request)
    assert (kept.gateway_id, kept.answered_by_user_id) == (None, None)
    assert (kept.gateway_name, kept.answered_by, kept.sha256) == ("Harbour", "Bob", request.sha256)


async def test_only_decisions_that_the_gateway_offers_are_accepted() -> None:
    request = {"command": "ls", "allowedDecisions": ["deny", "burn", 7]}
    stored = read(
        RequestKind.EXEC, {"id": "x", "request": request, "createdAtMs": 1, "expiresAtMs": 2}
    )
    assert stored
    assert stored.allowed_decisions == ["deny"]


async def test_requests_are_filtered_by_state_board_and_gateway(harness: RequestsHarness) -> None:
    world, request = harness.world, await harness.create_request()
    await harness.create_request("a-2", agent="main")
    await harness.answer_request(world.alice, request, decision=ONCE)

    async def found(**filters: Any) -> int:
        async with harness.transaction() as session:
            page = await requests.list_requests(session, world.alice_member, Paging(), **filters)
            return page.total

    assert await found() == 2
    assert await found(state=WAITING) == 1
    assert await found(board_id=world.board.id) == 1
    assert await found(board_id=world.garden.id) == 0
    assert await found(gateway_id=harness.gateway.id) == 2

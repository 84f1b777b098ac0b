"""What agents on gateways ask people: it is shown exactly, answered once, and told to them."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from kit.clock import now
from kit.errors import Conflict, Forbidden, NotFound
from kit.paging import Paging
from models import EventType, GatewayRequest, RequestKind, RequestState
from services import gateway_requests
from services.gateway_requests.reading import one as read
from tests.attended import COLOUR, Attended, hash_of, key_of
from tests.openclaw.asking import moment
from tests.world import token_of

COMMAND = "rm -rf 'build'  --  ./out\n# then nothing"
ONCE, DENY = "allow-once", "deny"
WAITING, ANSWERED = RequestState.WAITING, RequestState.ANSWERED
LOST, EXPIRED, CANCELLED = RequestState.LOST, RequestState.EXPIRED, RequestState.CANCELLED


async def test_a_command_is_asked_about_exactly_answered_once_and_run(there: Attended) -> None:
    """Market need 11."""
    world = there.world
    async with there.held():
        await there.until(there.listened)
        await there.fake.ask("a-1", COMMAND, key_of(world.worker), warningText="Careful.")
        request = await there.request()
        assert (request.command, request.exact) == (COMMAND, COMMAND)
        assert request.sha256 == hash_of(COMMAND)
        assert (request.agent_id, request.board_id) == (world.worker.id, world.board.id)
        assert (request.cwd, request.run_id) == ("/agents/work", "run-1")
        assert request.context == {"host": "gateway", "path": "/usr/bin/rm", "warning": "Careful."}
        assert request.allowed_decisions == [ONCE, DENY]
        assert request.expires_at > now() + timedelta(minutes=29)
        before = now()
        await there.answer(world.bob, request, decision=ONCE)
        request = await there.request(ANSWERED)
        assert there.fake.approvals["a-1"]["decision"] == ONCE
    assert (request.answered_by, request.answered_by_user_id) == ("Bob", world.bob.id)
    assert request.answered_at
    assert request.delivered_at
    assert before < request.answered_at < request.delivered_at < now()
    assert request.answer == {"decision": ONCE}
    [asked] = await there.events(EventType.GATEWAY_REQUEST_ASKED)
    [told] = await there.events(EventType.GATEWAY_REQUEST_ANSWERED)
    assert (asked.user_id, told.user_id) == (None, world.bob.id)
    assert told.agent_id == world.worker.id
    assert told.data["sha256"] == hash_of(COMMAND)
    assert "rm -rf" not in str(asked.data) + str(told.data)  # readers of the board see it


async def test_what_was_asked_while_nobody_listened_is_found_after_every_connection(
    there: Attended,
) -> None:
    worker = key_of(there.world.worker)
    await there.fake.ask("a-1", "ls one", worker, silently=True)
    async with there.held():
        await there.request()
        there.fake.refuses = {"code": "UNAVAILABLE", "message": "starting", "close": 1013}
        await there.fake.drop(1012)
        await there.fake.ask("a-2", "ls two", worker, silently=True)
        before = now()
        await there.fake.decide("a-1", DENY)
        there.fake.refuses = None
        first, second = await there.until(lambda: there.several(LOST, WAITING))
    assert (first.answer, first.answered_by) == ({"decision": DENY}, "Somebody's phone")
    assert first.answered_by_user_id is None
    assert first.answered_at
    assert before < first.answered_at < now()
    assert first.error == "Somebody's phone answered it."
    assert second.command == "ls two"


async def test_events_that_a_gateway_drops_are_made_up_for_by_looking(there: Attended) -> None:
    async with there.held(look_anyway=0.1):
        await there.until(there.listened)
        await there.fake.ask("a-1", "ls", key_of(there.world.worker), silently=True)
        await there.request()
        there.fake.approvals["a-1"] |= {"status": "expired", "reason": "timeout"}
        await there.request(EXPIRED)


async def test_what_was_dropped_is_found_however_much_else_is_asked(there: Attended) -> None:
    async def tell() -> None:
        while True:
            await there.fake.ask("a-2", "ls", key_of(there.world.other_worker))
            await asyncio.sleep(0.005)

    async with there.held(look_anyway=0.1):
        await there.until(there.listened)
        talking = asyncio.create_task(tell())
        await there.request()
        await there.fake.ask("a-1", "ls", key_of(there.world.worker), silently=True)
        await there.until(lambda: there.several(WAITING, WAITING))
        talking.cancel()
        await asyncio.wait({talking})


async def test_what_ends_without_an_answer_says_so(there: Attended) -> None:
    async with there.held():
        await there.until(there.listened)
        for id in ("a-1", "a-2", "a-3"):
            await there.fake.ask(id, f"ls {id}", key_of(there.world.worker))
        await there.until(lambda: there.several(WAITING, WAITING, WAITING))
        await there.fake.end("a-1", "expired", "timeout")
        await there.fake.end("a-2", "cancelled", "run-aborted")
        await there.until(lambda: there.several(EXPIRED, CANCELLED, WAITING))
        there.fake.forget()
        await there.fake.drop(1012)
        found = await there.until(lambda: there.several(EXPIRED, CANCELLED, LOST))
    assert found[2].error == "The gateway knows nothing of it any more."
    assert {(one.answer, one.answered_by, one.answered_at) for one in found} == {(None, None, None)}
    assert len(await there.events(EventType.GATEWAY_REQUEST_EXPIRED)) == 1
    assert len(await there.events(EventType.GATEWAY_REQUEST_CANCELLED)) == 1
    assert len(await there.events(EventType.GATEWAY_REQUEST_LOST)) == 1


async def test_only_who_may_change_the_board_sees_and_answers(there: Attended) -> None:
    world, request = there.world, await there.asked()
    for user, refusal in (
        (world.rita, Forbidden),
        (world.dana, Forbidden),
        (world.charlie, NotFound),
    ):
        with pytest.raises(refusal):
            await there.answer(user, request, decision=ONCE)
    async with there.transaction() as session:
        for member, count in ((world.alices, 1), (world.bobs, 1), (world.ritas, 0)):
            assert len(await gateway_requests.waiting(session, member)) == count
        for member in (world.danas, world.charlies):
            assert not await gateway_requests.waiting(session, member)


async def test_what_an_agent_of_nobodys_asks_is_for_admins(there: Attended) -> None:
    world, request = there.world, await there.asked(agent="main")
    assert (request.agent_id, request.board_id, request.agent_key) == (None, None, "main")
    with pytest.raises(Forbidden):
        await there.answer(world.bob, request, decision=ONCE)
    with pytest.raises(NotFound):
        await there.answer(world.charlie, request, decision=ONCE)
    async with there.transaction() as session:
        assert await gateway_requests.waiting_by_board(session, world.danas) == {None: 1}
        assert await gateway_requests.waiting_by_board(session, world.bobs) == {}
    await there.answer(world.dana, request, decision=ONCE)


async def test_what_nobody_answers_in_time_expires_even_if_the_gateway_never_comes_back(
    there: Attended,
) -> None:
    late: Any = {"times": {"createdAtMs": moment(-31), "expiresAtMs": moment(-2)}}
    waits, given = await there.asked("a-1", **late), await there.asked("a-2", **late)
    await there.asked("a-3")
    await there.answer(there.world.bob, given, decision=ONCE)
    async with there.transaction() as session:
        assert await gateway_requests.expire(session) == 2
    async with there.transaction() as session:
        assert await gateway_requests.expire(session) == 0
    assert (await there.shown(waits)).state is EXPIRED
    given = await there.shown(given)
    assert (given.state, given.error) == (EXPIRED, "It expired before the answer arrived.")
    with pytest.raises(Conflict) as refused:
        await there.answer(there.world.bob, waits, decision=ONCE)
    assert refused.value.code == "request_over"


async def test_a_token_in_what_is_asked_is_kept_nowhere_and_the_hash_is_of_every_byte(
    there: Attended,
) -> None:
    token, other = token_of(there.world.worker), token_of(there.world.lead)
    command = f"curl -H 'X-Agent-Token: {token}' {there.gateway.url}"
    context = {"cwd": f"/{token}", "resolvedPath": f"/bin/{token}", "warningText": f"{token}!"}
    request = await there.asked(command=command, **context)
    assert request.command == f"curl -H 'X-Agent-Token: mc_agent_***' {there.gateway.url}"
    assert request.sha256 == hash_of(command)
    assert request.is_masked
    assert not (await there.asked("a-2")).is_masked
    await there.fake.ask_person("q-1", {**COLOUR, "question": f"Is {token} or {other} blue?"})
    async with there.held():
        [*_, question] = await there.until(lambda: there.several(WAITING, WAITING, WAITING))
        assert question.questions[0]["question"] == "Is mc_agent_*** or mc_agent_*** blue?"
        assert question.is_masked
        for one in (request, question):
            wish = {"decision": ONCE} if one is request else {"answers": {"colour": ["Blue"]}}
            await there.answer(there.world.alice, one, **wish)
        await there.until(lambda: there.several(ANSWERED, WAITING, ANSWERED))
    for table in ("gateway_requests", "activity_events"):
        async with there.transaction() as session:
            rows = await session.scalars(text(f"select one::text from {table} as one"))
            kept = "\n".join(rows)
        assert hash_of(command) in kept
        assert token not in kept
        assert other not in kept


async def test_code_that_is_older_writes_down_a_request_and_its_hash_is_made(
    there: Attended,
) -> None:
    """While a new version is started the old one goes on, and tells no hash."""
    request = await there.asked()
    columns = [one.name for one in GatewayRequest.__table__.columns]
    new = {"id": "gen_random_uuid()", "request_id": "'a-2'", "exact": "'ls -l'", "sha256": "null"}
    values = ", ".join(new.get(name, name) for name in columns)
    copied = f"insert into gateway_requests ({', '.join(columns)}) select {values}"
    async with there.transaction() as session:
        await session.execute(text(f"{copied} from gateway_requests"))
    [made] = [one for one in await there.requests() if one.id != request.id]
    assert (made.exact, made.sha256) == ("ls -l", hash_of("ls -l"))


@pytest.mark.parametrize(
    "change",
    [
        {"exact": "ls -l"},
        {"sha256": "0" * 64},
        {"cwd": "/"},
        {"request_id": "a-2"},
        {"answer": {"decision": DENY}},
        {"answered_by": "Rita"},
        {"answered_at": None},
    ],
)
async def test_what_was_asked_and_answered_cannot_be_rewritten(
    there: Attended, change: dict[str, Any]
) -> None:
    request = await there.asked()
    await there.answer(there.world.bob, request, decision=ONCE)
    with pytest.raises(DBAPIError, match="is never changed"):
        await there.change(request, **change)


async def test_nobody_can_be_made_to_have_answered_instead(there: Attended) -> None:
    request = await there.asked()
    await there.answer(there.world.bob, request, decision=ONCE)
    with pytest.raises(DBAPIError, match="is never changed"):
        await there.change(request, answered_by_user_id=there.world.alice.id)


async def test_what_was_answered_outlives_who_answered_and_the_gateway(there: Attended) -> None:
    world, request = there.world, await there.asked()
    await there.answer(world.bob, request, decision=ONCE)
    async with there.transaction() as session:
        await session.execute(text("update agents set gateway_id = null"))
        await session.execute(text("delete from gateways"))
        await session.execute(text("delete from users where name = 'Bob'"))
    kept = await there.shown(request)
    assert (kept.gateway_id, kept.answered_by_user_id) == (None, None)
    assert (kept.gateway_name, kept.answered_by, kept.sha256) == ("Harbour", "Bob", hash_of("ls"))


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        {"id": "x", "request": {"command": ""}, "createdAtMs": 1, "expiresAtMs": 2},
        {"id": "x", "request": {"command": "ls\0"}, "createdAtMs": 1, "expiresAtMs": 2},
        {"id": "x", "request": {"command": "ls\ud800"}, "createdAtMs": 1, "expiresAtMs": 2},
        {"id": "x", "request": {"command": "l" * 100_001}, "createdAtMs": 1, "expiresAtMs": 2},
        {"id": "x", "request": {"command": "ls"}, "createdAtMs": "soon", "expiresAtMs": 2},
        {"id": 1, "request": {"command": "ls"}, "createdAtMs": 1, "expiresAtMs": 2},
        {"id": "x", "request": [], "createdAtMs": 1, "expiresAtMs": 1e300},
    ],
)
def test_what_cannot_be_shown_exactly_is_not_shown_at_all(said: Any) -> None:
    assert read(RequestKind.EXEC, said) is None


@pytest.mark.parametrize(
    "questions",
    [[], "x", [1], [{}], [{**COLOUR, "options": "x"}], [{**COLOUR, "options": [{"label": ""}]}]],
)
def test_questions_that_make_no_sense_are_not_shown(questions: Any) -> None:
    said = {"id": "q", "questions": questions, "createdAtMs": 1, "expiresAtMs": 2}
    assert read(RequestKind.QUESTION, said) is None


async def test_only_what_a_gateway_offers_can_be_decided() -> None:
    request = {"command": "ls", "allowedDecisions": ["deny", "burn", 7]}
    asked = read(
        RequestKind.EXEC, {"id": "x", "request": request, "createdAtMs": 1, "expiresAtMs": 2}
    )
    assert asked
    assert asked.allowed_decisions == ["deny"]


async def test_lists_are_narrowed_by_state_board_and_gateway(there: Attended) -> None:
    world, request = there.world, await there.asked()
    await there.asked("a-2", agent="main")
    await there.answer(world.alice, request, decision=ONCE)

    async def found(**filters: Any) -> int:
        async with there.transaction() as session:
            page = await gateway_requests.listed(session, world.alices, Paging(), **filters)
            return page.total

    assert await found() == 2
    assert await found(state=WAITING) == 1
    assert await found(board_id=world.board.id) == 1
    assert await found(board_id=world.garden.id) == 0
    assert await found(gateway_id=there.gateway.id) == 2

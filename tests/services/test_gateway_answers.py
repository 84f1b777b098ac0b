"""What people answer to agents on gateways: once, to what they saw, and the gateway is told."""

import asyncio

import pytest

from kit.errors import Conflict, Invalid
from models import EventType, RequestKind, RequestState
from services import gateway_requests
from services.gateway_requests import Wish
from tests.attended import COLOUR, Attended, hash_of, key_of
from tests.world import token_of

ONCE, DENY = "allow-once", "deny"
WAITING, ANSWERED = RequestState.WAITING, RequestState.ANSWERED
LOST, EXPIRED, CANCELLED = RequestState.LOST, RequestState.EXPIRED, RequestState.CANCELLED


async def test_an_answer_waits_for_a_gateway_that_is_away_and_is_told_when_it_is_back(
    there: Attended,
) -> None:
    await there.fake.ask("a-1", "ls", key_of(there.world.worker), silently=True)
    async with there.held():
        request = await there.request()
    await there.answer(there.world.alice, request, decision=DENY)
    assert (await there.shown(request)).state is RequestState.ANSWERING
    assert there.fake.approvals["a-1"]["status"] == "pending"
    async with there.held():
        request = await there.request(ANSWERED)
    assert there.fake.approvals["a-1"]["status"] == "denied"


async def test_who_stops_between_telling_and_noting_tells_again_and_does_no_harm(
    there: Attended,
) -> None:
    """The gateway had the answer, and the process died before it wrote that down."""
    await there.fake.ask("a-1", "ls", key_of(there.world.worker), silently=True)
    await there.fake.ask_person("q-1", COLOUR)
    async with there.held():
        command, question = await there.until(lambda: there.several(WAITING, WAITING))
    await there.answer(there.world.alice, command, decision=ONCE)
    await there.answer(there.world.alice, question, answers={"colour": ["Blue"]})
    there.fake._settle("a-1", ONCE, "Mission Control")
    told = {"id": "q-1", "answers": {"answers": {"colour": ["Blue"]}}}
    there.fake._answer_question({**told, "resolutionId": str(question.id)})
    async with there.held():
        await there.until(lambda: there.several(ANSWERED, ANSWERED))


async def test_who_answers_on_the_gateway_first_has_answered(there: Attended) -> None:
    worker = key_of(there.world.worker)
    await there.fake.ask("a-1", "ls", worker, silently=True)
    async with there.held():
        request = await there.request()
    await there.answer(there.world.bob, request, decision=ONCE)
    there.fake._settle("a-1", DENY, "Somebody's phone")
    async with there.held():
        request = await there.request(LOST)
    assert request.error == "Somebody's phone had answered it before."
    assert (request.answer, request.answered_by) == ({"decision": ONCE}, "Bob")
    assert request.delivered_at is None


async def test_an_answer_that_a_gateway_refuses_is_lost_and_says_why(there: Attended) -> None:
    await there.fake.ask("a-1", "ls", key_of(there.world.worker), silently=True)
    async with there.held():
        request = await there.request()
    await there.answer(there.world.bob, request, decision=ONCE)
    there.fake.approvals["a-1"]["request"]["allowedDecisions"] = [DENY]
    async with there.held():
        request = await there.request(LOST)
    assert request.error == "The gateway does not take the answer: not any more"


async def test_an_answer_is_not_told_to_a_gateway_that_asks_something_else_under_the_same_id(
    there: Attended,
) -> None:
    await there.fake.ask("a-1", "ls", key_of(there.world.worker), silently=True)
    async with there.held():
        request = await there.request()
    await there.answer(there.world.bob, request, decision=ONCE)
    there.fake.approvals["a-1"]["request"]["command"] = "ls "
    async with there.held():
        request = await there.request(LOST)
    assert request.error == "The gateway asks something else now, so it was not told the answer."
    assert there.fake.approvals["a-1"]["status"] == "pending"


async def test_an_answer_is_not_told_for_another_token_under_the_same_mask(
    there: Attended,
) -> None:
    world = there.world
    request = await there.asked(command=f"login {token_of(world.worker)}")
    await there.answer(world.bob, request, decision=ONCE)
    there.fake.approvals["a-1"]["request"]["command"] = f"login {token_of(world.lead)}"
    async with there.held():
        await there.request(LOST)
    assert there.fake.approvals["a-1"]["status"] == "pending"


async def test_a_gateway_that_is_about_to_stop_is_told_the_answers_for_which_it_waits(
    there: Attended,
) -> None:
    await there.fake.ask("a-1", "ls", key_of(there.world.worker), silently=True)
    async with there.held():
        await there.until(there.listened)
        await there.fake.ask_person("q-1", COLOUR)
        command, question = await there.until(lambda: there.several(WAITING, WAITING))
        there.fake.is_closing = True
        await there.answer(there.world.alice, command, decision=ONCE)
        await there.answer(there.world.alice, question, answers={"colour": ["Blue"]})
        await there.until(lambda: there.several(ANSWERED, ANSWERED))
    assert there.fake.approvals["a-1"]["decision"] == ONCE
    assert there.fake.questions["q-1"]["status"] == "answered"


async def test_a_gateway_that_is_about_to_stop_is_told_nothing_to_what_it_was_not_heard_asking(
    there: Attended,
) -> None:
    """It may have been started anew since, and what it asks now nobody has seen."""
    request = await there.asked()
    await there.answer(there.world.alice, request, decision=ONCE)
    there.fake.is_closing = True
    there.fake.calls.clear()

    async def asked_often() -> bool:
        return [method for method, _ in there.fake.calls].count("exec.approval.list") > 3

    async with there.held():
        await there.until(asked_often)
    assert (await there.shown(request)).state is RequestState.ANSWERING
    assert there.fake.approvals["a-1"]["status"] == "pending"


async def test_of_an_answer_that_was_given_on_the_gateway_no_secret_is_kept(
    there: Attended,
) -> None:
    token, free = token_of(there.world.worker), {**COLOUR, "options": []}
    await there.fake.ask_person("q-1", {**free, "isSecret": True})
    await there.fake.ask_person("q-2", free)
    async with there.held():
        await there.until(lambda: there.several(WAITING, WAITING))
    for id, said in (("q-1", "hush"), ("q-2", f"With {token}.")):
        answers = {"answers": {"colour": [said]}}
        there.fake._answer_question({"id": id, "answers": answers, "resolvedBy": "A phone"})
    async with there.held():
        secret, told = await there.until(lambda: there.several(LOST, LOST))
    assert (secret.answer, secret.answered_by) == ({"answers": {}}, "A phone")
    assert told.answer == {"answers": {"colour": ["With mc_agent_***."]}}


async def test_questions_are_answered_with_what_is_offered_or_said(there: Attended) -> None:
    free = {"questionId": "why", "header": "Why", "question": "Why?", "options": []}
    many = {**COLOUR, "questionId": "many", "multiSelect": True, "isOther": True}
    async with there.held():
        await there.until(there.listened)
        await there.fake.ask_person("q-1", COLOUR, free, many, agent=key_of(there.world.lead))
        request = await there.request()
        assert request.questions == [COLOUR, free, many]
        assert (request.kind, request.command) == (RequestKind.QUESTION, None)
        good = {"colour": ["Blue"], "why": [" Because. "], "many": ["Red", "Green", ""]}
        for bad in (
            {},
            {"colour": ["Green"]},
            {"colour": ["Blue", "Red"]},
            {"why": ["  "]},
            {"other": ["x"]},
        ):
            with pytest.raises(Invalid):
                await there.answer(there.world.bob, request, answers=bad and good | bad)
        with pytest.raises(Invalid):
            await there.answer(there.world.bob, request, decision=ONCE)
        await there.answer(there.world.bob, request, answers=good)
        await there.request(ANSWERED)
    kept = there.fake.questions["q-1"]
    expected = {"colour": ["Blue"], "why": ["Because."], "many": ["Red", "Green"]}
    assert kept["answers"] == {"answers": expected}
    assert kept["resolvedBy"] == "Bob (Mission Control)"


async def test_a_question_may_be_left_unanswered(there: Attended) -> None:
    async with there.held():
        await there.until(there.listened)
        await there.fake.ask_person("q-1", COLOUR)
        await there.answer(there.world.alice, await there.request(), cancel=True)
        request = await there.request(ANSWERED)
    assert there.fake.questions["q-1"]["status"] == "cancelled"
    assert request.answer == {"cancel": True}


async def test_a_secret_is_not_answered_here(there: Attended) -> None:
    async with there.held():
        await there.until(there.listened)
        await there.fake.ask_person("q-1", {**COLOUR, "options": [], "isSecret": True})
        request = await there.request()
    with pytest.raises(Conflict) as refused:
        await there.answer(there.world.alice, request, answers={"colour": ["hush"]})
    assert refused.value.code == "request_secret"


async def test_an_answer_counts_only_for_what_was_seen(there: Attended) -> None:
    request = await there.asked()
    for other in (hash_of("ls "), request.sha256[:-1] + "g", ""):
        with pytest.raises(Conflict) as refused:
            await there.answer(there.world.bob, request, sha256=other, decision=ONCE)
        assert refused.value.code == "request_differs"
    with pytest.raises(Invalid):
        await there.answer(there.world.bob, request, decision="allow-always")
    assert (await there.shown(request)).state is WAITING


async def test_of_two_who_answer_at_once_exactly_one_has(there: Attended) -> None:
    for number in range(8):
        request = await there.asked(f"a-{number}")
        tries = [
            there.answer(user, request, decision=decision)
            for user, decision in ((there.world.alice, ONCE), (there.world.bob, DENY))
        ]
        results = await asyncio.gather(*tries, return_exceptions=True)
        [lost] = [one for one in results if isinstance(one, Exception)]
        assert isinstance(lost, Conflict)
        assert lost.code == "already_answered"
        kept = await there.shown(request)
        assert lost.details["by"] == kept.answered_by
    events = await there.events(EventType.GATEWAY_REQUEST_ANSWERED)
    assert len(events) == 8


async def test_who_has_looked_before_another_answered_answers_nothing(there: Attended) -> None:
    """Whoever answers on a page has the request loaded before they come to hold it."""
    world, request = there.world, await there.asked()
    wish = Wish(request.sha256, decision=DENY)
    async with there.transaction() as session:
        seen = await gateway_requests.found(session, world.alice, request.id)
        assert seen.is_waiting
        await there.answer(world.bob, request, decision=ONCE)
        with pytest.raises(Conflict) as refused:
            await gateway_requests.answer(session, world.alice, request.id, wish)
    assert refused.value.details["by"] == seen.request.answered_by == "Bob"
    assert (await there.shown(request)).answer == {"decision": ONCE}


async def test_saying_the_same_again_changes_nothing(there: Attended) -> None:
    request = await there.asked()
    for _ in range(2):
        await there.answer(there.world.bob, request, decision=ONCE)
    for user, decision in ((there.world.bob, DENY), (there.world.alice, ONCE)):
        with pytest.raises(Conflict) as refused:
            await there.answer(user, request, decision=decision)
        assert refused.value.details["by"] == "Bob"
    assert len(await there.events(EventType.GATEWAY_REQUEST_ANSWERED)) == 1

"""Answers to requests: given once, for the content that was seen, and delivered."""

import asyncio
from typing import Any

import pytest

from core.errors import Conflict, Invalid
from models import EventType, RequestKind, RequestState
from services.gateways import requests
from services.gateways.requests import GatewayAnswer
from services.gateways.requests.rules import validate_answer
from tests.support.fake_gateway import ErrorResponse
from tests.support.people_rows import token_secret
from tests.support.requests_gateway import COLOUR, RequestsHarness, agent_key, sha256_of
from tests.support.tiers import repetition

ONCE, DENY = "allow-once", "deny"
WAITING, ANSWERED = RequestState.WAITING, RequestState.ANSWERED
LOST, EXPIRED, CANCELLED = RequestState.LOST, RequestState.EXPIRED, RequestState.CANCELLED


async def test_an_answer_is_delivered_when_the_gateway_is_reachable_again(
    harness: RequestsHarness,
) -> None:
    await harness.fake.request_approval("a-1", "ls", agent_key(harness.world.worker), silently=True)
    async with harness.run_worker():
        request = await harness.wait_for_request()
    await harness.answer_request(harness.world.alice, request, decision=DENY)
    assert (await harness.reload(request)).state is RequestState.ANSWERING
    assert harness.fake.approvals["a-1"]["status"] == "pending"
    async with harness.run_worker():
        request = await harness.wait_for_request(ANSWERED)
    assert harness.fake.approvals["a-1"]["status"] == "denied"


async def test_a_second_delivery_of_the_same_answer_does_no_harm(
    harness: RequestsHarness,
) -> None:
    """The gateway received the answer, and the process was killed before it recorded that."""
    await harness.fake.request_approval("a-1", "ls", agent_key(harness.world.worker), silently=True)
    await harness.fake.ask_questions("q-1", COLOUR)
    async with harness.run_worker():
        command, question = await harness.wait_for(lambda: harness.requests_in(WAITING, WAITING))
    await harness.answer_request(harness.world.alice, command, decision=ONCE)
    await harness.answer_request(harness.world.alice, question, answers={"colour": ["Blue"]})
    harness.fake._record_decision("a-1", ONCE, "Mission Control")
    delivered = {"id": "q-1", "answers": {"answers": {"colour": ["Blue"]}}}
    harness.fake._resolve_question({**delivered, "resolutionId": str(question.id)})
    async with harness.run_worker():
        await harness.wait_for(lambda: harness.requests_in(ANSWERED, ANSWERED))


async def test_the_first_answer_on_the_gateway_counts(harness: RequestsHarness) -> None:
    worker = agent_key(harness.world.worker)
    await harness.fake.request_approval("a-1", "ls", worker, silently=True)
    async with harness.run_worker():
        request = await harness.wait_for_request()
    await harness.answer_request(harness.world.bob, request, decision=ONCE)
    harness.fake._record_decision("a-1", DENY, "Somebody's phone")
    async with harness.run_worker():
        request = await harness.wait_for_request(LOST)
    assert request.error == "Somebody's phone had answered it before."
    assert (request.answer, request.answered_by) == ({"decision": ONCE}, "Bob")
    assert request.delivered_at is None


def refuse_decision(_params: Any) -> Any:
    raise ErrorResponse("INVALID_REQUEST", "not any more", details={"reason": "REFUSED"})


async def test_a_rejected_answer_is_lost_with_a_reason(
    harness: RequestsHarness,
) -> None:
    await harness.fake.request_approval("a-1", "ls", agent_key(harness.world.worker), silently=True)
    async with harness.run_worker():
        request = await harness.wait_for_request()
    await harness.answer_request(harness.world.bob, request, decision=ONCE)
    harness.fake.handlers["exec.approval.resolve"] = refuse_decision
    async with harness.run_worker():
        request = await harness.wait_for_request(LOST)
    assert request.error == "The gateway does not accept the answer: not any more"


async def test_an_answer_is_not_delivered_to_another_content_with_the_same_id(
    harness: RequestsHarness,
) -> None:
    await harness.fake.request_approval("a-1", "ls", agent_key(harness.world.worker), silently=True)
    async with harness.run_worker():
        request = await harness.wait_for_request()
    await harness.answer_request(harness.world.bob, request, decision=ONCE)
    harness.fake.approvals["a-1"]["request"]["command"] = "ls "
    async with harness.run_worker():
        request = await harness.wait_for_request(LOST)
    expected = "The gateway now uses the"  # found while delivering, or in the next list
    assert request.error
    assert request.error.startswith(expected)
    assert harness.fake.approvals["a-1"]["status"] == "pending"


async def test_an_answer_is_not_delivered_if_a_masked_token_differs(
    harness: RequestsHarness,
) -> None:
    world = harness.world
    request = await harness.create_request(command=f"login {token_secret(world.worker)}")
    await harness.answer_request(world.bob, request, decision=ONCE)
    harness.fake.approvals["a-1"]["request"]["command"] = f"login {token_secret(world.lead)}"
    async with harness.run_worker():
        await harness.wait_for_request(LOST)
    assert harness.fake.approvals["a-1"]["status"] == "pending"


async def test_a_stopping_gateway_receives_the_answers_that_it_waits_for(
    harness: RequestsHarness,
) -> None:
    await harness.fake.request_approval("a-1", "ls", agent_key(harness.world.worker), silently=True)
    async with harness.run_worker():
        await harness.wait_for(harness.has_listed_questions)
        await harness.fake.ask_questions("q-1", COLOUR)
        command, question = await harness.wait_for(lambda: harness.requests_in(WAITING, WAITING))
        harness.fake.is_closing = True
        await harness.answer_request(harness.world.alice, command, decision=ONCE)
        await harness.answer_request(harness.world.alice, question, answers={"colour": ["Blue"]})
        await harness.wait_for(lambda: harness.requests_in(ANSWERED, ANSWERED))
    assert harness.fake.approvals["a-1"]["decision"] == ONCE
    assert harness.fake.questions["q-1"]["status"] == "answered"


async def test_a_stopping_gateway_receives_no_answer_to_an_unknown_content(
    harness: RequestsHarness,
) -> None:
    """It may have been restarted, and nobody has seen its present request."""
    request = await harness.create_request()
    await harness.answer_request(harness.world.alice, request, decision=ONCE)
    harness.fake.is_closing = True
    harness.fake.calls.clear()

    async def has_listed_repeatedly() -> bool:
        return [method for method, _ in harness.fake.calls].count("exec.approval.list") > 3

    async with harness.run_worker(poll_interval=0.1):
        await harness.wait_for(has_listed_repeatedly)
    assert (await harness.reload(request)).state is RequestState.ANSWERING
    assert harness.fake.approvals["a-1"]["status"] == "pending"


async def test_secrets_in_answers_on_the_gateway_are_not_stored(
    harness: RequestsHarness,
) -> None:
    token, free = token_secret(harness.world.worker), {**COLOUR, "options": []}
    await harness.fake.ask_questions("q-1", {**free, "isSecret": True})
    await harness.fake.ask_questions("q-2", free)
    async with harness.run_worker():
        await harness.wait_for(lambda: harness.requests_in(WAITING, WAITING))
    for id, texts in (("q-1", "hush"), ("q-2", f"With {token}.")):
        answers = {"answers": {"colour": [texts]}}
        harness.fake._resolve_question({"id": id, "answers": answers, "resolvedBy": "A phone"})
    async with harness.run_worker():
        secret, delivered = await harness.wait_for(lambda: harness.requests_in(LOST, LOST))
    assert (secret.answer, secret.answered_by) == ({"answers": {}}, "A phone")
    assert delivered.answer == {"answers": {"colour": ["With mc_agent_***."]}}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param([["Blue"]], {}, marks=repetition),
        ("Blue", {}),
        ({"colour": "Blue", "\ud83d": ["Blue"]}, {"\ufffd": ["Blue"]}),
        ({"colour": ["Blue", 5, None, {"a": [1]}], "later": 7, "size": {}}, {"colour": ["Blue"]}),
    ],
)
async def test_only_texts_of_answers_on_the_gateway_are_stored(
    harness: RequestsHarness, given: Any, kept: dict[str, list[str]]
) -> None:
    await harness.fake.ask_questions("q-1", COLOUR)
    async with harness.run_worker():
        await harness.wait_for_request()
    answers = {"answers": given}
    harness.fake._resolve_question({"id": "q-1", "answers": answers, "resolvedBy": "A phone"})
    async with harness.run_worker():
        request = await harness.wait_for_request(LOST)
    assert request.answer == {"answers": kept}


async def test_questions_accept_offered_options_and_free_text(harness: RequestsHarness) -> None:
    free = {"questionId": "why", "header": "Why", "question": "Why?", "options": []}
    many = {**COLOUR, "questionId": "many", "multiSelect": True, "isOther": True}
    async with harness.run_worker():
        await harness.wait_for(harness.has_listed_questions)
        await harness.fake.ask_questions(
            "q-1", COLOUR, free, many, agent=agent_key(harness.world.lead)
        )
        request = await harness.wait_for_request()
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
                await harness.answer_request(harness.world.bob, request, answers=bad and good | bad)
        with pytest.raises(Invalid):
            await harness.answer_request(harness.world.bob, request, decision=ONCE)
        await harness.answer_request(harness.world.bob, request, answers=good)
        await harness.wait_for_request(ANSWERED)
    kept = harness.fake.questions["q-1"]
    expected = {"colour": ["Blue"], "why": ["Because."], "many": ["Red", "Green"]}
    assert kept["answers"] == {"answers": expected}
    assert kept["resolvedBy"] == "Bob (Mission Control)"


async def test_a_question_can_be_cancelled(harness: RequestsHarness) -> None:
    async with harness.run_worker():
        await harness.wait_for(harness.has_listed_questions)
        await harness.fake.ask_questions("q-1", COLOUR)
        await harness.answer_request(
            harness.world.alice, await harness.wait_for_request(), cancel=True
        )
        request = await harness.wait_for_request(ANSWERED)
    assert harness.fake.questions["q-1"]["status"] == "cancelled"
    assert request.answer == {"cancel": True}


async def test_a_request_for_a_secret_cannot_be_answered_here(harness: RequestsHarness) -> None:
    async with harness.run_worker():
        await harness.wait_for(harness.has_listed_questions)
        await harness.fake.ask_questions("q-1", {**COLOUR, "options": [], "isSecret": True})
        request = await harness.wait_for_request()
    with pytest.raises(Conflict) as refused:
        await harness.answer_request(harness.world.alice, request, answers={"colour": ["hush"]})
    assert refused.value.code == "request_asks_for_secret"


async def test_an_answer_counts_only_for_the_content_that_was_seen(
    harness: RequestsHarness,
) -> None:
    request = await harness.create_request()
    for other in (sha256_of("ls "), "0" * 64):
        with pytest.raises(Conflict) as refused:
            await harness.answer_request(harness.world.bob, request, sha256=other, decision=ONCE)
        assert refused.value.code == "request_changed"
    with pytest.raises(Invalid):
        await harness.answer_request(harness.world.bob, request, decision="allow-always")
    assert (await harness.reload(request)).state is WAITING


async def test_of_two_concurrent_answers_exactly_one_counts(harness: RequestsHarness) -> None:
    for number in range(8):
        request = await harness.create_request(f"a-{number}")
        tries = [
            harness.answer_request(user, request, decision=decision)
            for user, decision in ((harness.world.alice, ONCE), (harness.world.bob, DENY))
        ]
        results = await asyncio.gather(*tries, return_exceptions=True)
        [lost] = [one for one in results if isinstance(one, Exception)]
        assert isinstance(lost, Conflict)
        assert lost.code == "already_answered"
        kept = await harness.reload(request)
        assert lost.details["by"] == kept.answered_by
    events = await harness.list_events(EventType.GATEWAY_REQUEST_ANSWERED)
    assert len(events) == 8


async def test_a_request_without_decisions_says_where_to_answer(harness: RequestsHarness) -> None:
    request = await harness.create_request()
    request.allowed_decisions = []
    with pytest.raises(Invalid) as refused:
        validate_answer(request, GatewayAnswer(sha256=request.sha256, decision=ONCE))
    assert refused.value.code == "decision_invalid"
    assert refused.value.message.startswith("The gateway offers no decision.")


async def test_an_answer_based_on_an_outdated_read_is_rejected(
    harness: RequestsHarness,
) -> None:
    """A page loads the request before the answer locks it."""
    world, request = harness.world, await harness.create_request()
    answer = GatewayAnswer(sha256=request.sha256, decision=DENY)
    async with harness.transaction() as session:
        seen = await requests.get_request(session, world.alice, request.id)
        assert seen.is_waiting
        await harness.answer_request(world.bob, request, decision=ONCE)
        with pytest.raises(Conflict) as refused:
            await requests.answer_request(session, world.alice, request.id, answer)
    assert refused.value.details["by"] == seen.request.answered_by == "Bob"
    assert (await harness.reload(request)).answer == {"decision": ONCE}


async def test_repeating_an_answer_changes_nothing(harness: RequestsHarness) -> None:
    request = await harness.create_request()
    for _ in range(2):
        await harness.answer_request(harness.world.bob, request, decision=ONCE)
    for user, decision in ((harness.world.bob, DENY), (harness.world.alice, ONCE)):
        with pytest.raises(Conflict) as refused:
            await harness.answer_request(user, request, decision=decision)
        assert refused.value.details["by"] == "Bob"
    assert len(await harness.list_events(EventType.GATEWAY_REQUEST_ANSWERED)) == 1


async def test_questions_with_the_same_id_cannot_be_answered_apart(
    harness: RequestsHarness,
) -> None:
    async with harness.run_worker():
        await harness.wait_for(harness.has_listed_questions)
        await harness.fake.ask_questions("q-1", COLOUR, {**COLOUR, "question": "And the door?"})
        request = await harness.wait_for_request()
    with pytest.raises(Conflict) as refused:
        await harness.answer_request(harness.world.alice, request, answers={"colour": ["Blue"]})
    assert refused.value.code == "question_ids_equal"
    await harness.answer_request(harness.world.alice, request, cancel=True)

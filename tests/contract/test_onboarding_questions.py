"""Questions and drafts of an interviewer: which are accepted, from whom, and who answers."""

import json
from typing import Any

import pytest

from core.db.engine import TransactionFactory
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.onboarding_api import GOAL, interviewer, list_messages, main, start
from tests.support.world import World

__all__ = ["interviewer", "main"]


@pytest.mark.parametrize(
    "output",
    [
        {"question": "Why?", "options": ["Fun", "I'll type it"]},
        {"question": "Why?", "options": [{"text": "Fun"}]},
        '```json\n{"question": "Why?", "options": ["Fun"]}\n```',
        '{"question": "Why?"}',
        "Why?",
        'Here it is:\n```json\n{"question": "Why?"}\n```\nThanks.',
        {"question": {"text": "Why?"}, "options": {"1": "Fun"}},
        {"message": "Why?", "options": "Fun"},
        {"status": "asking", "question": "Why?", "options": None},
    ],
)
async def test_a_question_is_accepted_in_many_formats(
    bob: Client, interviewer: Client, world: World, output: object
) -> None:
    """W-40."""
    path = f"/boards/{world.board.id}/onboarding"
    await start(bob, world)
    asked = await interviewer.post(f"{path}/agent", json=output)
    assert asked.status_code == 200, asked.text
    assert json.loads(asked.json()["messages"][-1]["content"])["question"] == "Why?"


@pytest.mark.parametrize(
    "output",
    [
        {},
        {"question": "  "},
        {"question": "Why?", "options": [{"id": "1"}]},
        {"status": "complete"},
        {"status": "complete", "board_type": "goal"},
        {"status": "complete", "board_type": "goal", "objective": "Launch", "success_metrics": {}},
        {"status": "done", **GOAL},
        {"status": "complete", **GOAL, "lead_agent": {"verbosity": "chatty"}},
        {"question": "Why?", "options": [[[]]]},
        '{"question": "Why\\u0000?"}',
        '{"question": "Why?", "options": ["a\\u0000b"]}',
        '{"status": "complete", "board_type": "x", "success_metrics": {"a": "\\u0000"}}',
        " ",
        7,
        None,
    ],
)
async def test_other_messages_than_questions_and_drafts_are_rejected(
    bob: Client, interviewer: Client, world: World, output: object
) -> None:
    """10.4."""
    path = f"/boards/{world.board.id}/onboarding"
    opened = await start(bob, world)
    rejected = await interviewer.post(f"{path}/agent", content=json.dumps(output))
    assert rejected.status_code == 422, rejected.text
    assert (await bob.get(path)).json()["messages"] == opened["messages"]


async def test_who_may_ask_questions(
    bob: Client,
    interviewer: Client,
    lead: Client,
    worker: Client,
    client_for: ClientFactory,
    transaction: TransactionFactory,
    world: World,
) -> None:
    """10.4. Point 8: only the main agent of the board's gateway."""
    gateway = make_gateway(world.tern, name="Elsewhere")
    theirs = make_gateway(world.plover)
    other, foreign = make_main_agent(gateway, "Other"), make_main_agent(theirs, "Foreign")
    async with transaction() as session:
        session.add_all([gateway, theirs])
        await session.flush()
        session.add_all([*other, *foreign])
    await start(bob, world)
    path = f"/boards/{world.board.id}/onboarding"
    for endpoint in (f"{path}/agent", f"/agent{path}"):
        for client, status in (
            (bob, 401),
            (lead, 403),
            (worker, 403),
            (client_for(other[0]), 403),
            (client_for(foreign[0]), 404),
            (interviewer, 200),
        ):
            answer = await client.post(endpoint, json={"question": "Why?"})
            assert answer.status_code == status, (endpoint, answer.text)


async def test_who_may_answer_and_confirm(
    rita: Client, charlie: Client, bob: Client, world: World
) -> None:
    """10.1 to 10.5: readers read, writers continue, strangers find nothing."""
    opened = await start(bob, world)
    path = f"/boards/{world.board.id}/onboarding"
    assert (await rita.get(path)).json()["id"] == opened["id"]
    assert (await charlie.get(path)).status_code == 404
    calls: dict[str, dict[str, Any]] = {"start": {}, "restart": {}, "answer": {"answer": "Yes"}}
    for name, body in (calls | {"confirm": GOAL}).items():
        assert (await rita.post(f"{path}/{name}", json=body)).status_code == 403
        assert (await charlie.post(f"{path}/{name}", json=body)).status_code == 404
    assert (await bob.get(path)).json() == opened


async def test_the_examples_of_the_briefing_are_accepted(
    bob: Client, interviewer: Client, world: World
) -> None:
    """10.2: each example in the message is sent to the address in the message."""
    await start(bob, world)
    [briefing] = await list_messages(interviewer)
    lines = dict(line.split(": ", 1) for line in briefing["content"].splitlines() if ": " in line)
    address = lines["Ask, and send the draft"].removeprefix("POST ")
    path = address.removeprefix(f"{lines['Base URL']}/api/v1")
    for example, status in (("A question", "active"), ("A draft", "completed")):
        accepted = await interviewer.post(path, json=json.loads(lines[example]))
        assert accepted.status_code == 200, accepted.text
        assert accepted.json()["status"] == status
        assert json.loads(accepted.json()["messages"][-1]["content"])


async def test_an_answer_can_name_its_question(
    bob: Client, interviewer: Client, world: World
) -> None:
    """W-39: an answer to an outdated question neither answers another one nor is ignored."""
    path = f"/boards/{world.board.id}/onboarding"
    await start(bob, world)
    asked = (await interviewer.post(f"{path}/agent", json={"question": "What?"})).json()
    what = asked["messages"][-1]["id"]
    first = {"answer": "A site", "question_id": what}
    assert (await bob.post(f"{path}/answer", json=first)).status_code == 200
    late = await bob.post(f"{path}/answer", json=first | {"answer": "A shop"})
    assert (late.status_code, late.json()["code"]) == (409, "onboarding_question_answered")
    assert "“A site”" in late.json()["detail"]

    await interviewer.post(f"{path}/agent", json={"question": "When?"})
    anew = first | {"answer": "A shop", "corrects": True}
    corrected = (await bob.post(f"{path}/answer", json=anew)).json()
    assert corrected["messages"][-1]["content"] == "Correction to “What?”: A shop"
    assert [one["content"] for one in corrected["messages"]].count("A site") == 1
    assert corrected["waiting_for"] == "person"
    unknown = await bob.post(f"{path}/answer", json={"answer": "Yes", "corrects": True})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "question_required")

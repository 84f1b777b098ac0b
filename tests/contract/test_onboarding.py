"""The contract of onboarding (agents-and-gateways 10), with and without a gateway."""

import json
import logging
from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import Agent
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.world import World

GOAL = {
    "board_type": "goal",
    "objective": "Launch the new site.",
    "success_metrics": {"visitors": "1,000"},
}


@pytest.fixture
async def main(transaction: TransactionFactory, world: World) -> Agent:
    """The main agent of the gateway of the board Launch."""
    gateway = make_gateway(world.tern)
    main = make_main_agent(gateway)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(main)
        board = await session.merge(world.board)
        board.gateway_id = gateway.id
    return main[0]


@pytest.fixture
def interviewer(client_for: ClientFactory, main: Agent) -> Client:
    """A client of the main agent."""
    return client_for(main)


async def start(client: Client, world: World) -> dict[str, Any]:
    answer = await client.post(f"/boards/{world.board.id}/onboarding/start", json={})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def list_messages(client: Client) -> list[dict[str, Any]]:
    return (await client.get("/agent/messages")).json()["items"]


def drop_nulls(value: Any) -> Any:
    """Return objects without their null fields."""
    if not isinstance(value, dict):
        return value
    return {name: drop_nulls(one) for name, one in value.items() if one is not None}


async def test_a_conversation_results_in_a_goal(
    bob: Client, interviewer: Client, world: World
) -> None:
    """A27.12: start, questions and answers, draft, confirm (10.1 to 10.5)."""
    path = f"/boards/{world.board.id}/onboarding"
    assert (await bob.get(path)).status_code == 404
    opened = await start(bob, world)
    assert (opened["status"], opened["draft_goal"]) == ("active", None)
    assert opened["session_key"].startswith("agent:mc-gateway-")
    assert [one["role"] for one in opened["messages"]] == ["user"]
    sent = await list_messages(interviewer)
    assert sent[0]["kind"] == "BOARD ONBOARDING REQUEST"
    assert f"/api/v1/agent{path}" in sent[0]["content"]

    output = {"question": "What for?", "options": [{"id": "1", "label": "Fun"}]}
    asked = (await interviewer.post(f"/agent{path}", json=output)).json()
    assert json.loads(asked["messages"][-1]["content"]) == output
    assert (asked["waiting_for"], asked["messages"][-1]["role"]) == ("person", "assistant")

    answered = await bob.post(f"{path}/answer", json={"answer": "Other", "other_text": " Money "})
    assert answered.json()["messages"][-1]["content"] == "Other: Money"
    assert answered.json()["waiting_for"] == "agent"
    assert "Other: Money" in (await list_messages(interviewer))[-1]["content"]

    profile = {"preferred_name": "Bobby", "pronouns": " "}
    lead = {"name": "Ada", "autonomy_level": "balanced", "identity_profile": {"role": "Chief"}}
    draft = {"status": "complete", **GOAL, "user_profile": profile, "lead_agent": lead}
    proposed = (await interviewer.post(f"{path}/agent", json=draft)).json()
    assert proposed["status"] == "completed"
    shown = proposed["draft_goal"]
    assert shown["target_date"] is shown["user_profile"]["pronouns"] is None
    assert drop_nulls(shown) == draft | {"user_profile": {"preferred_name": "Bobby"}}

    confirmed = await bob.post(f"{path}/confirm", json=GOAL)
    board = confirmed.json()
    assert confirmed.status_code == 200, board
    assert board["goal_confirmed"] is board["require_approval_for_done"] is True
    assert board["goal_source"] == "lead_agent_onboarding"
    assert (await bob.get(path)).json()["status"] == "confirmed"
    assert (await bob.get("/users/me")).json()["preferred_name"] == "Bobby"


async def test_the_lead_of_a_confirmed_goal_matches_the_draft(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    """10.5, W-13: the lead is created in the same transaction, and waits for provisioning."""
    garden = f"/boards/{world.garden.id}"
    lead = {"name": "Gardener", "verbosity": "concise", "autonomy_level": "autonomous"}
    await alice.post(f"{garden}/onboarding/start", json={})
    confirmed = await alice.post(f"{garden}/onboarding/confirm", json=GOAL | {"lead_agent": lead})
    assert confirmed.json()["require_approval_for_done"] is False
    agents = (await alice.get(f"/agents?board_id={world.garden.id}")).json()["items"]
    created = next(agent for agent in agents if agent["is_board_lead"])
    assert (created["name"], created["status"]) == ("Gardener 2", "provisioning")
    assert created["identity_profile"] == {
        "role": "Board Lead",
        "communication_style": "direct, concise, practical",
        "emoji": ":gear:",
        "autonomy_level": "autonomous",
        "verbosity": "concise",
    }


async def test_onboarding_messages_are_not_logged(
    bob: Client, interviewer: Client, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """W-24: names, time zones and notes are private to the user and the agent."""
    path = f"/boards/{world.board.id}/onboarding"
    profile = {"preferred_name": "canary", "timezone": "canary", "notes": "canary"}
    with caplog.at_level(logging.DEBUG):
        await start(bob, world)
        await bob.post(f"{path}/answer", json={"answer": "canary"})
        draft = {"status": "complete", **GOAL, "user_profile": profile}
        assert (await interviewer.post(f"{path}/agent", json=draft)).status_code == 200
        await bob.post(f"{path}/confirm", json=GOAL | {"user_profile": {"notes": "canary"}})
    ours = [one for one in caplog.records if one.name.startswith("mission_control")]
    assert len(ours) >= 4
    assert not any("canary" in f"{one.getMessage()} {vars(one)}" for one in ours)


async def test_an_existing_lead_keeps_its_name(alice: Client, world: World) -> None:
    """W-38."""
    await start(alice, world)
    path = f"/boards/{world.board.id}/onboarding/confirm"
    assert (await alice.post(path, json=GOAL | {"lead_agent": {"name": "Eve"}})).status_code == 200
    agents = (await alice.get(f"/agents?board_id={world.board.id}")).json()["items"]
    assert [one["name"] for one in agents if one["is_board_lead"]] == ["Lead"]


async def test_only_an_admin_allows_a_lead_to_finish_without_approval(
    bob: Client, world: World
) -> None:
    """10.5, S7."""
    await start(bob, world)
    lead = {"autonomy_level": "autonomous"}
    path = f"/boards/{world.board.id}/onboarding/confirm"
    confirmed = await bob.post(path, json=GOAL | {"lead_agent": lead})
    assert confirmed.json()["require_approval_for_done"] is True


async def test_starting_again_continues_the_open_conversation(
    bob: Client, interviewer: Client, world: World
) -> None:
    """W-40. W-16, W-39: a reload neither loses the draft nor notifies the agent twice."""
    path = f"/boards/{world.board.id}/onboarding"
    first = await start(bob, world)
    again, once_more = await start(bob, world), await start(bob, world)
    assert first["id"] == again["id"] == once_more["id"]
    kinds = [one["kind"] for one in await list_messages(interviewer)]
    assert kinds == ["BOARD ONBOARDING REQUEST"] * 2  # the briefing, and one reminder
    await interviewer.post(f"{path}/agent", json={"status": "complete", **GOAL})
    reloaded = await start(bob, world)
    assert (reloaded["id"], reloaded["status"]) == (first["id"], "completed")
    assert reloaded["draft_goal"]["objective"] == GOAL["objective"]


async def test_a_conversation_can_be_restarted(bob: Client, world: World) -> None:
    """W-40."""
    path = f"/boards/{world.board.id}/onboarding"
    first = await start(bob, world)
    anew = (await bob.post(f"{path}/restart", json={})).json()
    assert (anew["id"] != first["id"], anew["status"]) == (True, "active")
    assert (await bob.get(path)).json()["id"] == anew["id"]


async def test_a_board_without_a_gateway_is_confirmed_without_an_agent(
    bob: Client, world: World
) -> None:
    """Decision 11, W-40."""
    opened = await start(bob, world)
    assert (opened["session_key"], opened["waiting_for"]) == ("", "person")
    path = f"/boards/{world.board.id}/onboarding/confirm"
    assert (await bob.post(path, json=GOAL)).json()["goal_confirmed"] is True


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


async def test_an_admin_receives_the_token_of_a_lead_without_a_gateway(
    alice: Client, anonymous: Client, world: World
) -> None:
    """Decision 11: the token is returned once, and only here."""
    garden = f"/boards/{world.garden.id}/onboarding"
    await alice.post(f"{garden}/start", json={})
    confirmed = (await alice.post(f"{garden}/confirm", json=GOAL)).json()
    headers = {"Authorization": f"Bearer {confirmed['lead_token']}"}
    me = (await anonymous.get("/agent/healthz", headers=headers)).json()
    assert me["agent_id"] == confirmed["lead_agent_id"]
    assert confirmed["id"] == str(world.garden.id)


async def test_a_board_with_a_lead_returns_no_token(
    alice: Client, interviewer: Client, world: World
) -> None:
    await start(alice, world)
    path = f"/boards/{world.board.id}/onboarding/confirm"
    confirmed = (await alice.post(path, json=GOAL)).json()
    assert (confirmed["lead_agent_id"], confirmed["lead_token"]) == (None, None)


async def test_a_closed_onboarding_cannot_be_continued(
    bob: Client, interviewer: Client, world: World
) -> None:
    """10.4, W-41: no question, answer or confirmation is accepted after the confirmation."""
    path = f"/boards/{world.board.id}/onboarding"
    await start(bob, world)
    assert (await bob.post(f"{path}/confirm", json=GOAL)).status_code == 200
    late = [
        await interviewer.post(f"{path}/agent", json={"question": "Why?"}),
        await bob.post(f"{path}/answer", json={"answer": "Yes"}),
        await bob.post(f"{path}/confirm", json=GOAL | {"objective": "Another"}),
    ]
    assert [answer.status_code for answer in late] == [409, 409, 409]
    assert (await bob.get(f"/boards/{world.board.id}")).json()["objective"] == GOAL["objective"]
    assert (await start(bob, world))["status"] == "active"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"board_type": "goal"}, "objective"),
        ({"board_type": "goal", "objective": "Launch"}, "success_metrics"),
        ({"board_type": " "}, "board_type"),
        (GOAL | {"target_date": "soon"}, "target_date"),
        (GOAL | {"lead_agent": {"name": "x" * 300}}, "name"),
    ],
)
async def test_an_incomplete_goal_is_not_confirmed(
    bob: Client, world: World, body: dict[str, Any], field: str
) -> None:
    """10.5, W-41."""
    opened = await start(bob, world)
    path = f"/boards/{world.board.id}/onboarding"
    rejected = await bob.post(f"{path}/confirm", json=body)
    assert rejected.status_code == 422
    assert rejected.json()["detail"][0]["loc"][-1] == field
    assert (await bob.get(path)).json() == opened
    assert (await bob.get(f"/boards/{world.board.id}")).json()["goal_confirmed"] is False

"""The contract of onboarding (agents-and-gateways 10), without a gateway's help and with it."""

import json
import logging
from typing import Any

import pytest

from models import Agent
from tests.api.conftest import Caller, Client
from tests.conftest import Transaction
from tests.world import World, a_gateway, a_main

GOAL = {
    "board_type": "goal",
    "objective": "Launch the new site.",
    "success_metrics": {"visitors": "1,000"},
}


@pytest.fixture
async def main(transaction: Transaction, world: World) -> Agent:
    """The agent of the gateway that serves Launch."""
    gateway = a_gateway(world.tern)
    main = a_main(gateway)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(main)
        board = await session.merge(world.board)
        board.gateway_id = gateway.id
    return main[0]


@pytest.fixture
def asking(calling: Caller, main: Agent) -> Client:
    """The gateway's agent."""
    return calling(main)


async def started(client: Client, world: World) -> dict[str, Any]:
    answer = await client.post(f"/boards/{world.board.id}/onboarding/start", json={})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def messages_of(client: Client) -> list[dict[str, Any]]:
    return (await client.get("/agent/messages")).json()["items"]


async def test_a_goal_comes_out_of_a_conversation(
    bob: Client, asking: Client, world: World
) -> None:
    """A27.12: start, questions and answers, draft, confirm (10.1 to 10.5)."""
    path = f"/boards/{world.board.id}/onboarding"
    assert (await bob.get(path)).status_code == 404
    opened = await started(bob, world)
    assert (opened["status"], opened["draft_goal"]) == ("active", None)
    assert opened["session_key"].startswith("agent:mc-gateway-")
    assert [one["role"] for one in opened["messages"]] == ["user"]
    told = await messages_of(asking)
    assert told[0]["kind"] == "BOARD ONBOARDING REQUEST"
    assert f"/api/v1/agent{path}" in told[0]["content"]

    said = {"question": "What for?", "options": [{"id": "1", "label": "Fun"}]}
    asked = (await asking.post(f"/agent{path}", json=said)).json()
    assert json.loads(asked["messages"][-1]["content"]) == said
    assert (asked["waiting_for"], asked["messages"][-1]["role"]) == ("person", "assistant")

    answered = await bob.post(f"{path}/answer", json={"answer": "Other", "other_text": " Money "})
    assert answered.json()["messages"][-1]["content"] == "Other: Money"
    assert answered.json()["waiting_for"] == "agent"
    assert "Other: Money" in (await messages_of(asking))[-1]["content"]

    profile = {"preferred_name": "Bobby", "pronouns": " "}
    lead = {"name": "Ada", "autonomy_level": "balanced", "identity_profile": {"role": "Chief"}}
    draft = {"status": "complete", **GOAL, "user_profile": profile, "lead_agent": lead}
    proposed = (await asking.post(f"{path}/agent", json=draft)).json()
    assert proposed["status"] == "completed"
    assert proposed["draft_goal"] == draft | {"user_profile": {"preferred_name": "Bobby"}}

    confirmed = await bob.post(f"{path}/confirm", json=GOAL)
    board = confirmed.json()
    assert confirmed.status_code == 200, board
    assert board["goal_confirmed"] is board["require_approval_for_done"] is True
    assert board["goal_source"] == "lead_agent_onboarding"
    assert (await bob.get(path)).json()["status"] == "confirmed"
    assert (await bob.get("/users/me")).json()["preferred_name"] == "Bobby"


async def test_the_lead_of_a_confirmed_goal_is_as_the_draft_wants_it(
    alice: Client, transaction: Transaction, world: World
) -> None:
    """10.5, W-13: the lead is there in the same transaction, and waits to be provisioned."""
    garden = f"/boards/{world.garden.id}"
    lead = {"name": "Gardener", "verbosity": "concise", "autonomy_level": "autonomous"}
    await alice.post(f"{garden}/onboarding/start", json={})
    confirmed = await alice.post(f"{garden}/onboarding/confirm", json=GOAL | {"lead_agent": lead})
    assert confirmed.json()["require_approval_for_done"] is False
    agents = (await alice.get(f"/agents?board_id={world.garden.id}")).json()["items"]
    made = next(agent for agent in agents if agent["is_board_lead"])
    assert (made["name"], made["status"]) == ("Gardener 2", "provisioning")
    assert made["identity_profile"] == {
        "role": "Board Lead",
        "communication_style": "direct, concise, practical",
        "emoji": ":gear:",
        "autonomy_level": "autonomous",
        "verbosity": "concise",
    }


async def test_what_is_said_in_an_onboarding_is_in_no_log(
    bob: Client, asking: Client, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """W-24: names, time zones and notes are between the person and the agent."""
    path = f"/boards/{world.board.id}/onboarding"
    profile = {"preferred_name": "canary", "timezone": "canary", "notes": "canary"}
    with caplog.at_level(logging.DEBUG):
        await started(bob, world)
        await bob.post(f"{path}/answer", json={"answer": "canary"})
        draft = {"status": "complete", **GOAL, "user_profile": profile}
        assert (await asking.post(f"{path}/agent", json=draft)).status_code == 200
        await bob.post(f"{path}/confirm", json=GOAL | {"user_profile": {"notes": "canary"}})
    ours = [one for one in caplog.records if one.name.startswith("mission_control")]
    assert len(ours) >= 4
    assert not any("canary" in f"{one.getMessage()} {vars(one)}" for one in ours)


async def test_a_lead_that_is_there_keeps_its_name(alice: Client, world: World) -> None:
    """W-38."""
    await started(alice, world)
    path = f"/boards/{world.board.id}/onboarding/confirm"
    assert (await alice.post(path, json=GOAL | {"lead_agent": {"name": "Eve"}})).status_code == 200
    agents = (await alice.get(f"/agents?board_id={world.board.id}")).json()["items"]
    assert [one["name"] for one in agents if one["is_board_lead"]] == ["Lead"]


async def test_only_an_admin_lets_a_lead_finish_without_approval(bob: Client, world: World) -> None:
    """10.5, S7."""
    await started(bob, world)
    lead = {"autonomy_level": "autonomous"}
    path = f"/boards/{world.board.id}/onboarding/confirm"
    confirmed = await bob.post(path, json=GOAL | {"lead_agent": lead})
    assert confirmed.json()["require_approval_for_done"] is True


async def test_starting_again_goes_on_with_what_is_open(
    bob: Client, asking: Client, world: World
) -> None:
    """W-40. W-16, W-39: a reload neither loses the draft nor tells the agent twice."""
    path = f"/boards/{world.board.id}/onboarding"
    first = await started(bob, world)
    again, once_more = await started(bob, world), await started(bob, world)
    assert first["id"] == again["id"] == once_more["id"]
    kinds = [one["kind"] for one in await messages_of(asking)]
    assert kinds == ["BOARD ONBOARDING REQUEST"] * 2  # the briefing, and one reminder
    await asking.post(f"{path}/agent", json={"status": "complete", **GOAL})
    reloaded = await started(bob, world)
    assert (reloaded["id"], reloaded["status"]) == (first["id"], "completed")
    assert reloaded["draft_goal"]["objective"] == GOAL["objective"]


async def test_a_conversation_can_be_begun_anew(bob: Client, world: World) -> None:
    """W-40."""
    path = f"/boards/{world.board.id}/onboarding"
    first = await started(bob, world)
    anew = (await bob.post(f"{path}/restart", json={})).json()
    assert (anew["id"] != first["id"], anew["status"]) == (True, "active")
    assert (await bob.get(path)).json()["id"] == anew["id"]


async def test_a_board_without_a_gateway_is_confirmed_by_a_person_alone(
    bob: Client, world: World
) -> None:
    """Decision 11, W-40."""
    opened = await started(bob, world)
    assert (opened["session_key"], opened["waiting_for"]) == ("", "person")
    path = f"/boards/{world.board.id}/onboarding/confirm"
    assert (await bob.post(path, json=GOAL)).json()["goal_confirmed"] is True


@pytest.mark.parametrize(
    "said",
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
async def test_a_question_is_understood_however_it_is_said(
    bob: Client, asking: Client, world: World, said: object
) -> None:
    """W-40."""
    path = f"/boards/{world.board.id}/onboarding"
    await started(bob, world)
    asked = await asking.post(f"{path}/agent", json=said)
    assert asked.status_code == 200, asked.text
    assert json.loads(asked.json()["messages"][-1]["content"])["question"] == "Why?"


@pytest.mark.parametrize(
    "said",
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
async def test_what_is_neither_question_nor_draft_is_refused(
    bob: Client, asking: Client, world: World, said: object
) -> None:
    """10.4."""
    path = f"/boards/{world.board.id}/onboarding"
    opened = await started(bob, world)
    refused = await asking.post(f"{path}/agent", content=json.dumps(said))
    assert refused.status_code == 422, refused.text
    assert (await bob.get(path)).json()["messages"] == opened["messages"]


async def test_who_may_ask(
    bob: Client,
    asking: Client,
    lead: Client,
    worker: Client,
    calling: Caller,
    transaction: Transaction,
    world: World,
) -> None:
    """10.4. Point 8: the agent of the board's gateway, and nobody else."""
    gateway = a_gateway(world.tern, name="Elsewhere")
    theirs = a_gateway(world.plover)
    other, foreign = a_main(gateway, "Other"), a_main(theirs, "Foreign")
    async with transaction() as session:
        session.add_all([gateway, theirs])
        await session.flush()
        session.add_all([*other, *foreign])
    await started(bob, world)
    path = f"/boards/{world.board.id}/onboarding"
    for place in (f"{path}/agent", f"/agent{path}"):
        for client, status in (
            (bob, 401),
            (lead, 403),
            (worker, 403),
            (calling(other[0]), 403),
            (calling(foreign[0]), 404),
            (asking, 200),
        ):
            answer = await client.post(place, json={"question": "Why?"})
            assert answer.status_code == status, (place, answer.text)


async def test_who_answers_and_confirms(
    rita: Client, charlie: Client, bob: Client, world: World
) -> None:
    """10.1 to 10.5: readers read, writers go on, strangers find nothing."""
    opened = await started(bob, world)
    path = f"/boards/{world.board.id}/onboarding"
    assert (await rita.get(path)).json()["id"] == opened["id"]
    assert (await charlie.get(path)).status_code == 404
    calls: dict[str, dict[str, Any]] = {"start": {}, "restart": {}, "answer": {"answer": "Yes"}}
    for name, body in (calls | {"confirm": GOAL}).items():
        assert (await rita.post(f"{path}/{name}", json=body)).status_code == 403
        assert (await charlie.post(f"{path}/{name}", json=body)).status_code == 404
    assert (await bob.get(path)).json() == opened


async def test_what_the_briefing_says_to_send_is_taken_where_it_says(
    bob: Client, asking: Client, world: World
) -> None:
    """10.2: each example of the message is sent to the address that it names."""
    await started(bob, world)
    [told] = await messages_of(asking)
    lines = dict(line.split(": ", 1) for line in told["content"].splitlines() if ": " in line)
    address = lines["Ask, and send the draft"].removeprefix("POST ")
    path = address.removeprefix(f"{lines['Base URL']}/api/v1")
    for example, status in (("A question", "active"), ("A draft", "completed")):
        taken = await asking.post(path, json=json.loads(lines[example]))
        assert taken.status_code == 200, taken.text
        assert taken.json()["status"] == status
        assert json.loads(taken.json()["messages"][-1]["content"])


async def test_an_answer_can_say_which_question_it_answers(
    bob: Client, asking: Client, world: World
) -> None:
    """W-39: somebody who looks at an old question neither answers another one nor is ignored."""
    path = f"/boards/{world.board.id}/onboarding"
    await started(bob, world)
    asked = (await asking.post(f"{path}/agent", json={"question": "What?"})).json()
    what = asked["messages"][-1]["id"]
    first = {"answer": "A site", "question_id": what}
    assert (await bob.post(f"{path}/answer", json=first)).status_code == 200
    late = await bob.post(f"{path}/answer", json=first | {"answer": "A shop"})
    assert (late.status_code, late.json()["code"]) == (409, "onboarding_question_answered")
    assert "“A site”" in late.json()["detail"]

    await asking.post(f"{path}/agent", json={"question": "When?"})
    anew = first | {"answer": "A shop", "corrects": True}
    corrected = (await bob.post(f"{path}/answer", json=anew)).json()
    assert corrected["messages"][-1]["content"] == "Correction to “What?”: A shop"
    assert [one["content"] for one in corrected["messages"]].count("A site") == 1
    assert corrected["waiting_for"] == "person"
    unknown = await bob.post(f"{path}/answer", json={"answer": "Yes", "corrects": True})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "question_required")


async def test_an_admin_is_given_the_token_of_a_lead_without_a_gateway(
    alice: Client, nobody: Client, world: World
) -> None:
    """Decision 11: once, and only there."""
    garden = f"/boards/{world.garden.id}/onboarding"
    await alice.post(f"{garden}/start", json={})
    confirmed = (await alice.post(f"{garden}/confirm", json=GOAL)).json()
    headers = {"Authorization": f"Bearer {confirmed['lead_token']}"}
    me = (await nobody.get("/agent/healthz", headers=headers)).json()
    assert me["agent_id"] == confirmed["lead_agent_id"]
    assert confirmed["id"] == str(world.garden.id)


async def test_a_board_that_has_a_lead_gives_no_token(
    alice: Client, asking: Client, world: World
) -> None:
    await started(alice, world)
    path = f"/boards/{world.board.id}/onboarding/confirm"
    confirmed = (await alice.post(path, json=GOAL)).json()
    assert (confirmed["lead_agent_id"], confirmed["lead_token"]) == (None, None)


async def test_what_is_over_is_over(bob: Client, asking: Client, world: World) -> None:
    """10.4, W-41: nothing is said, answered or confirmed after the confirmation."""
    path = f"/boards/{world.board.id}/onboarding"
    await started(bob, world)
    assert (await bob.post(f"{path}/confirm", json=GOAL)).status_code == 200
    late = [
        await asking.post(f"{path}/agent", json={"question": "Why?"}),
        await bob.post(f"{path}/answer", json={"answer": "Yes"}),
        await bob.post(f"{path}/confirm", json=GOAL | {"objective": "Another"}),
    ]
    assert [answer.status_code for answer in late] == [409, 409, 409]
    assert (await bob.get(f"/boards/{world.board.id}")).json()["objective"] == GOAL["objective"]
    assert (await started(bob, world))["status"] == "active"


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
async def test_a_goal_that_says_too_little_confirms_nothing(
    bob: Client, world: World, body: dict[str, Any], field: str
) -> None:
    """10.5, W-41."""
    opened = await started(bob, world)
    path = f"/boards/{world.board.id}/onboarding"
    refused = await bob.post(f"{path}/confirm", json=body)
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"][-1] == field
    assert (await bob.get(path)).json() == opened
    assert (await bob.get(f"/boards/{world.board.id}")).json()["goal_confirmed"] is False

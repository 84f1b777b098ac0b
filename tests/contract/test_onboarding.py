"""The contract of onboarding (agents-and-gateways 10), with and without a gateway."""

import json
import logging
from typing import Any

import pytest
from sqlalchemy import update

from core.db.engine import TransactionFactory
from models import OnboardingSession
from tests.support.api_fixtures import Client
from tests.support.onboarding_api import GOAL, drop_nulls, interviewer, list_messages, main, start
from tests.support.world import World

__all__ = ["interviewer", "main"]


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


async def test_a_stored_draft_with_longer_texts_is_shown(
    bob: Client, interviewer: Client, transaction: TransactionFactory, world: World
) -> None:
    """Drafts had higher limits once."""
    path = f"/boards/{world.board.id}/onboarding"
    await start(bob, world)
    draft = {"status": "complete", **GOAL, "user_profile": {"notes": "Short"}}
    assert (await interviewer.post(f"/agent{path}", json=draft)).status_code == 200
    profile, lead = (
        {"notes": "n" * 100_000},
        {"name": "L" * 200, "custom_instructions": "c" * 50_000},
    )
    async with transaction() as session:
        stored = draft | {"user_profile": profile, "lead_agent": lead}
        await session.execute(update(OnboardingSession).values(draft_goal=stored))
    shown = await bob.get(path)
    assert shown.status_code == 200, shown.text[:500]
    assert drop_nulls(shown.json()["draft_goal"])["lead_agent"] == lead
    assert shown.json()["draft_goal"]["user_profile"]["notes"] == profile["notes"]


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


async def test_a_goal_without_success_metrics_is_refused_in_the_words_of_the_api(
    bob: Client, alice: Client, world: World
) -> None:
    await start(bob, world)
    path, goal = f"/boards/{world.board.id}", {"board_type": "goal", "objective": "Launch"}
    for refused in (
        await bob.post(f"{path}/onboarding/confirm", json=goal),
        await alice.patch(path, json=goal),
    ):
        assert refused.status_code == 422
        assert "how will you know that it is reached? They are its success_metrics." in refused.text

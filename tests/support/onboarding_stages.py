"""Boards at different stages of the onboarding."""

from typing import Any

from tests.support.installation import ApiClient
from tests.support.live_site import LiveSite


def post_agent_message(agent: ApiClient, board: dict[str, Any], **body: Any) -> None:
    """Post a message of the interviewing agent."""
    path = f"/agent/boards/{board['id']}/onboarding"
    agent.client.post(path, json=body).raise_for_status()


def answer_question(site: LiveSite, board: dict[str, Any], text: str) -> None:
    site.owner.call("POST", f"/boards/{board['id']}/onboarding/answer", answer=text)


def make_draft(words: str = "", **more: Any) -> dict[str, Any]:
    lead = {
        "name": f"Ava {words}"[:100],
        "identity_profile": {"role": f"Keeper {words}", "communication_style": "warm"},
        "autonomy_level": "balanced",
        "custom_instructions": f"Ask before e-mails. {words}",
    }
    return {
        "status": "complete",
        "board_type": "goal",
        "objective": f"Ten partners live. {words}",
        "success_metrics": {f"Partners {words}": "10", "Tickets": f"fewer than 3 {words}"},
        "target_date": "2027-01-31",
        "user_profile": {"notes": f"Ask me at nine. {words}"},
        "lead_agent": lead,
    } | more


def create_onboardings(
    site: LiveSite, agent: ApiClient, gateway_id: str, words: str
) -> dict[str, str]:
    """Create a board for each stage with very long words, and return their ids."""
    made = {
        name: site.create_board(f"{name} {words}", gateway_id=gateway_id)
        for name in ("unasked", "waited", "asked", "drafted", "launched")
    }
    for name, board in made.items():
        if name != "unasked":
            site.owner.call("POST", f"/boards/{board['id']}/onboarding/start")
        if name not in ("unasked", "waited"):
            post_agent_message(
                agent, board, question=f"What for, {words}?", options=[words, "Other"]
            )
            answer_question(site, board, f"{words}: {words}{words}")
    options = [f"{words}{words}", "Balanced", "Something else, I'll type it"]
    post_agent_message(
        agent, made["asked"], question=f"How much of {words} may it decide?", options=options
    )
    post_agent_message(agent, made["drafted"], **make_draft(words))
    goal: dict[str, Any] = {
        "board_type": "goal",
        "objective": words,
        "success_metrics": {words: words},
    }
    lead = {"name": f"Ava {words}"[:100]}
    path = f"/boards/{made['launched']['id']}/onboarding/confirm"
    site.owner.call("POST", path, **goal, lead_agent=lead)
    alone = site.create_board(f"alone {words}")
    site.owner.call("POST", f"/boards/{alone['id']}/onboarding/start")
    site.owner.call("POST", f"/boards/{alone['id']}/onboarding/confirm", **goal, lead_agent=lead)
    return {name: board["id"] for name, board in (made | {"alone": alone}).items()}

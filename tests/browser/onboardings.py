"""Boards that are being set up, each at another point of it."""

from typing import Any

from tests.browser.home import Home
from tests.installation import Api


def say(agent: Api, board: dict[str, Any], **said: Any) -> None:
    """Let the agent that asks say something, as it does."""
    path = f"/agent/boards/{board['id']}/onboarding"
    agent.client.post(path, json=said).raise_for_status()


def answer(home: Home, board: dict[str, Any], text: str) -> None:
    home.owner.call("POST", f"/boards/{board['id']}/onboarding/answer", answer=text)


def a_draft(words: str = "", **more: Any) -> dict[str, Any]:
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


def furnish(home: Home, agent: Api, gateway_id: str, words: str) -> dict[str, str]:
    """Set boards up as far as each name says, with long words everywhere; return their ids."""
    made = {
        name: home.board(f"{name} {words}", gateway_id=gateway_id)
        for name in ("unasked", "waited", "asked", "drafted", "launched")
    }
    for name, board in made.items():
        if name != "unasked":
            home.owner.call("POST", f"/boards/{board['id']}/onboarding/start")
        if name not in ("unasked", "waited"):
            say(agent, board, question=f"What for, {words}?", options=[words, "Other"])
            answer(home, board, f"{words}: {words}{words}")
    options = [f"{words}{words}", "Balanced", "Something else, I'll type it"]
    say(agent, made["asked"], question=f"How much of {words} may it decide?", options=options)
    say(agent, made["drafted"], **a_draft(words))
    goal: dict[str, Any] = {
        "board_type": "goal",
        "objective": words,
        "success_metrics": {words: words},
    }
    lead = {"name": f"Ava {words}"[:100]}
    path = f"/boards/{made['launched']['id']}/onboarding/confirm"
    home.owner.call("POST", path, **goal, lead_agent=lead)
    alone = home.board(f"alone {words}")
    home.owner.call("POST", f"/boards/{alone['id']}/onboarding/start")
    home.owner.call("POST", f"/boards/{alone['id']}/onboarding/confirm", **goal, lead_agent=lead)
    return {name: board["id"] for name, board in (made | {"alone": alone}).items()}

"""A fake gateway for the contract tests, how a gateway is entered, and how its checks stand."""

from typing import Any

from tests.api.conftest import Client
from tests.openclaw.fake import TOKEN, Fake, Refused

SESSIONS = [
    {"key": "agent:main:main", "sessionId": "s-1", "status": "done"},
    {"key": "agent:lead-1:main", "sessionId": "s-2", "status": "running"},
]
KEY = "agent:lead-1:main"
MESSAGES = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": []}]


def a_fake() -> Fake:
    """Make a gateway with two sessions, in which something was said."""
    fake = Fake()
    fake.methods = {
        "sessions.list": lambda _: {"sessions": SESSIONS, "totalCount": 2},
        "sessions.describe": _described,
        "chat.history": lambda params: {"messages": MESSAGES[-params["limit"] :]},
        "chat.send": lambda params: {"runId": params["idempotencyKey"], "status": "started"},
    }
    return fake


def new(fake: Fake, **fields: Any) -> dict[str, Any]:
    """Return a body that enters a gateway."""
    body = {"name": "Workshop", "url": fake.url, "workspace_root": "/agents", "token": TOKEN}
    return {**body, **fields}


async def entered(client: Client, fake: Fake, **fields: Any) -> dict[str, Any]:
    """Enter a gateway, and return it."""
    response = await client.post("/gateways", json=new(fake, **fields))
    assert response.status_code == 200, response.text
    return response.json()


def state_of(answer: dict[str, Any]) -> dict[str, str]:
    """Return how each check of a gateway stands."""
    return {check["name"]: check["state"] for check in answer["checks"]}


def _described(params: dict[str, Any]) -> dict[str, Any]:
    if "::" in params["key"]:
        raise Refused("INVALID_REQUEST", f'malformed session key "{params["key"]}"')
    return {"session": next((row for row in SESSIONS if row["key"] == params["key"]), None)}

"""A fake gateway for contract tests, and helpers to create gateways over the API."""

from typing import Any

from tests.support.api_fixtures import Client
from tests.support.fake_gateway import TOKEN, ErrorResponse, FakeGateway

SESSIONS = [
    {"key": "agent:main:main", "sessionId": "s-1", "status": "done"},
    {"key": "agent:lead-1:main", "sessionId": "s-2", "status": "running"},
]
TEST_LOGGERS = {"httpx2", "websockets.server"}  # the logs of the test's own browser and gateway
KEY = "agent:lead-1:main"
MESSAGES = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": []}]


def make_fake_gateway() -> FakeGateway:
    """Create a fake gateway with two sessions and their messages."""
    fake = FakeGateway()
    fake.handlers = {
        "sessions.list": lambda _: {"sessions": SESSIONS, "totalCount": 2},
        "sessions.describe": _describe_session,
        "chat.history": lambda params: {"messages": MESSAGES[-params["limit"] :]},
        "chat.send": lambda params: {"runId": params["idempotencyKey"], "status": "started"},
    }
    return fake


def gateway_body(fake: FakeGateway, **fields: Any) -> dict[str, Any]:
    """Return a request body for a new gateway."""
    body = {"name": "Workshop", "url": fake.url, "workspace_root": "/agents", "token": TOKEN}
    return {**body, **fields}


async def create_gateway(client: Client, fake: FakeGateway, **fields: Any) -> dict[str, Any]:
    """Create a gateway, and return it."""
    response = await client.post("/gateways", json=gateway_body(fake, **fields))
    assert response.status_code == 200, response.text
    return response.json()


def check_states(answer: dict[str, Any]) -> dict[str, str]:
    """Return the state of each check of a gateway."""
    return {check["name"]: check["state"] for check in answer["checks"]}


def _describe_session(params: dict[str, Any]) -> dict[str, Any]:
    if "::" in params["key"]:
        raise ErrorResponse("INVALID_REQUEST", f'malformed session key "{params["key"]}"')
    return {"session": next((row for row in SESSIONS if row["key"] == params["key"]), None)}

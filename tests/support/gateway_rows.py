"""Rows of gateways: main agents, requests and runs."""

from datetime import timedelta
from typing import Any

from core.clock import now
from core.security.secrets import hash_token
from models import (
    Agent,
    AgentStatus,
    Gateway,
    GatewayRequest,
    Organization,
    RequestKind,
    Run,
    new_id,
)
from openclaw import DeviceIdentity
from tests.support.people_rows import make_agent_token
from tests.support.secret_key import CIPHER

SESSION_KEY = "agent:mc-1:main"  # session key of an agent on a gateway


def make_gateway(organization: Organization, name: str = "Harbour", **fields: Any) -> Gateway:
    id = new_id()
    sealed = CIPHER.encrypt(DeviceIdentity.generate().seed, f"gateways.device:{id}")
    defaults = {
        "url": "ws://127.0.0.1:9",
        "workspace_root": "/agents",
        "encrypted_device": sealed,
        "allows_private": True,
    }
    return Gateway(
        id=id,
        organization_id=organization.id,
        name=name,
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def make_main_agent(gateway: Gateway, name: str = "Harbour master", **fields: Any) -> list[Any]:
    """Make the main agent of a gateway; the first row is the agent, the other its token."""
    main = Agent(
        id=new_id(),
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        name=name,
        status=AgentStatus.ONLINE,
        openclaw_session_id=gateway.session_key,
        last_seen_at=now(),
        created_at=now(),
        updated_at=now(),
        **fields,
    )
    return [main, make_agent_token(main)]


def make_gateway_request(
    gateway: Gateway, agent: Agent | None = None, **fields: Any
) -> GatewayRequest:
    """Make a gateway request: may an agent run a command?"""
    id, exact = new_id(), fields.setdefault("exact", "rm -rf build")
    defaults = {
        "kind": RequestKind.EXEC,
        "sha256": hash_token(exact),
        "cwd": "/agents/work",
        "allowed_decisions": ["allow-once", "deny"],
        "asked_at": now(),
        "expires_at": now() + timedelta(minutes=30),
        "agent_key": "main",
        "agent_id": agent.id if agent else None,
        "board_id": agent.board_id if agent else None,
    }
    return GatewayRequest(
        id=id,
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        gateway_name=gateway.name,
        request_id=f"r-{id}",
        created_at=now(),
        **(defaults | fields),
    )


def make_run(gateway: Gateway, agent: Agent, **fields: Any) -> Run:
    """Make an active run of an agent on a gateway."""
    id = new_id()
    defaults = {
        "phase": "thinking",
        "tail": "Let me see.",
        "tool_calls": [],
        "run_id": f"run-{id}",
        "started_at": now(),
    }
    return Run(
        id=id,
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        agent_id=agent.id,
        session_key="agent:main:main",
        updated_at=now(),
        **(defaults | fields),
    )

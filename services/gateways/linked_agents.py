"""Linked agents: agents that others created on a gateway, added to a board.

Nothing is written to the gateway, then or later: we read linked agents, and send them messages.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Forbidden, Invalid, NotFound
from core.fields import Fields, Name
from core.text import N_
from models import Agent, Gateway, Member
from openclaw import GatewayClient
from openclaw import api as gateway_api
from services import agents, boards
from services.gateways.queries import gateway_not_found

MAX_NAME_LENGTH = 100  # characters

MANAGED_AGENT_ID = re.compile(r"(mc|lead|mc-gateway)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The ids of agents on a gateway that a Mission Control created."""


@dataclass(frozen=True)
class ListedAgent:
    """An agent that a gateway lists, with texts that can be displayed."""

    id: str
    name: str
    emoji: str | None = None
    workspace: str | None = None

    @property
    def session_key(self) -> str:
        """The key of the agent's main session."""
        return f"agent:{self.id}:main"

    @property
    def is_managed(self) -> bool:
        """Whether a Mission Control created the agent, this one or another."""
        return MANAGED_AGENT_ID.fullmatch(self.id) is not None


class GatewayAgentLink(Fields):
    """An agent on a gateway to link to a board."""

    example = {
        "gateway_agent_id": "main",
        "board_id": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11",
        "is_board_lead": False,
    }

    gateway_agent_id: Annotated[Name, Field(description="What the agent is called on the gateway.")]
    board_id: UUID
    is_board_lead: Annotated[bool, Field(description="A board has at most one lead.")] = False
    name: Annotated[
        agents.AgentName | None, Field(description="Default: the name on the gateway.")
    ] = None


async def list_gateway_agents(client: GatewayClient) -> Sequence[ListedAgent]:
    """Return the agents that a gateway has now. Raises GatewayError."""
    found = [
        _parse_agent(one)
        for one in await gateway_api.list_agents(client, retry=True, skip_unreadable=True)
    ]
    return [agent for agent in found if agent.id]


async def check_can_link(
    session: AsyncSession, member: Member, gateway: Gateway, board_id: UUID
) -> None:
    """Raise NotFound or Forbidden unless a member may link agents of a gateway to a board."""
    permissions = await boards.get_board_permissions(session, member.user, board_id)
    if permissions.board.organization_id != gateway.organization_id:
        raise NotFound("board_not_found", N_("There is no such board."), field="board_id")
    if not (permissions.can_write and permissions.is_admin):
        reason = N_("Only an admin who may change this board can do that.")
        raise Forbidden("admin_required", reason)


async def link_agent(
    session: AsyncSession,
    member: Member,
    gateway: Gateway,
    listed: Sequence[ListedAgent],
    link: GatewayAgentLink,
) -> tuple[Agent, str]:
    """Add an agent of a gateway to a board; return it with its token, which is shown once.

    `listed` are the agents of the gateway. Raises NotFound, Forbidden, Conflict, and Invalid for an
    agent that a Mission Control created.
    """
    await check_can_link(session, member, gateway, link.board_id)
    board = await boards.lock_board_as_admin(session, member.user, link.board_id)
    is_kept = select(Gateway.id).where(Gateway.id == gateway.id)  # until the end of the transaction
    if await session.scalar(is_kept.with_for_update(read=True, key_share=True)) is None:
        raise gateway_not_found()
    agent = next((one for one in listed if one.id == link.gateway_agent_id), None)
    if agent is None:
        reason = N_("The gateway has no such agent.")
        raise NotFound("gateway_agent_not_found", reason, field="gateway_agent_id")
    if agent.is_managed:
        reason = N_("A Mission Control made this agent: it cannot be linked.")
        raise Invalid("agent_already_managed", reason, field="gateway_agent_id")
    profile = {"emoji": agent.emoji} if agent.emoji else None
    fields = agents.AgentCreate.parse(
        {
            "name": link.name or agent.name,
            "heartbeat_config": {"every": "0m"},  # none until somebody configures an interval
            "identity_profile": profile,
            "is_board_lead": link.is_board_lead,
        }
    )
    location = agents.GatewayLocation(gateway.id, agent.session_key)
    return await agents.link_agent(session, member.user, board, fields, location)


def _parse_agent(agent: gateway_api.ListedGatewayAgent) -> ListedAgent:
    identity = agent.identity or {}
    id = _display_line(agent.id, MAX_NAME_LENGTH) or ""
    names = (_display_line(name, MAX_NAME_LENGTH) for name in (agent.name, identity.get("name")))
    return ListedAgent(
        id,
        name=next((name for name in names if name), id),
        emoji=_display_line(identity.get("emoji"), 16),
        workspace=agent.workspace,
    )


def _display_line(value: object, max_length: int) -> str | None:
    """Return a text if it is one line of printable characters of at most this length."""
    text = value.strip() if isinstance(value, str) else ""
    return text if 0 < len(text) <= max_length and text.isprintable() else None

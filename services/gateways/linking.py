"""Linking agents that others made on a gateway: they are listed, and written down on a board.

On the gateway nothing is written, then or later: a linked agent is read, and spoken to.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden, Invalid, NotFound
from models import Agent, Gateway, Member
from openclaw import Link
from services import agents, boards
from services.gateways.finding import not_found

LONGEST_NAME = 100  # characters
LONGEST_EMOJI = 16
NO_HEARTBEAT = {"every": "0m"}  # it checks in when it likes, until somebody says otherwise

MADE_HERE = re.compile(r"(mc|lead|mc-gateway)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""How agents are called on a gateway that a Mission Control made there (contract, agents 14.2)."""


@dataclass(frozen=True)
class Resident:
    """An agent that a gateway has."""

    id: str
    name: str
    emoji: str | None = None
    workspace: str | None = None

    @property
    def session_key(self) -> str:
        """The session in which it is spoken to."""
        return f"agent:{self.id}:main"

    @property
    def is_made_here(self) -> bool:
        """Whether a Mission Control made it, ours or another."""
        return MADE_HERE.fullmatch(self.id) is not None


@dataclass(frozen=True, kw_only=True)
class LinkDraft:
    """Which agent of a gateway somebody wants to have on which board, and as what."""

    gateway_agent_id: str
    board_id: UUID
    is_board_lead: bool = False
    name: str | None = None


async def residents(link: Link) -> Sequence[Resident]:
    """Return the agents that a gateway has now. Raises GatewayError."""
    said = await link.call("agents.list", {}, repeatable=True)
    rows = said.get("agents") if isinstance(said, dict) else None
    found = [_resident(row) for row in rows or () if isinstance(row, dict)]
    return [one for one in found if one.id]


async def check_board(
    session: AsyncSession, member: Member, gateway: Gateway, board_id: UUID
) -> None:
    """Raise a refusal unless the member may link agents of a gateway to a board."""
    seen = await boards.access(session, member.user, board_id)
    if seen.board.organization_id != gateway.organization_id:
        raise NotFound("board_not_found", "There is no such board.", field="board_id")
    if not (seen.can_write and seen.is_admin):
        raise Forbidden("admin_required", "Only an admin who may change this board can do that.")


async def link_agent(
    session: AsyncSession,
    member: Member,
    gateway: Gateway,
    there: Sequence[Resident],
    draft: LinkDraft,
) -> tuple[Agent, str]:
    """Write down an agent of a gateway on a board, and return it with its token: shown once.

    `there` is what the gateway has. Raises NotFound, Forbidden, Conflict, and Invalid for an agent
    that a Mission Control made.
    """
    await check_board(session, member, gateway, draft.board_id)
    board = await boards.hold_as_admin(session, member.user, draft.board_id)
    await _still_there(session, gateway)
    resident = _chosen(there, draft.gateway_agent_id)
    profile = {"emoji": resident.emoji} if resident.emoji else None
    wanted = agents.AgentDraft(
        name=draft.name or resident.name, heartbeat_config=NO_HEARTBEAT, identity_profile=profile
    )
    home = agents.Home(gateway.id, resident.session_key)
    return await agents.link(
        session, member.user, board, wanted, home, is_board_lead=draft.is_board_lead
    )


def _chosen(there: Sequence[Resident], id: str) -> Resident:
    found = next((one for one in there if one.id == id), None)
    if found is None:
        reason = "The gateway has no such agent."
        raise NotFound("gateway_agent_not_found", reason, field="gateway_agent_id")
    if found.is_made_here:
        reason = "A Mission Control made this agent: it cannot be linked."
        raise Invalid("agent_made_here", reason, field="gateway_agent_id")
    return found


async def _still_there(session: AsyncSession, gateway: Gateway) -> None:
    """Keep the gateway from being removed until the commit. Raises NotFound."""
    query = select(Gateway.id).where(Gateway.id == gateway.id)
    if await session.scalar(query.with_for_update(read=True, key_share=True)) is None:
        raise not_found()


def _resident(row: dict[str, Any]) -> Resident:
    identity = row.get("identity")
    known = identity if isinstance(identity, dict) else {}
    id = _line(row.get("id"), LONGEST_NAME) or ""
    name = _line(row.get("name"), LONGEST_NAME) or _line(known.get("name"), LONGEST_NAME) or id
    workspace = row.get("workspace")
    return Resident(
        id,
        name,
        emoji=_line(known.get("emoji"), LONGEST_EMOJI),
        workspace=workspace if isinstance(workspace, str) else None,
    )


def _line(value: object, longest: int) -> str | None:
    """Return a text if it is one line of letters and signs that is not too long."""
    text = value.strip() if isinstance(value, str) else ""
    return text if 0 < len(text) <= longest and text.isprintable() else None

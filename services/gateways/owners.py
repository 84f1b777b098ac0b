"""Whose sessions are whose: the agents of ours on a gateway, and what a person may do with each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden
from models import Agent, Gateway, User
from services import boards
from services.gateways.inspecting import Row, Sessions

LONGEST_ID = 64  # characters of an agent's id on a gateway
NOT_IN_IDS = re.compile(r"[^a-z0-9_-]+")


@dataclass(frozen=True)
class Owner:
    """An agent of ours on a gateway, and what the person who looks may do on its board."""

    agent: Agent
    board_name: str | None
    can_read: bool
    can_write: bool


Owners = Mapping[str, Owner]
"""The agents of ours on a gateway, by the id that each has there."""


async def owners(session: AsyncSession, user: User, gateway: Gateway) -> Owners:
    """Return the agents of ours on a gateway. One that is on no board is every admin's."""
    seen = boards.seen_by(user).subquery()
    query = select(Agent, seen.c.name, seen.c.reads, seen.c.writes)
    query = query.outerjoin(seen, seen.c.id == Agent.board_id)
    rows = await session.execute(query.where(Agent.gateway_id == gateway.id))
    found = [
        Owner(agent, *_rights(agent, name, reads, writes)) for agent, name, reads, writes in rows
    ]
    return {one.agent.gateway_key: one for one in found if one.agent.gateway_key}


def agent_in(key: str) -> str:
    """Return the id of the agent whose session a key names; a bare key is the first agent's.

    A gateway finds a session however its key is written, and so it must be known here: in capitals,
    with blanks around it, with signs that no id has.
    """
    parts = key.strip().lower().split(":")
    if len(parts) < 3 or parts[0] != "agent":
        return "main"
    return NOT_IN_IDS.sub("-", parts[1].strip()).strip("-")[:LONGEST_ID]


def owner_of(key: str, known: Owners, *, to_write: bool = False) -> Owner | None:
    """Return whose session a key names; None if it is nobody's of ours.

    Raises Forbidden to who may not read the board of its agent, or not change it with `to_write`.
    """
    owner = known.get(agent_in(key))
    if owner is not None and not owner.can_read:
        raise Forbidden("board_read_forbidden", "You may not read this agent's board.")
    if owner is not None and to_write and not owner.can_write:
        raise Forbidden("board_write_forbidden", "You may read this agent's board, not change it.")
    return owner


def readable(found: Sessions, known: Owners) -> Sessions:
    """Return the sessions of a gateway but for those of agents whose board may not be read."""

    def may_read(row: Row) -> bool:
        owner = known.get(agent_in(str(row.get("key"))))
        return owner is None or owner.can_read

    return replace(found, sessions=[row for row in found.sessions if may_read(row)])


def _rights(
    agent: Agent, board_name: str | None, reads: bool | None, writes: bool | None
) -> tuple[str | None, bool, bool]:
    if agent.board_id is None:
        return None, True, True
    return board_name, bool(reads), bool(reads and writes)

"""Creating, changing and deleting boards."""

from collections.abc import Mapping, Set
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Forbidden, Invalid
from kit.values import checked
from kit.versions import Known, check_version
from models import Actor, Agent, Board, BoardAccess, BoardGroup, EventType, Gateway, Member
from services import events, messages, provisioning
from services.boards.access import access
from services.boards.rules import (
    ADMIN_FIELDS,
    CHECKS,
    GOAL_FIELDS,
    BoardDraft,
    check_goal,
    check_may_change,
)
from services.boards.slugs import free_slug, slug_of
from services.boards.telling import about_change

NOT_TOLD = frozenset({"slug", "board_group_id", "goal_source"})
"""What is in none of the files that a board's agents have."""


async def create(session: AsyncSession, member: Member, draft: BoardDraft) -> Board:
    """Create a board in the member's organization, which they may read and change from then on.

    Raises Forbidden unless the member is an admin, and Invalid with the field.
    """
    if not member.is_admin:
        raise Forbidden("admin_required", "Only an admin of the organization can create boards.")
    fields = checked(CHECKS, vars(draft))
    check_goal(fields, {"goal_confirmed"})
    await _check_places(session, member.organization_id, fields)
    wanted = fields["slug"] or slug_of(fields["name"])
    fields["slug"] = await free_slug(session, member.organization_id, wanted)
    at = now()
    board = Board(organization_id=member.organization_id, created_at=at, updated_at=at, **fields)
    session.add(board)
    await session.flush()
    _let_in(session, member, board, at)
    await provisioning.ask_crew(session, board)
    await events.record_all(session, [_happened(EventType.BOARD_CREATED, member.user, board)])
    return board


async def change(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    changes: Mapping[str, object],
    *,
    known: Known = None,
) -> Board:
    """Change a board that the actor holds; only the fields that are given count.

    A change that changes nothing is not recorded. Raises Forbidden when only admins may change a
    field, Invalid with the field, and PreconditionFailed if it is of no version that is known.
    """
    given = checked(CHECKS, changes)
    new = await _differences(session, board, given)
    if new.keys() & ADMIN_FIELDS:
        held = await access(session, actor, board.id)
        check_may_change(new.keys(), is_admin=held.is_admin)
    check_goal(_as_it_will_be(board, new), new.keys() | (given.keys() & {"board_type"}))
    await _check_places(session, board.organization_id, new)
    check_version(known, board.version)
    if not new:
        return board
    left, left_gateway = board.board_group_id, board.gateway_id
    moved = {name: [plain(getattr(board, name)), plain(value)] for name, value in new.items()}
    for name, value in new.items():
        setattr(board, name, value)
    board.updated_at = now()
    board.version += 1
    await _tell_gateways(session, board, new.keys(), left=left_gateway)
    happened = _happened(EventType.BOARD_UPDATED, actor, board, changes=moved)
    drafts = await about_change(session, actor, board, moved, left=left)
    await messages.queue(session, drafts, happened=[happened])
    return board


async def delete(session: AsyncSession, actor: Actor, board: Board, *, known: Known = None) -> None:
    """Delete a board that the actor holds, with all that is on it: tasks, approvals, agents.

    Raises Forbidden unless the actor is an admin, and PreconditionFailed as `change` does.
    """
    held = await access(session, actor, board.id)
    if not (held.is_admin and held.can_write):
        raise Forbidden("admin_required", "Only an admin who may change this board can delete it.")
    check_version(known, board.version)
    await provisioning.leave_behind(session, Agent.board_id == board.id)
    await session.delete(held.board)
    await session.flush()
    await provisioning.ask_crew(session, board)
    await events.record_all(session, [_happened(EventType.BOARD_DELETED, actor, board)])


async def _differences(
    session: AsyncSession, board: Board, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is to be other than it is. A new slug is one that no other board has."""
    new = {name: value for name, value in given.items() if _is_other(value, getattr(board, name))}
    if "slug" in new:
        wanted = new.pop("slug") or slug_of(given.get("name", board.name))
        slug = await free_slug(session, board.organization_id, wanted, board_id=board.id)
        if slug != board.slug:
            new["slug"] = slug
    return new


def _is_other(value: object, before: object) -> bool:
    """Say whether a value is another than before; of measures, their order counts too."""
    if isinstance(value, dict) and isinstance(before, dict):
        return list(value.items()) != list(before.items())
    return value != before


def _as_it_will_be(board: Board, new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: new.get(name, getattr(board, name)) for name in GOAL_FIELDS}


async def _check_places(
    session: AsyncSession, organization_id: UUID, fields: Mapping[str, Any]
) -> None:
    """Raise Invalid if a gateway or a group is named that this organization does not have."""
    await _check_gateway(session, organization_id, fields.get("gateway_id"))
    group_id = fields.get("board_group_id")
    if group_id is None:
        return
    known = select(BoardGroup.id).where(
        BoardGroup.id == group_id, BoardGroup.organization_id == organization_id
    )
    if await session.scalar(known.with_for_update(read=True, key_share=True)) is None:
        reason = "There is no such group in this organization."
        raise Invalid("board_group_not_found", reason, field="board_group_id")


async def _check_gateway(
    session: AsyncSession, organization_id: UUID, gateway_id: UUID | None
) -> None:
    """Raise Invalid for a gateway of another organization, or without an agent to look after it."""
    if gateway_id is None:
        return
    main = exists().where(Agent.gateway_id == Gateway.id, Agent.board_id.is_(None))
    known = select(main).where(Gateway.id == gateway_id, Gateway.organization_id == organization_id)
    has_main = await session.scalar(known.with_for_update(read=True, key_share=True, of=Gateway))
    if has_main is None:
        reason = "There is no such gateway in this organization."
        raise Invalid("gateway_not_found", reason, field="gateway_id")
    if not has_main:
        reason = "This gateway has no agent that looks after it."
        raise Invalid("gateway_without_agent", reason, field="gateway_id")


async def _tell_gateways(
    session: AsyncSession, board: Board, changed: Set[str], *, left: UUID | None
) -> None:
    """Have the board's agents live where the board now is, and be told of what it now is.

    `left` is the gateway on which it was.
    """
    if not changed - NOT_TOLD:
        return
    await session.flush()
    if "gateway_id" in changed:
        await provisioning.move(session, Agent.board_id == board.id, board.gateway_id)
    await provisioning.ask_crew(session, board, left=left)


def _let_in(session: AsyncSession, member: Member, board: Board, at: datetime) -> None:
    """Let a member who does not change all boards change this one."""
    if member.all_boards_write:
        return
    row = BoardAccess(
        organization_member_id=member.id,
        board_id=board.id,
        can_read=True,
        can_write=True,
        created_at=at,
        updated_at=at,
    )
    session.add(row)


def _happened(type: EventType, actor: Actor, board: Board, **more: object) -> events.Happened:
    told = {"name": board.name, **more}
    return events.Happened(
        type, actor, organization_id=board.organization_id, board=board, data=told
    )


def plain(value: object) -> object:
    """Return a value as JSON can hold it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value

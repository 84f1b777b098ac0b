"""Create, update and delete boards."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden, Invalid
from core.text import N_
from core.validation import KnownVersions, check_version, validate_fields
from models import Actor, Agent, Board, BoardAccess, BoardGroup, EventType, Gateway, Member, User
from services import desired_state, events, messages
from services.boards.access import get_board_permissions
from services.boards.events import (
    board_event,
    board_update_messages,
    board_updated_event,
    json_value,
    lead_update_message,
)
from services.boards.queries import board_slug, find_free_slug
from services.boards.rules import (
    ADMIN_FIELDS,
    FIELD_VALIDATORS,
    GOAL_FIELDS,
    BoardDraft,
    check_goal,
    check_may_update,
)
from services.events import NewEvent
from services.hooks import Hook

FIELDS_NOT_IN_AGENT_FILES = frozenset({"slug", "board_group_id", "goal_source"})
"""Board fields that do not appear in the files of its agents."""


@dataclass(frozen=True)
class BoardDeletion:
    """A locked board that is about to be deleted, with its agents."""

    actor: Actor
    board: Board


BOARD_DELETION: Hook[BoardDeletion, NewEvent] = Hook("BOARD_DELETION")
"""A board is about to be deleted; the returned events are recorded before its own."""


async def create_board(session: AsyncSession, member: Member, draft: BoardDraft) -> Board:
    """Create a board in the member's organization, and let the member read and change it.

    Raises Forbidden unless the member is an admin, and Invalid with the field.
    """
    if not member.is_admin:
        raise Forbidden(
            "admin_required", N_("Only an admin of the organization can create boards.")
        )
    fields = validate_fields(FIELD_VALIDATORS, vars(draft))
    check_goal(fields, {"goal_confirmed"})
    await _check_references(session, member.organization_id, fields)
    wanted = fields["slug"] or board_slug(fields["name"])
    fields["slug"] = await find_free_slug(session, member.organization_id, wanted)
    at = now()
    board = Board(organization_id=member.organization_id, created_at=at, updated_at=at, **fields)
    session.add(board)
    await session.flush()
    _grant_access(session, member, board, at)
    await desired_state.request_board_sync(session, board)
    await events.record_events(session, [board_event(EventType.BOARD_CREATED, member.user, board)])
    return board


async def update_board(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    changes: Mapping[str, object],
    *,
    known: KnownVersions = None,
) -> Board:
    """Update the given fields of a board that the actor has locked.

    No event is recorded if nothing changes. Raises Forbidden if only admins may change a field,
    Invalid with the field, and PreconditionFailed if the board's version is not a known one.
    """
    given = validate_fields(FIELD_VALIDATORS, changes)
    new = await _differences(session, board, given)
    if new.keys() & ADMIN_FIELDS:
        permissions = await get_board_permissions(session, actor, board.id)
        check_may_update(new.keys(), is_admin=permissions.is_admin)
    check_goal(_goal_fields_after(board, new), new.keys() | (given.keys() & {"board_type"}))
    await _check_references(session, board.organization_id, new)
    check_version(known, board.version)
    if not new:
        return board
    old_group_id, old_gateway_id = board.board_group_id, board.gateway_id
    diff = _apply(board, new)
    await _reprovision_agents(session, board, new.keys(), old_gateway_id)
    updated = board_updated_event(actor, board, diff)
    outgoing = await board_update_messages(session, actor, board, diff, old_group_id=old_group_id)
    await messages.enqueue_messages(session, outgoing, new_events=[updated])
    return board


async def delete_board(
    session: AsyncSession, actor: Actor, board: Board, *, known: KnownVersions = None
) -> None:
    """Delete a board that the actor has locked, with its tasks, approvals and agents.

    The event of the board is the last one: who reads it knows that its agents are deleted, too.
    Raises Forbidden unless the actor is an admin, and PreconditionFailed like `update_board`.
    """
    permissions = await get_board_permissions(session, actor, board.id)
    if not (permissions.is_admin and permissions.can_write):
        reason = N_("Only an admin who may change this board can delete it.")
        raise Forbidden("admin_required", reason, cause="board")
    check_version(known, board.version)
    new_events = await BOARD_DELETION.run(session, BoardDeletion(actor, board))
    await session.delete(permissions.board)
    await session.flush()
    await desired_state.request_board_sync(session, board)
    new_events.append(board_event(EventType.BOARD_DELETED, actor, board))
    await events.record_events(session, new_events)


async def _differences(
    session: AsyncSession, board: Board, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields that change. A new slug is made unique."""
    new = {
        name: value for name, value in given.items() if _is_different(value, getattr(board, name))
    }
    if "slug" in new:
        wanted = new.pop("slug") or board_slug(given.get("name", board.name))
        slug = await find_free_slug(session, board.organization_id, wanted, board_id=board.id)
        if slug != board.slug:
            new["slug"] = slug
    return new


def _is_different(value: object, before: object) -> bool:
    """Compare a value with its previous one, including the order of keys (measures)."""
    if isinstance(value, dict) and isinstance(before, dict):
        return list(value.items()) != list(before.items())
    return value != before


def _apply(board: Board, new: Mapping[str, Any]) -> dict[str, list[object]]:
    """Set fields of a board, and return the old and the new value of each as JSON values."""
    diff = {
        name: [json_value(getattr(board, name)), json_value(value)] for name, value in new.items()
    }
    for name, value in new.items():
        setattr(board, name, value)
    board.updated_at = now()
    board.version += 1
    return diff


def _goal_fields_after(board: Board, new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: new.get(name, getattr(board, name)) for name in GOAL_FIELDS}


async def _check_references(
    session: AsyncSession, organization_id: UUID, fields: Mapping[str, Any]
) -> None:
    """Raise Invalid if the gateway or the group does not belong to this organization."""
    await _check_gateway(session, organization_id, fields.get("gateway_id"))
    group_id = fields.get("board_group_id")
    if group_id is None:
        return
    known = select(BoardGroup.id).where(
        BoardGroup.id == group_id, BoardGroup.organization_id == organization_id
    )
    if await session.scalar(known.with_for_update(read=True, key_share=True)) is None:
        reason = N_("There is no such group in this organization.")
        raise Invalid("board_group_not_found", reason, field="board_group_id")


async def _check_gateway(
    session: AsyncSession, organization_id: UUID, gateway_id: UUID | None
) -> None:
    """Raise Invalid for a gateway of another organization, or without a gateway agent."""
    if gateway_id is None:
        return
    main = exists().where(Agent.gateway_id == Gateway.id, Agent.board_id.is_(None))
    known = select(main).where(Gateway.id == gateway_id, Gateway.organization_id == organization_id)
    has_main = await session.scalar(known.with_for_update(read=True, key_share=True, of=Gateway))
    if has_main is None:
        reason = N_("There is no such gateway in this organization.")
        raise Invalid("gateway_not_found", reason, field="gateway_id")
    if not has_main:
        reason = N_("This gateway has no agent that looks after it.")
        raise Invalid("gateway_without_agent", reason, field="gateway_id")


async def _reprovision_agents(
    session: AsyncSession, board: Board, changed: Set[str], old_gateway_id: UUID | None
) -> None:
    """Move the board's agents to its gateway, and update their files, if the changes require it."""
    if not changed - FIELDS_NOT_IN_AGENT_FILES:
        return
    await session.flush()
    if "gateway_id" in changed:
        await desired_state.move_agents(session, Agent.board_id == board.id, board.gateway_id)
    await desired_state.request_board_sync(session, board, previous_gateway_id=old_gateway_id)


def _grant_access(session: AsyncSession, member: Member, board: Board, at: datetime) -> None:
    """Allow the member to change this board, unless they may change all boards."""
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


class GoalEffects(NamedTuple):
    """The events to record and the messages to the lead for the caller of `set_goal` to publish."""

    events: Sequence[NewEvent] = ()
    lead_messages: Sequence[messages.OutgoingMessage] = ()


def set_goal(user: User, board: Board, changes: Mapping[str, Any]) -> GoalEffects:
    """Set fields of a locked board as the result of its onboarding.

    The caller checks the user's permissions, and records the event and enqueues the messages that
    are returned. Raises Invalid with the field.
    """
    given = validate_fields(FIELD_VALIDATORS, changes)
    new = {name: value for name, value in given.items() if value != getattr(board, name)}
    if not new:
        return GoalEffects()
    diff = _apply(board, new)
    updated = board_updated_event(user, board, diff)
    return GoalEffects([updated], [lead_update_message(user, board, diff)])

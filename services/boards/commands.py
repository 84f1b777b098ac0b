"""The fields of boards, and the commands that create, update and delete boards."""

import re
import unicodedata
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain, count
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden, Invalid, NotFound, SentAs
from core.fields import (
    MAX_INTEGER,
    MAX_NAME_LENGTH,
    Description,
    FieldKind,
    Fields,
    KnownVersions,
    Label,
    Moment,
    Patch,
    ShortText,
    ShownName,
    build_line_constraints,
    check_version,
)
from core.text import N_, is_storable_json
from models import (
    DEFAULT_REMINDER_MINUTES,
    DEFAULT_STALE_MINUTES,
    Actor,
    Agent,
    Board,
    BoardAccess,
    BoardGroup,
    EventType,
    Gateway,
    Member,
    Organization,
    User,
)
from services import desired_state, events, messages, rows
from services.boards.access import get_board_permissions
from services.boards.events import (
    board_event,
    board_update_messages,
    board_updated_event,
    json_value,
    lead_update_message,
)
from services.events import NewEvent
from services.hooks import Hook


def _check_metrics(metrics: dict[str, Any]) -> dict[str, Any]:
    if not is_storable_json(metrics, max_length=50_000):
        reason = N_("This is too large, or not valid JSON.")
        raise Invalid("not_storable", reason, field="success_metrics")
    return metrics


BoardType = Annotated[str, build_line_constraints(50)]
SuccessMetrics = Annotated[dict[str, Any], AfterValidator(_check_metrics)]
FollowUpMinutes = Annotated[int, Field(ge=5, le=43_200)]  # 30 days


class BoardCreate(Fields):
    """A new board. Without a gateway its agents use HTTP only."""

    example = {
        "name": "Launch",
        "description": "All that has to happen before we go public.",
        "board_type": "general",
        "require_approval_for_done": True,
    }

    name: Annotated[ShownName, Label(N_("Name"), FieldKind.LINE)]
    slug: Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=MAX_NAME_LENGTH),
        Field(description="Made from the name if blank or already used. Slashes become hyphens."),
        Label(N_("Short name"), FieldKind.LINE),
    ] = ""
    description: Annotated[
        str, build_line_constraints(20_000), Label(N_("Description"), FieldKind.TEXT)
    ]
    gateway_id: Annotated[UUID | None, Label(N_("Gateway"))] = None
    board_group_id: Annotated[UUID | None, Label(N_("Group"))] = None
    board_type: Annotated[
        BoardType,
        Field(description="`goal`, `general`, or another type."),
        Label(N_("Kind of board")),
    ] = "goal"
    objective: Annotated[Description | None, Label(N_("Objective"), FieldKind.TEXT)] = None
    success_metrics: Annotated[SuccessMetrics | None, Label(N_("Measures"))] = None
    target_date: Annotated[Moment | None, Label(N_("Target date"))] = None
    goal_confirmed: Annotated[bool, Label(N_("Confirmed"))] = False
    goal_source: ShortText | None = None
    require_approval_for_done: Annotated[
        bool,
        Field(description="A task can only be done with an approval."),
        Label(N_("Approval before Done")),
    ] = True
    require_review_before_done: Annotated[
        bool,
        Field(description="A task can only be done from review."),
        Label(N_("Review before Done")),
    ] = False
    comment_required_for_review: Annotated[
        bool,
        Field(description="Moving a task to review requires a comment."),
        Label(N_("Comment before Review")),
    ] = False
    block_status_changes_with_pending_approval: Annotated[
        bool,
        Field(description="A task with a pending approval cannot change its status."),
        Label(N_("Lock tasks with pending approvals")),
    ] = False
    only_lead_can_change_status: Annotated[
        bool,
        Field(description="Only the lead may change the status of tasks; workers comment."),
        Label(N_("Only the lead moves tasks")),
    ] = False
    workers_may_ask_people: Annotated[
        bool,
        Field(description="Workers may ask people, not only the lead."),
        Label(N_("Workers may ask people")),
    ] = False
    max_agents: Annotated[
        int,
        Field(
            ge=0, le=MAX_INTEGER, description="Maximum number of workers that the lead may create."
        ),
        Label(N_("Maximum workers")),
    ] = 1
    stale_after_minutes: Annotated[
        FollowUpMinutes | None,
        Field(
            description="After this time without activity a task in progress is stale: its agent is"
            " woken once, then people are notified. null: never."
        ),
        Label(N_("Stale after")),
    ] = DEFAULT_STALE_MINUTES
    remind_after_minutes: Annotated[
        FollowUpMinutes | None,
        Field(
            description="After this time people are reminded of an approval that nobody has"
            " decided. null: never."
        ),
        Label(N_("Remind after")),
    ] = DEFAULT_REMINDER_MINUTES


class BoardUpdate(BoardCreate, Patch):
    """Changes of a board. Rules, gateway and group are for admins."""

    may_be_empty = True
    descriptions = dict.fromkeys(BoardCreate.model_fields)  # see those of a new board
    example = None


TASK_RULES = (
    "require_approval_for_done",
    "require_review_before_done",
    "comment_required_for_review",
    "block_status_changes_with_pending_approval",
    "only_lead_can_change_status",
    "workers_may_ask_people",
)
ADMIN_FIELDS = frozenset({*TASK_RULES, "gateway_id", "board_group_id", "max_agents"})
GOAL_FIELDS = frozenset({"board_type", "objective", "success_metrics", "goal_confirmed"})
FIELDS_NOT_IN_AGENT_FILES = frozenset({"slug", "board_group_id", "goal_source"})
"""Board fields that do not appear in the files of its agents."""


@dataclass(frozen=True)
class BoardDeletion:
    """A locked board that is about to be deleted, with its agents."""

    actor: Actor
    board: Board


BOARD_DELETION: Hook[BoardDeletion, list[NewEvent]] = Hook()
"""A board is about to be deleted; the returned events are recorded before its own."""


@dataclass(frozen=True)
class BoardGatewayChange:
    """A locked board that was given another gateway, or none."""

    actor: Actor
    board: Board


BOARD_GATEWAY_CHANGE: Hook[BoardGatewayChange, list[NewEvent]] = Hook()
"""A board has another gateway, or none; the returned events are recorded before its own."""


async def create_board(session: AsyncSession, member: Member, fields: BoardCreate) -> Board:
    """Create a board in the member's organization, and let the member read and change it.

    Raises Forbidden unless the member is an admin, and Invalid with the field.
    """
    if not member.is_admin:
        raise Forbidden(
            "admin_required", N_("Only an admin of the organization can create boards.")
        )
    values = dict(fields)
    check_goal(values, {"goal_confirmed"})
    await _check_references(session, member.organization_id, values)
    wanted = fields.slug or board_slug(fields.name)
    values["slug"] = await find_free_slug(session, member.organization_id, wanted)
    board = rows.build_row(Board, organization_id=member.organization_id, **values)
    session.add(board)
    await session.flush()
    if not member.all_boards_write:
        ids = {"organization_member_id": member.id, "board_id": board.id}
        session.add(rows.build_row(BoardAccess, **ids, can_read=True, can_write=True))
    await desired_state.request_board_sync(session, board)
    await events.record_events(session, [board_event(EventType.BOARD_CREATED, member.user, board)])
    return board


async def update_board(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    fields: BoardUpdate,
    *,
    known: KnownVersions = None,
) -> Board:
    """Update the given fields of a board that the actor has locked.

    A blank slug is generated from the name, and a slug that is used is made unique. No event is
    recorded if nothing changes. Raises Forbidden if only admins may change a field, Invalid with
    the field, and PreconditionFailed if the board's version is not a known one.
    """
    given = fields.changes()
    new = _list_differences(board, given)
    if "slug" in new:
        wanted = new.pop("slug") or board_slug(given.get("name", board.name))
        slug = await find_free_slug(session, board.organization_id, wanted, board_id=board.id)
        if slug != board.slug:
            new["slug"] = slug
    if reserved := sorted(new.keys() & ADMIN_FIELDS):
        permissions = await get_board_permissions(session, actor, board.id)
        if not permissions.is_admin:
            reason = N_("Only an admin of the organization can change this: %(fields)s.")
            raise Forbidden("admin_required", reason, fields=reserved)
    goal = {name: new.get(name, getattr(board, name)) for name in GOAL_FIELDS}
    changed = new.keys() | (given.keys() & {"board_type"})
    check_goal(goal, changed, sent_as="text")  # only new boards were checked by a model
    await _check_references(session, board.organization_id, new)
    check_version(known, board.version)
    if not new:
        return board
    old_group_id, old_gateway_id = board.board_group_id, board.gateway_id
    diff = _apply(board, new)
    new_events: list[NewEvent] = []
    if new.keys() - FIELDS_NOT_IN_AGENT_FILES:
        await session.flush()
        if "gateway_id" in new:
            new_events += await BOARD_GATEWAY_CHANGE.run(session, BoardGatewayChange(actor, board))
            await desired_state.move_agents(session, Agent.board_id == board.id, board.gateway_id)
        await desired_state.request_board_sync(session, board, previous_gateway_id=old_gateway_id)
    new_events.append(board_updated_event(actor, board, diff))
    outgoing = await board_update_messages(session, actor, board, diff, old_group_id=old_group_id)
    await messages.enqueue_messages(session, outgoing, new_events=new_events)
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
        raise Forbidden("admin_required", reason)
    check_version(known, board.version)
    new_events = await BOARD_DELETION.run(session, BoardDeletion(actor, board))
    await session.delete(permissions.board)
    await session.flush()
    await desired_state.request_board_sync(session, board)
    new_events.append(board_event(EventType.BOARD_DELETED, actor, board))
    await events.record_events(session, new_events)


class GoalEffects(NamedTuple):
    """The events to record and the messages to the lead for the caller of `set_goal` to publish."""

    events: Sequence[NewEvent] = ()
    lead_messages: Sequence[messages.OutgoingMessage] = ()


def set_goal(user: User, board: Board, fields: BoardUpdate) -> GoalEffects:
    """Set fields of a locked board as the result of its onboarding.

    The caller checks the user's permissions, and records the event and enqueues the messages that
    are returned.
    """
    new = _list_differences(board, fields.changes())
    if not new:
        return GoalEffects()
    diff = _apply(board, new)
    updated = board_updated_event(user, board, diff)
    return GoalEffects([updated], [lead_update_message(user, board, diff)])


def _list_differences(board: Board, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given fields that differ from those of a board. The order of measures counts."""
    return {
        name: value
        for name, value in given.items()
        if value != (before := getattr(board, name))
        or (name == "success_metrics" and list(value or ()) != list(before or ()))
    }


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


def check_goal(board: Mapping[str, Any], changed: Set[str], *, sent_as: SentAs = "field") -> None:
    """Raise Invalid if a goal is confirmed, or a board becomes a goal, without required fields.

    `board` has the fields after the update. Changes of other fields do not fail because of an
    incomplete goal that existed before (C29).
    """
    if changed & GOAL_FIELDS and (board["goal_confirmed"] or "board_type" in changed):
        require_complete_goal(board, sent_as)


def require_complete_goal(goal: Mapping[str, Any], sent_as: SentAs = "field") -> None:
    """Raise Invalid if the fields of a goal have no objective or no measures.

    The fields of a board that is not a goal are complete.
    """
    if goal.get("board_type") != "goal":
        return
    if not (goal.get("objective") or "").strip():
        raise Invalid(
            "goal_incomplete", N_("A goal needs an objective."), field="objective", sent_as=sent_as
        )
    if not goal.get("success_metrics"):
        reason = N_("A goal needs measures: how will you know that it is reached?")
        hint = "They are its success_metrics."
        raise Invalid(
            "goal_incomplete", reason, field="success_metrics", hint=hint, sent_as=sent_as
        )


async def _check_references(
    session: AsyncSession, organization_id: UUID, fields: Mapping[str, Any]
) -> None:
    """Raise Invalid if the gateway or the group does not belong to this organization.

    A gateway must have a gateway agent.
    """
    gateway_id, group_id = fields.get("gateway_id"), fields.get("board_group_id")
    if gateway_id is not None:
        main = exists().where(Agent.gateway_id == Gateway.id, Agent.board_id.is_(None))
        gateway = select(main).where(
            Gateway.id == gateway_id, Gateway.organization_id == organization_id
        )
        locked_gateway = gateway.with_for_update(read=True, key_share=True, of=Gateway)
        has_main = await session.scalar(locked_gateway)
        if has_main is None:
            reason = N_("There is no such gateway in this organization.")
            raise Invalid("gateway_not_found", reason, field="gateway_id", sent_as="text")
        if not has_main:
            reason = N_("This gateway has no agent that looks after it.")
            raise Invalid("gateway_without_agent", reason, field="gateway_id", sent_as="text")
    if group_id is not None:
        group = select(BoardGroup.id).where(
            BoardGroup.id == group_id, BoardGroup.organization_id == organization_id
        )
        if await session.scalar(group.with_for_update(read=True, key_share=True)) is None:
            reason = N_("There is no such group in this organization.")
            raise Invalid("board_group_not_found", reason, field="board_group_id", sent_as="text")


def board_slug(name: str) -> str:
    """Return a slug of lowercase ASCII letters, digits and hyphens for a name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[: MAX_NAME_LENGTH - 20] or "board"


async def find_free_slug(
    session: AsyncSession, organization_id: UUID, wanted: str, *, board_id: UUID | None = None
) -> str:
    """Return `wanted`, or the first of `wanted-2`, `wanted-3` … that is free in the organization.

    Slashes become hyphens, as do "." and "..", because a slug is one part of an address. Locks the
    organization, so no other transaction can take the slug before the commit. Raises NotFound if
    the organization does not exist.
    """
    wanted = re.sub(r"[/\\]|^\.{1,2}$", "-", wanted)
    organization = select(Organization.id).where(Organization.id == organization_id)
    if await session.scalar(organization.with_for_update(key_share=True)) is None:
        raise NotFound("organization_not_found", N_("There is no such organization."))
    similar = select(Board.slug).where(
        Board.organization_id == organization_id,
        or_(Board.slug == wanted, Board.slug.startswith(f"{wanted}-", autoescape=True)),
    )
    if board_id is not None:
        similar = similar.where(Board.id != board_id)
    taken = {"new", *await session.scalars(similar)}  # other URLs use "new"
    candidates = chain([wanted], (f"{wanted}-{number}" for number in count(2)))
    return next(slug for slug in candidates if slug not in taken)

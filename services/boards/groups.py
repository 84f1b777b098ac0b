"""Board groups: their fields, permissions on them, and the commands that change them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from operator import itemgetter
from secrets import token_hex
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints
from sqlalchemy import ColumnElement, Select, bindparam, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.errors import AppError, Conflict, Forbidden, Invalid, NotFound
from core.fields import MAX_NAME_LENGTH, Description, FieldKind, Fields, Label, Patch, ShownName
from core.paging import Page, PagedQuery, Paging
from core.text import N_, slugify
from models import Actor, Agent, Board, BoardGroup, EventType, Member, Role, User
from services import events, messages, organizations, rows
from services.boards.access import USER_BOARDS, access_parameters, lock_boards
from services.boards.commands import BoardUpdate, update_board
from services.boards.events import board_updated_event, group_event
from services.messages import templates


class GroupLock(Enum):
    """The row locks of a group, as options of `with_for_update`."""

    SHARED = {"read": True, "key_share": True}
    TO_CHANGE = {"key_share": True}
    TO_DELETE = {"key_share": False}


@dataclass(frozen=True)
class GroupPermissions:
    """A board group and the permissions of a user on it."""

    group: BoardGroup
    can_read: bool
    can_write: bool
    is_admin: bool


def _select_visible_groups() -> Select[BoardGroup, bool, bool, bool]:
    admin = Member.role.in_((Role.OWNER, Role.ADMIN))
    boards = USER_BOARDS.subquery()

    def any_board(permission: ColumnElement[bool]) -> ColumnElement[bool]:
        in_group = boards.c.board_group_id == BoardGroup.id
        return exists(select(boards.c.id).where(in_group, permission))

    is_empty = ~exists(select(Board.id).where(Board.board_group_id == BoardGroup.id))
    writes = or_(Member.all_boards_write, admin & is_empty, any_board(boards.c.writes))
    reads = or_(Member.all_boards_read, writes, any_board(boards.c.reads))
    return (
        select(BoardGroup, reads.label("reads"), writes.label("writes"), admin.label("admin"))
        .join(Member, Member.organization_id == BoardGroup.organization_id)
        .where(Member.user_id == bindparam("user_id"))
    )


VISIBLE_GROUPS = _select_visible_groups()
"""Selects the groups of the organizations of the user `user_id` with the columns of
`GroupPermissions`.

A user who may read or change one board of a group may do the same with the group. Only admins may
access a group without boards."""

_visible = VISIBLE_GROUPS.subquery()
READABLE_GROUP_IDS = select(_visible.c.id).where(_visible.c.reads)
"""Selects the ids of those of VISIBLE_GROUPS that the user may read."""

GROUP: Query[BoardGroup] = Query(
    select(BoardGroup).where(BoardGroup.id == bindparam("group_id")), itemgetter(0)
)


async def get_group(source: Source, user: User, group_id: UUID) -> BoardGroup:
    """Return a group of the user's current organization that the user may read.

    Raises NotFound or Forbidden.
    """
    return (await get_group_permissions(source, user, group_id)).group


async def find_group_of_board(source: Source, board: Board) -> BoardGroup | None:
    """Return the group of a board; it cannot be deleted while the board is locked."""
    if board.board_group_id is None:
        return None
    return await GROUP.first(source, group_id=board.board_group_id)


async def lock_group(session: AsyncSession, user: User, group_id: UUID) -> BoardGroup:
    """Return a group that the user may change, protected from deletion until the commit.

    Takes a shared lock. Raises NotFound or Forbidden.
    """
    permissions = await get_group_permissions(session, user, group_id, lock=GroupLock.SHARED)
    if not permissions.can_write:
        raise Forbidden(
            "board_group_write_forbidden", N_("You can read this group but not change it.")
        )
    return permissions.group


async def lock_group_as_admin(
    session: AsyncSession, user: User, group_id: UUID, *, to_delete: bool = False
) -> BoardGroup:
    """Return a group for an admin who may change it, locked until the commit.

    No board can join a group that is locked to be deleted. Lock boards before their group. Raises
    NotFound or Forbidden.
    """
    lock = GroupLock.TO_DELETE if to_delete else GroupLock.TO_CHANGE
    return await get_group_as_admin(session, user, group_id, lock=lock)


async def get_group_as_admin(
    source: Source, user: User, group_id: UUID, *, lock: GroupLock | None = None
) -> BoardGroup:
    """Return a group for an admin who may change it. Raises NotFound or Forbidden."""
    permissions = await get_group_permissions(source, user, group_id, lock=lock)
    if not (permissions.can_write and permissions.is_admin):
        reason = N_("Only an admin who may change this group can do that.")
        raise Forbidden("admin_required", reason)
    return permissions.group


async def get_group_permissions(
    source: Source, user: User, group_id: UUID, *, lock: GroupLock | None = None
) -> GroupPermissions:
    """Return a group and a user's permissions on it.

    Raises NotFound if it is not in the user's current organization, Forbidden if it may not be
    read.
    """
    permissions = await _build_group_query(lock).first(source, user_id=user.id, group_id=group_id)
    if permissions is None:
        raise group_not_found()
    if not permissions.can_read:
        raise Forbidden("board_group_read_forbidden", "You may not read this group.")
    return permissions


@cache
def _build_group_query(lock: GroupLock | None) -> Query[GroupPermissions]:
    query = VISIBLE_GROUPS.where(
        BoardGroup.id == bindparam("group_id"),
        Member.id == organizations.current_membership_id_query(),
    )
    if lock is not None:
        query = query.with_for_update(of=BoardGroup, **lock.value)
    query = query.execution_options(populate_existing=True)
    return Query(query, lambda row: GroupPermissions(*row))


def group_not_found() -> NotFound:
    """Build the error for a group that does not exist or that the actor may not see."""
    return NotFound("board_group_not_found", N_("There is no such group in this organization."))


async def list_groups(source: Source, member: Member, paging: Paging) -> Page[BoardGroup]:
    """Return the groups of the member's organization that they may read, by name."""
    return await READABLE_GROUPS.fetch_page(source, paging, **access_parameters(member))


_of_member = VISIBLE_GROUPS.where(Member.organization_id == bindparam("organization_id")).subquery()
READABLE_GROUPS: PagedQuery[BoardGroup] = PagedQuery(
    select(BoardGroup)
    .join(_of_member, _of_member.c.id == BoardGroup.id)
    .where(_of_member.c.reads)
    .order_by(func.lower(BoardGroup.name), BoardGroup.created_at, BoardGroup.id),
    itemgetter(0),
)


class BoardGroupCreate(Fields):
    """A new board group."""

    example = {"name": "Spring launch", "description": "All boards that go out together."}

    name: Annotated[ShownName, Label(N_("Name"), FieldKind.LINE)]
    slug: Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=MAX_NAME_LENGTH),
        Field(description="Made from the name if blank."),
    ] = ""
    description: Annotated[Description | None, Label(N_("Description"), FieldKind.TEXT)] = None


class BoardGroupUpdate(BoardGroupCreate, Patch):
    """Changes of a board group. A blank slug is made from the name."""

    may_be_empty = True
    descriptions = {"slug": None}
    example = None


UNIQUE_ERRORS: rows.UniqueErrors = {
    "uq_board_groups_organization_id_slug": lambda: Conflict(
        "board_group_slug_taken", "There is a group with this slug.", field="slug"
    )
}


def group_slug(name: str) -> str:
    """Return a slug for a group name; a random one if the name has no usable character."""
    return slugify(name, max_length=MAX_NAME_LENGTH) or token_hex(16)


async def create_group(
    session: AsyncSession, member: Member, fields: BoardGroupCreate
) -> BoardGroup:
    """Create a group in the member's organization.

    Raises Forbidden unless the member is an admin, and Conflict if the slug is taken.
    """
    organizations.require_admin(member)
    group = rows.build_row(BoardGroup, organization_id=member.organization_id, **dict(fields))
    group.slug = fields.slug or group_slug(fields.name)
    session.add(group)
    await rows.flush(session, UNIQUE_ERRORS)
    await events.record_events(
        session, [group_event(EventType.BOARD_GROUP_CREATED, member.user, group)]
    )
    return group


async def update_group(
    session: AsyncSession, user: User, group: BoardGroup, fields: BoardGroupUpdate
) -> None:
    """Update the given fields of a locked group.

    A blank slug is generated from the name. No event is recorded if nothing changes. Raises
    Conflict if the slug is taken.
    """
    values = fields.changes()
    if "slug" in values:
        values["slug"] = values["slug"] or group_slug(values.get("name", group.name))
    if differences := await rows.update_row(session, group, values, UNIQUE_ERRORS):
        updated = group_event(EventType.BOARD_GROUP_UPDATED, user, group, changes=differences)
        await events.record_events(session, [updated])


async def delete_group(session: AsyncSession, user: User, group_id: UUID) -> BoardGroup:
    """Delete a group with its memory, and notify its agents. Its boards are kept, without a group.

    Returns the group. Raises NotFound, and Forbidden unless the user is an admin who may change it.
    """
    group_agents = await lock_group_agents(session, user, group_id)
    group = await lock_group_as_admin(session, user, group_id, to_delete=True)
    # All boards are removed, including those that joined the group before it was locked.
    statement = update(Board).where(Board.board_group_id == group.id)
    statement = statement.values(board_group_id=None, updated_at=now(), version=Board.version + 1)
    removed = (await session.scalars(statement.returning(Board))).all()
    await session.delete(group)
    await session.flush()
    deleted = group_event(EventType.BOARD_GROUP_DELETED, user, group)
    left = {"board_group_id": [str(group.id), None]}
    new_events = [*(board_updated_event(user, board, left) for board in removed), deleted]
    outgoing = [  # C24
        messages.OutgoingMessage(
            to=agent,
            content=templates.render_group_update(board, group, recipient=board, joined=False),
            board=board,
            sender=user,
            on_delivered=EventType.GROUP_LEAVE_NOTIFIED,
            on_failed=EventType.GROUP_LEAVE_NOTIFY_FAILED,
            event_data={"name": board.name, "group": group.name},
        )
        for agent, board in group_agents.agents
    ]
    await messages.enqueue_messages(session, outgoing, new_events=new_events)
    return group


@dataclass(frozen=True)
class GroupAgents:
    """The agents of the boards of a group, each with its locked board."""

    agents: Sequence[tuple[Agent, Board]]


async def lock_group_agents(session: AsyncSession, actor: Actor, group_id: UUID) -> GroupAgents:
    """Lock the boards of a group and load their agents, for admins and agents of its organization.

    Other actors get an empty result. The caller checks the permissions on the group.
    """
    in_group = select(Board).where(Board.board_group_id == group_id).order_by(Board.id)
    organization_ids: Any
    if isinstance(actor, Agent):
        organization_ids = [actor.organization_id]
    else:
        organization_ids = select(Member.organization_id).where(
            Member.user_id == actor.id, Member.role.in_((Role.OWNER, Role.ADMIN))
        )
    managed = in_group.where(Board.organization_id.in_(organization_ids))
    locked = managed.with_for_update(key_share=True).execution_options(populate_existing=True)
    found = {board.id: board for board in await session.scalars(locked)}
    query = select(Agent).where(Agent.board_id.in_(found)).order_by(Agent.board_id, Agent.name)
    listed = await session.scalars(query.execution_options(populate_existing=True))
    return GroupAgents([(agent, found[agent.board_id]) for agent in listed if agent.board_id])


async def lock_group_agents_as_manager(
    session: AsyncSession, actor: Actor, group_id: UUID
) -> GroupAgents:
    """Lock a group's boards for an actor who may configure all its agents.

    These are admins who may change the group, and the leads of its boards. Raises NotFound and
    Forbidden.
    """
    group_agents = await lock_group_agents(session, actor, group_id)
    if not isinstance(actor, Agent):
        await lock_group_as_admin(session, actor, group_id)
    elif not any(one.id == actor.id and one.is_board_lead for one, _ in group_agents.agents):
        known = select(BoardGroup.id).where(
            BoardGroup.id == group_id, BoardGroup.organization_id == actor.organization_id
        )
        if await session.scalar(known) is None:
            raise group_not_found()
        raise Forbidden("lead_required", "Only the lead of a board of this group can do that.")
    return group_agents


@dataclass(frozen=True)
class GroupBoardChanges:
    """Locked boards that are to join or to leave a group."""

    joining: Sequence[Board]
    leaving: Sequence[Board]


async def lock_group_boards(
    session: AsyncSession,
    member: Member,
    *,
    joining: Collection[UUID] = (),
    leaving: Collection[UUID] = (),
) -> GroupBoardChanges:
    """Lock the boards that are to join or to leave a group. Lock the group afterwards.

    A board that is to leave and was deleted meanwhile is ignored. Raises Invalid if the member may
    not change one of the others; its detail `boards` has the error of each.
    """
    found = await lock_boards(session, member.user, {*joining, *leaving})
    not_found = NotFound("board_not_found", N_("There is no such board."))
    errors: dict[UUID, AppError] = dict.fromkeys(set(joining) - found.keys(), not_found)
    locked: dict[UUID, Board] = {}
    for id, board in found.items():
        if isinstance(board, AppError):
            errors[id] = board
        elif board.organization_id != member.organization_id:
            errors[id] = not_found
        else:
            locked[id] = board
    if errors:
        reason = N_("Some boards cannot be changed.")
        raise Invalid("boards_not_changed", reason, field="board_ids", boards=errors)
    return GroupBoardChanges(
        joining=[locked[id] for id in sorted(joining) if id in locked],
        leaving=[locked[id] for id in sorted(leaving) if id in locked],
    )


async def change_group_boards(
    session: AsyncSession, user: User, group: BoardGroup, changes: GroupBoardChanges
) -> None:
    """Let locked boards join or leave a locked group, and notify the agents of its boards.

    A board that is no longer in this group does not leave the one where it is now. Raises
    Forbidden unless the user is an admin.
    """
    for board in changes.leaving:
        if board.board_group_id == group.id:
            await update_board(session, user, board, BoardUpdate.of(board_group_id=None))
    for board in changes.joining:
        await update_board(session, user, board, BoardUpdate.of(board_group_id=group.id))

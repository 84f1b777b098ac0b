"""Groups of boards come, change and go."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.database import breaks
from kit.errors import Conflict
from kit.values import checked
from models import Actor, Agent, Board, BoardGroup, EventType, Member, User, new_id
from services import events, messages, organizations
from services.board_groups.access import hold_as_admin
from services.board_groups.crews import hold_crews
from services.board_groups.rules import CHECKS, GroupDraft, slug_of
from services.messages import texts


async def create(session: AsyncSession, member: Member, draft: GroupDraft) -> BoardGroup:
    """Make a group in the member's organization.

    Raises Forbidden unless the member is an admin, Invalid with the field, and Conflict if there
    is a group with this slug.
    """
    organizations.require_admin(member)
    fields = checked(CHECKS, vars(draft))
    fields["slug"] = fields["slug"] or slug_of(fields["name"])
    at = now()
    place = {"id": new_id(), "organization_id": member.organization_id}
    group = BoardGroup(**place, created_at=at, updated_at=at, **fields)
    session.add(group)
    await _store(session)
    await events.record_all(session, [_happened(EventType.BOARD_GROUP_CREATED, member.user, group)])
    return group


async def change(
    session: AsyncSession, user: User, group: BoardGroup, changes: Mapping[str, object]
) -> BoardGroup:
    """Change a group that is held; only the fields that are given count.

    A blank slug is made of the name anew. A change of nothing is not recorded. Raises Invalid with
    the field, and Conflict if another group has the slug.
    """
    given = checked(CHECKS, changes)
    if "slug" in given:
        given["slug"] = given["slug"] or slug_of(given.get("name", group.name))
    new = {name: value for name, value in given.items() if value != getattr(group, name)}
    group.updated_at = now()
    if not new:
        return group
    told = {name: [getattr(group, name), value] for name, value in new.items()}
    for name, value in new.items():
        setattr(group, name, value)
    await _store(session)
    changed = _happened(EventType.BOARD_GROUP_UPDATED, user, group, changes=told)
    await events.record_all(session, [changed])
    return group


async def delete(session: AsyncSession, user: User, group_id: UUID) -> None:
    """Delete a group and what it remembers. Its boards stay, in no group, and their agents hear it.

    Raises NotFound, and Forbidden unless the person is an admin who may change the group.
    """
    crews = await hold_crews(session, user, group_id)
    group = await hold_as_admin(session, user, group_id, to_delete=True)
    left = await _detach(session, group)
    await session.delete(group)
    await session.flush()
    gone = _happened(EventType.BOARD_GROUP_DELETED, user, group)
    happened = [*(_left(user, board, group) for board in left), gone]
    drafts = [_told(user, group, agent, board) for agent, board in crews.agents]
    await messages.queue(session, drafts, happened=happened)


async def _detach(session: AsyncSession, group: BoardGroup) -> Sequence[Board]:
    """Take all boards out of a group, those too that came in while the others were waited for."""
    out = update(Board).where(Board.board_group_id == group.id)
    out = out.values(board_group_id=None, updated_at=now(), version=Board.version + 1)
    return (await session.scalars(out.returning(Board))).all()


async def _store(session: AsyncSession) -> None:
    """Write a group down. Whether its slug is free, only the database knows for sure."""
    try:
        await session.flush()
    except IntegrityError as error:
        if not breaks(error, "uq_board_groups_organization_id_slug"):
            raise
        reason = "There is a group with this slug."
        raise Conflict("board_group_slug_taken", reason, field="slug") from error


def _happened(type: EventType, actor: Actor, group: BoardGroup, **data: Any) -> events.Happened:
    told = {"group_id": str(group.id), "name": group.name, **data}
    return events.Happened(type, actor, organization_id=group.organization_id, data=told)


def _left(actor: Actor, board: Board, group: BoardGroup) -> events.Happened:
    """Tell of a board that its group is gone, as boards.change tells of one that leaves it."""
    changes = {"board_group_id": [str(group.id), None]}
    return events.Happened(
        EventType.BOARD_UPDATED,
        actor,
        organization_id=board.organization_id,
        board=board,
        data={"name": board.name, "changes": changes},
    )


def _told(actor: Actor, group: BoardGroup, agent: Agent, board: Board) -> messages.Draft:
    """Tell an agent that its board is in this group no more (contract, C24)."""
    return messages.Draft(
        to=agent,
        content=texts.group_updated(board, group, recipient=board, joined=False),
        board=board,
        sender=actor,
        told=EventType.GROUP_LEAVE_NOTIFIED,
        failed=EventType.GROUP_LEAVE_NOTIFY_FAILED,
        data={"name": board.name, "group": group.name},
    )

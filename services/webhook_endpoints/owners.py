"""The owner of a webhook: the admin who has set its address and boards.

A webhook sends only what its owner may read. That is checked when it is saved, and again in each
transaction that creates or claims deliveries.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, String, cast, delete, exists, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Forbidden
from core.text import N_
from models import Board, BoardAccess, Event, Member, Role, WebhookDelivery, WebhookEndpoint
from services.webhook_endpoints.queries import list_covered_board_ids, may_read_all_boards


def _owner_has_access() -> ColumnElement[bool]:
    """Match endpoints whose owner is an admin who may read all the boards that exist."""
    access = exists().where(
        BoardAccess.organization_member_id == Member.id,
        BoardAccess.board_id == Board.id,
        or_(BoardAccess.can_read, BoardAccess.can_write),
    )
    hidden = exists().where(
        Board.organization_id == WebhookEndpoint.organization_id,
        WebhookEndpoint.board_ids.has_key(cast(Board.id, String)),
        ~access.correlate(Board, Member),
    )
    has_boards = WebhookEndpoint.board_ids != literal([], JSONB)
    owner = exists().where(
        Member.user_id == WebhookEndpoint.owner_user_id,
        Member.organization_id == WebhookEndpoint.organization_id,
        Member.role.in_((Role.OWNER, Role.ADMIN)),
        or_(
            Member.all_boards_read,
            Member.all_boards_write,
            has_boards & ~hidden.correlate(WebhookEndpoint, Member),
        ),
    )
    return owner.correlate(WebhookEndpoint)


OWNER_HAS_ACCESS = _owner_has_access()


async def has_owner_access(session: AsyncSession, endpoint: WebhookEndpoint) -> bool:
    """Return whether the owner of a webhook may read what it sends."""
    query = select(WebhookEndpoint.id).where(WebhookEndpoint.id == endpoint.id, OWNER_HAS_ACCESS)
    return await session.scalar(query) is not None


async def set_owner(session: AsyncSession, member: Member, endpoint: WebhookEndpoint) -> None:
    """Make an admin the owner of a webhook with new boards or another URL. Raises Forbidden.

    Deliveries of boards that are left out are deleted: the owner need not be allowed to read them.
    """
    await check_boards(session, member, endpoint.board_ids)
    endpoint.owner_user_id = member.user_id
    if endpoint.board_ids:
        await _delete_deliveries_of_other_boards(session, endpoint)


async def _delete_deliveries_of_other_boards(
    session: AsyncSession, endpoint: WebhookEndpoint
) -> None:
    is_received = or_(
        Event.board_id.is_(None), cast(Event.board_id, String).in_(endpoint.board_ids)
    )
    received = select(Event.id).where(Event.id == WebhookDelivery.event_id, is_received)
    of_other_boards = WebhookDelivery.event_id.is_not(None) & ~received.exists()
    await session.execute(
        delete(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint.id, of_other_boards)
    )


async def check_boards(session: AsyncSession, member: Member, board_ids: Sequence[str]) -> None:
    """Raise Forbidden if the member may not read all the boards whose events are delivered."""
    if not board_ids and may_read_all_boards(member):
        return
    if not board_ids:
        reason = N_("Choose boards that you can read: you have no access to all boards.")
        raise Forbidden("webhook_boards_forbidden", reason)
    if set(board_ids) - await list_covered_board_ids(session, member):
        reason = N_("Choose boards that you can read: you cannot read one of these boards.")
        raise Forbidden("webhook_boards_forbidden", reason)

"""Notifications of the user in the active organization."""

from typing import Any
from uuid import UUID

from pydantic import Field

from api.framework.fields import PageQuery, RequestModel, ResponseModel, Timestamp
from api.framework.handler import RequestContext, error_responses, reads_only
from core.json_responses import Encoded, encode_page, json_id, json_time
from core.paging import Page
from models import Member, NotificationKind
from services import boards, notifications
from services.notifications import KindGroup, NotificationEntry, NotificationFilters


class NotificationRead(ResponseModel):
    """What concerns the user."""

    id: UUID
    kind: NotificationKind
    organization_id: UUID
    board_id: UUID | None
    task_id: UUID | None
    approval_id: UUID | None
    agent_id: UUID | None = Field(description="The agent that it is about.")
    gateway_id: UUID | None
    actor_user_id: UUID | None = Field(description="The user who caused it.")
    actor_agent_id: UUID | None = Field(description="The agent that caused it.")
    actor_name: str | None
    data: dict[str, Any] = Field(description="Names and texts as they were then.")
    count: int = Field(description="The number of causes that were merged.")
    is_unread: bool = Field(description="Neither read nor resolved.")
    created_at: Timestamp
    updated_at: Timestamp = Field(description="Time of the last cause.")
    read_at: Timestamp | None
    resolved_at: Timestamp | None = Field(description="Since then nobody has to act.")


class NotificationFilter(PageQuery):
    """Which notifications to list."""

    unread: bool = Field(default=False, description="Only those that are unread.")
    group: KindGroup | None = Field(default=None, description="Only kinds of this group.")
    board_id: UUID | None = Field(default=None, description="Only about this board.")


class UnreadCountRead(ResponseModel):
    """The number of unread notifications."""

    unread: int


class ReadNotifications(RequestModel):
    """Which notifications to mark as read; by default all."""

    example = {"group": "tasks"}

    group: KindGroup | None = Field(default=None, description="Only kinds of this group.")
    board_id: UUID | None = Field(default=None, description="Only about this board.")


class MarkedRead(ResponseModel):
    """How many notifications were marked as read."""

    marked: int


def _build_fields(entry: NotificationEntry) -> dict[str, Any]:
    """Return the fields of a NotificationRead, in the order of the model."""
    notification = entry.notification
    return {
        "id": json_id(notification.id),
        "kind": notification.kind,
        "organization_id": json_id(notification.organization_id),
        "board_id": json_id(notification.board_id),
        "task_id": json_id(notification.task_id),
        "approval_id": json_id(notification.approval_id),
        "agent_id": json_id(notification.agent_id),
        "gateway_id": json_id(notification.gateway_id),
        "actor_user_id": json_id(notification.actor_user_id),
        "actor_agent_id": json_id(notification.actor_agent_id),
        "actor_name": entry.actor_name,
        "data": notification.data,
        "count": notification.count,
        "is_unread": entry.is_unread,
        "created_at": json_time(notification.created_at),
        "updated_at": json_time(notification.updated_at),
        "read_at": json_time(notification.read_at),
        "resolved_at": json_time(notification.resolved_at),
    }


@reads_only
async def list_notifications(
    context: RequestContext, member: Member, query: NotificationFilter
) -> Encoded[Page[NotificationRead]]:
    """List the user's notifications; those that changed last come first."""
    filters = NotificationFilters(query.unread, query.group, query.board_id)
    found = await notifications.list_notifications(context.source, member, query.paging, filters)
    return encode_page(found, _build_fields)


@reads_only
async def count_unread(context: RequestContext, member: Member) -> Encoded[UnreadCountRead]:
    """Return the number of unread notifications."""
    return Encoded({"unread": await notifications.count_unread(context.source, member)})


@error_responses(404)
async def mark_read(
    context: RequestContext, member: Member, notification_id: UUID
) -> Encoded[NotificationRead]:
    """Mark a notification as read."""
    entry = await notifications.mark_read(context.session, member, notification_id)
    return Encoded(_build_fields(entry))


@error_responses(404)
async def mark_all_read(
    context: RequestContext, member: Member, body: ReadNotifications
) -> MarkedRead:
    """Mark all unread notifications as read, or those of a group or a board."""
    if body.board_id:
        await boards.get_board(context.session, context.user, body.board_id)
    filters = NotificationFilters(group=body.group, board_id=body.board_id)
    return MarkedRead(marked=await notifications.mark_all_read(context.session, member, filters))

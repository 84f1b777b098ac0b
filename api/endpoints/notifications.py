"""Notifications of the user in the active organization."""

from collections.abc import Collection
from datetime import time
from typing import Any
from uuid import UUID

from pydantic import Field

from api.framework.dependencies import active_membership
from api.framework.fields import (
    PageQuery,
    RequestModel,
    ResponseModel,
    Timestamp,
)
from api.framework.operation import USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.errors import NotFound
from core.json_responses import Encoded, build_encoder, encode_page, json_id
from core.paging import Page
from models import Digest, Member, NotificationKind
from services import boards, notifications
from services.notifications import (
    KindGroup,
    NotificationFilters,
    NotificationPreferencesUpdate,
    Preferences,
)


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


encode_notification = build_encoder(
    NotificationRead, "notification", actor_name="actor_name", is_unread="is_unread"
)


@reads_only
async def list_notifications(
    context: RequestContext, member: Member, query: NotificationFilter
) -> Encoded[Page[NotificationRead]]:
    """List the user's notifications; those that changed last come first."""
    filters = NotificationFilters(query.unread, query.group, query.board_id)
    found = await notifications.list_notifications(context.source, member, query.paging, filters)
    return encode_page(found, encode_notification)


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
    return Encoded(encode_notification(entry))


@error_responses(404)
async def mark_all_read(
    context: RequestContext, member: Member, body: ReadNotifications
) -> MarkedRead:
    """Mark all unread notifications as read, or those of a group or a board."""
    if body.board_id:
        await boards.get_board(context.session, context.user, body.board_id)
    filters = NotificationFilters(group=body.group, board_id=body.board_id)
    return MarkedRead(marked=await notifications.mark_all_read(context.session, member, filters))


OF_CHOICE = notifications.NotificationChoiceUpdate.model_fields


class NotificationChoice(ResponseModel):
    """Whether a kind of notification is wanted in one place."""

    kind: NotificationKind
    board_id: UUID | None = Field(description=OF_CHOICE["board_id"].description)
    channel_id: UUID | None = Field(description=OF_CHOICE["channel_id"].description)
    is_enabled: bool


class NotificationPreferencesRead(ResponseModel):
    """What the user wants to be notified of, where and when."""

    quiet_from: str | None = Field(description="Quiet hours begin: nothing is sent on channels.")
    quiet_until: str | None = Field(description="Quiet hours end, perhaps on the next day.")
    wakes_for_urgent: bool = Field(description="Urgent ones are sent in quiet hours too.")
    digest: Digest = Field(
        description=NotificationPreferencesUpdate.model_fields["digest"].description
    )
    digest_at: str = Field(description="The time of a daily digest.")
    escalate_to_user_id: UUID | None = Field(
        description="Who is notified of approvals and questions that the user has not dealt with."
    )
    escalate_after_minutes: int | None
    choices: list[NotificationChoice] = Field(
        description="All kinds in all places for all boards, then the choices for single boards."
    )
    time_zone: str = Field(description="The time zone of the times: that of the user.")
    version: int = Field(description="Increases with every change; the first part of the ETag.")


@reads_only
async def get_notification_preferences(
    context: RequestContext, member: Member
) -> Encoded[NotificationPreferencesRead]:
    """Return what the user wants to be notified of, where and when."""
    preferences = await notifications.load_preferences(context.source, member)
    return _encode(context, preferences, await _list_board_ids(context, member))


@error_responses(404, 412)
async def update_notification_preferences(
    context: RequestContext, member: Member, body: NotificationPreferencesUpdate
) -> Encoded[NotificationPreferencesRead]:
    """Change what the user wants to be notified of. Only what is in the request changes."""
    session = context.session
    preferences = await notifications.lock_preferences(session, member)
    board_ids = await _list_board_ids(context, member)
    for choice in body.choices or ():
        if choice.board_id is not None and choice.board_id not in board_ids:
            await boards.get_board(session, context.user, choice.board_id)  # may be Forbidden
            raise NotFound("board_not_found", "There is no such board.")
    known = context.known_versions
    await notifications.update_preferences(session, member, preferences, body, known)
    preferences = await notifications.load_preferences(session, member)
    return _encode(context, preferences, board_ids)


async def _list_board_ids(context: RequestContext, member: Member) -> Collection[UUID]:
    found = await boards.list_readable_board_ids(
        context.source, context.user, member.organization_id
    )
    return set(found)


def _encode(
    context: RequestContext, preferences: Preferences, board_ids: Collection[UUID]
) -> Encoded[NotificationPreferencesRead]:
    settings = preferences.settings
    fields = {
        "quiet_from": _format_time(settings.quiet_from),
        "quiet_until": _format_time(settings.quiet_until),
        "wakes_for_urgent": settings.wakes_for_urgent,
        "digest": settings.digest,
        "digest_at": _format_time(settings.digest_at),
        "escalate_to_user_id": json_id(settings.escalate_to_user_id),
        "escalate_after_minutes": settings.escalate_after_minutes,
        "choices": [
            {
                "kind": choice.kind,
                "board_id": json_id(choice.board_id),
                "channel_id": json_id(choice.channel_id),
                "is_enabled": is_enabled,
            }
            for choice, is_enabled in preferences.list_choices()
            if choice.board_id is None or choice.board_id in board_ids
        ],
        "time_zone": context.user.timezone or "UTC",
        "version": settings.version,
    }
    return Encoded(fields, settings.version)


def _format_time(moment: time | None) -> str | None:
    return moment.strftime("%H:%M") if moment else None


TAGS = ["notifications"]

OPERATIONS = [
    Operation("GET", "/notifications", list_notifications, USER, TAGS, active_membership),
    Operation("GET", "/notifications/unread-count", count_unread, USER, TAGS, active_membership),
    Operation("POST", "/notifications/read", mark_all_read, USER, TAGS, active_membership),
    Operation(
        "GET",
        "/notifications/preferences",
        get_notification_preferences,
        USER,
        TAGS,
        active_membership,
    ),
    Operation(
        "PATCH",
        "/notifications/preferences",
        update_notification_preferences,
        USER,
        TAGS,
        active_membership,
    ),
    Operation(
        "POST", "/notifications/{notification_id}/read", mark_read, USER, TAGS, active_membership
    ),
]

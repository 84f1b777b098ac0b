"""Fixtures of the tests of trust: clients of pages, and objects of every kind."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pytest

from core.db.engine import TransactionFactory
from models import (
    AgentFileVersion,
    AgentQuestion,
    Approval,
    Board,
    BoardGroup,
    BoardWebhook,
    ChannelKind,
    CodingSession,
    CustomField,
    Gateway,
    GatewayRequest,
    GroupNote,
    Invite,
    Message,
    Note,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    SavedView,
    Skill,
    SkillPack,
    Tag,
    Task,
    ToolGrant,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookPayload,
)
from services.pickers import ON_ONE_BOARD, PickerKind
from tests.support import marked_objects, text_columns
from tests.support.marked_gateway_objects import SOUL_HANDLE, SOUL_SLUG
from tests.support.marked_objects import RULE_ID
from tests.support.marked_texts import MARK
from tests.support.world import World
from tests.web.conftest import (
    SESSION_KEY,
    alice,
    anonymous,
    browsers,
    charlie,
    fake_gateway,
    gateway,
)

__all__ = ["alice", "anonymous", "browsers", "charlie", "fake_gateway", "gateway"]


@pytest.fixture
async def page_ids(
    world: World, gateway: Gateway, transaction: TransactionFactory
) -> Mapping[str, Sequence[Any]]:
    """Store objects of every kind with a marker in their texts, and return the ids for pages."""
    rows = marked_objects.make_all_rows(world, gateway)
    async with transaction() as session:
        session.add_all(rows)
        await session.flush()
        await text_columns.mark_world(session, world)
        group = next(row for row in rows if isinstance(row, BoardGroup))
        board = await session.get_one(Board, world.board.id)
        board.board_group_id = group.id

    return collect_page_ids(world, gateway, rows)


def collect_page_ids(
    world: World, gateway: Gateway, rows: Sequence[Any]
) -> Mapping[str, Sequence[Any]]:
    """Return the ids of rows by the name of the parameter in addresses of pages."""

    def ids(kind: type) -> list[Any]:
        return [row.id for row in rows if isinstance(row, kind)]

    return {
        "board_id": [world.board.id, world.garden.id, *ids(Board)],
        "task_id": ids(Task)[:1],
        "approval_id": ids(Approval),
        "agent_id": [world.worker.id, world.lead.id],
        "message_id": ids(Message),
        "session_id": ids(CodingSession),
        "grant_id": ids(ToolGrant),
        "note_id": ids(Note)[-1:],
        "group_note_id": ids(GroupNote)[-1:],
        "notification_id": ids(Notification)[:1],
        "gateway_id": [gateway.id],
        "tag_id": ids(Tag),
        "field_id": ids(CustomField),
        "group_id": ids(BoardGroup),
        "request_id": ids(GatewayRequest),
        "question_id": ids(AgentQuestion),
        "rule_id": [RULE_ID],
        "view_id": ids(SavedView),
        "webhook_id": ids(BoardWebhook),
        "payload_id": ids(WebhookPayload),
        "member_id": [world.bob_member.id, world.alice_member.id],
        "invite_id": ids(Invite),
        "name": ["SOUL.md"],
        "version_id": ids(AgentFileVersion),
        "slug": [MARK],
        "channel_id": ids(NotificationChannel),
        "endpoint_id": ids(WebhookEndpoint),
        "webhook_delivery_id": ids(WebhookDelivery),
        "delivery_id": ids(NotificationDelivery),
        "kind": [*ChannelKind],
        "picker_kind": [kind for kind in PickerKind if kind not in ON_ONE_BOARD],
        "handle": [SOUL_HANDLE],
        "skill_id": ids(Skill),
        "pack_id": ids(SkillPack),
        "soul": [SOUL_SLUG],
        "key": [quote(SESSION_KEY, safe="")],
    }

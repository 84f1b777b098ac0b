"""Every kind of notification has a title, an icon and a page, in the reader's language."""

from typing import Any
from uuid import UUID

import pytest

from core.clock import now
from models import ApprovalStatus, Notification, NotificationKind, RequestKind
from web.notifications import texts
from web.ui.assets import render_icon
from web.ui.translation import reader_language

Kind = NotificationKind
BOARD, TASK, APPROVAL, AGENT = (UUID(int=number) for number in range(1, 5))


def build(kind: Kind, data: dict[str, Any] | None = None, **fields: Any) -> Notification:
    moment = now()
    return Notification(kind=kind, data=data or {}, created_at=moment, updated_at=moment, **fields)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_texts_an_icon_and_a_page(kind: Kind) -> None:
    notification = build(kind)
    assert texts.describe_title(notification)
    assert isinstance(texts.describe_body(notification), str)
    assert texts.describe_kind(kind)
    assert texts.build_path(notification).startswith("/")
    assert render_icon(texts.KIND_ICONS[kind])


@pytest.mark.parametrize(
    ("notification", "title", "body"),
    [
        (
            build(Kind.MENTION, {"title": "Write", "excerpt": "Look, @Olga"}),
            "Ann mentioned you: Write",
            "Look, @Olga",
        ),
        (
            build(Kind.WEBHOOK_DISABLED, {"name": "Alerts", "reason": "gone"}),
            "The webhook Alerts was disabled",
            "The receiver answered that it wants no more requests (status 410). Correct the"
            " address, or delete this webhook.",
        ),
        (
            build(Kind.DUE_SOON, {"title": "Write", "is_overdue": True}),
            "Overdue: Write",
            "",
        ),
        (
            build(Kind.APPROVAL_PENDING, {"question": "Deploy?"}, resolved_at=now()),
            "Ann requested approval: Deploy?",
            "",
        ),
        (
            build(Kind.QUESTION, {"title": "Write", "excerpt": "Which logo?"}),
            "Ann has a question for you",
            "Which logo?",
        ),
        (
            build(Kind.QUESTION, {"title": "Write", "excerpt": "Why?", "is_escalated": True}),
            "Nobody has answered yet: Write",
            "Why?",
        ),
        (
            build(Kind.TASK_STALE, {"title": "Write", "minutes": 301}),
            "No activity for a while: Write",
            "Nothing has happened for 5 h.",
        ),
        (
            build(Kind.DECIDED, {"question": "Deploy?", "status": ApprovalStatus.REJECTED}),
            "Ann rejected: Deploy?",
            "",
        ),
        (
            build(Kind.AGENT_HELD, {"name": "Bee", "recent": 12, "pending": 4}),
            "Approval requests of Bee are refused",
            "It requests approvals too often: 12 in the last hour, 4 pending.",
        ),
        (
            build(Kind.AGENT_HELD, {"name": "Bee", "reason": "Too much."}),
            "Bee was stopped automatically",
            "Too much.",
        ),
        (
            build(
                Kind.APPROVAL_PENDING,
                {"name": "Bee", "kind": RequestKind.EXEC, "request_id": "1"},
            ),
            "Bee needs permission for a command",
            "",
        ),
    ],
)
def test_a_title_says_what_has_happened(notification: Notification, title: str, body: str) -> None:
    assert texts.describe_title(notification, "Ann") == title
    assert texts.describe_body(notification) == body


def test_titles_are_in_the_language_of_the_reader() -> None:
    notification = build(Kind.AGENT_OFFLINE, {"name": "Bee"})
    token = reader_language.set("de")
    try:
        assert texts.describe_title(notification) == "Bee ist offline"
    finally:
        reader_language.reset(token)


@pytest.mark.parametrize(
    ("notification", "path"),
    [
        (build(Kind.APPROVAL_PENDING, approval_id=APPROVAL), f"/approvals/{APPROVAL}"),
        (build(Kind.APPROVAL_PENDING, {"request_id": "7"}), "/approvals/requests/7"),
        (
            build(Kind.MENTION, {"comment_id": "9"}, board_id=BOARD, task_id=TASK),
            f"/boards/{BOARD}/tasks/{TASK}?comment=9#c-9",
        ),
        (build(Kind.MENTION, board_id=BOARD), f"/boards/{BOARD}/chat"),
        (build(Kind.MENTION, {"group_id": "5"}), "/groups/5/chat"),
        (
            build(Kind.MENTION, {"memory_id": "8", "is_note": False}, board_id=BOARD),
            f"/boards/{BOARD}/chat?note=8#note-8",
        ),
        (
            build(Kind.MENTION, {"memory_id": "8", "is_note": True, "group_id": "5"}),
            "/groups/5/notes?note=8#note-8",
        ),
        (build(Kind.AGENT_STUCK, agent_id=AGENT), f"/agents/{AGENT}"),
    ],
)
def test_a_notification_leads_to_where_the_user_can_act(
    notification: Notification, path: str
) -> None:
    assert texts.build_path(notification) == path

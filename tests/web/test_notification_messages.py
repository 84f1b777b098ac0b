"""Notifications as messages for channels, in the language of their recipient."""

from html import unescape
from uuid import UUID

from core.clock import now
from models import Notification, NotificationChannel, NotificationKind, User
from services.channels import ChannelMessage
from services.notifications import DueDelivery, DueNotification, SendReason
from web.notifications.messages import MessageRenderer
from web.notifications.texts import REASON_TEXTS, describe_body

ID = UUID("0199aaaa-0000-7000-8000-000000000001")
Kind = NotificationKind


def build(kind: Kind, data: dict | None = None, **more: object) -> Notification:
    values = {"board_id": ID, "task_id": ID, "agent_id": ID, "count": 1}
    at = now()
    return Notification(
        id=ID, kind=kind, data=data or {}, created_at=at, updated_at=at, **values | more
    )


def render(language: str | None, *items: DueNotification) -> ChannelMessage:
    due = DueDelivery(
        attempts_by_id={ID: 1},
        channel=NotificationChannel(),
        user=User(language=language),
        items=items,
        is_digest=len(items) > 1,
        is_of_admin=False,
    )
    return MessageRenderer("https://mc.example").render(due)


def test_every_reason_of_a_failure_has_a_text() -> None:
    assert set(REASON_TEXTS) == set(SendReason)


def test_an_approval_becomes_a_message_in_the_language_of_the_recipient() -> None:
    item = DueNotification(
        build(Kind.APPROVAL_PENDING, {"question": "Deploy <v2>?"}, approval_id=ID),
        organization_name="Tern",
        board_name="Website & shop",
        actor_name="Nova",
    )
    message = render(None, item)
    assert message.title == "Nova requests approval: Deploy <v2>?"
    assert message.body == "Board: Website & shop"
    assert message.url == f"https://mc.example/approvals/{ID}"
    assert message.is_urgent
    assert message.tag == f"approval_pending:{ID}"
    assert message.mail is not None
    assert f"Review the approval: {message.url}" in message.mail.text
    assert "<h1" in message.mail.html
    assert "Deploy &lt;v2&gt;?" in message.mail.html
    assert "background: #004d4d" in message.mail.html  # the accent of pages
    pseudo = render("en-XA", item)
    assert "requests" not in pseudo.title
    assert "Deploy <v2>?" in pseudo.title
    assert pseudo.language == "en-XA"


def test_several_notifications_become_a_digest() -> None:
    items = [
        DueNotification(build(Kind.ASSIGNED, {"title": f"Task {number}"}), "Tern", None, "Ann")
        for number in (1, 2)
    ]
    message = render("en", *items)
    assert message.title == "2 notifications"
    assert (
        message.body == "• Ann assigned a task to you: Task 1\n• Ann assigned a task to you: Task 2"
    )
    assert message.url == "https://mc.example/notifications"
    assert message.mail is not None
    assert message.mail.text.count(f"https://mc.example/boards/{ID}/tasks/{ID}") == 2
    assert unescape(message.mail.html).count("Ann assigned a task to you: Task") == 2


def test_a_test_leads_to_the_settings() -> None:
    message = MessageRenderer("https://mc.example").render_test("1", "en")
    assert (message.kind, message.url) == ("test", "https://mc.example/settings/channels")


def test_texts_of_others_cannot_break_a_title_or_hide_characters() -> None:
    notification = build(
        Kind.MENTION, {"title": "A\r\nBcc: b\u202e", "excerpt": "one\u2028two\u200b"}, count=3
    )
    message = render("en", DueNotification(notification, "Tern", None, "Nova\n"))
    assert message.title == "Nova mentioned you: A Bcc: b"
    assert message.body == "one\ntwo\n3 times"


def test_a_failing_channel_says_what_to_do() -> None:
    body = describe_body(build(Kind.CHANNEL_FAILING, {"name": "Slack", "reason": "not_found"}))
    assert "Create a new one there" in body

"""Render notifications as messages for channels, in the language of their recipient."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from core.text import to_lines, to_one_line
from models import Notification, NotificationChannel, NotificationKind
from services.channels import ChannelMessage, MailContent
from services.notifications import URGENT_KINDS, DueDelivery, DueNotification
from web.notifications.texts import build_path, describe_body, describe_title
from web.ui.locale_middleware import find_language
from web.ui.render import environment
from web.ui.translation import N_, SOURCE, _, ngettext, reader_language, translate

SETTINGS_PATH = "/settings/channels"
INBOX_PATH = "/notifications"
TEST_KIND, DIGEST_KIND, CODE_KIND = "test", "digest", "code"


ACTIONS: Mapping[NotificationKind, str] = {
    NotificationKind.APPROVAL_PENDING: N_("Review the approval"),
    NotificationKind.APPROVAL_UNDECIDED: N_("Review the approval"),
    NotificationKind.DECIDED: N_("Open the approval"),
    NotificationKind.QUESTION: N_("Answer"),
    NotificationKind.AGENT_STUCK: N_("Open the agent"),
    NotificationKind.AGENT_OFFLINE: N_("Open the agent"),
    NotificationKind.AGENT_UNGATED: N_("Open the agent"),
    NotificationKind.AGENT_HELD: N_("Open the agent"),
    NotificationKind.GATEWAY_AWAY: N_("Open the gateway"),
    NotificationKind.GATEWAY_CONFIG_INVALID: N_("Open the gateway"),
    NotificationKind.CHANNEL_FAILING: N_("Open the channel"),
}
"""What the link to the page of a notification says, if it is not "Open"."""


@dataclass(frozen=True)
class RenderedItem:
    """A notification in words, and the absolute address of its page."""

    title: str
    body: str
    url: str
    action: str


class MessageRenderer:
    """Renders messages with links to this installation."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def render(self, due: DueDelivery) -> ChannelMessage:
        """Render a delivery: one notification, or a digest of several.

        A user without a language gets English: what the browser asks for is unknown here.
        """
        id = str(due.id)
        with _use_language(due.user.language) as name:
            items = [self._render_item(one) for one in due.items]
            if len(items) == 1:
                return self._render_one(id, name, due.items[0].notification, items[0])
            return self._render_digest(id, name, items)

    def render_test(self, id: str, language: str | None) -> ChannelMessage:
        """Render the message that a user sends to try a channel."""
        with _use_language(language) as name:
            item = RenderedItem(
                title=_("Test of Mission Control"),
                body=_("This channel works. Notifications arrive here from now on."),
                url=self._base_url + SETTINGS_PATH,
                action=_("Open the settings"),
            )
            return ChannelMessage(
                id=id,
                kind=TEST_KIND,
                title=item.title,
                body=item.body,
                url=item.url,
                language=name,
                tag=TEST_KIND,
                action=item.action,
                settings_url=item.url,
                mail=self._render_mail(item.title, [item], is_digest=False),
            )

    def render_code(
        self, channel: NotificationChannel, language: str | None, code: str
    ) -> ChannelMessage:
        """Render the e-mail with the code, and a link to the page that asks for it."""
        with _use_language(language) as name:
            title = _("%(code)s is your code for Mission Control", code=code)
            body = _(
                "Enter it in the settings of your notifications within an hour. If you have not"
                " asked for it, ignore this e-mail."
            )
            id = f"{channel.id}.{channel.version}"
            url = f"{self._base_url}{SETTINGS_PATH}/{channel.id}"
            return ChannelMessage(id, CODE_KIND, title, body, url, name)

    def _render_item(self, facts: DueNotification) -> RenderedItem:
        notification, board = facts.notification, facts.board_name
        lines = (
            describe_body(notification),
            _("Board: %(board)s", board=board) if board else "",
            describe_count(notification),
        )
        return RenderedItem(
            title=to_one_line(describe_title(notification, facts.actor_name)),
            body=to_lines("\n".join(line for line in lines if line)),
            url=self._base_url + build_path(notification),
            action=translate(ACTIONS.get(notification.kind, "")) or _("Open"),
        )

    def _render_one(
        self, id: str, language: str, notification: Notification, item: RenderedItem
    ) -> ChannelMessage:
        return ChannelMessage(
            id=id,
            kind=notification.kind,
            title=item.title,
            body=item.body,
            url=item.url,
            language=language,
            tag=compute_tag(notification),
            action=item.action,
            settings_url=self._base_url + SETTINGS_PATH,
            is_urgent=notification.kind in URGENT_KINDS,
            mail=self._render_mail(item.title, [item], is_digest=False),
        )

    def _render_digest(
        self, id: str, language: str, items: Sequence[RenderedItem]
    ) -> ChannelMessage:
        title = ngettext("%(num)d notification", "%(num)d notifications", len(items))
        return ChannelMessage(
            id=id,
            kind=DIGEST_KIND,
            title=title,
            body="\n".join(f"• {item.title}" for item in items),
            url=self._base_url + INBOX_PATH,
            language=language,
            tag=DIGEST_KIND,
            action=_("Open"),
            settings_url=self._base_url + SETTINGS_PATH,
            mail=self._render_mail(title, items, is_digest=True),
        )

    def _render_mail(
        self, title: str, items: Sequence[RenderedItem], *, is_digest: bool
    ) -> MailContent:
        settings_url = self._base_url + SETTINGS_PATH
        reason = _("You get this e-mail because you added this address as a channel.")
        parts = [
            # A single message has its title as the subject.
            "\n".join(part for part in (item.title if is_digest else "", item.body) if part)
            + f"\n\n{item.action}: {item.url}"
            for item in items
        ]
        footer = f"{reason}\n{_('Change it:')} {settings_url}"
        html = environment.get_template("mail/message.html").render(
            title=title, items=items, is_digest=is_digest, reason=reason, settings_url=settings_url
        )
        return MailContent("\n\n".join([*parts, f"-- \n{footer}\n"]), html)


def describe_count(notification: Notification) -> str:
    """Say how often it has happened since the user has read it, or "" if only once."""
    count = notification.count or 1
    return ngettext("%(num)d time", "%(num)d times", count) if count > 1 else ""


def compute_tag(notification: Notification) -> str:
    """Return what repeated messages about one object have in common."""
    subject = (
        notification.approval_id
        or notification.data.get("request_id")
        or notification.task_id
        or notification.agent_id
        or notification.gateway_id
        or notification.id
    )
    return f"{notification.kind}:{subject}"


@contextmanager
def _use_language(language: str | None) -> Generator[str]:
    name = find_language(language or "") or SOURCE
    token = reader_language.set(name)
    try:
        yield name
    finally:
        reader_language.reset(token)

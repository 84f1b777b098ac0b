"""Texts of channels: their kinds, where their addresses are found, and their states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models import (
    ChannelKind,
    DeliveryState,
    Notification,
    NotificationDelivery,
)
from services.channels import ChannelState
from web.notifications.texts import describe_reason, describe_title
from web.ui.translation import N_, _, translate

Kind = ChannelKind


class FieldTexts(NamedTuple):
    """A field of the form of a channel."""

    name: str
    label: str
    type: str = "text"
    is_optional: bool = False


@dataclass(frozen=True)
class KindTexts:
    """A kind of channels: its name, what it is, and how to set it up."""

    name: str
    icon: str
    about: str
    steps: Sequence[str] = ()
    fields: Sequence[FieldTexts] = ()


URL = FieldTexts("url", N_("Address"), "password")

KIND_TEXTS: Mapping[ChannelKind, KindTexts] = {
    Kind.EMAIL: KindTexts(
        N_("E-mail"),
        "mail",
        N_("To any address of yours. Several notifications can come together as a digest."),
        fields=(FieldTexts("address", N_("E-mail address"), "email"),),
    ),
    Kind.PUSH: KindTexts(
        N_("Push in a browser"),
        "monitor",
        N_("To this browser or phone, also while Mission Control is closed."),
    ),
    Kind.SLACK: KindTexts(
        "Slack",
        "message-square",
        N_("To a channel of a workspace, with an incoming webhook."),
        (
            N_("Create an app at api.slack.com/apps, or open one that you have."),
            N_("Switch on “Incoming Webhooks”, and add a webhook to a channel."),
            N_("Copy its address, which begins with https://hooks.slack.com/."),
        ),
        (URL,),
    ),
    Kind.DISCORD: KindTexts(
        "Discord",
        "message-square",
        N_("To a channel of a server, with a webhook."),
        (
            N_("Open the settings of the channel, then “Integrations” and “Webhooks”."),
            N_("Create a webhook, and copy its URL."),
        ),
        (URL,),
    ),
    Kind.TEAMS: KindTexts(
        "Microsoft Teams",
        "users",
        N_("To a channel or a chat, with a workflow."),
        (
            N_("Open the menu of the channel, then “Workflows”."),
            N_("Choose the template that sends webhook alerts to a channel, and save it."),
            N_("Copy the address of the workflow."),
        ),
        (URL,),
    ),
    Kind.NTFY: KindTexts(
        "ntfy",
        "bell-ring",
        N_("To the ntfy app on a phone, through ntfy.sh or your own server."),
        (
            N_("Choose a topic that nobody can guess, and subscribe to it in the app."),
            N_("The address consists of the server and the topic: https://ntfy.sh/my-topic."),
            N_("If the topic is protected, create an access token in the account settings."),
        ),
        (
            URL,
            FieldTexts("token", N_("Access token"), "password", is_optional=True),
        ),
    ),
    Kind.TELEGRAM: KindTexts(
        "Telegram",
        "send",
        N_("To a chat, by a bot of yours."),
        (
            N_("Send /newbot to @BotFather, and copy the token of the bot."),
            N_("Write a message to the bot, or add it to a group."),
            N_(
                "Open https://api.telegram.org/bot[token]/getUpdates with the token of the bot,"
                " and copy the id of the chat."
            ),
        ),
        (
            FieldTexts("token", N_("Token of the bot"), "password"),
            FieldTexts("chat_id", N_("Id of the chat")),
        ),
    ),
    Kind.WEBHOOK: KindTexts(
        N_("Signed webhook"),
        "link-2",
        N_("To a program of yours, signed as Standard Webhooks describes."),
        (
            N_("Enter the address that receives POST requests with JSON."),
            N_("The secret is shown once, on the next page. The program verifies with it."),
        ),
        (
            URL,
            FieldTexts("secret", N_("Secret"), "password", is_optional=True),
        ),
    ),
}
"""Texts by kind, in the order in which they are offered."""

STATE_TEXTS: Mapping[ChannelState, tuple[str, str]] = {
    ChannelState.UNREADABLE: (N_("Cannot be read"), "danger"),
    ChannelState.UNCONFIRMED: (N_("Not confirmed"), "signal"),
    ChannelState.PAUSED: (N_("Paused"), "line"),
    ChannelState.FAILING: (N_("Failing"), "danger"),
    ChannelState.ACTIVE: (N_("Active"), "good"),
}
"""The name and the tone of the state of a channel."""

DELIVERY_TEXTS: Mapping[DeliveryState, tuple[str, str]] = {
    DeliveryState.QUEUED: (N_("Waiting"), "line"),
    DeliveryState.SENDING: (N_("Being sent"), "line"),
    DeliveryState.DELIVERED: (N_("Delivered"), "good"),
    DeliveryState.FAILED: (N_("Failed"), "danger"),
    DeliveryState.SKIPPED: (N_("Not needed"), "line"),
}
"""The name and the tone of the state of a message."""


@dataclass(frozen=True)
class SentMessageRow:
    """A message in the log of a channel."""

    delivery: NotificationDelivery
    title: str
    state: str
    tone: str
    reason: str

    @property
    def can_be_sent_again(self) -> bool:
        """Whether it has failed; a test is sent with its own button."""
        return self.delivery.state is DeliveryState.FAILED and bool(self.delivery.notification_id)


def describe_state(state: ChannelState) -> tuple[str, str]:
    """Return the name and the tone of a state."""
    name, tone = STATE_TEXTS[state]
    return translate(name), tone


def name_kind(kind: ChannelKind) -> str:
    """Name a kind of channels in the reader's language."""
    return translate(KIND_TEXTS[kind].name)


def build_row(delivery: NotificationDelivery, notification: Notification | None) -> SentMessageRow:
    """Describe a message in the log of a channel."""
    name, tone = DELIVERY_TEXTS[delivery.state]
    is_repeated = delivery.state in (DeliveryState.QUEUED, DeliveryState.SENDING)
    reason = describe_reason(delivery.last_error, is_repeated=is_repeated)
    if delivery.state is DeliveryState.SKIPPED:
        reason = _("It was read, decided or switched off before it was sent.")
    return SentMessageRow(
        delivery,
        describe_title(notification) if notification else _("Test"),
        translate(name),
        tone,
        reason,
    )

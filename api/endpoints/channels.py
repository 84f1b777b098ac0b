"""Channels of the user in the active organization, on which notifications are sent.

Secrets of channels are never returned.
"""

from uuid import UUID

from pydantic import Field

from api.framework.dependencies import active_membership, channel_for_read, channel_for_update
from api.framework.fields import Ok, RequestModel, ResponseModel, Timestamp
from api.framework.operation import (
    USER,
    Operation,
    counts_first,
    error_responses,
    reads_only,
    without_transaction,
)
from api.framework.request_context import RequestContext
from core.errors import Invalid
from core.fields import ShortText
from core.json_responses import Encoded, build_encoder, json_id, json_time
from models import ChannelKind, DeliveryState, Member, NotificationChannel, NotificationKind
from services import channels
from services.channels import ChannelCreate, ChannelDetail, ChannelState, ChannelUpdate


class ChannelRead(ResponseModel):
    """A channel, without its secrets."""

    id: UUID
    kind: ChannelKind
    name: str
    receiver: str = Field(
        description="An e-mail address, a chat, or a host. Empty: it cannot be decrypted."
    )
    state: ChannelState
    last_error: str | None = Field(description="Why the last message was not delivered.")
    failing_since: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class ChannelConfirmation(RequestModel):
    """The code that was sent to an e-mail address."""

    example = {"code": "123456"}

    code: ShortText


class ChannelDeliveryRead(ResponseModel):
    """A message that was sent on a channel, with the result of the last attempt."""

    id: UUID
    notification_id: UUID | None = Field(description="Null: a test.")
    kind: NotificationKind | None = Field(description="Null: a test.")
    state: DeliveryState
    attempts: int
    next_attempt_at: Timestamp | None = Field(description="Null: there is none.")
    last_error: str | None
    request: str | None = Field(description="What was sent, without secrets.")
    response: str | None
    created_at: Timestamp
    delivered_at: Timestamp | None


class ChannelTestResult(ResponseModel):
    """The delivery of a test."""

    delivery_id: UUID


encode_channel = build_encoder(ChannelRead, "channel", receiver="receiver", state="state")


async def _load(context: RequestContext, member: Member, channel_id: UUID) -> Encoded[ChannelRead]:
    async with context.transaction() as session:
        detail = await channels.get_channel(session, member, channel_id, context.secret_cipher)
    return Encoded(encode_channel(detail))


@reads_only
async def list_channels(context: RequestContext, member: Member) -> Encoded[list[ChannelRead]]:
    """List the user's channels, oldest first."""
    found = await channels.list_channels(context.source, member, context.secret_cipher)
    return Encoded(list(map(encode_channel, found)))


@reads_only
async def get_channel(context: RequestContext, detail: ChannelDetail) -> Encoded[ChannelRead]:
    """Return a channel."""
    return Encoded(encode_channel(detail))


@without_transaction
@error_responses(409)
async def create_channel(
    context: RequestContext, member: Member, body: ChannelCreate
) -> Encoded[ChannelRead]:
    """Create a channel. An e-mail address gets a code to confirm it.

    The account's address gets none if an identity provider has verified it.

    A URL that may not be called is 422 `address_forbidden` or `address_never_allowed`.
    """
    if body.kind == ChannelKind.WEBHOOK and not body.secret:
        reason = "Choose the secret that signs the requests: it is not returned."
        raise Invalid("channel_secret_required", reason, field="secret")
    messages = context.manual_messages
    if body.kind == ChannelKind.EMAIL:
        if not messages.sender.sends_mail:
            reason = "This installation has no mail server."
            raise Invalid("mail_not_configured", reason, field="kind")
        await context.count_own_message()  # else a channel without its code would stay
    client, given = context.outbound_client, body.model_dump()
    await channels.check_receiver(context.reader, client, member, given)
    async with context.transaction() as session:
        channel = await channels.create_channel(session, member, context.secret_cipher, body)
    if not channel.confirmed_at:
        await messages.send_code(member, channel.id, context.user.language)
    return await _load(context, member, channel.id)


async def update_channel(
    context: RequestContext, member: Member, channel: NotificationChannel, body: ChannelUpdate
) -> Encoded[ChannelRead]:
    """Rename, pause or resume a channel. Only the fields in the request change."""
    await channels.update_channel(context.session, channel, body)
    cipher = context.secret_cipher
    detail = await channels.get_channel(context.session, member, channel.id, cipher)
    return Encoded(encode_channel(detail))


async def delete_channel(context: RequestContext, channel: NotificationChannel) -> Ok:
    """Delete a channel with its log."""
    await channels.delete_channel(context.session, channel, context.secret_cipher)
    return Ok()


@without_transaction
@error_responses(409)
async def send_channel_test(
    context: RequestContext, member: Member, channel_id: UUID
) -> ChannelTestResult:
    """Send a test at once. Its result is in the log."""
    await context.count_own_message()
    messages = context.manual_messages
    id = await messages.send_test(member, channel_id, context.user.language)
    return ChannelTestResult(delivery_id=id)


@without_transaction
async def send_channel_code(
    context: RequestContext, member: Member, channel_id: UUID
) -> Encoded[ChannelRead]:
    """Send another code to an e-mail address that is not confirmed; the one before ends."""
    await context.count_own_message()
    await context.manual_messages.send_code(member, channel_id, context.user.language)
    return await _load(context, member, channel_id)


@without_transaction
async def confirm_channel(
    context: RequestContext, member: Member, channel_id: UUID, body: ChannelConfirmation
) -> Encoded[ChannelRead]:
    """Confirm an e-mail address with its code, which is valid for an hour and five attempts."""
    async with context.transaction() as session:  # attempts are counted, also wrong ones
        channel = await channels.lock_channel(session, member, channel_id)
        cipher = context.secret_cipher
        error = await channels.confirm_channel(session, channel, cipher, body.code)
    if error:
        raise error
    return await _load(context, member, channel_id)


@reads_only
async def list_channel_deliveries(
    context: RequestContext, detail: ChannelDetail
) -> Encoded[list[ChannelDeliveryRead]]:
    """List the last 50 messages of a channel, newest first."""
    found = await channels.list_sent_messages(context.source, detail.channel)
    open_states = (DeliveryState.QUEUED, DeliveryState.SENDING)
    fields = [
        {
            "id": json_id(one.id),
            "notification_id": json_id(one.notification_id),
            "kind": notification.kind if notification else None,
            "state": one.state,
            "attempts": one.attempts,
            "next_attempt_at": json_time(one.next_attempt_at) if one.state in open_states else None,
            "last_error": one.last_error,
            "request": one.request,
            "response": one.response,
            "created_at": json_time(one.created_at),
            "delivered_at": json_time(one.delivered_at),
        }
        for one, notification in found
    ]
    return Encoded(fields)


@counts_first(RequestContext.count_own_message)
@error_responses(409)
async def replay_channel_delivery(
    context: RequestContext, channel: NotificationChannel, delivery_id: UUID
) -> Ok:
    """Send a message that failed again, unless it was read or resolved meanwhile."""
    await channels.send_again(context.session, channel, delivery_id)
    return Ok()


CHANNEL = "/channels/{channel_id}"
DELIVERIES = "/channels/{channel_id}/deliveries"
TAGS = ["channels"]

OPERATIONS = [
    Operation("GET", "/channels", list_channels, USER, TAGS, active_membership),
    Operation("POST", "/channels", create_channel, USER, TAGS, active_membership),
    Operation("GET", CHANNEL, get_channel, USER, TAGS, channel_for_read),
    Operation("PATCH", CHANNEL, update_channel, USER, TAGS, channel_for_update),
    Operation("DELETE", CHANNEL, delete_channel, USER, TAGS, channel_for_update),
    Operation("POST", CHANNEL + "/tests", send_channel_test, USER, TAGS, channel_for_read),
    Operation("POST", CHANNEL + "/codes", send_channel_code, USER, TAGS, channel_for_read),
    Operation("POST", CHANNEL + "/confirmations", confirm_channel, USER, TAGS, channel_for_read),
    Operation("GET", DELIVERIES, list_channel_deliveries, USER, TAGS, channel_for_read),
    Operation(
        "POST",
        DELIVERIES + "/{delivery_id}/replays",
        replay_channel_delivery,
        USER,
        TAGS,
        channel_for_update,
    ),
]

"""Send a message on a channel of any kind."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

import orjson

from core.clock import now
from core.config.settings import Settings
from core.http.outbound import OutboundClient, OutboundRequest
from core.security.encryption import SecretCipher
from core.security.webhook_signatures import build_signed_headers
from services.channels import chat_formats
from services.channels.http_delivery import read_json, send_request
from services.channels.mail import send_mail
from services.channels.messages import ChannelMessage, failed
from services.channels.push import PushSender
from services.notifications import SendReason, SendResult


def build_signed_request(
    config: dict[str, str], message: ChannelMessage, *, at: datetime | None = None
) -> OutboundRequest:
    """Build the request of a signed webhook. Repeated deliveries have the same `webhook-id`."""
    at = at or now()
    content = {
        "type": f"notification.{message.kind}",
        "timestamp": at.isoformat(),
        "data": {
            "id": message.id,
            "kind": message.kind,
            "title": message.title,
            "body": message.body[:20_000],
            "url": message.url,
            "language": message.language,
            "is_urgent": message.is_urgent,
        },
    }
    body = orjson.dumps(content)
    headers = build_signed_headers(message.id, at, body.decode(), [config["secret"]])
    return OutboundRequest(config["url"], body, headers)


RequestBuilder = Callable[[dict[str, str], ChannelMessage], OutboundRequest]

REQUEST_BUILDERS: Mapping[str, RequestBuilder] = {
    "slack": chat_formats.build_slack_request,
    "discord": chat_formats.build_discord_request,
    "teams": chat_formats.build_teams_request,
    "ntfy": chat_formats.build_ntfy_request,
    "telegram": chat_formats.build_telegram_request,
    "webhook": build_signed_request,
}


class ChannelSender:
    """Sends messages on channels. An attempt never raises; its result says what became of it."""

    def __init__(
        self,
        settings: Settings,
        cipher: SecretCipher,
        *,
        client: OutboundClient | None = None,
        builders: Mapping[str, RequestBuilder] = REQUEST_BUILDERS,
    ) -> None:
        self._settings = settings
        self._client = client or OutboundClient.from_settings(settings)
        self._builders = builders
        self._push = PushSender(settings, cipher, self._client)

    @property
    def push_key(self) -> str:
        """The key with which browsers subscribe to web push."""
        return self._push.public_key

    @property
    def sends_mail(self) -> bool:
        """Whether an admin has configured a mail server."""
        return bool(self._settings.smtp_host)

    async def send(
        self,
        kind: str,
        config: dict[str, str],
        message: ChannelMessage,
        *,
        allows_private: bool = False,
    ) -> SendResult:
        """Send a message once. Never call it in a transaction.

        `allows_private` is for the organization that runs the server.
        """
        if kind == "email":
            return await send_mail(self._settings, config["address"], message)
        if kind == "push":
            return await self._push.send(config, message, allows_private=allows_private)
        request = self._builders[kind](config, message)
        result, answer = await send_request(
            self._client, request, config, allows_private=allows_private
        )
        if kind == "telegram" and answer.is_delivered and read_json(answer).get("ok") is not True:
            refused = failed(SendReason.REJECTED, "200, and not ok")
            return replace(refused, request=result.request, response=result.response)
        return result

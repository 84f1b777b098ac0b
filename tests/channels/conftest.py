"""A message with texts that try to break each format, and a receiver on this machine."""

from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest

from core.config.settings import Settings
from core.http.outbound import OutboundClient
from core.security.encryption import SecretCipher
from services.channels import ChannelMessage, ChannelSender
from services.channels.chat_formats import build_telegram_request
from services.channels.sender import REQUEST_BUILDERS
from tests.support.http_receiver import HttpReceiver, run_http_receiver
from tests.support.secret_key import SECRET_KEY


@pytest.fixture
async def receiver() -> AsyncIterator[HttpReceiver]:
    async with run_http_receiver() as receiver:
        yield receiver


@pytest.fixture
def settings() -> Settings:
    return Settings(secret_key=SECRET_KEY)


@pytest.fixture
def sender(settings: Settings, receiver: HttpReceiver) -> ChannelSender:
    client = OutboundClient([ip_network("127.0.0.0/8")], total_timeout=5.0)

    def build_telegram(config, message):
        return build_telegram_request(config, message, address=receiver.address)

    builders = {**REQUEST_BUILDERS, "telegram": build_telegram}
    return ChannelSender(settings, SecretCipher(settings), client=client, builders=builders)


@pytest.fixture
def message() -> ChannelMessage:
    return ChannelMessage(
        id="0199-delivery",
        kind="approval_pending",
        title="Approval: <!channel> *Deploy* & [go](http://evil.example)\nnow",
        body="@everyone <@123> <b>bold</b> & `code`\n• 你好 😀",
        url="http://localhost:8000/approvals/1?a=1&b=2",
        language="en",
        tag="approval:1",
        action="Open",
        settings_url="http://localhost:8000/settings/notifications",
        is_urgent=True,
    )

"""Hosts on this machine that channels send to, and settings that allow them."""

from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest

from core.config.settings import Settings
from tests.support.http_receiver import HttpReceiver, run_http_receiver
from tests.support.mail_server import MailServer, run_mail_server


@pytest.fixture
async def receiver() -> AsyncIterator[HttpReceiver]:
    async with run_http_receiver() as receiver:
        yield receiver


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    async with run_mail_server() as server:
        yield server


@pytest.fixture
def settings(settings: Settings, mail_server: MailServer) -> Settings:
    loopback = {"outbound_allow_private": (ip_network("127.0.0.0/8"),), "smtp_security": "none"}
    return settings.model_copy(update={**loopback, **mail_server.settings})

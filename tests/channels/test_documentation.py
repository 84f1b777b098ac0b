"""The commands and programs of docs/notifications.md work as they are written."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.config.settings import Settings
from core.security.webhook_signatures import generate_signing_secret
from services.channels import ChannelMessage, ChannelSender
from services.notifications import SendReason
from tests.support.installation import find_free_port
from web.notifications.messages import MessageRenderer

TEXT = (Path(__file__).parents[2] / "docs/notifications.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
[RECEIVER] = [text for language, text in BLOCKS if language == "python"]
[MAIL_SETTINGS, START] = [text for language, text in BLOCKS if language == "sh"]


@asynccontextmanager
async def run_receiver(
    folder: Path, secret: str, port: int
) -> AsyncGenerator[asyncio.StreamReader]:
    """Run the receiver with the command of the page, and return what it prints."""
    (folder / "receiver.py").write_text(RECEIVER)
    command = START.replace("whsec_…", secret).replace("8099", str(port))
    environment, (program, script) = command.split()[:-2], command.split()[-2:]
    assert program == "python3"
    variables = dict(one.split("=", 1) for one in environment)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        script,
        cwd=folder,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout
    yield process.stdout
    process.kill()
    await process.communicate()


async def test_the_receiver_verifies_messages_of_a_signed_webhook(
    sender: ChannelSender, tmp_path: Path
) -> None:
    secret, port = generate_signing_secret(), find_free_port()
    message = MessageRenderer("http://localhost:8000").render_test("1", "en")
    async with run_receiver(tmp_path, secret, port) as printed:
        for given, reason in ((secret, None), (generate_signing_secret(), SendReason.UNAUTHORIZED)):
            config = {"url": f"http://127.0.0.1:{port}/", "secret": given}
            assert await send(sender, config, message) == reason
        assert await printed.readline() == b"Test of Mission Control\n"


async def send(
    sender: ChannelSender, config: dict[str, str], message: ChannelMessage
) -> SendReason | None:
    """Send a message as soon as the receiver listens."""
    async with asyncio.timeout(20):
        while True:
            result = await sender.send("webhook", config, message, allows_private=True)
            if result.reason is not SendReason.UNREACHABLE:
                return result.reason
            await asyncio.sleep(0.05)


def test_the_settings_of_the_mail_server_are_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings"
    file.write_text(MAIL_SETTINGS)
    monkeypatch.setenv("MC_ENV_FILE", str(file))
    settings = Settings.load()
    assert (settings.smtp_host, settings.smtp_port) == ("mail.example.com", 587)
    assert settings.smtp_from == "Mission Control <control@example.com>"

"""E-mails, sent to a real SMTP server that verifies, rejects and stalls."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cli import doctor
from cli.command import CommandError
from core.config.settings import InvalidSetting, Settings
from services import channels
from services.channels import ChannelMessage, MailContent, mail
from services.notifications import SendOutcome, SendReason
from tests.support.mail_server import (
    PASSWORD,
    USERNAME,
    MailServer,
    run_mail_server,
    write_certificate,
)

MESSAGE = ChannelMessage(
    id="0199-delivery",
    kind="approval_pending",
    title="Approval: Deploy “v2” to Zürich",
    body="Nova asks for a decision.\n你好",
    url="http://localhost:8000/approvals/1",
    language="de",
    settings_url="http://localhost:8000/settings/notifications",
    mail=MailContent("Nova asks.\n", "<p>Nova asks.</p>"),
)


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with run_mail_server() as server:
        yield server


def build_settings(server: MailServer, **more: Any) -> Settings:
    values: dict[str, Any] = {"smtp_security": "none", **server.settings, **more}
    return Settings(**values)


async def test_an_email_has_a_text_and_an_html_part(server: MailServer) -> None:
    result = await channels.mail.send_mail(build_settings(server), "olga@example.com", MESSAGE)
    assert result.outcome is SendOutcome.DELIVERED
    [received] = server.mails
    assert received["Subject"] == MESSAGE.title
    assert received["From"] == "MC <mc@example.com>"
    assert received["To"] == "olga@example.com"
    assert received["Message-ID"] == "<0199-delivery@example.com>"
    assert received["Auto-Submitted"] == "auto-generated"
    assert received["List-Unsubscribe"] == "<http://localhost:8000/settings/notifications>"
    parts = [part.get_content_type() for part in received.iter_parts()]
    assert parts == ["text/plain", "text/html"]
    assert server.senders == ["mc@example.com"]


async def test_an_email_without_a_rendered_part_has_the_address_of_the_page(
    server: MailServer,
) -> None:
    plain = ChannelMessage("1", "test", "A test", "It works.", "http://localhost/x", "en")
    await mail.send_mail(build_settings(server), "olga@example.com", plain)
    content = server.mails[0].get_content()
    assert content.splitlines() == ["It works.", "", "http://localhost/x"]


@pytest.mark.parametrize(
    "title",
    [
        "Hello\r\nBcc: all@example.com",
        "Hello\nBcc: all@example.com\n\nA body",
        "Hello\u2028Bcc: all@example.com",
        "Hello\x00\x0bBcc: all@example.com",
        "=?utf-8?q?Hello=0ABcc:_all@example.com?=",
        "x" * 5_000,
        "é" * 5_000,
    ],
)
async def test_a_title_cannot_inject_headers(server: MailServer, title: str) -> None:
    message = ChannelMessage("1", "mention", title, "Text", "http://localhost/x", "en")
    result = await mail.send_mail(build_settings(server), "olga@example.com", message)
    assert result.outcome is SendOutcome.DELIVERED
    [received] = server.mails
    assert received["Bcc"] is None
    assert received["Subject"]
    assert len(received["Subject"]) <= 200
    assert received.get_content().splitlines() == ["Text", "", "http://localhost/x"]


@pytest.mark.parametrize("address", ["olga@example.com\nBcc: all@example.com", "nobody", "a b@c"])
async def test_an_address_cannot_inject_headers(server: MailServer, address: str) -> None:
    result = await mail.send_mail(build_settings(server), address, MESSAGE)
    assert (result.outcome, result.reason) == (SendOutcome.FAILED, SendReason.ADDRESS_INVALID)
    assert not server.mails


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_an_email_is_sent_encrypted_after_signing_in(
    security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = write_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with run_mail_server(certificate, security=security) as server:
        settings = build_settings(
            server, smtp_security=security, smtp_username=USERNAME, smtp_password=PASSWORD
        )
        result = await mail.send_mail(settings, "olga@example.com", MESSAGE)
        assert result.outcome is SendOutcome.DELIVERED
        assert server.signed_in == [True]
        assert server.encrypted == [True]


async def test_a_certificate_that_is_not_trusted_is_named(tmp_path: Path) -> None:
    async with run_mail_server(write_certificate(tmp_path), security="starttls") as server:
        settings = build_settings(server, smtp_security="starttls")
        result = await mail.send_mail(settings, "olga@example.com", MESSAGE)
        assert (result.outcome, result.reason) == (SendOutcome.RETRY, SendReason.TLS)
        assert not server.mails


async def test_nothing_is_sent_without_the_encryption_that_is_required(
    server: MailServer,
) -> None:
    settings = build_settings(server, smtp_security="starttls")
    result = await mail.send_mail(settings, "olga@example.com", MESSAGE)
    assert (result.outcome, result.reason) == (SendOutcome.RETRY, SendReason.TLS)
    assert not server.mails


async def test_a_wrong_password_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = write_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with run_mail_server(certificate, security="starttls") as server:
        settings = build_settings(
            server, smtp_security="starttls", smtp_username=USERNAME, smtp_password="wrong words"
        )
        result = await mail.send_mail(settings, "olga@example.com", MESSAGE)
        assert (result.outcome, result.reason) == (SendOutcome.RETRY, SendReason.MAIL_LOGIN)
        assert "wrong words" not in repr(result) + result.request + result.response


@pytest.mark.parametrize(
    ("command", "answer", "outcome", "reason"),
    [
        ("RCPT", "550 No such user", SendOutcome.FAILED, SendReason.RECIPIENT_REJECTED),
        ("RCPT", "450 Try later", SendOutcome.RETRY, SendReason.SERVER_ERROR),
        ("MAIL", "553 Not allowed", SendOutcome.FAILED, SendReason.REJECTED),
        ("DATA", "554 Looks like spam", SendOutcome.FAILED, SendReason.REJECTED),
        ("DATA", "421 Too busy", SendOutcome.RETRY, SendReason.SERVER_ERROR),
    ],
)
async def test_an_answer_of_the_server_decides_whether_to_retry(
    server: MailServer, command: str, answer: str, outcome: SendOutcome, reason: SendReason
) -> None:
    server.answers[command] = answer
    result = await mail.send_mail(build_settings(server), "olga@example.com", MESSAGE)
    assert (result.outcome, result.reason, result.detail) == (outcome, reason, answer)


async def test_a_server_that_stalls_ends_in_time(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "TOTAL_TIMEOUT", 0.3)
    server.stalled_command = "DATA"
    async with asyncio.timeout(10):  # less than the limit of one response
        result = await mail.send_mail(build_settings(server), "olga@example.com", MESSAGE)
    assert (result.outcome, result.reason) == (SendOutcome.RETRY, SendReason.TIMEOUT)


@pytest.mark.parametrize("answers", [{}, {"QUIT": "421 Too busy"}])
async def test_an_accepted_email_is_delivered_even_if_the_end_stalls_or_fails(
    server: MailServer, monkeypatch: pytest.MonkeyPatch, answers: dict[str, str]
) -> None:
    monkeypatch.setattr(mail, "TOTAL_TIMEOUT", 1.0)
    server.stalled_command = "" if answers else "QUIT"
    server.answers |= answers
    result = await mail.send_mail(build_settings(server), "olga@example.com", MESSAGE)
    assert (result.outcome, len(server.mails)) == (SendOutcome.DELIVERED, 1)
    assert "250" in result.response or "OK" in result.response


async def test_a_server_that_is_away_is_named() -> None:
    async with run_mail_server() as server:
        settings = build_settings(server)
    result = await mail.send_mail(settings, "olga@example.com", MESSAGE)
    assert (result.outcome, result.reason) == (SendOutcome.RETRY, SendReason.UNREACHABLE)


async def test_without_settings_the_reason_is_named() -> None:
    result = await mail.send_mail(Settings(), "olga@example.com", MESSAGE)
    assert (result.outcome, result.reason) == (SendOutcome.FAILED, SendReason.MAIL_NOT_CONFIGURED)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"SMTP_HOST": "mail.example.com"}, "SMTP_FROM must be set"),
        ({"SMTP_FROM": "mc@example.com"}, "SMTP_FROM must be set"),
        ({"SMTP_HOST": "a", "SMTP_FROM": "nobody"}, "SMTP_FROM must be an address"),
        ({"SMTP_HOST": "a", "SMTP_FROM": "a@b", "SMTP_USERNAME": "c"}, "SMTP_PASSWORD must be"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    variables: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MC_ENV_FILE", "/dev/null")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSetting, match=named):
        Settings.load()


def test_the_port_follows_from_the_security() -> None:
    named: dict[str, Any] = {"smtp_host": "a", "smtp_from": "a@b"}
    ports = [
        Settings(**named, smtp_security=security).smtp_port
        for security in ("starttls", "tls", "none")
    ]
    assert ports == [587, 465, 25]


async def test_the_doctor_checks_the_mail_server_and_sends_nothing(server: MailServer) -> None:
    text = await asyncio.to_thread(doctor.check_mail, build_settings(server))
    assert text == f"127.0.0.1:{server.port} accepts the connection"
    encrypted = build_settings(server, smtp_security="starttls")
    with pytest.raises(CommandError, match="see SMTP_SECURITY"):
        await asyncio.to_thread(doctor.check_mail, encrypted)
    assert server.mails == []

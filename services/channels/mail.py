"""Send e-mails through the SMTP server of this installation.

Subjects and names contain texts of agents and other people. They become single lines before they
are headers, and the policy of `EmailMessage` rejects line breaks, so no header can be injected.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr

import aiosmtplib

from core.clock import now
from core.config.settings import Settings
from core.http.address_policy import (
    MAX_ADDRESSES,
    ForbiddenHost,
    UnknownHost,
    build_service_policy,
    connect_socket,
    resolve_host,
)
from core.text import is_email, to_lines, to_one_line
from services.channels.messages import (
    MAX_REQUEST_LENGTH,
    ChannelMessage,
    delivered,
    failed,
    retry,
    shorten,
)
from services.notifications import SendReason, SendResult

TOTAL_TIMEOUT = 30.0  # seconds for a message, with the connection
MAX_DETAIL_LENGTH = 300  # characters


class MailError(Exception):
    """The mail server cannot be used, or does not accept a message; `result` says why."""

    def __init__(self, result: SendResult) -> None:
        super().__init__(result.detail or result.reason)
        self.result = result


async def send_mail(settings: Settings, address: str, message: ChannelMessage) -> SendResult:
    """Send an e-mail to one address. Never call it in a transaction."""
    if not settings.smtp_host:
        return failed(SendReason.MAIL_NOT_CONFIGURED)
    if not is_email(address):
        return failed(SendReason.ADDRESS_INVALID)
    mail = build_mail(settings, address, message)
    logged = f"To: {mail['To']}\nSubject: {mail['Subject']}\n\n{to_lines(message.body)}"
    logged = shorten(logged, MAX_REQUEST_LENGTH)
    response: str | None = None
    try:
        async with open_mail_connection(settings) as connection:
            _, response = await connection.send_message(mail)
    except MailError as error:
        if response is None:  # otherwise the mail was accepted, and only QUIT has failed
            return replace(error.result, request=logged, response=error.result.detail)
    return replace(delivered(), request=logged, response=shorten(response or "", MAX_DETAIL_LENGTH))


def build_mail(settings: Settings, address: str, message: ChannelMessage) -> EmailMessage:
    """Build an e-mail; its Message-ID is the same for each attempt of a delivery."""
    name, sender = parseaddr(settings.smtp_from)
    domain = sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["From"] = _build_address(name, sender)
    mail["To"] = _build_address("", address)
    mail["Subject"] = shorten(to_one_line(message.title), 200)
    mail["Date"] = format_datetime(now())
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["Content-Language"] = message.language
    if message.settings_url:
        mail["List-Unsubscribe"] = f"<{message.settings_url}>"
    if message.mail is None:
        mail.set_content(f"{to_lines(message.body)}\n\n{message.url}\n")
    else:
        mail.set_content(message.mail.text)
        mail.add_alternative(message.mail.html, subtype="html")
    return mail


@asynccontextmanager
async def open_mail_connection(settings: Settings) -> AsyncGenerator[aiosmtplib.SMTP]:
    """Connect to the mail server and sign in; everything must end in time. Raises MailError."""
    client = aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        username=settings.smtp_username or None,
        password=settings.smtp_password or None,
        use_tls=settings.smtp_security == "tls",
        start_tls=settings.smtp_security == "starttls",
        tls_context=None if settings.smtp_security == "none" else ssl.create_default_context(),
        timeout=15.0,  # seconds for one response of the server
    )
    try:
        async with asyncio.timeout(TOTAL_TIMEOUT):
            client.sock = await _connect(settings)
            async with client:
                try:
                    yield client
                except asyncio.CancelledError:  # QUIT would wait for one more response
                    client.close()
                    raise
    except ForbiddenHost:
        detail = "SERVICES_ALLOW_PRIVATE does not allow its private address"
        raise MailError(retry(SendReason.ADDRESS_FORBIDDEN, detail)) from None
    except UnknownHost:
        raise MailError(retry(SendReason.DNS)) from None
    except (TimeoutError, OSError, aiosmtplib.SMTPException) as error:
        raise MailError(interpret_mail_error(error)) from error
    finally:
        client.close()


async def _connect(settings: Settings) -> socket.socket:
    """Connect to a checked address of the mail server; TLS verifies its name."""
    host, port = settings.smtp_host, settings.smtp_port
    policy = build_service_policy(host, settings.services_allow_private)
    failure: OSError = ConnectionError(host)
    for ip in (await resolve_host(host, port, policy))[:MAX_ADDRESSES]:
        try:
            return await connect_socket(ip, port)
        except OSError as error:
            failure = error
    raise failure


def interpret_mail_error(error: Exception) -> SendResult:
    """Return what an error of the mail server means for the message."""
    detail = shorten(to_one_line(str(_get_answer(error))), MAX_DETAIL_LENGTH)
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return retry(SendReason.MAIL_LOGIN, detail)  # an admin can correct the password
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        refused = error.recipients[0]
        return _interpret_code(refused.code, SendReason.RECIPIENT_REJECTED, detail)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _interpret_code(error.code, SendReason.REJECTED, detail)
    if isinstance(error, aiosmtplib.SMTPNotSupported):  # an address with letters beyond ASCII
        return failed(SendReason.RECIPIENT_REJECTED, detail)
    if isinstance(error, TimeoutError):
        return retry(SendReason.TIMEOUT, detail)
    return retry(_find_connection_reason(error), detail)


def _find_connection_reason(error: Exception) -> SendReason:
    """Return why there is no connection; a missing extension is only named in the text."""
    if "STARTTLS" in str(error) or _is_tls_error(error):
        return SendReason.TLS
    return SendReason.MAIL_LOGIN if "AUTH" in str(error) else SendReason.UNREACHABLE


def _interpret_code(code: int, reason: SendReason, detail: str) -> SendResult:
    if code >= 500:
        return failed(reason, detail)
    return retry(SendReason.SERVER_ERROR, detail)


def _get_answer(error: Exception) -> object:
    """Return what the server has answered, or else the text of the error."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {error.message}"
    return error


def _is_tls_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _build_address(name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    return Address(to_one_line(name), local, domain)

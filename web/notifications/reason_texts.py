"""Texts of why a message could not be sent on a channel, and what to do about it."""

from collections.abc import Mapping

from services.notifications import SendReason
from web.ui.translation import N_, _, translate

REASON_TEXTS: Mapping[str, str] = {
    SendReason.ADDRESS_INVALID: N_("The address is not valid. Set up the channel again."),
    SendReason.ADDRESS_FORBIDDEN: N_(
        "The address is in a private network, where this server sends nothing. An operator can"
        " allow it with OUTBOUND_ALLOW_PRIVATE."
    ),
    SendReason.DNS: N_("The host name is unknown. Check the address."),
    SendReason.UNREACHABLE: N_("The server cannot be reached."),
    SendReason.TLS: N_(
        "There is no encrypted connection to the server. Its certificate may have expired."
    ),
    SendReason.TIMEOUT: N_("The server did not answer in time."),
    SendReason.INVALID_RESPONSE: N_("The server gave no valid answer. Check the address."),
    SendReason.REDIRECTED: N_("The address has moved. Enter the new address."),
    SendReason.RATE_LIMITED: N_("The service asks to wait, because it got too many messages."),
    SendReason.SERVER_ERROR: N_("The service has a problem."),
    SendReason.UNAUTHORIZED: N_(
        "The service does not accept the token or the address. Create a new one there, then set up"
        " the channel again."
    ),
    SendReason.NOT_FOUND: N_(
        "The service does not know this address any more. Create a new one there, then set up the"
        " channel again."
    ),
    SendReason.TOO_LARGE: N_("The message is too large for the service."),
    SendReason.REJECTED: N_("The service has rejected the message. Its answer is in the log."),
    SendReason.SUBSCRIPTION_ENDED: N_(
        "The browser has ended its subscription. Open the settings in that browser, and switch on"
        " notifications again."
    ),
    SendReason.MAIL_NOT_CONFIGURED: N_(
        "This installation has no mail server. An operator sets SMTP_HOST and SMTP_FROM."
    ),
    SendReason.MAIL_LOGIN: N_(
        "The mail server does not accept the account of this installation. An operator corrects"
        " SMTP_USERNAME and SMTP_PASSWORD."
    ),
    SendReason.RECIPIENT_REJECTED: N_(
        "The mail server does not accept this address. Check it for mistakes."
    ),
    SendReason.CONFIG_UNREADABLE: N_(
        "The address cannot be read, because SECRET_KEY was changed. Delete the channel, and set it"
        " up again."
    ),
}
"""Texts by reason. Each says what is wrong, and what can be done."""

PASSING_REASONS = (SendReason.UNREACHABLE, SendReason.TIMEOUT, SendReason.SERVER_ERROR)
"""Reasons for which nobody has to do anything while the message is tried again."""


def describe_reason(reason: str | None, *, is_repeated: bool = False) -> str:
    """Describe why an attempt has not succeeded, and whether the message is tried again.

    Unknown reasons are shown as they are.
    """
    text = translate(REASON_TEXTS.get(reason or "", "")) or (reason or "")
    if is_repeated and reason in PASSING_REASONS:
        return f"{text} {_('It is tried again for a day.')}"
    return text

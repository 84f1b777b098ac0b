"""Texts of errors on pages, by their codes. The API shows the English message of the error."""

from collections.abc import Mapping

from core.errors import TRY_AGAIN, AppError, TooMany, fill_in
from web.ui.locale_format import format_number
from web.ui.translation import N_, _, translate

FIELD_VALUE_TEXTS: Mapping[str, str] = {
    "text": N_("Write at most 2,000 characters."),
    "text_long": N_("Write at most 100,000 characters."),
    "integer": N_("Write a whole number."),
    "decimal": N_("Write a number."),
    "boolean": N_("Choose yes or no."),
    "date": N_("Write a date like 2026-12-24."),
    "date_time": N_("Write a date and a time like 2026-12-24T18:30."),
    "url": N_("Write an address that begins with http:// or https://."),
    "json": N_("Write a JSON object or list of at most 64 kB."),
    "pattern": N_("This does not match the pattern of the field."),
}
"""Texts of invalid values of custom fields by the type of the field, or for its pattern."""

ERROR_TEXTS: Mapping[str, str] = {
    # Any form or request
    "bad_character": N_("This is one line of letters and signs."),
    "bad_character:password": N_("The password has a character that nobody can type. Take it out."),
    "bad_character:new": N_("The password has a character that nobody can type. Take it out."),
    "too_many_manual_messages": N_("Too many tests and repetitions were sent by hand."),
    "rate_limited": N_("Too many requests."),
    "request_timeout": N_("The request did not arrive completely in time."),
    "unavailable": N_("The database does not answer. Try again soon."),
    "unavailable:pool_busy": N_("The server has too much to do at the moment. Try again soon."),
    "unavailable:sign_in": N_("The sign-in service does not answer. Try again soon."),
    # Accounts, sessions and tokens
    "account_not_connected": N_(
        "An account with this e-mail address signs in with a password. Sign in with it once, in"
        " this browser, and the two are connected."
    ),
    "password_too_common:email": N_(
        "The password contains the name in your e-mail address. Choose another one."
    ),
    "password_too_common:product": N_(
        "The password contains the name of this product. Choose another one."
    ),
    "password_too_common:repeated": N_(
        "The password repeats the same characters. Choose another one."
    ),
    "password_too_common:sequence": N_(
        "The password is a sequence of characters. Choose another one."
    ),
    # People and organizations
    "already_member": N_("Somebody with this address is a member already."),
    "invite_not_found": N_(
        "This invitation was withdrawn or replaced, or a part of its link is missing."
    ),
    "invite_not_found:used": N_("This invitation was used."),
    "invite_not_found:expired": N_("This invitation has expired. Ask for a new one."),
    "invite_not_found:ended": N_(
        "The person who sent this invitation may not invite you any more. Ask for a new one."
    ),
    "last_owner": N_("An organization has at least one owner. Make somebody else an owner first."),
    # Requests of gateways
    "request_over": N_("This request is no longer open."),
    # Tasks
    "approval_required": N_("This board requires an approval before a task is done."),
    "approval_required:pending": N_(
        "This board requires an approval before a task is done. One is pending for this task: wait"
        " for the decision."
    ),
    "approval_required:none": N_(
        "This board requires an approval before a task is done. Request one first."
    ),
    "approval_required:kind": N_(
        "This board requires an approval before a task is done. The approval of this task is"
        " for something else."
    ),
    "approval_required:content": N_(
        "This board requires an approval before a task is done. The task has changed since it"
        " was approved: %(changed)s."
    ),
    "approval_required:unknown_content": N_(
        "This board requires an approval before a task is done. The approval is from before"
        " the reviewed content was recorded."
    ),
    "approval_required:used": N_(
        "This board requires an approval before a task is done. The approval was used already:"
        " it allows one move to Done."
    ),
    "approval_required:expired": N_(
        "This board requires an approval before a task is done. The approval has expired."
    ),
    "approval_required:rejected": N_(
        "This board requires an approval before a task is done. A later request about this"
        " task was rejected."
    ),
    "approval_required:reopened": N_(
        "This board requires an approval before a task is done. The task was reopened after it"
        " was approved."
    ),
    # Custom fields
    **{
        f"{code}:{cause}": text
        for code in ("custom_field_value_invalid", "default_value_invalid")
        for cause, text in FIELD_VALUE_TEXTS.items()
    },
    # Approvals
    "approval_requests_held": N_(
        "Too many of your requests are pending, or you made too many in the last hour. Wait for"
        " decisions, then try again."
    ),
    "task_changed": N_("The task was changed after the approval."),
    # Channels of notifications
    "channel_url_invalid": N_("This is not an address that begins with http:// or https://."),
    "channel_url_invalid:password": N_("The address must not contain a name or a password."),
    "code_expired": N_("This code is not valid any more. Send another one."),
    "code_wrong": N_("This is not the code. Check the e-mail, and enter its six digits."),
    # Policies
    "too_many": N_("At most %(max_count)s values."),
    # Skills and packs
    "skill_pack_unavailable": N_(
        "The archive cannot be downloaded. Check the address and the branch, and try again."
    ),
    "skill_pack_unavailable:not_found": N_(
        "There is no such archive. Check the address and the branch."
    ),
    "skill_pack_unavailable:address_forbidden": N_(
        "The address is in a private network, where this server sends nothing. An operator can"
        " allow it with OUTBOUND_ALLOW_PRIVATE."
    ),
    "skill_pack_unavailable:dns": N_("The host name is unknown. Check the address."),
    "skill_pack_unavailable:timeout": N_("The download took too long. Try again."),
    "skill_pack_unavailable:too_large": N_("The archive is too large."),
}
"""Texts by code, or by "code:variant": the cause, the reason, the status or the field."""


OTHER_RULE = N_("A rule of the board does not allow it.")


def describe_error(error: AppError) -> str:
    """Return the text of an error in the reader's language."""
    of_details = (error.details.get(name) for name in ("reason", "status"))
    variants = (error.cause, *of_details, error.field)
    keys = [*(f"{error.code}:{variant}" for variant in variants if variant), error.code]
    text = next((ERROR_TEXTS[key] for key in keys if key in ERROR_TEXTS), error.text)
    described = fill_in(translate(text), error.details, _format_value)
    if isinstance(error, TooMany):
        described += " " + fill_in(translate(TRY_AGAIN), {"seconds": error.retry_after})
    return described


def describe_error_code(code: str) -> str:
    """Return the text of an error of which only the code is known."""
    return _(ERROR_TEXTS.get(code, OTHER_RULE))


def _format_value(value: object) -> str:
    return format_number(value) if isinstance(value, int | float) else str(value)

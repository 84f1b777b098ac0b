"""Texts of errors on pages, by their codes. The API shows the English message of the error."""

from collections.abc import Mapping
from typing import Any

from core.errors import AppError, TooMany
from web.ui.domain_error_texts import DOMAIN_ERROR_TEXTS
from web.ui.locale_format import format_number
from web.ui.skill_error_texts import SKILL_ERROR_TEXTS
from web.ui.translation import N_, _

ERROR_TEXTS: Mapping[str, str] = {
    # Any form or request
    "bad_character": N_("This is one line of letters and signs."),
    "bad_character:password": N_("The password has a character that nobody can type. Take it out."),
    "bad_character:new": N_("The password has a character that nobody can type. Take it out."),
    "blank": N_("Fill this in."),
    "body_too_large": N_("This is too much at once: 2 MB at most."),
    "date_out_of_range": N_("Choose a year from %(first_year)s to %(last_year)s."),
    "email_invalid": N_("This is not an e-mail address."),
    "not_storable": N_("This is too large, or not valid JSON."),
    "form_in_progress": N_("This form is still being processed. Try again in a minute."),
    "nothing_to_change": N_("Change at least one thing."),
    "nothing_to_undo": N_("You have decided nothing here that can be undone."),
    "number_out_of_range": N_("Write a whole number from %(minimum)s to %(maximum)s."),
    "too_many_manual_messages": N_(
        "Too many tests and repetitions were sent by hand. Try again in %(retry_after)s s."
    ),
    "rate_limited": N_("Too many requests. Try again in %(retry_after)s s."),
    "request_timeout": N_("The request did not arrive completely in time."),
    "responses_not_read": N_(
        "Too much of what you opened before is still being loaded. Try again in %(retry_after)s s."
    ),
    "stale": N_("This was changed meanwhile. Look at it again, then change it."),
    "too_long": N_("This is too long: %(length)s characters, %(max_length)s at most."),
    "unavailable": N_("The database does not answer. Try again soon."),
    "unavailable:pool_busy": N_("The server has too much to do at the moment. Try again soon."),
    "unavailable:sign_in": N_("The sign-in service does not answer. Try again soon."),
    # Notifications, channels and templates
    "escalation_person_required": N_("Choose the second person, or leave the minutes empty."),
    "channel_not_confirmed": N_("Confirm the e-mail address of this channel first."),
    "template_custom_field_unknown": N_("This board has no custom field “%(key)s”."),
    "template_fields_invalid": N_(
        "Line %(line)s: write each field once, in a line of its own, as key: text."
    ),
    "template_fields_many": N_("A template sets at most %(max_count)s custom fields."),
    # Rights
    "admin_required": N_("Only an admin of the organization can do that."),
    "admin_required:board": N_("Only an admin who may change this board can do that."),
    "admin_required:group": N_("Only an admin can change this group."),
    "admin_required:lead": N_(
        "This board has no lead, and only an admin creates one. Ask an admin to confirm."
    ),
    "board_read_forbidden": N_("You may not read this board."),
    "board_write_forbidden": N_("You may read this board, but not change it."),
    "installation_owner_required": N_(
        "Only an owner of the first organization can read the audit of the installation."
    ),
    "membership_ended": N_("You do not belong to an organization any more. Reload the page."),
    "organization_stopped": N_("All agents are stopped. Wait until a person resumes them."),
    "owner_required": N_("Only an owner of the organization can do that."),
    # Accounts, sessions and tokens
    "account_not_connected": N_(
        "An account with this e-mail address signs in with a password. Sign in with it once, in"
        " this browser, and the two are connected."
    ),
    "api_token_not_found": N_("You have no such token."),
    "email_taken": N_("There is an account with this e-mail address. Sign in with it."),
    "email_taken:first_run": N_("Somebody else has this e-mail address."),
    "first_run_over": N_("This link has been used, or a newer one has been made."),
    "first_run_pending": N_(
        "Nobody has signed in yet. The first owner uses the link that the server prints."
    ),
    "password_link_over": N_(
        "This link was used or replaced, has expired, or a part of it is missing."
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
    "password_too_long": N_("A password has at most %(max_length)s characters."),
    "password_too_short": N_("A password has at least %(min_length)s characters."),
    "sign_in_elsewhere": N_(
        "This sign-in was begun in another browser, or at another address. Start again."
    ),
    "sign_in_expired": N_("That took too long. Start again."),
    "sign_in_not_proven": N_("The sign-in could not be confirmed. Start again."),
    "sign_in_not_recent": N_(
        "Your provider did not confirm that you have just signed in again. Sign out there and try"
        " again, or use your password."
    ),
    "sign_in_unknown": N_("This sign-in is not known here. Start again."),
    "sign_in_used": N_("This sign-in has been used already. Start again."),
    "session_not_found": N_("You have no such session."),
    "session_not_found:gateway": N_("The gateway has no such session."),
    "token_lifetime_invalid": N_("Choose one of the lifetimes that are offered."),
    "too_many_tokens": N_("You have %(max_count)s tokens. Revoke one before you create another."),
    "wrong_credentials": N_("The e-mail address or the password is not right."),
    "wrong_password": N_("This is not your password."),
    # People and organizations
    "already_member": N_("Somebody with this address is a member already."),
    "board_named_twice": N_("Name each board once."),
    "invalid_board_ids": N_("There are no such boards in this organization."),
    "invite_for_another": N_("This invitation is for another e-mail address than yours."),
    "invite_not_found": N_(
        "This invitation was withdrawn or replaced, or a part of its link is missing."
    ),
    "invite_not_found:used": N_("This invitation was used."),
    "invite_not_found:expired": N_("This invitation has expired. Ask for a new one."),
    "invite_not_found:ended": N_(
        "The person who sent this invitation may not invite you any more. Ask for a new one."
    ),
    "last_owner": N_("An organization has at least one owner. Make somebody else an owner first."),
    "member_not_found": N_("There is no such member."),
    "only_owners_appoint_admins": N_("In this organization only owners appoint admins."),
    "organization_name_taken": N_("You already belong to an organization of this name."),
    "organization_not_found": N_("You belong to no such organization."),
    "role_above_own": N_("You cannot assign a role above yours."),
    "self_removal": N_("You cannot remove yourself. Another admin can do it."),
    **DOMAIN_ERROR_TEXTS,
    **SKILL_ERROR_TEXTS,
}
"""Texts by code, or by "code:variant": the cause, the reason, the status or the field."""


OTHER_RULE = N_("A rule of the board does not allow it.")


def describe_error(error: AppError) -> str:
    """Return the text of an error in the reader's language; its own message if it has no text."""
    of_details = (error.details.get(name) for name in ("reason", "status"))
    variants = (error.cause, *of_details, error.field)
    keys = [*(f"{error.code}:{variant}" for variant in variants if variant), error.code]
    text = next((ERROR_TEXTS[key] for key in keys if key in ERROR_TEXTS), None)
    if text is None:
        return error.message
    details = dict(error.details)
    if isinstance(error, TooMany):
        details["retry_after"] = error.retry_after
    try:
        return _(text, **{name: _format_value(value) for name, value in details.items()})
    except KeyError:  # the error does not have all values
        return error.message


def describe_error_code(code: str) -> str:
    """Return the text of an error of which only the code is known."""
    return _(ERROR_TEXTS.get(code, OTHER_RULE))


def _format_value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return format_number(value) if isinstance(value, int | float) else str(value)

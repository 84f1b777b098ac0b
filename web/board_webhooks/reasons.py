"""Texts of why a payload was not used, and of what a template could not use."""

from collections.abc import Mapping
from datetime import datetime

from models import BoardWebhook
from services.payload_templates import TemplateProblem
from web.ui.translation import N_, _, translate

REASONS: Mapping[str, str] = {
    "condition_failed": N_("The condition of the template is not met."),
    "forge_unknown": N_("It was not sent by GitHub or GitLab."),
    "ping": N_("The connection works. GitHub sends this once, when the webhook is set up."),
    "event_unsupported": N_("Events of this kind are not used."),
    "action_unsupported": N_("Nothing is done for this action or result."),
    "malformed": N_("A field that is needed is missing or not valid."),
    "foreign_url": N_("An address in it is not on the host of the repository."),
    "no_task": N_("It belongs to no task of this board."),
    "unchanged": N_("It reports nothing new."),
}
"""Texts of the reasons of ignored payloads."""

REJECTIONS: Mapping[str, str] = {
    "webhook_signature_missing": N_(
        "it was not signed. Enter the secret of this webhook in the system that sends."
    ),
    "webhook_signature_invalid": N_(
        "its signature does not match. Enter the secret again in the system that sends, or create a"
        " new one here."
    ),
    "webhook_timestamp_invalid": N_(
        "the time of its signature differs by more than five minutes. Check the clock of the system"
        " that sends."
    ),
    "webhook_disabled": N_("the webhook is off. Switch it on with “Edit”."),
    "body_too_large": N_("its payload is too large. Let the system send less."),
    "webhook_queue_full": N_(
        "10,000 payloads wait for their agent. Let the agent work, and let the system send it"
        " again."
    ),
    "rate_limited": N_(
        "there were too many in a minute. Let the system send fewer, or later again."
    ),
    "unavailable": N_(
        "the secret cannot be read, because SECRET_KEY was changed. Create a new one."
    ),
}
"""Texts of why a request was rejected, and what to do; they end a sentence."""

PROBLEMS: Mapping[str, str] = {
    "priority_unknown": N_("“%(text)s” is not a priority. The task gets medium priority."),
    "due_invalid": N_("“%(text)s” is not a due date. The task gets none."),
    "tag_unknown": N_("There is no tag “%(text)s”. The task does not get it."),
    "custom_field_unknown": N_("This board has no custom field “%(text)s”."),
    "custom_field_invalid": N_("“%(text)s” is not valid. The task does not get this value."),
    "custom_field_required": N_(
        "The custom field “%(text)s” is required and has no value, so the payload would fail."
    ),
}
"""Texts of what a template could not use."""


def describe_reason(code: str) -> str:
    """Return the text of a reason; of an unknown one, its code."""
    return translate(REASONS[code]) if code in REASONS else code


def describe_rejection(webhook: BoardWebhook, newest: datetime | None) -> str:
    """Return why the last request was rejected; "" if another one was received since."""
    at, code = webhook.last_rejected_at, webhook.last_rejection or ""
    if at is None or (newest is not None and newest > at):
        return ""
    return translate(REJECTIONS[code]) if code in REJECTIONS else code


def describe_problem(problem: TemplateProblem) -> str:
    """Return the text of a problem of a template."""
    return translate(PROBLEMS[problem.code]) % {"text": problem.text}


def describe_missing(path: str) -> str:
    """Return the text for a path without a value."""
    return _("The payload has no value at %(path)s.", path=path)

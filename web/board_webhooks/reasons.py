"""Texts of why a payload was not used, and of what a template could not use."""

from collections.abc import Mapping

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


def describe_problem(problem: TemplateProblem) -> str:
    """Return the text of a problem of a template."""
    return translate(PROBLEMS[problem.code]) % {"text": problem.text}


def describe_missing(path: str) -> str:
    """Return the text for a path without a value."""
    return _("The payload has no value at %(path)s.", path=path)

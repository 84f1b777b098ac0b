"""Texts about approvals that are built from codes and values: the question and its reason."""

from collections.abc import Sequence

from services import approvals
from services.approvals import ApprovalDetail
from web.ui.translation import N_, _, ngettext

MAX_LENGTH = 150  # characters of a title or of the words of a kind in a question

DONE_REASON = N_("%(name)s wants to mark this done.")
"""The reason of the approval that is requested for a user who moves a task to Done."""


def build_done_reason(name: str) -> str:
    """Return the reason to store, in English, because agents read it too."""
    return DONE_REASON % {"name": name}


def describe_reason(detail: ApprovalDetail) -> str:
    """Return the reason as it was written; one of `build_done_reason` is translated."""
    name = detail.requester.display_name if detail.requester else ""
    if name and detail.reason == build_done_reason(name):
        return _(DONE_REASON, name=name)
    return detail.reason or ""


def describe_requester(detail: ApprovalDetail) -> str:
    """Return the name of the agent or user who requested an approval."""
    return detail.requester_name if detail.agent or detail.requester else _("Deleted agent or user")


def describe_question(detail: ApprovalDetail) -> str:
    """Return the question to decide, in English as `approvals.format_question` builds it.

    The words of a kind are the requester's, and are not translated.
    """
    verb, noun = map(_shorten, approvals.split_kind(detail.approval.action_type))
    tasks = _describe_tasks(detail.task_titles)
    if (verb, noun) == ("complete", "task"):
        return _("Complete the task %(tasks)s?", tasks=tasks) if tasks else _("Complete the task?")
    if not verb:
        return _("Go on with %(tasks)s?", tasks=tasks) if tasks else _("Go ahead?")
    action = verb[0].upper() + verb[1:]
    if noun == "task" and tasks:
        return _("%(action)s the task %(tasks)s?", action=action, tasks=tasks)
    if noun:
        action = _("%(action)s the %(object)s", action=action, object=noun)
    if tasks:
        return _("%(action)s for %(tasks)s?", action=action, tasks=tasks)
    return _("%(action)s?", action=action)


def _describe_tasks(titles: Sequence[str]) -> str:
    """Return the title of the first task, and how many others there are; "" without tasks."""
    if not titles:
        return ""
    title, others = _shorten(titles[0]), len(titles) - 1
    if not others:
        return _("“%(title)s”", title=title)
    return ngettext(
        "“%(title)s” and %(num)d more", "“%(title)s” and %(num)d more", others, title=title
    )


def _shorten(text: str) -> str:
    """Return a text on one line that is not too long for a sentence."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_LENGTH else f"{line[: MAX_LENGTH - 1]}…"

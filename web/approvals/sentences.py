"""Texts about approvals that are built from codes and values: the question and its reason."""

import re
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from core.clock import now
from models import ApprovalStatus, User
from services import approvals
from services.approval_actions import COMPLETION_KIND
from services.approvals import ApprovalDetail
from services.tool_facts import ToolKind, find_tool_kind
from web.ui.time_format import format_duration
from web.ui.translation import N_, _, ngettext

TOOL_PREFIX = "tool."  # of the kind of a tool call
ANY_TOOL_SENTENCE = N_("%(name)s wants to call %(tool)s")
TOOL_SENTENCES = {
    ToolKind.SHELL: N_("%(name)s wants to run a command"),
    ToolKind.READ: N_("%(name)s wants to read a file"),
    ToolKind.LIST: N_("%(name)s wants to list files"),
    ToolKind.WRITE: N_("%(name)s wants to change a file"),
    ToolKind.PATCH: N_("%(name)s wants to change files"),
    ToolKind.FETCH: N_("%(name)s wants to fetch a page"),
    ToolKind.SEARCH_WEB: N_("%(name)s wants to search the web"),
}
"""What an agent wants to do with a tool."""

MAX_LENGTH = 150  # characters of a title or of the words of a kind in a question

STORED_TITLES = re.compile(
    r"^[^“]* “(?P<title>.*)”(?: and (?P<others>\d{1,4}) more)?\?$", re.DOTALL
)

DONE_REASON = N_("%(name)s wants to mark this done.")
"""The reason of the approval that is requested for a user who moves a task to Done."""


def build_done_reason(name: str) -> str:
    """Return the reason to store, in English, because agents read it too."""
    return DONE_REASON % {"name": name}


def describe_reason(detail: ApprovalDetail) -> str:
    """Return the reason as it was written; one of `build_done_reason` is translated.

    That of a tool call is not the agent's: its page says why people are asked.
    """
    if detail.approval.is_tool_call:
        return ""
    name = detail.requester.display_name if detail.requester else ""
    if name and detail.reason == build_done_reason(name):
        return _(DONE_REASON, name=name)
    return detail.reason or ""


def describe_requester(detail: ApprovalDetail) -> str:
    """Return the name of the agent or user who requested an approval."""
    if detail.agent or detail.requester:
        return detail.requester_name
    # One that was imported may never have had a requester; it has no hash.
    is_imported = detail.approval.requested_hash is None
    return _("Unknown agent or user") if is_imported else _("Deleted agent or user")


def describe_question(detail: ApprovalDetail) -> str:
    """Return the question to decide, in English as `approvals.format_question` builds it.

    The words of a kind are the requester's, and are not translated. Of a tool call it is the
    sentence that says what the agent wants to do.
    """
    approval = detail.approval
    if not approval.is_tool_call:
        return _build_question(approval.action_type, detail.task_titles)
    tool = approval.action_type.removeprefix(TOOL_PREFIX)
    text = TOOL_SENTENCES.get(find_tool_kind(tool), ANY_TOOL_SENTENCE)
    return _(text, name=describe_requester(detail), tool=_shorten(tool))


def describe_arrival(detail: ApprovalDetail) -> str:
    """Say when the client that waits gets the decision about a tool call; "" if it is final."""
    final_at = detail.approval.finalizes_at
    if not detail.can_undo or final_at is None:
        return ""
    seconds = max(1, ceil((final_at - now()).total_seconds()))
    return _("The client gets the answer in %(time)s.", time=format_duration(seconds, "s"))


def describe_lapses(detail: ApprovalDetail) -> str:
    """Return which decisions about an undecided approval count no longer, and why; "" if none."""
    sentences = []
    if detail.is_first_approval_lapsed:
        user = detail.first_approver
        sentences.append(
            _(
                "The first approval by %(name)s no longer counts, because %(name)s may no longer"
                " decide here.",
                name=user.display_name,
            )
            if user
            else _("The first approval no longer counts, because that account was deleted.")
        )
    if detail.is_undecided and detail.approval.lapsed_status is not None:
        is_approved = detail.approval.lapsed_status is ApprovalStatus.APPROVED
        sentences.append(_describe_lapse(detail.lapsed_user, is_approved=is_approved))
    return " ".join(sentences)


def _describe_lapse(user: User | None, *, is_approved: bool) -> str:
    if user is None and is_approved:
        return _("An approval no longer counts, because that account was deleted.")
    if user is None:
        return _("A rejection no longer counts, because that account was deleted.")
    text = (
        N_("The approval by %(name)s no longer counts, because %(name)s may no longer decide here.")
        if is_approved
        else N_(
            "The rejection by %(name)s no longer counts, because %(name)s may no longer decide"
            " here."
        )
    )
    return _(text, name=user.display_name)


def describe_kind(kind: str) -> str:
    """Return the question to decide without its tasks: "Complete the task?"."""
    return _build_question(kind, ())


def translate_question(stored: str, data: Mapping[str, Any]) -> str:
    """Return a question that was stored in English, in the reader's language.

    `data` may have the kind and the titles of its tasks. Without a kind only the question about
    completing tasks is translated. Other texts are returned as they were stored.
    """
    kind, titles = str(data.get("action_type") or COMPLETION_KIND), data.get("titles")
    if not isinstance(titles, list):
        found = STORED_TITLES.search(stored)
        titles = [found["title"], *[""] * int(found["others"] or 0)] if found else []
    is_built = approvals.format_question(kind, titles) == stored
    return _build_question(kind, titles) if is_built else stored


def _build_question(kind: str, titles: Sequence[str]) -> str:
    if kind.startswith(TOOL_PREFIX) and not titles:
        return _("Call %(tool)s?", tool=_shorten(kind.removeprefix(TOOL_PREFIX)))
    verb, noun = map(_shorten, approvals.split_kind(kind))
    tasks = _describe_tasks(titles)
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

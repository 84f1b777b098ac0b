"""The texts of events on pages, in the reader's language."""

from collections.abc import Mapping

from models import Event, EventType, Status
from services.events import (
    EVENT_DEFINITIONS,
    TASK_CAUSE_KEYS,
    build_event_values,
    find_event_text,
    format_event_text,
)
from web.agents.messages import describe_message_kind
from web.approvals.sentences import translate_question
from web.ui.markdown import excerpt_markdown
from web.ui.translation import N_, _, translate

FEED_MOVES: Mapping[str, str] = {
    Status.INBOX: N_("%(actor)s moved %(subject)s to the inbox"),
    Status.IN_PROGRESS: N_("%(actor)s started %(subject)s"),
    Status.REVIEW: N_("%(actor)s moved %(subject)s to review"),
    Status.DONE: N_("%(actor)s completed %(subject)s"),
}
"""The sentence of a task that entered a status."""

REQUEST_ANSWERS: Mapping[str, str] = {
    "allowed once": N_("%(actor)s allowed a request of %(name)s once: %(subject)s"),
    "allowed always": N_("%(actor)s permanently allowed a request of %(name)s: %(subject)s"),
    "denied": N_("%(actor)s denied a request of %(name)s: %(subject)s"),
    "not answered": N_("%(actor)s left a request of %(name)s unanswered: %(subject)s"),
}
"""The sentence of an answered gateway request, by the answer in the event."""

DEPENDENCY_CHANGES: Mapping[str, str] = {
    "completed_task_id": N_("A task that %(subject)s depends on was completed"),
    "reopened_task_id": N_("A task that %(subject)s depends on was reopened"),
    "deleted_task_id": N_("A task that %(subject)s depends on was deleted"),
    "restored_task_id": N_("A task that %(subject)s depends on was restored"),
}
"""The sentence of an event that a change of another task caused, by the key of that task's id."""


def describe_event(event: Event, comment: str | None = None) -> str:
    """Return the text of an event without its actor; for a comment that still exists, its text.

    It is one line without Markdown.
    """
    if event.type is EventType.TASK_COMMENT and comment:
        return excerpt_markdown(comment)
    return format_event_text(translate(find_event_text(event)), build_values(event))


def build_values(event: Event) -> dict[str, object]:
    """Return the values in the texts of an event, except its actor and its subject."""
    values = build_event_values(event, translate)
    if event.type.startswith("approval."):
        values["question"] = translate_question(str(values["question"]), event.data)
    elif event.type.startswith("message."):
        values["kind"] = describe_message_kind(str(values["kind"]))
    return values


def find_feed_text(event: Event) -> str:
    """Return the sentence of an event in the feed; it is not translated yet."""
    data, text = event.data, EVENT_DEFINITIONS[event.type].feed_text
    if event.type is EventType.TASK_STATUS_CHANGED:
        text = FEED_MOVES.get(data.get("entered", ""), text)
    elif event.type is EventType.GATEWAY_REQUEST_ANSWERED:
        text = REQUEST_ANSWERS.get(data.get("answer") or "", text)
    return next((cause for key, cause in DEPENDENCY_CHANGES.items() if key in data), text)


def is_caused_by_dependency(event: Event) -> bool:
    """Return whether a change of another task caused an event, and no actor."""
    return any(key in event.data for key in TASK_CAUSE_KEYS)


def name_missing_actor(event: Event) -> str:
    """Return what is shown for an actor without a name: a deleted user or agent, or the server."""
    if event.user_id is not None:
        return _("Deleted user")
    return _("Deleted agent") if event.agent_id is not None else "Mission Control"

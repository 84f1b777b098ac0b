"""The texts of events on pages, in the reader's language."""

from models import Event, EventType
from services.board_webhooks import UNSIGNED_SUFFIX
from services.events import (
    build_event_values,
    find_event_text,
    format_event_text,
)
from web.agents.messages import describe_message_kind
from web.approvals.sentences import translate_question
from web.ui.markdown import excerpt_markdown
from web.ui.translation import _, translate


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


def translate_webhook_name(name: str) -> str:
    """Return the name of a webhook as an author, which ends with whether it was unsigned."""
    plain = name.removesuffix(UNSIGNED_SUFFIX)
    # Translators: the name of a webhook that received something without a signature
    return name if plain == name else _("%(name)s (unsigned)", name=plain)


def name_missing_actor(event: Event) -> str:
    """Return what is shown for an actor without a name: a deleted user or agent, or the server."""
    if event.user_id is not None:
        return _("Deleted user")
    return _("Deleted agent") if event.agent_id is not None else "Mission Control"

"""The elements of message texts: markers, labels, snippets, and fences around external texts."""

import re
import secrets
from collections.abc import Mapping
from enum import StrEnum

SHORT_SNIPPET_LENGTH = 500  # characters, of tasks and comments
LONG_SNIPPET_LENGTH = 800  # characters, of chats

# The first part stays within one line: with \s it would be quadratic in the number of line breaks.
FENCE = re.compile(r"^[^\S\n]*-{2,}(?=\s*(BEGIN|END)\b)", re.MULTILINE | re.IGNORECASE)

WAKE_UP_KIND = "WAKE UP"
"""The kind of the first message to an agent on a gateway. The text has no marker, because the agent
does not know the markers yet."""


class MessageMarker(StrEnum):
    """The first line of a message, which tells agents its kind (contract, agents 22).

    Gateways and agents rely on the values.
    """

    NEW_TASK_ADDED = "NEW TASK ADDED"
    TASK_BACK_IN_INBOX = "TASK BACK IN INBOX"
    TASK_ASSIGNED = "TASK ASSIGNED"
    TASK_READY_FOR_LEAD_REVIEW = "TASK READY FOR LEAD REVIEW"
    CHANGES_REQUESTED = "CHANGES REQUESTED"
    TASK_MENTION = "TASK MENTION"
    NEW_TASK_COMMENT = "NEW TASK COMMENT"
    APPROVAL_RESOLVED = "APPROVAL RESOLVED"
    BOARD_UPDATED = "BOARD UPDATED"
    BOARD_GROUP_UPDATED = "BOARD GROUP UPDATED"
    BOARD_CHAT = "BOARD CHAT"
    BOARD_CHAT_MENTION = "BOARD CHAT MENTION"
    GROUP_CHAT = "GROUP CHAT"
    GROUP_CHAT_MENTION = "GROUP CHAT MENTION"
    GROUP_BROADCAST = "GROUP BROADCAST"
    ASK_USER = "LEAD REQUEST: ASK USER"
    GATEWAY_MAIN_QUESTION = "GATEWAY MAIN QUESTION"
    GATEWAY_MAIN_HANDOFF = "GATEWAY MAIN HANDOFF"


def join_paragraphs(marker: str, *paragraphs: str) -> str:
    """Join the marker, the labels below it, and the other paragraphs. Empty ones are omitted."""
    head, *rest = [paragraph for paragraph in paragraphs if paragraph]
    return "\n\n".join([f"{marker}\n{head}", *rest])


def format_labels(values: Mapping[str, object]) -> str:
    """Format one line for each label whose value is not empty."""
    lines = {name: to_single_line(value) for name, value in values.items() if value is not None}
    return "\n".join(f"{name}: {value}" for name, value in lines.items() if value)


def to_single_line(value: object) -> str:
    """Format a value as a single line, so that it cannot look like another label."""
    return " ".join(str(value).split())


def truncate_text(value: str, max_length: int = SHORT_SNIPPET_LENGTH) -> str:
    """Return a text without surrounding whitespace, cut to `max_length` characters."""
    text = value.strip()
    return text if len(text) <= max_length else f"{text[: max_length - 3]}..."


def fence_text(value: str) -> str:
    """Put an external text between two lines that the text cannot imitate.

    The lines contain a random word, and similar lines in the text are made harmless.
    """
    word = secrets.token_hex(8)
    harmless = FENCE.sub("- -", value)
    return f"--- BEGIN EXTERNAL DATA {word}\n{harmless}\n--- END EXTERNAL DATA {word}"

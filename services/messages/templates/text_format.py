"""The elements of message texts: markers, labels, snippets, and fences around external texts."""

import secrets
import unicodedata
from collections.abc import Callable, Mapping
from enum import StrEnum

from core.text import to_lines, to_one_line

SHORT_SNIPPET_LENGTH = 500  # characters, of tasks and comments
LONG_SNIPPET_LENGTH = 800  # characters, of chats
MAX_LABEL_LENGTH = 500  # characters

PAUSE_COMMAND, RESUME_COMMAND = "/pause", "/resume"
"""Commands in a board's chat. They are sent unchanged, with `deliver`, to all its agents."""

WAKE_UP_KIND = "WAKE UP"
"""The kind of the first message to an agent on a gateway. The text has no marker, because the agent
does not know the markers yet."""


WEBHOOK_NOTE = "WEBHOOK PAYLOAD RECEIVED"
"""The first line of a note about a payload in the memory of a board."""


class MessageMarker(StrEnum):
    """The first line of a message, which tells agents its kind.

    Gateways and agents rely on the values. Only we write such a line: texts of others are inside a
    block, and a line in it that equals a marker is quoted.
    """

    NEW_TASK_ADDED = "NEW TASK ADDED"
    TASK_BACK_IN_INBOX = "TASK BACK IN INBOX"
    TASK_ASSIGNED = "TASK ASSIGNED"
    TASK_READY_FOR_LEAD_REVIEW = "TASK READY FOR LEAD REVIEW"
    CHANGES_REQUESTED = "CHANGES REQUESTED"
    TASK_STALE = "TASK STALE"
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
    WEBHOOK_EVENT = "WEBHOOK EVENT RECEIVED"
    ONBOARDING_REQUEST = "BOARD ONBOARDING REQUEST"
    ONBOARDING_ANSWER = "BOARD ONBOARDING ANSWER"
    QUESTION_ANSWERED = "QUESTION ANSWERED"  # by a person, for a worker
    NUDGE = "NUDGE"  # from the lead of the board
    HEARTBEAT = "HEARTBEAT"  # at the interval of an agent that works without being asked
    SKILL_INSTALL = "MISSION CONTROL SKILL INSTALL REQUEST"
    SKILL_UNINSTALL = "MISSION CONTROL SKILL UNINSTALL REQUEST"


DELIMITERS = tuple(
    f"{end}{data}" for end in ("begin", "end") for data in ("external", "structured")
)
DASHED_WORDS = ("begin", "end")  # after a dash at the beginning of a line
MINUS = "\u2212"  # a sign that looks like a dash
MAX_KEY_LENGTH = 200  # characters
QUOTE = "> "


def join_paragraphs(marker: str, *paragraphs: str) -> str:
    """Join the marker, the labels below it, and the other paragraphs. Empty ones are omitted."""
    head, *rest = [paragraph for paragraph in paragraphs if paragraph]
    return "\n\n".join([f"{marker}\n{head}", *rest])


def format_labels(
    values: Mapping[str, object], format: Callable[[object], str] | None = None
) -> str:
    """Format one line for each label whose value is not empty."""
    format = format or to_single_line
    lines = {name: format(value) for name, value in values.items() if value is not None}
    return "\n".join(f"{name}: {value}" for name, value in lines.items() if value)


def to_single_line(value: object) -> str:
    """Format a value as a single short line, so that it cannot look like another label."""
    return truncate_text(to_one_line(str(value)), MAX_LABEL_LENGTH)


def truncate_text(value: str, max_length: int = SHORT_SNIPPET_LENGTH) -> str:
    """Return a text without surrounding whitespace, cut to `max_length` characters."""
    text = value.strip()
    return text if len(text) <= max_length else f"{text[: max_length - 3]}..."


def fence_text(value: str) -> str:
    """Put an external text between two lines that the text cannot imitate.

    The lines contain a random word. Invisible characters are removed, and lines in the text that
    look like ours are quoted. The time is linear in the length of the text.
    """
    word = secrets.token_hex(8)
    lines = to_lines(value).split("\n")
    quoted = "\n".join(f"{QUOTE}{line}" if _is_reserved(line) else line for line in lines)
    return f"--- BEGIN EXTERNAL DATA {word}\n{quoted}\n--- END EXTERNAL DATA {word}"


def fence_values(values: Mapping[str, object]) -> str:
    """Put values, one in each line, between two lines that the values cannot imitate.

    The values are not cut: a part of an address or of a folder would be another one.
    """
    word = secrets.token_hex(8)
    lines = format_labels(values, lambda value: to_one_line(str(value)))
    return f"--- BEGIN STRUCTURED DATA {word}\n{lines}\n--- END STRUCTURED DATA {word}"


def _is_reserved(line: str) -> bool:
    """Return whether a line looks like a delimiter, a marker or a command of ours."""
    key = _comparison_key(line)
    if key.startswith(DELIMITERS) or (_starts_with_dash(line) and key.startswith(DASHED_WORDS)):
        return True
    return key in RESERVED_KEYS or line.strip().lower() in (PAUSE_COMMAND, RESUME_COMMAND)


def _comparison_key(line: str) -> str:
    """Return the beginning of a line in lower case, without spaces and punctuation.

    Only a beginning without combining characters is normalized, because that takes quadratic time.
    """
    beginning = "".join(one for one in line if one.isalnum())[:MAX_KEY_LENGTH]
    normalized = unicodedata.normalize("NFKC", beginning).casefold()
    return "".join(one for one in normalized if one.isalnum())


def _starts_with_dash(line: str) -> bool:
    first = line.lstrip()[:1]
    return first == MINUS or unicodedata.category(first or " ") == "Pd"


RESERVED_KEYS = frozenset(
    _comparison_key(one) for one in [*MessageMarker, WAKE_UP_KIND, WEBHOOK_NOTE]
)

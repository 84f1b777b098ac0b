"""What leads and the agents that look after a gateway write to each other."""

import json
from collections.abc import Sequence

from models import Board
from services.messages.texts.markers import Marker
from services.messages.texts.parts import fenced, labels, text

REACH_THE_USER = (
    "Pass this on to the user: on the channel that is asked for, else on any that is configured; "
    "if none is, in the board's chat."
)


def ask_user(
    board: Board,
    *,
    lead: str,
    content: str,
    correlation_id: str | None = None,
    preferred_channel: str | None = None,
    reply_tags: Sequence[str],
    reply_source: str | None,
    base_url: str,
) -> str:
    """Ask the agent that looks after a gateway to ask the user something: LEAD REQUEST."""
    head = labels(
        {
            "Board": board.name,
            "Board ID": board.id,
            "From lead": lead,
            "Correlation ID": correlation_id,
            "Preferred channel": preferred_channel,
        }
    )
    answer = _how_to_answer(board, reply_tags, reply_source, base_url)
    return text(Marker.ASK_USER, head, fenced(content), REACH_THE_USER, answer)


def lead_message(
    marker: Marker,
    board: Board,
    *,
    sender: str,
    content: str,
    correlation_id: str | None = None,
    reply_tags: Sequence[str],
    reply_source: str | None,
    base_url: str,
) -> str:
    """Let a gateway's agent write to a lead: GATEWAY MAIN QUESTION, or GATEWAY MAIN HANDOFF."""
    head = labels(
        {
            "Board": board.name,
            "Board ID": board.id,
            "From agent": sender,
            "Correlation ID": correlation_id,
        }
    )
    answer = _how_to_answer(board, reply_tags, reply_source, base_url)
    return text(marker, head, fenced(content), answer)


def _how_to_answer(
    board: Board, reply_tags: Sequence[str], reply_source: str | None, base_url: str
) -> str:
    """Say how the answer comes back: as a note of the board that is no chat."""
    body = json.dumps({"content": "...", "tags": list(reply_tags), "source": reply_source})
    return (
        f"To answer: POST {base_url.rstrip('/')}/api/v1/agent/boards/{board.id}/memory\n"
        f"Body: {body}\n"
        "Answer there once, and not in the chat."
    )

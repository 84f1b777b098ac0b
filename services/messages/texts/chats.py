"""What agents are told of chats: of a board, and of a group of boards."""

import json

from models import Board, BoardGroup
from services.messages.texts.markers import Marker
from services.messages.texts.parts import LONG_SNIPPET, fenced, labels, snippet, text

PAUSE, RESUME = "/pause", "/resume"
"""Commands in a board's chat. They are sent as they are, with `deliver`, to all its agents."""


def board_chat(board: Board, *, sender: str, content: str, mentioned: bool, base_url: str) -> str:
    """Tell of a line in a board's chat: BOARD CHAT MENTION to whom it calls, else BOARD CHAT."""
    marker = Marker.BOARD_CHAT_MENTION if mentioned else Marker.BOARD_CHAT
    head = labels({"Board": board.name, "From": sender})
    path = f"/api/v1/agent/boards/{board.id}/memory"
    return text(marker, head, _said(content), _how_to_answer(base_url, path))


def group_chat(
    group: BoardGroup,
    recipient: Board,
    *,
    sender: str,
    content: str,
    mentioned: bool = False,
    broadcast: bool = False,
    base_url: str,
) -> str:
    """Tell of a line in a group's chat: GROUP BROADCAST to all, GROUP CHAT MENTION or GROUP CHAT.

    `recipient` is the board of the agent that reads it: there it answers.
    """
    marker = Marker.GROUP_CHAT_MENTION if mentioned else Marker.GROUP_CHAT
    marker = Marker.GROUP_BROADCAST if broadcast else marker
    head = labels({"Group": group.name, "From": sender})
    path = f"/api/v1/boards/{recipient.id}/group-memory"
    return text(marker, head, _said(content), _how_to_answer(base_url, path))


def _said(content: str) -> str:
    return fenced(snippet(content, LONG_SNIPPET))


def _how_to_answer(base_url: str, path: str) -> str:
    body = json.dumps({"content": "...", "tags": ["chat"]})
    return f"To answer: POST {base_url.rstrip('/')}{path}\nBody: {body}"

"""What is written to agents: the marker in the first line, then labels, then what is wanted.

Each function returns the whole content of one message. Names and descriptions are data, on one
line after their label; what people and agents write at length stands between fences. Where agents
are told how to answer, `base_url` is the address under which they reach the API.
"""

from services.messages.texts.boards import approval_resolved, board_updated, group_updated
from services.messages.texts.chats import PAUSE, RESUME, board_chat, group_chat
from services.messages.texts.leads import ask_user, lead_message
from services.messages.texts.markers import WAKE_UP, Marker
from services.messages.texts.parts import fenced, labels, one_line, snippet
from services.messages.texts.tasks import about_task, comment

__all__ = [
    "PAUSE",
    "RESUME",
    "WAKE_UP",
    "Marker",
    "about_task",
    "approval_resolved",
    "ask_user",
    "board_chat",
    "board_updated",
    "comment",
    "fenced",
    "group_chat",
    "group_updated",
    "labels",
    "lead_message",
    "one_line",
    "snippet",
]

"""Presence: who is viewing a board, and how far users have read."""

from services.presence.read_markers import (
    MAX_UNREAD_AGE,
    UnreadItem,
    UnreadSummary,
    find_read_position,
    list_boards_with_unread_comments,
    list_chat_messages_after,
    list_comments_after,
    list_unread,
    mark_read,
)
from services.presence.viewers import (
    ABSENT_AFTER,
    RECORD_INTERVAL,
    BoardViewer,
    list_viewer_ids,
    list_viewers,
    record_viewer,
)

"""Presence: who is viewing a board, and how far users have read."""

from services.presence.read_markers import find_read_position, mark_read, move_read_marker
from services.presence.unread import (
    MAX_UNREAD_AGE,
    BoardUnread,
    UnreadItem,
    UnreadSummary,
    list_boards_with_unread_comments,
    list_chat_messages_after,
    list_comments_after,
    list_unread,
    load_board_unread,
)
from services.presence.viewers import (
    ABSENT_AFTER,
    BoardViewer,
    Visit,
    end_visits,
    list_viewers,
    list_visits,
    record_visits,
)
from services.presence.visits import BoardVisits, OpenVisit

"""Presence: who is viewing a board, and how far users have read."""

from services.presence.read_markers import (
    MAX_UNREAD_AGE,
    ReadPosition,
    ReadState,
    build_read_position,
    has_unread_comments,
    list_boards_with_unread_comments,
    list_read_position_queries,
    list_unread,
    load_board_unread,
    load_read_state,
    mark_read,
    move_read_marker,
)
from services.presence.visits import (
    ABSENT_AFTER,
    VIEWERS,
    BoardViewer,
    BoardVisits,
    OpenVisit,
    Visit,
    list_viewers,
    list_visits,
    record_visits,
)

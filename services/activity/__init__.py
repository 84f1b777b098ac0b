"""Activity: feeds of events and comments."""

from services.activity.comment_entries import (
    CommentEntry,
    list_comment_entries,
    load_comment_entries,
)
from services.activity.queries import (
    ActivityEntry,
    ActivityFilters,
    count_member_activity,
    list_agent_activity,
    list_member_activity,
    load_entries,
)

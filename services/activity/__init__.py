"""Activity: feeds of events and comments."""

from services.activity.queries import (
    ActivityEntry,
    ActivityFilters,
    count_member_activity,
    list_agent_activity,
    list_comment_entries,
    list_member_activity,
    load_comment_entries,
    load_entries,
)

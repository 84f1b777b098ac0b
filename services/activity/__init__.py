"""Activity: feeds of events and comments, and the wording of events."""

from services.activity.event_texts import (
    describe_action,
    describe_cause,
    describe_event,
    describe_history,
)
from services.activity.feed import (
    UNDOABLE_DECISION_EVENTS,
    ActivityEntry,
    ActivityFilters,
    CommentEntry,
    list_agent_activity,
    list_comment_entries,
    list_member_activity,
    load_comment_entries,
    load_entries,
)

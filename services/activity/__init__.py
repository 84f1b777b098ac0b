"""Activity: feeds of events and comments, and the wording of events."""

from services.activity.event_texts import (
    DEPENDENCY_CHANGES,
    describe_action,
    describe_cause,
    describe_event,
)
from services.activity.feed import (
    ActivityEntry,
    ActivityFilters,
    CommentEntry,
    count_member_activity,
    list_agent_activity,
    list_comment_entries,
    list_member_activity,
    load_comment_entries,
    load_entries,
)
from services.activity.queries import UNDOABLE_DECISION_EVENTS

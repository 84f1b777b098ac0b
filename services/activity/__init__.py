"""Activity: feeds of events and comments, and the wording of events."""

from services.activity.comment_entries import (
    CommentEntry,
    list_comment_entries,
    load_comment_entries,
)
from services.activity.event_texts import (
    DEPENDENCY_CHANGES,
    describe_action,
    describe_cause,
    describe_event,
)
from services.activity.feed import (
    ActivityEntry,
    ActivityFilters,
    count_member_activity,
    list_agent_activity,
    list_member_activity,
    load_entries,
)
from services.activity.queries import UNDOABLE_DECISION_EVENTS

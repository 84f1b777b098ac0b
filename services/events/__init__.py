"""Events: their types and texts; record them, read them, and subscribe to new ones."""

from services.events.commands import (
    EVENTS_RECORDED,
    NewEvent,
    record_event,
    record_events,
)
from services.events.feed import NOTHING, TIMED_OUT, EventBatch, EventFeed, EventSubscription
from services.events.queries import (
    LAST_SEQ,
    get_last_seq,
    get_last_seq_before,
    get_stored_events,
    is_unsent,
    list_events_after,
    select_deleted_agent_name,
    select_deleted_author_name,
)
from services.events.texts import (
    TASK_CAUSES,
    build_event_values,
    describe_event,
    find_cause_text,
    find_event_text,
    find_feed_text,
    find_task_cause,
    format_event_text,
)
from services.events.types import AUDITED_KINDS, EVENT_DEFINITIONS, TASK_CARD, list_types

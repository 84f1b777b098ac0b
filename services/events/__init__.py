"""Events: record them, read them, and subscribe to new ones."""

from services.events.commands import (
    EVENTS_RECORDED,
    NewEvent,
    get_last_seq,
    get_last_seq_before,
    list_events_after,
    record_event,
    record_events,
    select_deleted_agent_name,
    select_deleted_author_name,
)
from services.events.feed import NOTHING, TIMED_OUT, EventBatch, EventFeed, EventSubscription

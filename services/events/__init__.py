"""Events: record them, read them, and subscribe to new ones."""

from services.events.commands import (
    EVENTS_RECORDED,
    NewEvent,
    record_event,
    record_events,
)
from services.events.feed import NOTHING, TIMED_OUT, EventBatch, EventFeed, EventSubscription
from services.events.queries import (
    get_last_seq,
    get_last_seq_before,
    list_events_after,
    select_deleted_agent_name,
    select_deleted_author_name,
)

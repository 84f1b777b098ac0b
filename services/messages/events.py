"""Build the events that are recorded when the state of a message changes."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

from models import Actor, EventType, Message, MessageState
from services import events

EVENT_BY_STATE = {
    MessageState.QUEUED: EventType.MESSAGE_QUEUED,
    MessageState.SENT: EventType.MESSAGE_SENT,
    MessageState.ACKNOWLEDGED: EventType.MESSAGE_ACKNOWLEDGED,
    MessageState.FAILED: EventType.MESSAGE_FAILED,
}

OUTCOME_BY_STATE = {MessageState.SENT: "told", MessageState.FAILED: "failed"}
"""The keys of `Message.delivery_events`."""


def status_events(message: Message, *, is_first: bool = True) -> list[events.NewEvent]:
    """Build the events for the state that a message has just reached without an actor.

    If it has reached the state for the first time, they include the events requested by the sender.
    """
    outcome = OUTCOME_BY_STATE.get(message.state, "")
    requested = requested_events(message, outcome) if is_first else ()
    return [message_event(message, EVENT_BY_STATE[message.state], None), *requested]


def requested_events(message: Message, outcome: str) -> Iterator[events.NewEvent]:
    """Build the events that the sender of a message requested for an outcome."""
    requested = message.delivery_events or {}
    if requested.get(outcome):
        type = EventType(requested[outcome])
        event = message_event(message, type, None, **requested["data"])
        yield replace(event, subject=UUID(requested["of"])) if "of" in requested else event


def message_event(
    message: Message, type: EventType, actor: Actor | None, **data: object
) -> events.NewEvent:
    error = {"error": message.last_error} if message.last_error else {}
    return events.NewEvent(
        type,
        actor,
        organization_id=message.organization_id,
        board=message.board_id,
        task=message.task_id,
        approval=message.approval_id,
        subject=message.agent_id,
        data={**data, "message_id": str(message.id), "kind": message.kind, **error},
    )

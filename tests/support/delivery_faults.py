"""States and events of messages, and faults of a gateway during delivery."""

import asyncio
from collections.abc import Callable
from typing import Any

from models import EventType, MessageState
from tests.support.fake_agents_gateway import Fault

NOTIFIED, NOTIFY_FAILED = EventType.TASK_ASSIGNEE_NOTIFIED, EventType.TASK_ASSIGNEE_NOTIFY_FAILED
QUEUED, SENT = MessageState.QUEUED, MessageState.SENT
ACKNOWLEDGED, FAILED = MessageState.ACKNOWLEDGED, MessageState.FAILED


async def wait_a_moment() -> None:
    """Wait long enough to show that nothing happens."""
    await asyncio.sleep(0.3)


def fail_once(fault: Fault, *, method: str = "chat.send") -> Callable[[str, Any], Fault]:
    """Build a fault for the next call of a method only."""
    faults = [fault]
    return lambda called, _: faults.pop() if called == method and faults else None


def fail_always(fault: Fault, *, method: str = "chat.send") -> Callable[[str, Any], Fault]:
    return lambda called, _: fault if called == method else None

"""How messages stand, and what goes wrong on their way to agents."""

import asyncio
from collections.abc import Callable
from typing import Any

from models import EventType, MessageState
from tests.openclaw.workshop import Fault

TOLD, NOT_TOLD = EventType.TASK_ASSIGNEE_NOTIFIED, EventType.TASK_ASSIGNEE_NOTIFY_FAILED
QUEUED, SENT = MessageState.QUEUED, MessageState.SENT
ACKNOWLEDGED, FAILED = MessageState.ACKNOWLEDGED, MessageState.FAILED


async def a_little() -> None:
    """Wait so long that something would have happened, to show that nothing does."""
    await asyncio.sleep(0.5)


def once(fault: Fault, *, of: str = "chat.send") -> Callable[[str, Any], Fault]:
    """Make a fault of the next call of a method only."""
    left = [fault]
    return lambda method, _: left.pop() if method == of and left else None


def always(fault: Fault, *, of: str = "chat.send") -> Callable[[str, Any], Fault]:
    return lambda method, _: fault if method == of else None

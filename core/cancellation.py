"""Cancel what runs beside requests."""

import asyncio
from contextlib import suppress
from typing import Any


async def cancel_task(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and wait until it has ended. Raises the error with which it has ended."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

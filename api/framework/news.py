"""Let requests of agents wait until something is new for them: messages, decisions, tasks.

The database announces what is new (triggers of migration 0092). A request that waits holds no slot
and no connection, and runs no statement until there is an announcement for its agent or its board.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager

from pydantic import BaseModel, Field
from starlette.requests import Request

from core.db.listen import PostgresListener
from core.http.long_wait import LongWait, wait_long
from core.http.request import count_wait
from models import Actor, Agent

MAX_WAIT = 50  # seconds; many proxies end a request after 60


class WaitQuery(BaseModel):
    """How long a request may wait."""

    wait: int = Field(
        default=0,
        ge=0,
        le=MAX_WAIT,
        description="Seconds to wait, if nothing is new, for a message or decision for you, a task "
        "that is assigned to you, or one without an assignee in the inbox of your board.",
    )


@asynccontextmanager
async def wait_for_news(request: Request, actor: Actor, seconds: float) -> AsyncGenerator[LongWait]:
    """Let a request wait for what is new for its agent. Raises TooMany.

    Its first notification comes at once, for what was new before.
    """
    assert isinstance(actor, Agent)
    listener: PostgresListener = request.state.postgres_listener
    notified = asyncio.Event()
    notified.set()
    with ExitStack() as stack:
        stack.callback(await count_wait(request, actor.id, actor.organization_id))
        stack.enter_context(listener.subscribe(f"agent-news:{actor.id}", notified))
        if actor.board_id is not None:
            stack.enter_context(listener.subscribe(f"board-tasks:{actor.board_id}", notified))
        yield stack.enter_context(wait_long(request, notified, seconds))

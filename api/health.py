"""Whether this process lives, and whether it can work (contract, people-and-boards 1.2)."""

import asyncio
from uuid import UUID

from sse_starlette.sse import AppStatus
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kit.http import transaction
from kit.last_resort import is_outage
from services import events

PATIENCE = 2.0  # seconds in which the database has to answer
NOBODYS = UUID(int=0)


async def health(_request: Request) -> Response:
    """Say that the process is alive."""
    return JSONResponse({"ok": True})


async def readyz(request: Request) -> Response:
    """Say whether requests can be served: 503 while the database is away, or we are going."""
    ready = not AppStatus.should_exit and await _database_answers(request)
    return JSONResponse({"ok": ready}, 200 if ready else 503)


async def _database_answers(request: Request) -> bool:
    try:
        async with asyncio.timeout(PATIENCE), transaction(request) as session:
            await events.latest(session, NOBODYS)
    except Exception as error:
        if is_outage(error):
            return False
        raise
    return True

"""Who else looks at a board just now: told on its pages, and kept true on open ones."""

import time
from collections.abc import Collection
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from kit.http import Session, transaction
from models import Board, User
from services import presence
from web.html import render
from web.reach import looked_at


async def show(request: Request) -> Response:
    """Show who else looks at a board now."""
    async with transaction(request) as session:
        board = (await looked_at(request, session)).board
        names = await others(request, session, board)
    return render(request, "presence/_others.html", board=board, others=names)


async def others(request: Request, session: Session, board: Board) -> list[str]:
    """Return how the others are called who look at a board now, the first who came first."""
    found = await presence.here(session, board)
    return [one.user.called for one in found if one.user.id != request.user.id]


class Visit:
    """An open page, of a board or not: as long as it is open its reader is there."""

    def __init__(self, user: User, board_id: UUID | None) -> None:
        self._user = user
        self._board_id = board_id
        self._noted = -presence.NOTED_EVERY
        self._others: Collection[UUID] | None = None  # None: the page was told nothing yet

    async def go_on(self, session: Session, read: Collection[UUID]) -> bool:
        """Note it now and then, on a board that may be read; return whether others came or went."""
        if self._board_id is None or self._board_id not in read:
            return False
        if time.monotonic() - self._noted >= presence.NOTED_EVERY:
            await presence.note(session, self._user, self._board_id)
            self._noted = time.monotonic()
        known, found = self._others, await presence.ids_here(session, self._board_id)
        self._others = found - {self._user.id}
        return self._others != known

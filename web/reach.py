"""The board that a page is about, for the person who looks."""

from uuid import UUID

from starlette.requests import Request

from kit.errors import NotFound
from kit.http import Session
from models import Board
from services import boards
from services.boards import Access
from web.auth import member_of


async def looked_at(request: Request, session: Session) -> Access:
    """Return the board in the address, and what the person may do there.

    A board of an organization that they are not looking at now is not there for them: the rail
    and the live connection are those of one organization. Raises NotFound or Forbidden.
    """
    found = await boards.access(session, request.user, _id_in(request))
    _is_of_this_organization(request, found.board)
    return found


async def held(request: Request, session: Session) -> Board:
    """Hold the board in the address, to change something on it. Raises NotFound or Forbidden."""
    board = await boards.hold(session, request.user, _id_in(request))
    _is_of_this_organization(request, board)
    return board


def task_id_in(request: Request) -> UUID:
    """Return the id of the task in the address."""
    task_id: UUID = request.path_params["task_id"]
    return task_id


def _id_in(request: Request) -> UUID:
    board_id: UUID = request.path_params["board_id"]
    return board_id


def _is_of_this_organization(request: Request, board: Board) -> None:
    if board.organization_id != member_of(request).organization_id:
        raise NotFound("board_not_found", "There is no such board.")

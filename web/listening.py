"""How far a person has read what is said about a task, as they read on."""

from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from kit.http import Session
from models import Board, ReadKind
from services import read_markers
from web import forms
from web.board_address import BoardAddress

SINCE = "since"


@dataclass(frozen=True)
class Heard:
    """What is new to somebody who reads a conversation.

    The line above the first new comment stays where it is for as long as the page is open: the
    page asks for its parts with the number of the event after which it all was new.
    """

    first: str  # under which the first new comment is found on the page, "" if nothing is new
    query: str  # with which the same is shown again
    is_news: bool  # whether something was unread until now

    def tell(self, response: Response) -> None:
        """Let the board beside the conversation show that it has been read."""
        if self.is_news:
            response.headers["HX-Trigger"] = "tasks"


async def listen(request: Request, session: Session, board: Board, task_id: UUID) -> Heard:
    """Return what is new to the person who reads what is said about a task, and note it as read.

    To somebody who was never there everything would be new: nothing is pointed out to them.
    """
    user, query = request.user, BoardAddress.of(request).query
    seen = await read_markers.seen_up_to(session, user, board, task_id)
    asked = request.query_params.get(SINCE)
    since = seen if asked is None else min(forms.number_in(asked), seen or 0)
    said = await read_markers.said_after(session, user, board, task_id, since or 0)
    is_news = bool(said) and said[-1].seq > (seen or 0)
    await read_markers.mark(session, user, board, ReadKind.COMMENTS, task_id=task_id)
    if since is None or not said:
        return Heard("", query, is_news)
    kept = f"{query}{'&' if query else '?'}{SINCE}={since}"
    return Heard(f"c-{said[0].id}", kept, is_news)

"""Who looks at a board just now, as JSON."""

from uuid import UUID

from pydantic import Field

from api.fields import Answer, Moment
from api.operations import Call
from models import Board
from services import presence


class VisitorRead(Answer):
    """A person who has a page of the board open."""

    user_id: UUID
    name: str
    since: Moment


class PresenceRead(Answer):
    """Who looks at a board."""

    people: list[VisitorRead] = Field(description="The first who came first.")


async def get_presence(call: Call, board: Board) -> PresenceRead:
    """Return who has a page of a board open now. Whoever closes it is gone within 25 seconds."""
    found = await presence.here(call.session, board)
    people = [
        VisitorRead(user_id=one.user.id, name=one.user.called, since=one.since) for one in found
    ]
    return PresenceRead(people=people)

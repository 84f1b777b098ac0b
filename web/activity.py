"""The feed of what happened on the boards that a person reads."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from kit.http import Session, transaction
from kit.paging import Paging
from services import activity, agents
from services.activity import ActivityFilters
from web import ages, forms
from web import frame as frames
from web.activity_words import EVERYTHING, KINDS, days, line
from web.auth import member_of
from web.html import page, render, wants_part

ROWS = 50  # on a page


@dataclass(frozen=True)
class FeedAddress:
    """Which part of the feed is shown. What makes no sense counts as not there."""

    kind: str = ""
    board: str = ""
    agent: str = ""
    before: int = 0
    after: int = 0

    @classmethod
    def of(cls, request: Request) -> "FeedAddress":
        """Read the address of a request."""
        given = request.query_params
        kind = given.get("kind", "")
        return cls(
            kind=kind if kind in KINDS else "",
            board=str(forms.id_in(given.get("board")) or ""),
            agent=str(forms.id_in(given.get("agent")) or ""),
            before=forms.number_in(given.get("before")),
            after=forms.number_in(given.get("after")),
        )

    @property
    def filters(self) -> ActivityFilters:
        """What of the feed is asked for."""
        return ActivityFilters(
            kinds=KINDS[self.kind][1] if self.kind else EVERYTHING,
            board_id=forms.id_in(self.board),
            agent_id=forms.id_in(self.agent),
            before=self.before or None,
            after=self.after or None,
        )

    def but(self, **changes: Any) -> str:
        """Return the query of an address that differs in a few things."""
        said = {name: value for name, value in vars(replace(self, **changes)).items() if value}
        return f"?{urlencode(said)}" if said else ""


async def show(request: Request) -> Response:
    """Show what happened, newest first; to htmx only the rows."""
    frame = None if wants_part(request) else await frames.load(request)
    async with transaction(request) as session:
        context = await _look(request, session)
    if frame is None:
        return render(request, "activity/_feed.html", **context)
    return page(request, "activity/index.html", frame=frame, **context)


async def news(request: Request) -> Response:
    """Count what happened since the rows that are shown. Nothing moves until it is asked for."""
    address = FeedAddress.of(request)
    async with transaction(request) as session:
        found = await activity.for_member(session, member_of(request), Paging(1), address.filters)
    return render(request, "activity/_news.html", address=address, new=found.total)


async def _look(request: Request, session: Session) -> dict[str, Any]:
    """Load the rows. Raises NotFound or Forbidden for a board that the person may not read."""
    member, address = member_of(request), replace(FeedAddress.of(request), after=0)
    found = await activity.for_member(session, member, Paging(ROWS), address.filters)
    lines = [line(entry, member) for entry in found.items]
    newest = lines[0].event.seq if lines else 0
    return {
        "address": address,
        "days": days(lines, ages.zone(request.user.timezone)),
        "shown": len(lines),
        "total": found.total,
        "earlier": lines[-1].event.seq if found.total > len(lines) else 0,
        "newest": newest,
        "crew": {one.agent.id: one for one in await agents.cards(session, member)},
        "kinds": [(kind, words) for kind, (words, _) in KINDS.items()],
    }

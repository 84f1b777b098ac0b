"""Where a person comes in: where they are needed, else at the boards."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import transaction
from services import approvals, gateway_requests, onboarding
from web.auth import member_of


async def home(request: Request) -> Response:
    """Lead to the questions that wait, or, if none does, to the boards."""
    async with transaction(request) as session:
        member = member_of(request)
        waiting = await approvals.waiting_count(session, member)
        waiting = waiting or await gateway_requests.waiting_by_board(session, member)
        waiting = waiting or await onboarding.waiting(session, member)
    return RedirectResponse("/approvals" if waiting else "/boards", 303)

"""The rail beside every page: as it stands now, and going to another organization by it."""

from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import transaction
from services import organizations
from web import forms
from web import frame as frames
from web.html import framed, render


class Elsewhere(BaseModel):
    """Which organization somebody wants to look at."""

    organization_id: UUID


async def show(request: Request) -> Response:
    """Show the rail, and the bar of phones, as they stand."""
    frame = await frames.load(request)
    return render(request, "_rail_parts.html", **framed(request, frame))


async def switch(request: Request) -> Response:
    """Look at another organization, and start where it starts."""
    wanted = (await forms.read(request)).into(Elsewhere)
    async with transaction(request) as session:
        await organizations.switch(session, request.user, wanted.organization_id)
    return RedirectResponse("/", 303)

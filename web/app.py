"""The pages as one ASGI app: every route, who may come in, how a refusal is told."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from kit.errors import Refusal
from kit.gate import KnownCallersOnly
from web import auth, boards, first_run, live, rail, sign_in
from web.html import failed_page, not_found, refused
from web.origin import OwnPagesOnly

OPEN_TO_ALL: list[Route] = [
    Route("/first-run", first_run.show, name="first_run"),
    Route("/first-run", first_run.complete, methods=["POST"]),
    Route("/sign-in", sign_in.show, name="sign_in"),
    Route("/sign-in", sign_in.sign_in, methods=["POST"]),
]

FOR_PEOPLE: list[Route] = [
    Route("/sign-out", sign_in.sign_out, methods=["POST"], name="sign_out"),
    Route("/organizations/active", rail.switch, methods=["POST"], name="switch_organization"),
]

FOR_MEMBERS: list[Route] = [
    Route("/events", live.stream, name="events"),
    Route("/boards", boards.index, name="boards"),
    Route("/boards", boards.create, methods=["POST"], name="create_board"),
    Route("/boards/new", boards.new, name="new_board"),
    Route("/boards/{board_id:uuid}/settings", boards.settings, name="board_settings"),
    Route("/boards/{board_id:uuid}/settings", boards.save, methods=["POST"]),
    Route("/boards/{board_id:uuid}/deletions", boards.delete, methods=["POST"]),
    Route("/rail", rail.show, name="rail"),
]

known_people_only = Middleware(
    KnownCallersOnly, identify=auth.looking_person, otherwise=auth.ask_to_sign_in
)
members_only = Middleware(auth.MembersOnly)

app = Starlette(
    routes=[
        *OPEN_TO_ALL,
        Mount(
            "/",
            routes=[*FOR_PEOPLE, Mount("/", routes=FOR_MEMBERS, middleware=[members_only])],
            middleware=[known_people_only],
        ),
    ],
    middleware=[Middleware(OwnPagesOnly)],
    exception_handlers={Refusal: refused, HTTPException: not_found},
)


async def failed(request: Request, error: Exception) -> Response:
    """Answer what nobody expected, with a page."""
    return failed_page(request, error)

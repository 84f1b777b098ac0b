"""The pages: every route, who may come in, how a refusal is told."""

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from kit.errors import Refusal
from kit.gate import KnownCallersOnly
from web import (
    activity,
    agents,
    approvals,
    auth,
    board,
    boards,
    bringing,
    bulk,
    chat,
    comments,
    first_run,
    gateway_agents,
    gateway_requests,
    gateway_sessions,
    gateway_sync,
    gateways,
    home,
    invites,
    live,
    mailboxes,
    oidc,
    onboarding,
    onboarding_launch,
    onboarding_review,
    passwords,
    pauses,
    people,
    presence,
    rail,
    runs,
    settings,
    sign_in,
    tasks,
    welcome,
)
from web.html import failed_page, not_found, refused
from web.origin import OwnPagesOnly

SET_UP = "/boards/{board_id:uuid}/onboarding"
A_TASK = "/boards/{board_id:uuid}/tasks/{task_id:uuid}"

OPEN_TO_ALL: list[Route] = [
    Route("/first-run", first_run.show, name="first_run"),
    Route("/first-run", first_run.complete, methods=["POST"]),
    Route("/sign-in", sign_in.show, name="sign_in"),
    Route("/sign-in", sign_in.sign_in, methods=["POST"]),
    Route("/sign-in/oidc", oidc.leave, name="sign_in_elsewhere"),
    Route(oidc.CALLBACK, oidc.come_back),
    Route("/invite", invites.show, name="invite"),
    Route("/invite", invites.join, methods=["POST"]),
    Route("/password", passwords.show, name="password"),
    Route("/password", passwords.choose, methods=["POST"]),
]

FOR_PEOPLE: list[Route] = [
    Route("/sign-out", sign_in.sign_out, methods=["POST"], name="sign_out"),
    Route("/organizations/active", rail.switch, methods=["POST"], name="switch_organization"),
    Route("/invite/acceptances", invites.accept, methods=["POST"]),
    Route("/welcome", welcome.show, name="welcome"),
    Route("/welcome/organization", welcome.name_organization, methods=["POST"]),
    Route("/welcome/organization", welcome.show),
    Route("/welcome/board", welcome.create_board, methods=["POST"]),
    Route("/welcome/board", welcome.show),
    Route("/welcome/agent", welcome.create_agent, methods=["POST"]),
    Route("/welcome/agent", welcome.show),
    Route("/welcome/agents/{agent_id:uuid}", welcome.call),
]

FOR_MEMBERS: list[Route] = [
    Route(auth.EVENTS, live.stream, name="events"),
    Route("/boards", boards.index, name="boards"),
    Route("/boards", boards.create, methods=["POST"], name="create_board"),
    Route("/boards/new", boards.new, name="new_board"),
    Route("/boards/{board_id:uuid}/settings", boards.settings, name="board_settings"),
    Route("/boards/{board_id:uuid}/settings", boards.save, methods=["POST"]),
    Route("/boards/{board_id:uuid}/deletions", boards.delete, methods=["POST"]),
    Route("/boards/{board_id:uuid}/deletions", boards.settings),
    *[
        Route(f"{SET_UP}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", onboarding.show),
            ("", "POST", onboarding.start),
            ("/answers", "GET", onboarding.show),
            ("/answers", "POST", onboarding.answer),
            ("/corrections", "GET", onboarding.show),
            ("/corrections", "POST", onboarding.correct),
            ("/reminders", "POST", onboarding.remind),
            ("/restarts", "POST", onboarding.restart),
            ("/endings", "POST", onboarding.end),
            ("/news", "GET", onboarding_review.news),
            ("/review", "GET", onboarding_review.review),
            ("/review", "POST", onboarding_review.review),
            ("/additions", "GET", onboarding_review.review),
            ("/additions", "POST", onboarding_review.add_context),
            ("/confirmations", "GET", onboarding_review.review),
            ("/confirmations", "POST", onboarding_review.confirm),
            ("/launch", "GET", onboarding_launch.show),
        ]
    ],
    Route("/agents", agents.index, name="agents"),
    Route("/agents", agents.create, methods=["POST"], name="create_agent"),
    Route("/agents/table", agents.table),
    Route("/agents/new", agents.new, name="new_agent"),
    Route("/agents/{agent_id:uuid}", agents.show, name="agent"),
    Route("/agents/{agent_id:uuid}/edit", agents.edit),
    Route("/agents/{agent_id:uuid}/edit", agents.save, methods=["POST"]),
    Route("/agents/{agent_id:uuid}/calls", agents.call),
    Route("/agents/{agent_id:uuid}/runs", runs.of_agent),
    Route("/agents/{agent_id:uuid}/tokens", agents.issue_token, methods=["POST"]),
    Route("/agents/{agent_id:uuid}/tokens", agents.call),
    Route("/agents/{agent_id:uuid}/messages", mailboxes.show),
    Route(
        "/agents/{agent_id:uuid}/messages/{message_id:uuid}/sendings",
        mailboxes.send_again,
        methods=["POST"],
    ),
    Route("/agents/{agent_id:uuid}/provisionings", bringing.bring, methods=["POST"]),
    Route("/agents/{agent_id:uuid}/deletions", agents.delete, methods=["POST"]),
    Route("/gateways", gateways.index, name="gateways"),
    Route("/gateways", gateways.create, methods=["POST"]),
    Route("/gateways/new", gateways.new),
    *[
        Route(f"/gateways/{{gateway_id:uuid}}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", gateways.show),
            ("/edit", "GET", gateways.edit),
            ("/edit", "POST", gateways.save),
            ("/checks", "POST", gateways.check),
            ("/checks", "GET", gateways.show),
            ("/deletions", "POST", gateways.delete),
            ("/deletions", "GET", gateways.show),
            ("/agents", "GET", gateway_agents.index),
            ("/agents", "POST", gateway_agents.link),
            ("/agents/{agent_id:uuid}/endings", "POST", gateway_agents.unlink),
            ("/sync", "GET", gateway_sync.show),
            ("/sync", "POST", gateway_sync.write),
            ("/sync/progress", "GET", gateway_sync.progress),
            ("/sessions", "GET", gateway_sessions.index),
            ("/sessions/{key:path}/messages", "POST", gateway_sessions.say),
            ("/sessions/{key:path}/messages", "GET", gateway_sessions.show),
            ("/sessions/{key:path}", "GET", gateway_sessions.show),
        ]
    ],
    Route("/people", people.index, name="people"),
    Route("/people/invites", people.invite, methods=["POST"]),
    Route("/people/invites", people.index),
    Route("/people/invites/{invite_id:uuid}/endings", people.withdraw, methods=["POST"]),
    Route("/people/{member_id:uuid}/endings", people.remove, methods=["POST"]),
    Route("/settings", settings.show, name="settings"),
    Route("/settings/profile", settings.save_profile, methods=["POST"]),
    Route("/settings/profile", settings.show),
    Route("/settings/password", settings.change_password, methods=["POST"]),
    Route("/settings/password", settings.show),
    Route("/settings/sessions/endings", settings.end_other_sessions, methods=["POST"]),
    Route("/settings/sessions/{sign_in_id:uuid}/endings", settings.end_session, methods=["POST"]),
    Route("/settings/tokens", settings.create_token, methods=["POST"]),
    Route("/settings/tokens", settings.show),
    Route("/settings/tokens/{token_id:uuid}/endings", settings.revoke_token, methods=["POST"]),
    Route("/rail", rail.show, name="rail"),
    Route("/", home.home, name="home"),
    Route("/boards/{board_id:uuid}", board.show, name="board"),
    Route("/boards/{board_id:uuid}/columns", board.columns),
    Route("/boards/{board_id:uuid}/crew", board.line_up),
    Route("/boards/{board_id:uuid}/presence", presence.show),
    Route("/boards/{board_id:uuid}/chat", chat.show),
    Route("/boards/{board_id:uuid}/chat", chat.say, methods=["POST"]),
    Route("/boards/{board_id:uuid}/chat/news", chat.news),
    Route("/boards/{board_id:uuid}/notes", chat.notes),
    Route("/boards/{board_id:uuid}/pauses", pauses.show),
    Route("/boards/{board_id:uuid}/pauses", pauses.pause, methods=["POST"]),
    Route("/boards/{board_id:uuid}/pauses/endings", pauses.resume, methods=["POST"]),
    Route("/boards/{board_id:uuid}/approvals", approvals.of_board),
    Route("/boards/{slug}", board.by_slug),
    Route("/boards/{board_id:uuid}/tasks", tasks.create, methods=["POST"]),
    Route("/boards/{board_id:uuid}/tasks/new", tasks.new),
    *[
        Route(f"{A_TASK}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", tasks.show),
            ("/moves", "POST", tasks.move),
            ("/changes", "POST", tasks.change),
            ("/questions", "POST", tasks.ask),
            ("/deletions", "POST", tasks.delete),
            ("/restorations", "POST", tasks.restore),
            ("/comments", "POST", comments.comment),
            ("/conversation", "GET", comments.show),
            ("/runs", "GET", runs.of_task),
        ]
    ],
    Route("/activity", activity.show, name="activity"),
    Route("/activity/news", activity.news),
    Route("/approvals", approvals.index, name="approvals"),
    Route("/approvals/requests/{request_id:uuid}", gateway_requests.show),
    Route(
        "/approvals/requests/{request_id:uuid}/answers", gateway_requests.answer, methods=["POST"]
    ),
    Route("/approvals/answers", bulk.answer_many, methods=["POST"]),
    Route("/approvals/undoings", bulk.undo_many, methods=["POST"]),
    *[
        Route(f"/approvals/{{approval_id:uuid}}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", approvals.show),
            ("/answers", "POST", approvals.answer),
            ("/undoings", "POST", approvals.undo),
            ("/reopenings", "POST", approvals.reopen),
            ("/questions", "POST", approvals.ask_back),
        ]
    ],
]

known_people_only = Middleware(
    KnownCallersOnly, identify=auth.visiting_person, otherwise=auth.ask_to_sign_in
)
members_only = Middleware(auth.MembersOnly)

pages = Mount(
    "/",
    routes=[
        *OPEN_TO_ALL,
        Mount(
            "/",
            routes=[*FOR_PEOPLE, Mount("/", routes=FOR_MEMBERS, middleware=[members_only])],
            middleware=[known_people_only],
        ),
    ],
    middleware=[
        Middleware(OwnPagesOnly),
        Middleware(ExceptionMiddleware, handlers={Refusal: refused, HTTPException: not_found}),
    ],
)


async def no_route(request: Request, error: Exception) -> Response:
    """Answer an address that no page has, with a page."""
    return await not_found(request, error)


async def failed(request: Request, error: Exception) -> Response:
    """Answer what nobody expected, with a page."""
    return failed_page(request, error)

"""The API as one ASGI app: every operation, who may call it, and how a refusal is told."""

from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from api import agent, agents, approvals, boards, comments, organizations, tasks, users
from api import reach as to
from api.auth import Caller
from api.health import health, readyz
from api.hints import LEAD, MAIN, WORKER, hints
from api.json import envelope, refused
from api.operations import Handler
from api.operations import Operation as Op
from api.reference import openapi_of, reference_of
from api.routing import routes_of
from kit.errors import Refusal

USER, AGENT, EITHER = Caller.USER, Caller.AGENT, Caller.EITHER

BOARD = "/boards/{board_id}"
TASKS, APPROVALS = f"{BOARD}/tasks", f"{BOARD}/approvals"
TASK, APPROVAL = f"{TASKS}/{{task_id}}", f"{APPROVALS}/{{approval_id}}"
COMMENTS = f"{TASK}/comments"
AN_AGENT = "/agents/{agent_id}"
ORGANIZATION = "/organizations/me"

ORG = ["organizations"]
EVERY_AGENT = ["agent", LEAD, WORKER, MAIN]
TEAM = ["agent", LEAD, WORKER]
LEADS = ["agent", LEAD]


def of_agents(
    method: str, path: str, handler: Handler, tags: Sequence[str], intent: str, **more: Any
) -> Op:
    """Declare an operation under /agent, for agents alone, with what they pick it by."""
    return Op(method, f"/agent{path}", handler, AGENT, tags, hints=hints(intent), **more)


OPERATIONS: list[Op] = [
    Op("POST", "/auth/bootstrap", users.bootstrap_user, USER, ["auth"], to.belonging),
    Op("GET", "/users/me", users.get_me, USER, ["users"], to.belonging),
    Op("PATCH", "/users/me", users.update_me, USER, ["users"]),
    #
    Op("POST", "/organizations", organizations.create_organization, USER, ORG, errors=[409]),
    Op("GET", f"{ORGANIZATION}/list", organizations.list_mine, USER, ORG, to.belonging),
    Op("PATCH", f"{ORGANIZATION}/active", organizations.set_active, USER, ORG, errors=[404]),
    Op("GET", ORGANIZATION, organizations.get_mine, USER, ORG, to.belonging),
    Op("GET", f"{ORGANIZATION}/member", organizations.get_membership, USER, ORG, to.belonging),
    #
    Op("GET", "/boards", boards.list_boards, USER, ["boards"], to.belonging),
    Op("POST", "/boards", boards.create_board, USER, ["boards"], to.administering, errors=[409]),
    Op("GET", BOARD, boards.get_board, USER, ["boards"], to.reading),
    Op("PATCH", BOARD, boards.update_board, USER, ["boards"], to.writing),
    Op("DELETE", BOARD, boards.delete_board, USER, ["boards"], to.governing),
    #
    Op("GET", TASKS, tasks.list_tasks, EITHER, ["tasks"], to.reading),
    Op("POST", TASKS, tasks.create_task, USER, ["tasks"], to.writing, errors=[409]),
    Op("GET", TASK, tasks.get_task, EITHER, ["tasks"], to.reading),
    Op("PATCH", TASK, tasks.update_task, EITHER, ["tasks"], to.writing, to.task, [409]),
    Op("DELETE", TASK, tasks.delete_task, USER, ["tasks"], to.writing),
    Op("GET", COMMENTS, comments.list_task_comments, EITHER, ["tasks"], to.reading, to.task),
    Op("POST", COMMENTS, comments.create_task_comment, EITHER, ["tasks"], to.writing, to.task),
    #
    Op("GET", APPROVALS, approvals.list_approvals, EITHER, ["approvals"], to.reading),
    Op(
        "POST", APPROVALS, approvals.create_approval, EITHER, ["approvals"], to.writing, None, [409]
    ),
    Op(
        "PATCH",
        APPROVAL,
        approvals.update_approval,
        USER,
        ["approvals"],
        to.writing,
        to.approval,
        [409],
    ),
    #
    Op("GET", "/agents", agents.list_agents, USER, ["agents"], to.administering, errors=[404]),
    Op("POST", "/agents", agents.create_agent, EITHER, ["agents"], to.staffing, errors=[409]),
    Op(
        "POST",
        "/agents/heartbeat",
        agents.heartbeat_or_create_agent,
        EITHER,
        ["agents"],
        errors=[403, 404, 409],
    ),
    Op("GET", AN_AGENT, agents.get_agent, USER, ["agents"], to.agent_in_reach),
    Op("PATCH", AN_AGENT, agents.update_agent, USER, ["agents"], to.agent_in_reach, errors=[409]),
    Op("DELETE", AN_AGENT, agents.delete_agent, USER, ["agents"], to.administering),
    Op("POST", f"{AN_AGENT}/heartbeat", agents.heartbeat_agent, EITHER, ["agents"], to.own_agent),
    Op(
        "POST", f"{AN_AGENT}/tokens", agents.create_agent_token, USER, ["agents"], to.agent_in_reach
    ),
    #
    of_agents("GET", "/healthz", agent.agent_healthz, EVERY_AGENT, "agent_auth_health"),
    of_agents("POST", "/heartbeat", agent.agent_heartbeat, EVERY_AGENT, "agent_heartbeat"),
    of_agents("GET", "/boards", agent.list_boards, EVERY_AGENT, "agent_board_discovery"),
    of_agents("GET", BOARD, boards.get_board, EVERY_AGENT, "agent_board_lookup", reach=to.reading),
    of_agents(
        "GET",
        "/agents",
        agent.list_agents,
        EVERY_AGENT,
        "agent_roster_discovery",
        errors=[403, 404],
    ),
    of_agents(
        "POST",
        "/agents",
        agents.create_agent_of_lead,
        LEADS,
        "agent_management",
        reach=to.leading,
        id="agent_lead_create_agent",
        errors=[409],
    ),
    of_agents("GET", TASKS, tasks.list_tasks, TEAM, "agent_board_task_discovery", reach=to.reading),
    of_agents(
        "POST",
        TASKS,
        tasks.create_task,
        LEADS,
        "delegate_work",
        reach=to.leading,
        id="agent_lead_create_task",
        errors=[409],
    ),
    of_agents("GET", TASK, tasks.get_task, TEAM, "agent_board_task_lookup", reach=to.reading),
    of_agents(
        "PATCH",
        TASK,
        tasks.update_task,
        TEAM,
        "agent_task_update",
        reach=to.writing,
        exists=to.task,
        errors=[409],
    ),
    of_agents("DELETE", TASK, tasks.delete_task, TEAM, "agent_task_delete", reach=to.leading),
    of_agents(
        "GET",
        COMMENTS,
        comments.list_task_comments,
        TEAM,
        "agent_task_comment_discovery",
        reach=to.reading,
        exists=to.task,
    ),
    of_agents(
        "POST",
        COMMENTS,
        comments.create_task_comment,
        TEAM,
        "agent_task_comment_create",
        reach=to.writing,
        exists=to.task,
    ),
    of_agents(
        "GET", f"{BOARD}/tags", agent.list_tags, TEAM, "agent_board_tag_discovery", reach=to.reading
    ),
    of_agents(
        "GET",
        APPROVALS,
        approvals.list_approvals,
        TEAM,
        "agent_board_approval_discovery",
        reach=to.reading,
    ),
    of_agents(
        "POST",
        APPROVALS,
        approvals.create_approval,
        TEAM,
        "agent_board_approval_request",
        reach=to.writing,
        errors=[409],
    ),
]

root_routes = [
    Route("/health", health),
    Route("/healthz", health),
    Route("/readyz", readyz),
    Route("/openapi.json", openapi_of(OPERATIONS)),
    Route("/docs", reference_of(OPERATIONS)),
]


async def no_route(_request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses: a path or a method that does not exist."""
    assert isinstance(error, HTTPException)
    return envelope(error.status_code, headers=dict(error.headers or {}))


async def failed(request: Request, error: Exception) -> Response:
    """Answer what nobody expected, and what cannot be answered because the database is away."""
    if isinstance(error, Refusal):
        return await refused(request, error)
    return envelope(500)


app = ExceptionMiddleware(
    Router(routes_of(OPERATIONS)), handlers={Refusal: refused, HTTPException: no_route}
)

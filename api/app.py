"""The API as one ASGI app: every operation, who may call it, and how a refusal is told."""

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from api import (
    activity,
    agent,
    agent_streams,
    agents,
    approvals,
    board_streams,
    boards,
    comments,
    invites,
    members,
    message_streams,
    messages,
    organizations,
    search,
    snapshots,
    tags,
    tasks,
    users,
)
from api import reach as to
from api.auth import Caller
from api.health import health, readyz
from api.hints import HINTS, LEAD, WORKER
from api.json import envelope, refused
from api.operations import Handler, Reach
from api.operations import Operation as Op
from api.reference import openapi_of, reference_of
from api.routing import routes_of
from kit.errors import Refusal

USER, AGENT, EITHER = Caller.USER, Caller.AGENT, Caller.EITHER

ORG = "/organizations/me"
MEMBERS, INVITES = f"{ORG}/members", f"{ORG}/invites"
MEMBER, INVITE = f"{MEMBERS}/{{member_id}}", f"{INVITES}/{{invite_id}}"
BOARD = "/boards/{board_id}"
GROUP = f"{BOARD}/group-snapshot"
TASKS, ASKED = f"{BOARD}/tasks", f"{BOARD}/approvals"
TASK, APPROVAL = f"{TASKS}/{{task_id}}", f"{ASKED}/{{approval_id}}"
COMMENTS = f"{TASK}/comments"
SAID = "/activity/task-comments"
AN_AGENT = "/agents/{agent_id}"
TOKENS = f"{AN_AGENT}/tokens"
TAG = "/tags/{tag_id}"
OUTBOX, MAIL = f"{AN_AGENT}/messages", "/messages"
AGAIN = f"{OUTBOX}/{{message_id}}/retry"

ORGS = ["organizations"]
GROUP_TAGS = ["boards", LEAD, WORKER]


def only(method: str, path: str, handler: Handler, intent: str, reach: Reach | None = None) -> Op:
    """Declare an operation under /agent that only agents may call, with what they pick it by."""
    hint = HINTS[intent]
    tags = ["agent", *hint.tags]
    keys = hint.keys(intent)
    return Op(method, f"/agent{path}", handler, AGENT, tags, reach, keys, hint.operation_id)


def either(method: str, path: str, handler: Handler, tag: str, intent: str) -> Op:
    """Declare an operation for people and agents, with what agents pick it by."""
    hint = HINTS[intent]
    return Op(method, path, handler, EITHER, [tag, *hint.tags], None, hint.keys(intent))


OPERATIONS: list[Op] = [
    Op("POST", "/auth/bootstrap", users.bootstrap_user, USER, ["auth"], to.belonging),
    Op("GET", "/users/me", users.get_me, USER, ["users"], to.belonging),
    Op("PATCH", "/users/me", users.update_me, USER, ["users"]),
    Op("DELETE", "/users/me", users.delete_me, USER, ["users"]),
    #
    Op("POST", "/organizations", organizations.create_organization, USER, ORGS),
    Op("GET", f"{ORG}/list", organizations.list_mine, USER, ORGS, to.belonging),
    Op("PATCH", f"{ORG}/active", organizations.set_active, USER, ORGS),
    Op("GET", ORG, organizations.get_mine, USER, ORGS, to.belonging),
    Op("DELETE", ORG, organizations.delete_mine, USER, ORGS, to.owning),
    Op("GET", f"{ORG}/member", members.get_membership, USER, ORGS, to.belonging),
    Op("GET", MEMBERS, members.list_members, USER, ORGS, to.belonging),
    Op("GET", MEMBER, members.get_member, USER, ORGS, to.belonging),
    Op("PATCH", MEMBER, members.update_member, USER, ORGS, to.member_to_change),
    Op("PUT", f"{MEMBER}/access", members.update_member_access, USER, ORGS, to.member_to_change),
    Op("DELETE", MEMBER, members.remove_member, USER, ORGS, to.member_to_change),
    Op("GET", INVITES, invites.list_invites, USER, ORGS, to.administering),
    Op("POST", INVITES, invites.create_invite, USER, ORGS, to.administering),
    Op("DELETE", INVITE, invites.revoke_invite, USER, ORGS, to.administering),
    Op("POST", "/organizations/invites/accept", invites.accept_invite, USER, ORGS),
    #
    Op("GET", "/boards", boards.list_boards, USER, ["boards"], to.belonging),
    Op("POST", "/boards", boards.create_board, USER, ["boards"], to.administering),
    Op("GET", BOARD, boards.get_board, USER, ["boards"], to.reading),
    Op("PATCH", BOARD, boards.update_board, USER, ["boards"], to.writing),
    Op("DELETE", BOARD, boards.delete_board, USER, ["boards"], to.governing),
    Op("GET", f"{BOARD}/snapshot", snapshots.get_board_snapshot, EITHER, ["boards"], to.reading),
    Op("GET", GROUP, snapshots.get_board_group_snapshot, EITHER, GROUP_TAGS, to.reading),
    #
    Op("GET", "/tags", tags.list_tags, USER, ["tags"], to.belonging),
    Op("POST", "/tags", tags.create_tag, USER, ["tags"], to.administering),
    Op("GET", TAG, tags.get_tag, USER, ["tags"], to.tag_to_read),
    Op("PATCH", TAG, tags.update_tag, USER, ["tags"], to.tag_to_change),
    Op("DELETE", TAG, tags.delete_tag, USER, ["tags"], to.tag_to_change),
    #
    Op("GET", TASKS, tasks.list_tasks, EITHER, ["tasks"], to.reading),
    Op("POST", TASKS, tasks.create_task, USER, ["tasks"], to.writing),
    Op("GET", f"{TASKS}/stream", board_streams.stream_tasks, EITHER, ["tasks"], to.reading),
    Op("GET", TASK, tasks.get_task, EITHER, ["tasks"], to.reading),
    Op("PATCH", TASK, tasks.update_task, EITHER, ["tasks"], to.writing),
    Op("DELETE", TASK, tasks.delete_task, USER, ["tasks"], to.writing),
    Op("GET", COMMENTS, comments.list_task_comments, EITHER, ["tasks"], to.reading),
    Op("POST", COMMENTS, comments.create_task_comment, EITHER, ["tasks"], to.writing),
    #
    Op("GET", ASKED, approvals.list_approvals, EITHER, ["approvals"], to.reading),
    Op("POST", ASKED, approvals.create_approval, EITHER, ["approvals"], to.writing),
    Op("GET", f"{ASKED}/stream", board_streams.stream_approvals, EITHER, ["approvals"], to.reading),
    Op("PATCH", APPROVAL, approvals.update_approval, USER, ["approvals"], to.writing),
    #
    Op("GET", "/activity", activity.list_activity, EITHER, ["activity"]),
    Op("GET", SAID, activity.list_task_comment_feed, USER, ["activity"], to.belonging),
    Op("GET", f"{SAID}/stream", activity.stream_comments, USER, ["activity"], to.belonging),
    #
    either("GET", "/search", search.search_everything, "search", "agent_search"),
    #
    Op("GET", "/agents", agents.list_agents, USER, ["agents"], to.administering),
    Op("POST", "/agents", agents.create_agent, EITHER, ["agents"], to.staffing),
    Op("GET", "/agents/stream", agent_streams.stream_agents, USER, ["agents"], to.administering),
    Op("POST", "/agents/heartbeat", agents.heartbeat_or_create_agent, EITHER, ["agents"]),
    Op("GET", AN_AGENT, agents.get_agent, USER, ["agents"], to.agent_in_reach),
    Op("PATCH", AN_AGENT, agents.update_agent, USER, ["agents"], to.agent_in_reach),
    Op("DELETE", AN_AGENT, agents.delete_agent, USER, ["agents"], to.administering),
    Op("POST", f"{AN_AGENT}/heartbeat", agents.heartbeat_agent, EITHER, ["agents"], to.own_agent),
    Op("POST", TOKENS, agents.create_agent_token, USER, ["agents"], to.agent_in_reach),
    Op("GET", OUTBOX, messages.list_agent_messages, USER, ["agents"], to.agent_in_sight),
    Op("POST", AGAIN, messages.retry_message, USER, ["agents"], to.agent_in_reach),
    #
    only("GET", "/healthz", agent.agent_healthz, "agent_auth_health"),
    only("POST", "/heartbeat", agent.agent_heartbeat, "agent_heartbeat"),
    only("GET", MAIL, messages.list_my_messages, "agent_message_discovery"),
    only("GET", f"{MAIL}/stream", message_streams.stream_my_messages, "agent_message_stream"),
    only("POST", f"{MAIL}/{{message_id}}/ack", messages.acknowledge_message, "agent_message_ack"),
    only("GET", "/boards", agent.list_boards, "agent_board_discovery"),
    only("GET", BOARD, boards.get_board, "agent_board_lookup", to.reading),
    only("GET", "/agents", agent.list_agents, "agent_roster_discovery"),
    only("POST", "/agents", agents.create_agent_of_lead, "agent_management", to.leading),
    only("GET", TASKS, tasks.list_tasks, "agent_board_task_discovery", to.reading),
    only("POST", TASKS, tasks.create_task, "delegate_work", to.leading),
    only("GET", TASK, tasks.get_task, "agent_board_task_lookup", to.reading),
    only("PATCH", TASK, tasks.update_task, "agent_task_update", to.writing),
    only("DELETE", TASK, tasks.delete_task, "agent_task_delete", to.leading),
    only("GET", COMMENTS, comments.list_task_comments, "agent_task_comment_discovery", to.reading),
    only("POST", COMMENTS, comments.create_task_comment, "agent_task_comment_create", to.writing),
    only("GET", f"{BOARD}/tags", agent.list_tags, "agent_board_tag_discovery", to.reading),
    only("GET", ASKED, approvals.list_approvals, "agent_board_approval_discovery", to.reading),
    only("POST", ASKED, approvals.create_approval, "agent_board_approval_request", to.writing),
]
"""Every operation: method, path, what does it, who may call, where it stands, what it reaches."""

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
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return envelope(error.status_code, code=code, headers=dict(error.headers or {}))


async def failed(request: Request, error: Exception) -> Response:
    """Answer what nobody expected, and what cannot be answered because the database is away."""
    if isinstance(error, Refusal):
        return await refused(request, error)
    return envelope(500)


app = ExceptionMiddleware(
    Router(routes_of(OPERATIONS)), handlers={Refusal: refused, HTTPException: no_route}
)

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
    board_groups,
    board_streams,
    boards,
    comments,
    gateway_sessions,
    gateways,
    custom_fields,
    invites,
    members,
    memory,
    memory_streams,
    message_streams,
    messages,
    onboarding,
    organizations,
    search,
    snapshots,
    tags,
    tasks,
    users,
)
from api import reach as to
from api import reach_groups as near
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
MEMORY, OURS = f"{BOARD}/memory", f"{BOARD}/group-memory"
NOTE, OUR_NOTE = f"{MEMORY}/{{memory_id}}", f"{OURS}/{{memory_id}}"
GROUPS, A_GROUP = "/board-groups", "/board-groups/{group_id}"
GLANCE, BEAT, THEIRS = f"{A_GROUP}/snapshot", f"{A_GROUP}/heartbeat", f"{A_GROUP}/memory"
THEIR_NOTE, THEIR_STREAM = f"{THEIRS}/{{memory_id}}", f"{THEIRS}/stream"
SAID = "/activity/task-comments"
AN_AGENT = "/agents/{agent_id}"
TOKENS = f"{AN_AGENT}/tokens"
TAG = "/tags/{tag_id}"
GATES = "/gateways"
GATE, SESSIONS = f"{GATES}/{{gateway_id}}", f"{GATES}/sessions"
SESSION = f"{SESSIONS}/{{session_id}}"
GATE_TAGS, ADMIN = ["gateways"], to.administering
ONBOARDING = f"{BOARD}/onboarding"
FIELDS = f"{ORG}/custom-fields"
FIELD = f"{FIELDS}/{{task_custom_field_definition_id}}"
OUTBOX, MAIL = f"{AN_AGENT}/messages", "/messages"
AGAIN = f"{OUTBOX}/{{message_id}}/retry"

ORGS = ["organizations"]
GROUP_TAGS = ["boards", LEAD, WORKER]
OF_GROUPS, NOTES, SHARED = ["board-groups"], ["board-memory"], ["board-group-memory"]
OF_FIELDS = ["custom fields"]
TALKS = ["board-onboarding"]


def only(method: str, path: str, handler: Handler, intent: str, reach: Reach | None = None) -> Op:
    """Declare an operation under /agent that only agents may call, with what they pick it by."""
    hint = HINTS[intent]
    tags = ["agent", *hint.tags]
    keys = hint.keys(intent)
    return Op(method, f"/agent{path}", handler, AGENT, tags, reach, keys, hint.operation_id)


def noted(method: str, path: str, handler: Handler, deed: str, reach: Reach) -> Op:
    """Declare what agents alone may do, under /agent, with the memory of a board."""
    return only(method, path, handler, f"agent_board_memory_{deed}", reach)


def ours(method: str, path: str, handler: Handler, deed: str, reach: Reach) -> Op:
    """Declare what people and agents may do with the memory of a board's group."""
    intent = f"agent_board_group_memory_{deed}"
    hint = HINTS[intent]
    return Op(method, path, handler, EITHER, [*SHARED, *hint.tags], reach, hint.keys(intent))


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
    Op("GET", GROUP, board_groups.get_board_group_snapshot, EITHER, GROUP_TAGS, to.reading),
    #
    Op("GET", MEMORY, memory.list_board_memory, EITHER, NOTES, near.notes_to_read),
    Op("POST", MEMORY, memory.create_board_memory, EITHER, NOTES, near.notes_to_change),
    Op("GET", f"{MEMORY}/stream", memory_streams.stream_board_memory, EITHER, NOTES, to.reading),
    Op("GET", NOTE, memory.get_board_memory, EITHER, NOTES, near.notes_to_read),
    Op("PATCH", NOTE, memory.update_board_memory, EITHER, NOTES, near.notes_to_change),
    Op("DELETE", NOTE, memory.delete_memory, EITHER, NOTES, near.notes_to_change),
    #
    ours("GET", OURS, memory.list_group_memory, "discovery", near.shared_to_read),
    ours("POST", OURS, memory.create_group_memory, "record", near.shared_to_change),
    ours("GET", f"{OURS}/stream", memory_streams.stream_memory_beside, "stream", to.reading),
    ours("GET", OUR_NOTE, memory.get_group_memory, "lookup", near.shared_to_read),
    ours("PATCH", OUR_NOTE, memory.update_group_memory, "update", near.shared_to_change),
    ours("DELETE", OUR_NOTE, memory.delete_memory, "delete", near.shared_to_change),
    #
    Op("GET", GROUPS, board_groups.list_board_groups, USER, OF_GROUPS, to.belonging),
    Op("POST", GROUPS, board_groups.create_board_group, USER, OF_GROUPS, to.administering),
    Op("GET", A_GROUP, board_groups.get_board_group, USER, OF_GROUPS, near.group_to_read),
    Op("PATCH", A_GROUP, board_groups.update_board_group, USER, OF_GROUPS, near.group_to_change),
    Op("DELETE", A_GROUP, board_groups.delete_board_group, USER, OF_GROUPS),
    Op("GET", GLANCE, board_groups.get_group_snapshot, USER, OF_GROUPS, near.group_to_read),
    Op("POST", BEAT, board_groups.apply_board_group_heartbeat, EITHER, OF_GROUPS),
    #
    Op("GET", THEIRS, memory.list_group_memory, USER, SHARED, near.shared_to_read),
    Op("POST", THEIRS, memory.create_group_memory, USER, SHARED, near.shared_to_change),
    Op("GET", THEIR_STREAM, memory_streams.stream_group_memory, USER, SHARED, near.group_to_read),
    Op("GET", THEIR_NOTE, memory.get_group_memory, USER, SHARED, near.shared_to_read),
    Op("PATCH", THEIR_NOTE, memory.update_group_memory, USER, SHARED, near.shared_to_change),
    Op("DELETE", THEIR_NOTE, memory.delete_memory, USER, SHARED, near.shared_to_change),
    #
    Op("GET", "/tags", tags.list_tags, USER, ["tags"], to.belonging),
    Op("POST", "/tags", tags.create_tag, USER, ["tags"], to.administering),
    Op("GET", TAG, tags.get_tag, USER, ["tags"], to.tag_to_read),
    Op("PATCH", TAG, tags.update_tag, USER, ["tags"], to.tag_to_change),
    Op("DELETE", TAG, tags.delete_tag, USER, ["tags"], to.tag_to_change),
    #
    Op("GET", ONBOARDING, onboarding.get_onboarding, USER, TALKS, to.reading),
    Op("POST", f"{ONBOARDING}/start", onboarding.start_onboarding, USER, TALKS, to.writing),
    Op("POST", f"{ONBOARDING}/restart", onboarding.restart_onboarding, USER, TALKS, to.writing),
    Op("POST", f"{ONBOARDING}/answer", onboarding.answer_onboarding, USER, TALKS, to.writing),
    Op("POST", f"{ONBOARDING}/agent", onboarding.update_onboarding, AGENT, TALKS, to.asking),
    Op("POST", f"{ONBOARDING}/confirm", onboarding.confirm_onboarding, USER, TALKS, to.writing),
    #
    Op("GET", FIELDS, custom_fields.list_custom_fields, USER, OF_FIELDS, to.belonging),
    Op("POST", FIELDS, custom_fields.create_custom_field, USER, OF_FIELDS, to.administering),
    Op("PATCH", FIELD, custom_fields.update_custom_field, USER, OF_FIELDS, to.field_to_change),
    Op("DELETE", FIELD, custom_fields.delete_custom_field, USER, OF_FIELDS, to.field_to_change),
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
    Op("GET", f"{GATES}/status", gateway_sessions.get_gateway_status, USER, GATE_TAGS),
    Op("GET", f"{GATES}/commands", gateway_sessions.list_gateway_commands, USER, GATE_TAGS, ADMIN),
    Op("GET", SESSIONS, gateway_sessions.list_gateway_sessions, USER, GATE_TAGS),
    Op("GET", SESSION, gateway_sessions.get_gateway_session, USER, GATE_TAGS),
    Op("GET", f"{SESSION}/history", gateway_sessions.get_gateway_history, USER, GATE_TAGS),
    Op("POST", f"{SESSION}/message", gateway_sessions.send_gateway_message, USER, GATE_TAGS),
    Op("GET", GATES, gateways.list_gateways, USER, GATE_TAGS, ADMIN),
    Op("POST", GATES, gateways.create_gateway, USER, GATE_TAGS, ADMIN),
    Op("GET", GATE, gateways.get_gateway, USER, GATE_TAGS, to.gateway_in_reach),
    Op("PATCH", GATE, gateways.update_gateway, USER, GATE_TAGS, ADMIN),
    Op("DELETE", GATE, gateways.delete_gateway, USER, GATE_TAGS, ADMIN),
    Op("POST", f"{GATE}/checks", gateways.check_gateway, USER, GATE_TAGS, to.gateway_in_reach),
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
    only(
        "POST", ONBOARDING, onboarding.update_onboarding, "agent_board_onboarding_update", to.asking
    ),
    only("GET", f"{BOARD}/tags", agent.list_tags, "agent_board_tag_discovery", to.reading),
    noted("GET", MEMORY, memory.list_board_memory, "discovery", near.notes_to_read),
    noted("POST", MEMORY, memory.create_board_memory, "record", near.notes_to_change),
    noted("GET", NOTE, memory.get_board_memory, "lookup", near.notes_to_read),
    noted("PATCH", NOTE, memory.update_board_memory, "update", near.notes_to_change),
    noted("DELETE", NOTE, memory.delete_memory, "delete", near.notes_to_change),
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

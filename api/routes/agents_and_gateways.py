"""Operations of users on agents and gateways."""

from api.endpoints import (
    agents,
    gateway_requests,
    gateway_runs,
    gateway_sessions,
    gateways,
    messages,
)
from api.framework.dependencies import (
    active_membership,
    admin_membership,
    admin_or_lead,
    agent_for_admin,
    agent_for_heartbeat,
    agent_for_read,
    gateway_for_admin,
    gateway_request_for_answer,
)
from api.routes.declare import EITHER, USER, Operation

AGENT = "/agents/{agent_id}"
TOKENS = f"{AGENT}/tokens"
GATEWAYS = "/gateways"
GATEWAY, SESSIONS = f"{GATEWAYS}/{{gateway_id}}", f"{GATEWAYS}/sessions"
SESSION = f"{SESSIONS}/{{session_id}}"
GATEWAY_AGENTS = f"{GATEWAY}/agents"
REQUESTS = "/gateway-requests"
REQUEST = f"{REQUESTS}/{{request_id}}"
REQUEST_TAGS = ["gateway-requests"]
GATEWAY_TAGS, admin_membership = ["gateways"], admin_membership
OUTBOX = f"{AGENT}/messages"
SYNC = f"{GATEWAY}/templates/sync"
GRANTS = f"{GATEWAY}/standing-grants"
RETRY = f"{OUTBOX}/{{message_id}}/retry"

OPERATIONS: list[Operation] = [
    Operation("GET", "/agents", agents.list_agents, USER, ["agents"], admin_membership),
    Operation("POST", "/agents", agents.create_agent, EITHER, ["agents"], admin_or_lead),
    Operation("GET", "/agents/stream", agents.stream_agents, USER, ["agents"], admin_membership),
    Operation(
        "POST",
        "/agents/heartbeat",
        agents.record_heartbeat_or_create_agent,
        EITHER,
        ["agents"],
    ),
    Operation("GET", AGENT, agents.get_agent, USER, ["agents"], agent_for_admin),
    Operation("PATCH", AGENT, agents.update_agent, USER, ["agents"], agent_for_admin),
    Operation("DELETE", AGENT, agents.delete_agent, USER, ["agents"], admin_membership),
    Operation(
        "POST",
        f"{AGENT}/heartbeat",
        agents.record_heartbeat,
        EITHER,
        ["agents"],
        agent_for_heartbeat,
    ),
    Operation(
        "POST",
        f"{AGENT}/provisioning",
        agents.provision_agent,
        USER,
        ["agents"],
        agent_for_admin,
        id="bring_agent_api_v1_agents__agent_id__provisioning_post",
    ),
    Operation("PUT", f"{AGENT}/hold", agents.pause_agent, USER, ["agents"], agent_for_admin),
    Operation("DELETE", f"{AGENT}/hold", agents.release_agent, USER, ["agents"], agent_for_admin),
    Operation("POST", TOKENS, agents.create_agent_token, USER, ["agents"], agent_for_admin),
    Operation("GET", OUTBOX, messages.list_agent_messages, USER, ["agents"], agent_for_read),
    Operation("POST", RETRY, messages.retry_message, USER, ["agents"], agent_for_admin),
    Operation(
        "GET",
        f"{AGENT}/runs",
        gateway_runs.list_agent_runs,
        USER,
        ["agents"],
        agent_for_read,
    ),
    #
    Operation(
        "GET",
        REQUESTS,
        gateway_requests.list_gateway_requests,
        USER,
        REQUEST_TAGS,
        active_membership,
    ),
    Operation(
        "GET",
        REQUEST,
        gateway_requests.get_gateway_request,
        USER,
        REQUEST_TAGS,
        gateway_request_for_answer,
    ),
    Operation(
        "POST",
        f"{REQUEST}/answer",
        gateway_requests.answer_gateway_request,
        USER,
        REQUEST_TAGS,
        gateway_request_for_answer,
    ),
    #
    Operation("GET", f"{GATEWAYS}/status", gateway_sessions.get_gateway_status, USER, GATEWAY_TAGS),
    Operation(
        "GET",
        f"{GATEWAYS}/commands",
        gateway_sessions.list_gateway_commands,
        USER,
        GATEWAY_TAGS,
        admin_membership,
    ),
    Operation("GET", SESSIONS, gateway_sessions.list_gateway_sessions, USER, GATEWAY_TAGS),
    Operation("GET", SESSION, gateway_sessions.get_gateway_session, USER, GATEWAY_TAGS),
    Operation(
        "GET", f"{SESSION}/history", gateway_sessions.get_gateway_history, USER, GATEWAY_TAGS
    ),
    Operation(
        "POST", f"{SESSION}/message", gateway_sessions.send_gateway_message, USER, GATEWAY_TAGS
    ),
    Operation("GET", GATEWAYS, gateways.list_gateways, USER, GATEWAY_TAGS, admin_membership),
    Operation("POST", GATEWAYS, gateways.create_gateway, USER, GATEWAY_TAGS, admin_membership),
    Operation("GET", GATEWAY, gateways.get_gateway, USER, GATEWAY_TAGS, gateway_for_admin),
    Operation("PATCH", GATEWAY, gateways.update_gateway, USER, GATEWAY_TAGS, admin_membership),
    Operation("DELETE", GATEWAY, gateways.delete_gateway, USER, GATEWAY_TAGS, admin_membership),
    Operation(
        "GET",
        GATEWAY_AGENTS,
        gateways.list_gateway_agents,
        USER,
        GATEWAY_TAGS,
        gateway_for_admin,
    ),
    Operation(
        "POST",
        GATEWAY_AGENTS,
        gateways.link_gateway_agent,
        USER,
        GATEWAY_TAGS,
        gateway_for_admin,
    ),
    Operation(
        "GET",
        f"{GATEWAY}/config-changes",
        gateways.list_gateway_config_changes,
        USER,
        GATEWAY_TAGS,
        gateway_for_admin,
    ),
    Operation(
        "GET",
        GRANTS,
        gateways.list_command_grants,
        USER,
        GATEWAY_TAGS,
        gateway_for_admin,
    ),
    Operation(
        "DELETE",
        f"{GRANTS}/{{grant_id}}",
        gateways.revoke_command_grant,
        USER,
        GATEWAY_TAGS,
        gateway_for_admin,
    ),
    Operation(
        "POST",
        SYNC,
        gateways.sync_gateway_templates,
        USER,
        GATEWAY_TAGS,
        gateway_for_admin,
    ),
    Operation(
        "POST", f"{GATEWAY}/checks", gateways.check_gateway, USER, GATEWAY_TAGS, gateway_for_admin
    ),
]

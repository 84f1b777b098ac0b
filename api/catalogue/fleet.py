"""What people ask of agents and of gateways."""

from api import (
    agent_streams,
    agents,
    file_sync,
    gateway_agents,
    gateway_requests,
    gateway_sessions,
    gateways,
    messages,
    runs,
)
from api import reach as to
from api.catalogue.declaring import EITHER, USER, Op

AN_AGENT = "/agents/{agent_id}"
TOKENS = f"{AN_AGENT}/tokens"
GATES = "/gateways"
GATE, SESSIONS = f"{GATES}/{{gateway_id}}", f"{GATES}/sessions"
SESSION = f"{SESSIONS}/{{session_id}}"
RESIDENTS = f"{GATE}/agents"
ASKED = "/gateway-requests"
A_REQUEST = f"{ASKED}/{{request_id}}"
THEIR_TAGS = ["gateway-requests"]
GATE_TAGS, ADMIN = ["gateways"], to.administering
OUTBOX = f"{AN_AGENT}/messages"
SYNC = f"{GATE}/templates/sync"
AGAIN = f"{OUTBOX}/{{message_id}}/retry"

OPERATIONS: list[Op] = [
    Op("GET", "/agents", agents.list_agents, USER, ["agents"], to.administering),
    Op("POST", "/agents", agents.create_agent, EITHER, ["agents"], to.staffing),
    Op("GET", "/agents/stream", agent_streams.stream_agents, USER, ["agents"], to.administering),
    Op("POST", "/agents/heartbeat", agents.heartbeat_or_create_agent, EITHER, ["agents"]),
    Op("GET", AN_AGENT, agents.get_agent, USER, ["agents"], to.agent_in_reach),
    Op("PATCH", AN_AGENT, agents.update_agent, USER, ["agents"], to.agent_in_reach),
    Op("DELETE", AN_AGENT, agents.delete_agent, USER, ["agents"], to.administering),
    Op("POST", f"{AN_AGENT}/heartbeat", agents.heartbeat_agent, EITHER, ["agents"], to.own_agent),
    Op("POST", f"{AN_AGENT}/provisioning", agents.bring_agent, USER, ["agents"], to.agent_in_reach),
    Op("POST", TOKENS, agents.create_agent_token, USER, ["agents"], to.agent_in_reach),
    Op("GET", OUTBOX, messages.list_agent_messages, USER, ["agents"], to.agent_in_sight),
    Op("POST", AGAIN, messages.retry_message, USER, ["agents"], to.agent_in_reach),
    Op("GET", f"{AN_AGENT}/runs", runs.list_agent_runs, USER, ["agents"], to.agent_in_sight),
    #
    Op("GET", ASKED, gateway_requests.list_gateway_requests, USER, THEIR_TAGS, to.belonging),
    Op(
        "GET",
        A_REQUEST,
        gateway_requests.get_gateway_request,
        USER,
        THEIR_TAGS,
        to.request_in_reach,
    ),
    Op(
        "POST",
        f"{A_REQUEST}/answer",
        gateway_requests.answer_gateway_request,
        USER,
        THEIR_TAGS,
        to.request_in_reach,
    ),
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
    Op("GET", RESIDENTS, gateway_agents.list_gateway_agents, USER, GATE_TAGS, to.gateway_in_reach),
    Op("POST", RESIDENTS, gateway_agents.link_gateway_agent, USER, GATE_TAGS, to.gateway_in_reach),
    Op("POST", SYNC, file_sync.sync_gateway_templates, USER, GATE_TAGS, to.gateway_in_reach),
    Op("POST", f"{GATE}/checks", gateways.check_gateway, USER, GATE_TAGS, to.gateway_in_reach),
]

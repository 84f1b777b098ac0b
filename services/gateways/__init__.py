"""Gateways: their configuration, connection, health, sessions and linked agents.

The packages inside are entered directly: `from services.gateways import provisioning, runs`.
"""

import openclaw
from openclaw import CAPABILITY_RULES, COMMAND_NOTES, MAX_URL_LENGTH, Capability, find_error_text
from openclaw.api import parse_milliseconds
from services.gateways.address_rules import may_be_private, parse_endpoint
from services.gateways.ca_certificates import (
    list_ca_certificates,
)
from services.gateways.command_grants import (
    MAX_GRANT_ID_LENGTH,
    CommandGrant,
    GrantState,
    get_grant_to_revoke,
    list_command_grants,
    record_revocation,
    revoke_command_grant,
)
from services.gateways.commands import (
    CONNECTION_FIELDS,
    GATEWAYS_TOPIC,
    GatewayCreate,
    GatewayUpdate,
    acquire_leases,
    create_gateway,
    delete_gateway,
    release_leases,
    update_gateway,
)
from services.gateways.connector import GatewayConnector, GatewayJob
from services.gateways.health import (
    ProbeResult,
    list_missing_capabilities,
    record_probe,
    record_user_probe,
)
from services.gateways.linked_agents import (
    GatewayAgentLink,
    ListedAgent,
    check_can_link,
    link_agent,
    list_gateway_agents,
)
from services.gateways.queries import (
    GatewaySummary,
    build_kept_agents_query,
    find_gateway_by_url,
    find_token_set_at,
    get_board_gateway,
    get_gateway,
    get_gateway_summary,
    list_gateway_summaries,
    list_gateways,
    load_agent_gateways,
    lock_gateway,
)
from services.gateways.sessions import (
    SessionList,
    SessionOwner,
    SessionOwners,
    agent_id_of_session_key,
    filter_readable_sessions,
    find_session_owner,
    get_session,
    list_sessions,
    load_chat_history,
    load_session_owners,
    send_chat_message,
)

PROTOCOL_VERSION = openclaw.PROTOCOLS[-1]
GATEWAY_METHODS = openclaw.METHODS
GATEWAY_EVENTS = openclaw.EVENTS
CATALOGUE_VERSION = openclaw.GATEWAY_VERSION
"""The OpenClaw version that the lists of methods and events are from."""

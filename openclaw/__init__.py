"""Communicate with OpenClaw gateways over WebSocket protocol 4, without database and HTTP.

`GatewayClient` calls the gateway of a `GatewayTarget`; `diagnose_connection` finds the cause of a
connection failure.
"""

from core.http.address_policy import AddressPolicy
from openclaw.addresses import MAX_URL_LENGTH, GatewayAddress, parse_address
from openclaw.capabilities import (
    CAPABILITY_RULES,
    MIN_VERSION,
    Capability,
    GatewayCapabilities,
    is_restart_required,
    is_unsupported_request,
)
from openclaw.client import GatewayClient, RetryPolicy, poll_events
from openclaw.connection import GatewayConnection, open_connection
from openclaw.diagnostics import (
    AGENTS_CHECK,
    CHECK_NAMES,
    CONFIG_INVALID,
    CheckState,
    ConnectionCheck,
    ConnectionDiagnosis,
    diagnose_connection,
    diagnose_missing_key,
    diagnose_outcome,
)
from openclaw.error_texts import (
    COMMAND_NOTES,
    RESTART_COMMAND,
    SECRETS_UNREADABLE,
    build_error_hint,
    find_error_text,
    get_error_hint,
    get_error_values,
)
from openclaw.errors import ErrorKind, GatewayError
from openclaw.frames import GatewayEvent
from openclaw.method_names import EVENTS, GATEWAY_VERSION, METHODS
from openclaw.protocol import PROTOCOLS, SCOPES, DeviceIdentity, GatewayTarget, Hello
from openclaw.subscriptions import EVENTS_MISSED, Subscription

"""Sessions of coding agents: what their clients report, and what that says about the gate."""

from services.coding_sessions.connections import (
    CONNECTION_TEST,
    CONNECTIONS,
    LATEST_TEST,
    TEST_COMMAND,
    TEST_SECONDS,
    add_connection,
    claim_test,
    request_test,
)
from services.coding_sessions.queries import (
    GateReport,
    SessionSummary,
    TokenCounts,
    find_ungated_calls,
    get_session,
    list_gates,
    list_sessions,
)
from services.coding_sessions.rules import (
    CLIENT_NAMES,
    TESTED_VERSIONS,
    ConnectionKind,
    GateState,
    ReportedState,
    find_contact,
    find_state,
    is_tested,
)
from services.coding_sessions.signals import (
    CONNECTION_INTERVAL,
    MAX_KEY_LENGTH,
    MAX_UNGATED_EVENTS,
    SessionEvent,
    SessionEventKind,
    UsageReport,
    build_change_event,
    delete_old_sessions,
    record_connection,
    record_disconnection,
    record_event,
    record_signal,
)
from services.coding_sessions.telemetry import Export, read_logs, read_traces
from services.coding_sessions.telemetry_records import REASON_UNGATED, record_export

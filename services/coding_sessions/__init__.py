"""Sessions of coding agents: what their clients report, and what that says about the gate."""

from services.coding_sessions.connections import (
    CONNECTION_TEST,
    CONNECTIONS,
    LATEST_TEST,
    TEST_SECONDS,
    add_connection,
    request_test,
)
from services.coding_sessions.exports import MAX_UNGATED_EVENTS, REASON_UNGATED, record_export
from services.coding_sessions.rules import (
    SILENT_AFTER,
    ReportedState,
    find_state,
)
from services.coding_sessions.signals import (
    CLIENT_NAMES,
    CONNECTION_INTERVAL,
    MAX_KEY_LENGTH,
    ConnectionKind,
    SessionEvent,
    SessionEventKind,
    UsageReport,
    build_change_event,
    record_connection,
    record_event,
    record_signal,
)
from services.coding_sessions.telemetry import Export, read_logs, read_traces

"""Synchronization of the files of a gateway's agents, with a preview of the changes.

The order is `plan_sync` in a transaction, `read_remote_files` without one, and `report_sync`. To
carry it out: `request_sync` in another transaction, then `reset_sessions`.
"""

from services.gateways.sync.commands import (
    AgentSyncReport,
    SyncPlan,
    SyncProblem,
    SyncReport,
    plan_sync,
    report_sync,
    request_sync,
    reset_sessions,
)
from services.gateways.sync.queries import SyncOptions, read_remote_files

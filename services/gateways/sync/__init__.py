"""Synchronization of the files of a gateway's agents, with a preview of the changes.

The order is `plan_sync`, `read_remote_files` outside of any transaction, and `report_sync`. To
carry it out: `request_sync` in a transaction, then `reset_sessions`. `preview_new_agent` and
`preview_agent_update` show what the forms of agents change in configurations.
"""

from services.gateways.provisioning import CONFIG_FILE, ConfigChange
from services.gateways.sync.commands import (
    HIDDEN_DIFF,
    LEFT_OUT,
    AgentSyncReport,
    SyncPlan,
    SyncReport,
    plan_sync,
    report_sync,
    request_sync,
    reset_sessions,
)
from services.gateways.sync.config_previews import (
    AgentConfigChange,
    build_config_change,
    get_editable_agent,
    preview_agent_update,
    preview_new_agent,
)
from services.gateways.sync.queries import (
    SyncOptions,
    SyncProblem,
    read_remote_files,
    select_agents,
)

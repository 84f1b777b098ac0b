"""Provisioning: create agents on their gateways, keep them up to date, and remove them.

Commands record the desired state (`services.desired_state`). The `Reconciler`, a gateway job,
carries it out step by step and records the progress in the agent's row. See
docs/decisions/provisioning.md.
"""

from services.gateways.provisioning.cleanup import run_cleanup
from services.gateways.provisioning.config_entries import (
    CONFIG_FILE,
    ConfigChange,
    plan_agent_change,
    plan_config_change,
)
from services.gateways.provisioning.config_log import (
    CHANGES_PAGE_SIZE,
    MAX_CHANGES_BY_ACTOR,
    LoggedConfigChange,
    list_config_changes,
    load_config_log,
)
from services.gateways.provisioning.reconciler import Reconciler
from services.gateways.provisioning.state_machine import (
    ProvisioningStatus,
    provisioning_status,
    step_duration,
)
from services.gateways.provisioning.steps import last_written_digests, read_file
from services.gateways.provisioning.store import load_tokens
from services.gateways.provisioning.workload import get_call_semaphore

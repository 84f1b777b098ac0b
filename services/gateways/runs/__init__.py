"""Runs: turns of agents on gateways, running and ended."""

from services.gateways.runs.queries import (
    CURRENT_TASK_RUNS,
    choose_running_or_latest,
    find_latest_run,
    list_agent_runs,
    list_current_task_runs,
    list_task_runs,
)
from services.gateways.runs.run_state import RunPhase
from services.gateways.runs.stop import RunAbortJob
from services.gateways.runs.store import (
    RUN_EVENTS,
    delete_old_runs,
    is_lost_condition,
    mark_lost_runs,
)
from services.gateways.runs.tracker import RunTrackingJob

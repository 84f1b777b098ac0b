"""Runs: turns of agents on gateways, running and ended."""

from services.gateways.runs.commands import (
    RUN_EVENTS,
    delete_old_runs,
    is_lost_condition,
    mark_lost_runs,
)
from services.gateways.runs.jobs import RunAbortJob, RunTrackingJob
from services.gateways.runs.queries import (
    CURRENT_TASK_RUNS,
    choose_running_or_latest,
    find_latest_run,
    list_agent_runs,
    list_current_task_runs,
    list_task_runs,
)
from services.gateways.runs.run_state import RunPhase

"""Counters and hourly roll-ups: expressions that read them, and their repair."""

from services.counters.expressions import (
    APPROVAL_COUNTS,
    TASK_COUNTS,
    count_tasks_of_board,
    sum_counts,
    sum_event_counts,
)
from services.counters.repair import Difference, repair_counters

__all__ = [
    "APPROVAL_COUNTS",
    "TASK_COUNTS",
    "Difference",
    "count_tasks_of_board",
    "repair_counters",
    "sum_counts",
    "sum_event_counts",
]

"""Runs: what agents on gateways do, live, and what they did."""

from services.runs.keeping import EVENTS, forget, lose
from services.runs.lists import for_task, latest, of_agent, of_task
from services.runs.live import Phase
from services.runs.station import Station

__all__ = [
    "EVENTS",
    "Phase",
    "Station",
    "for_task",
    "forget",
    "latest",
    "lose",
    "of_agent",
    "of_task",
]

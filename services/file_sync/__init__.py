"""Bringing the files of a gateway's agents up to date: what would change is told first.

`prepare` in one transaction, then `look` at the gateway without any, then `report`; to have it
done, `ask` in another transaction, and `reset` after it.
"""

from services.file_sync.choosing import Wish
from services.file_sync.looking import look
from services.file_sync.reporting import AgentReport, Mishap, Report
from services.file_sync.syncing import Prepared, ask, prepare, report, reset

__all__ = [
    "AgentReport",
    "Mishap",
    "Prepared",
    "Report",
    "Wish",
    "ask",
    "look",
    "prepare",
    "report",
    "reset",
]

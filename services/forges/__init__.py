"""Code hosts: recognize their payloads, and keep tasks linked to what is there."""

from services.forges.commands import apply_report
from services.forges.links import TASK_LINKS, list_task_links
from services.forges.payloads import (
    ChangeReport,
    ChangeState,
    CheckReport,
    CheckStatus,
    ForgeReport,
    IssueAction,
    IssueReport,
    UnusedPayload,
)
from services.forges.recognition import Forge, find_forge, name_event, read_payload

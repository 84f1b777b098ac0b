"""Code hosts: recognize their payloads, and keep tasks linked to what is there."""

from services.forges.commands import ReportSource, apply_report, read_payload
from services.forges.payloads import (
    ChangeState,
    CheckReport,
    CheckStatus,
    ForgeReport,
    IssueAction,
    IssueReport,
    UnusedPayload,
)
from services.forges.queries import TASK_LINKS, list_task_links

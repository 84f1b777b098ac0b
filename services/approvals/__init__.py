"""Approvals: what agents ask, and what people decide."""

from services.approvals.asking_back import ask_back
from services.approvals.decisions import (
    Outcome,
    answer,
    answer_many,
    decide,
    reopen,
    undo,
)
from services.approvals.details import ApprovalDetail, one
from services.approvals.lists import (
    WAITING,
    Counts,
    counts,
    decided,
    decided_today,
    detail_for,
    for_member,
    listed,
    newest,
    pending_count,
    several,
    waiting,
    waiting_by_board,
    waiting_count,
)
from services.approvals.requests import request
from services.approvals.rules import LONGEST_TEXT, ApprovalDraft, question
from services.approvals.settling import boards_with_due, settle_due

__all__ = [
    "LONGEST_TEXT",
    "WAITING",
    "ApprovalDetail",
    "ApprovalDraft",
    "Counts",
    "Outcome",
    "answer",
    "answer_many",
    "ask_back",
    "boards_with_due",
    "counts",
    "decide",
    "decided",
    "decided_today",
    "detail_for",
    "for_member",
    "listed",
    "newest",
    "one",
    "pending_count",
    "question",
    "reopen",
    "request",
    "settle_due",
    "several",
    "undo",
    "waiting",
    "waiting_by_board",
    "waiting_count",
]

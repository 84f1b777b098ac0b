"""Load what waits for a member, and what was decided today, in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.clock import now
from core.db.combined_query import CombinedQuery
from core.db.reads import Source
from models import Member
from services import agents, approvals, boards, onboarding, questions
from services.agents import UncalledAgent
from services.approvals import ApprovalDetail, LimitedAgent
from services.gateways import requests
from services.gateways.requests import RequestDetail
from services.onboarding import PendingOnboarding
from services.questions import QuestionDetail


@dataclass(frozen=True)
class WaitingItems:
    """What waits for a member, newest first, and what was decided today, last decision first."""

    undecided_approvals: Sequence[ApprovalDetail]
    gateway_requests: Sequence[RequestDetail]
    onboardings: Sequence[PendingOnboarding]
    questions: Sequence[QuestionDetail]  # of workers, that nobody has answered
    limited_agents: Sequence[LimitedAgent]  # whose further requests are held
    uncalled_agents: Sequence[UncalledAgent]  # for which tasks wait
    writable_board_ids: set[UUID]
    held_agent_ids: Sequence[UUID]  # agents that the member can release
    decided_approvals: Sequence[ApprovalDetail]  # without their contents
    answered_requests: Sequence[RequestDetail]
    decided_total: int  # of all approvals, also before today


async def load_waiting_items(
    source: Source,
    member: Member,
    *,
    board_id: UUID | None = None,
    with_decided: bool = True,
    offline_after: timedelta = agents.OFFLINE_AFTER,
) -> WaitingItems:
    """Load what waits for a member on the boards that they may read, or on one of them.

    Runs one statement, and a second one if there are open onboardings. Days begin at midnight in
    the member's time zone. Without `with_decided`, decided approvals are only counted. Agents that
    have never called are overdue after `offline_after`, or two of their heartbeats.
    """
    by_board = board_id is not None
    query = _build_query(is_admin=member.is_admin, by_board=by_board, with_decided=with_decided)
    undecided, waiting, opened, asked, *found = await query.fetch(
        source, board_id=board_id, **_build_parameters(member, offline_after)
    )
    limited, uncalled, writable, decided_total, *more = found
    pending = await onboarding.select_pending(source, opened)
    held = more.pop() if member.is_admin and not by_board else []
    decided_approvals, answered = more or ([], [])
    return WaitingItems(
        undecided,
        waiting,
        pending,
        asked,
        limited,
        agents.list_missed_first_calls(uncalled, offline_after),
        set(writable),
        held,
        decided_approvals,
        answered,
        decided_total[0],
    )


def _build_parameters(member: Member, offline_after: timedelta) -> dict[str, object]:
    return {
        "user_id": member.user_id,
        "organization_id": member.organization_id,
        "since": _find_midnight(member.user.timezone),
        "held_since": now() - approvals.PERIOD,
        "uncalled_since": now() - offline_after,
    }


@cache
def _build_query(*, is_admin: bool, by_board: bool, with_decided: bool) -> CombinedQuery:
    waiting = [
        approvals.build_undecided_query(by_board=by_board),
        requests.build_waiting_query(is_admin=is_admin, by_board=by_board),
        onboarding.build_open_sessions_query(by_board=by_board),
        questions.OPEN_QUESTIONS[by_board],
        approvals.build_limited_agents_query(),
        agents.build_uncalled_query(by_board=by_board),
        boards.WRITABLE_IDS,
        approvals.build_decided_count_query(by_board=by_board),
    ]
    decided = [
        approvals.build_decided_since_query(by_board=by_board),
        requests.build_answered_query(is_admin=is_admin, by_board=by_board),
    ]
    held = [agents.HELD_IDS] if is_admin and not by_board else []
    return CombinedQuery(*waiting, *(decided if with_decided else ()), *held)


def _find_midnight(timezone: str | None) -> datetime:
    """Return the start of today in a time zone; 24 hours ago if the zone is unknown."""
    try:
        zone = ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return now() - timedelta(days=1)
    today = now().astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return today.astimezone(UTC)

"""Metrics, as JSON (contract, people-and-boards 3.13)."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.fields import Answer, Moment
from api.operations import Call, may_answer
from kit.clock import now
from models import Member
from services import metrics

RangeKey = Literal["24h", "3d", "7d", "14d", "1m", "3m", "6m", "1y"]


class DashboardPoint(Answer):
    """A number, and when its hour, day, week or month began."""

    period: Moment
    value: float


class DashboardWipPoint(Answer):
    """How many tasks stood in each status when a period was over, or when the window was."""

    period: Moment
    inbox: int
    in_progress: int
    review: int
    done: int


class DashboardSeries(Answer):
    """Numbers in order of time. Where nothing happened they are 0."""

    range: RangeKey
    bucket: metrics.Bucket
    points: list[DashboardPoint]


class DashboardWipSeries(Answer):
    """What was under way, in order of time."""

    range: RangeKey
    bucket: metrics.Bucket
    points: list[DashboardWipPoint]


class DashboardSeriesSet(Answer):
    """The window up to now, and the one before it. No moment is counted in both."""

    primary: DashboardSeries
    comparison: DashboardSeries


class DashboardWipSeriesSet(Answer):
    """The window up to now, and the one before it."""

    primary: DashboardWipSeries
    comparison: DashboardWipSeries


class DashboardKpis(Answer):
    """How things stand now."""

    active_agents: int = Field(description="Agents that were seen within the window.")
    tasks_in_progress: int = Field(description="The same as `in_progress_tasks`.")
    inbox_tasks: int
    in_progress_tasks: int
    review_tasks: int
    done_tasks: int
    error_rate_pct: float = Field(description="As `error_rate`, over the whole window.")
    median_cycle_time_hours_7d: float | None = Field(
        description="Of the tasks done in the last seven days, whatever the range; null if none."
    )


class DashboardPendingApproval(Answer):
    """A question that waits for an answer."""

    approval_id: UUID
    board_id: UUID
    board_name: str
    action_type: str
    confidence: float
    created_at: Moment
    task_title: str | None


class DashboardPendingApprovals(Answer):
    """The questions that wait for an answer."""

    total: int
    items: list[DashboardPendingApproval] = Field(description="The newest ten.")


class DashboardMetrics(Answer):
    """How the work goes on the boards that the caller reads."""

    range: RangeKey
    generated_at: Moment
    kpis: DashboardKpis
    throughput: DashboardSeriesSet = Field(
        description="Tasks that were done in each period, and still are."
    )
    cycle_time: DashboardSeriesSet = Field(
        description="The mean of the hours from the first start of these tasks until done."
    )
    error_rate: DashboardSeriesSet = Field(
        description="Percent of the messages to agents that came to an end by failing."
    )
    wip: DashboardWipSeriesSet
    pending_approvals: DashboardPendingApprovals


class DashboardQuery(BaseModel):
    """What to look at."""

    range_key: RangeKey = Field(default="24h", description="How far back.")
    board_id: UUID | None = Field(default=None, description="Only this board.")
    group_id: UUID | None = Field(default=None, description="Only the boards of this group.")


@may_answer(403, 404)
async def get_dashboard(call: Call, member: Member, query: DashboardQuery) -> DashboardMetrics:
    """Show how the work goes on the boards of the active organization that the caller reads.

    Points stand for hours (24h), days (3d to 1m), weeks from Monday (3m, 6m) or months (1y), all
    in UTC. The first and the last one are cut off where the window begins and ends.
    """
    seen = await metrics.dashboard(
        call.session,
        member,
        query.range_key,
        now(),
        board_id=query.board_id,
        group_id=query.group_id,
    )
    return DashboardMetrics(
        range=query.range_key,
        generated_at=seen.generated_at,
        kpis=DashboardKpis.model_validate(seen.kpis),
        throughput=DashboardSeriesSet.model_validate(seen.throughput),
        cycle_time=DashboardSeriesSet.model_validate(seen.cycle_time),
        error_rate=DashboardSeriesSet.model_validate(seen.error_rate),
        wip=DashboardWipSeriesSet.model_validate(seen.wip),
        pending_approvals=DashboardPendingApprovals(
            total=seen.pending,
            items=[DashboardPendingApproval.model_validate(one) for one in seen.pending_newest],
        ),
    )

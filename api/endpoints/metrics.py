"""Metrics of the dashboard."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.endpoints.approvals import PendingCount
from api.framework.dependencies import active_membership
from api.framework.fields import ResponseModel, Timestamp
from api.framework.operation import USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.clock import now
from core.json_responses import Encoded, json_time
from models import Member
from services import metrics

RangeKey = Literal["24h", "3d", "7d", "14d", "1m", "3m", "6m", "1y"]


class DashboardSeriesPoint(ResponseModel):
    """A value, and the start of its hour, day, week or month."""

    period: Timestamp
    value: float


class DashboardWipPoint(ResponseModel):
    """The number of tasks in each status at the end of a period."""

    period: Timestamp
    inbox: int
    in_progress: int
    review: int
    done: int


class DashboardRangeSeries(ResponseModel):
    """Values in order of time, 0 where nothing happened."""

    range: RangeKey
    bucket: metrics.Bucket
    points: list[DashboardSeriesPoint]


class DashboardWipRangeSeries(ResponseModel):
    """Work in progress, in order of time."""

    range: RangeKey
    bucket: metrics.Bucket
    points: list[DashboardWipPoint]


class DashboardSeriesSet(ResponseModel):
    """The current window and the previous one. The windows do not overlap."""

    primary: DashboardRangeSeries
    comparison: DashboardRangeSeries


class DashboardWipSeriesSet(ResponseModel):
    """The current window and the previous one."""

    primary: DashboardWipRangeSeries
    comparison: DashboardWipRangeSeries


class DashboardKpis(ResponseModel):
    """Current key figures."""

    active_agents: int = Field(description="Agents that were active within the window.")
    tasks_in_progress: int = Field(description="The same as `in_progress_tasks`.")
    inbox_tasks: int
    in_progress_tasks: int
    review_tasks: int
    done_tasks: int
    error_rate_pct: float = Field(description="The `error_rate` of the whole window.")
    median_cycle_time_hours_7d: float | None = Field(
        description="For tasks done in the last seven days, regardless of the range; null if none."
    )


class DashboardPendingApproval(ResponseModel):
    """A pending approval."""

    approval_id: UUID
    board_id: UUID
    board_name: str
    action_type: str
    confidence: float
    created_at: Timestamp
    task_title: str | None


class DashboardPendingApprovals(ResponseModel):
    """The pending approvals."""

    total: PendingCount
    items: list[DashboardPendingApproval] = Field(description="The ten newest.")


class DashboardMetrics(ResponseModel):
    """Metrics of the boards that the user may read."""

    range: RangeKey
    generated_at: Timestamp
    kpis: DashboardKpis
    throughput: DashboardSeriesSet = Field(
        description="Tasks that became done in each period and are still done."
    )
    cycle_time: DashboardSeriesSet = Field(
        description="Mean number of hours from the first start of these tasks until done."
    )
    error_rate: DashboardSeriesSet = Field(
        description="Percentage of completed messages to agents that failed."
    )
    wip: DashboardWipSeriesSet
    pending_approvals: DashboardPendingApprovals


class DashboardQuery(BaseModel):
    """The window and the boards."""

    range_key: RangeKey = Field(default="24h", description="The length of the window.")
    board_id: UUID | None = Field(default=None, description="Only this board.")
    group_id: UUID | None = Field(default=None, description="Only the boards of this group.")


@reads_only
@error_responses(403, 404)
async def get_dashboard(
    context: RequestContext, member: Member, query: DashboardQuery
) -> Encoded[DashboardMetrics]:
    """Return metrics of the boards in the active organization that the user may read.

    A point covers an hour (24h), a day (3d to 1m), a week from Monday (3m, 6m) or a month (1y), in
    UTC. The first and the last period are cut at the start and the end of the window.
    """
    dashboard = await metrics.load_dashboard(
        context.source,
        member,
        query.range_key,
        now(),
        board_id=query.board_id,
        group_id=query.group_id,
    )
    points = [*dashboard.wip.primary.points, *dashboard.wip.comparison.points]
    times = {point.period: json_time(point.period) for point in points}

    def build_comparison(series: metrics.SeriesComparison[Any]) -> dict[str, Any]:
        return {
            name: {
                "range": one.range,
                "bucket": one.bucket,
                "points": [vars(point) | {"period": times[point.period]} for point in one.points],
            }
            for name, one in (("primary", series.primary), ("comparison", series.comparison))
        }

    fields = {
        "range": dashboard.range,
        "generated_at": json_time(dashboard.generated_at),
        "kpis": vars(dashboard.kpis),
        "throughput": build_comparison(dashboard.throughput),
        "cycle_time": build_comparison(dashboard.cycle_time),
        "error_rate": build_comparison(dashboard.error_rate),
        "wip": build_comparison(dashboard.wip),
        "pending_approvals": {
            "total": dashboard.pending,
            "items": list(map(_build_pending_fields, dashboard.pending_newest)),
        },
    }
    return Encoded(fields)


def _build_pending_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a pending approval. PostgreSQL has encoded its values as JSON."""
    return {name: row[name] for name in DashboardPendingApproval.model_fields} | {
        "confidence": float(row["confidence"]),
        "created_at": json_time(datetime.fromisoformat(row["created_at"])),
    }


OPERATIONS = [
    Operation("GET", "/metrics/dashboard", get_dashboard, USER, ["metrics"], active_membership),
]

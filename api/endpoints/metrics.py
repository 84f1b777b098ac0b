"""Metrics of the dashboard (contract, people-and-boards 3.13)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar
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

Point = TypeVar("Point")

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
    return Encoded(_build_dashboard_fields(dashboard))


def _build_dashboard_fields(dashboard: metrics.Dashboard) -> dict[str, Any]:
    """Return the fields of a DashboardMetrics, in the order of the model."""
    wip = dashboard.wip
    points = [*wip.primary.points, *wip.comparison.points]
    times = {point.period: json_time(point.period) for point in points}

    def build_value(point: metrics.ValuePoint) -> dict[str, Any]:
        return {"period": times[point.period], "value": point.value}

    def build_wip(point: metrics.WipPoint) -> dict[str, Any]:
        return {
            "period": times[point.period],
            "inbox": point.inbox,
            "in_progress": point.in_progress,
            "review": point.review,
            "done": point.done,
        }

    return {
        "range": dashboard.range,
        "generated_at": json_time(dashboard.generated_at),
        "kpis": _build_kpi_fields(dashboard.kpis),
        "throughput": _build_comparison_fields(dashboard.throughput, build_value),
        "cycle_time": _build_comparison_fields(dashboard.cycle_time, build_value),
        "error_rate": _build_comparison_fields(dashboard.error_rate, build_value),
        "wip": _build_comparison_fields(wip, build_wip),
        "pending_approvals": {
            "total": dashboard.pending,
            "items": list(map(_build_pending_fields, dashboard.pending_newest)),
        },
    }


def _build_comparison_fields(
    compared: metrics.SeriesComparison[Point], build: Callable[[Point], dict[str, Any]]
) -> dict[str, Any]:
    return {
        name: {"range": one.range, "bucket": one.bucket, "points": list(map(build, one.points))}
        for name, one in (("primary", compared.primary), ("comparison", compared.comparison))
    }


def _build_kpi_fields(kpis: metrics.Kpis) -> dict[str, Any]:
    return {
        "active_agents": kpis.active_agents,
        "tasks_in_progress": kpis.tasks_in_progress,
        "inbox_tasks": kpis.inbox_tasks,
        "in_progress_tasks": kpis.in_progress_tasks,
        "review_tasks": kpis.review_tasks,
        "done_tasks": kpis.done_tasks,
        "error_rate_pct": kpis.error_rate_pct,
        "median_cycle_time_hours_7d": kpis.median_cycle_time_hours_7d,
    }


def _build_pending_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a pending approval. PostgreSQL has encoded its values as JSON."""
    return {
        "approval_id": row["approval_id"],
        "board_id": row["board_id"],
        "board_name": row["board_name"],
        "action_type": row["action_type"],
        "confidence": float(row["confidence"]),
        "created_at": json_time(datetime.fromisoformat(row["created_at"])),
        "task_title": row["task_title"],
    }


OPERATIONS = [
    Operation("GET", "/metrics/dashboard", get_dashboard, USER, ["metrics"], active_membership),
]

"""Example objects for the page of all components. They are in no database."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core.clock import now
from models import Agent, AgentStatus, Board, Task
from services.agents import AgentCard, AgentState, StatusEvidence, StatusSource
from services.metrics import Bucket, SeriesComparison, TimeSeries, ValuePoint, WipPoint
from services.tasks import TagRef
from web.dashboard import charts
from web.dashboard.charts import KeyMetric, KeyMetrics, build_bar_chart, build_work_chart

BOARD_ID = UUID(int=1)
INTERVAL = timedelta(minutes=10)
TAGS = [
    TagRef(UUID(int=20), "release", "release", "0f766e"),
    TagRef(UUID(int=21), "docs", "docs", "b45309"),
]
DONE_PER_DAY = (3, 5, 2, 8, 6, 9, 4)
DONE_BEFORE = (2, 3, 4, 3, 5, 4, 6)


def minutes_ago(minutes: float) -> datetime:
    """Return the moment that is so many minutes before now."""
    return now() - timedelta(minutes=minutes)


def days_ago(days: float) -> datetime:
    """Return the moment that is so many days before now."""
    return now() - timedelta(days=days)


def build_board() -> Board:
    """Build the board that the examples belong to."""
    return Board(
        id=BOARD_ID,
        organization_id=UUID(int=2),
        name="Release operations",
        slug="release",
        require_approval_for_done=True,
        require_review_before_done=False,
        version=1,
    )


def build_agent(number: int, name: str, emoji: str, **fields: Any) -> Agent:
    """Build an agent of the board."""
    defaults = {
        "status": AgentStatus.ONLINE,
        "last_seen_at": now(),
        "is_board_lead": False,
        "is_linked": False,
    }
    profile = {"role": "Release engineer", "emoji": emoji}
    return Agent(
        id=UUID(int=number),
        organization_id=UUID(int=2),
        board_id=BOARD_ID,
        name=name,
        identity_profile=profile,
        **(defaults | fields),
    )


def build_agent_cards() -> list[AgentCard]:
    """Build agents: one is held, one could not be set up, and the last one has never called."""
    values = {"limit": "10 minutes", "count": 12, "sender": "Juniper"}
    hold = {"cause": "loop", "values": values}
    failure = {"step": "check_in", "code": "no_check_in"}
    rows = [
        (AgentState.WORKING, 1, build_agent(10, "Juniper", "rocket")),
        (AgentState.IDLE, 4, build_agent(11, "Wren", "dart", is_board_lead=True)),
        (AgentState.LATE, 14, build_agent(12, "Pike", "wrench", held_at=now(), hold=hold)),
        (AgentState.OFFLINE, 190, build_agent(13, "Knot", "mailbox", is_linked=True)),
        (AgentState.PROVISIONING, None, build_agent(14, "Plover", "mag")),
        (
            AgentState.AWAY,
            6,
            build_agent(15, "Lark", "megaphone", provision_failure=failure, wake_attempts=3),
        ),
        (AgentState.OFFLINE, None, build_agent(16, "Lapwing", "bulb")),
    ]
    return [_build_agent_card(*row) for row in rows]


def _build_agent_card(state: AgentState, minutes: int | None, agent: Agent) -> AgentCard:
    agent.last_seen_at = None if minutes is None else minutes_ago(minutes)
    silent_for = None if minutes is None else timedelta(minutes=minutes)
    is_working = state is AgentState.WORKING
    task = Task(id=UUID(int=30), board_id=BOARD_ID, title="Cut the release candidate")
    return AgentCard(
        agent,
        "Release operations",
        task if is_working else None,
        None,
        timedelta(minutes=6) if state is AgentState.AWAY else None,
        state,
        INTERVAL,
        silent_for,
        StatusEvidence(StatusSource.CALL, agent.last_seen_at),
        silent_for,
        uncalled_for=timedelta(hours=2) if state is AgentState.OFFLINE and not minutes else None,
    )


def build_key_metrics() -> KeyMetrics:
    """Build the figures and charts of a week."""
    days = [now() - timedelta(days=6 - number) for number in range(7)]
    done, before = (
        TimeSeries(
            "7d", Bucket.DAY, [ValuePoint(day, n) for day, n in zip(days, values, strict=True)]
        )
        for values in (DONE_PER_DAY, DONE_BEFORE)
    )
    work = TimeSeries(
        "7d",
        Bucket.DAY,
        [WipPoint(day, 6 - n % 3, 3 + n % 2, 1 + n, 9) for n, day in enumerate(days)],
    )
    series = SeriesComparison(done, before)
    spark = charts.build_spark_line(DONE_PER_DAY)
    return KeyMetrics(
        in_progress=KeyMetric(4, 3, spark),
        done=KeyMetric(sum(DONE_PER_DAY), sum(DONE_BEFORE), spark),
        cycle_hours=KeyMetric(5.2, 6.1, spark),
        error_rate=KeyMetric(None, None, None),
        median_hours=4.5,
        active_agents=3,
        done_per_day=sum(DONE_PER_DAY) / 7,
        throughput=build_bar_chart(series),
        cycle_time=build_bar_chart(series),
        work=build_work_chart(SeriesComparison(work, work)),
    )

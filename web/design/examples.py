"""Example objects for the page of all components. They are in no database."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from markupsafe import Markup

from core.clock import now
from core.paging import Page
from models import Agent, AgentStatus, Board, Comment, Event, EventType, Note, Status, Task
from services.agents import AgentCard, AgentState, StatusEvidence, StatusSource
from services.approvals import ApprovalDetail
from services.memory import NoteDetail
from services.metrics import Bucket, SeriesComparison, TimeSeries, ValuePoint, WipPoint
from services.tasks import Assignee, CardTask, HistoryEntry, LinkRef, TagRef, TaskRef
from web.boards.address import BoardAddress
from web.boards.card_cache import CardRenderer
from web.boards.cards import RejectedMove, TaskCard
from web.dashboard import charts
from web.dashboard.figures import Figure, Figures, build_bar_chart, build_work_chart
from web.tasks.history import HistoryLine

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
    """Build an agent in each state, one that is held, and one that could not be set up."""
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
    )


def _build_task(number: int, title: str, **fields: Any) -> CardTask:
    defaults: dict[str, Any] = {
        "id": UUID(int=number),
        "board_id": BOARD_ID,
        "title": title,
        "status": Status.IN_PROGRESS,
        "priority": "medium",
        "version": 1,
        "due_at": None,
        "in_progress_at": None,
        "created_at": now(),
        "updated_at": now(),
        "stale_since": None,
        "assignee": None,
        "blocked_by": (),
        "tags": (),
        "links": (),
        "comments_count": 0,
    }
    return CardTask(**(defaults | fields))


def render_cards(
    agent_cards: Sequence[AgentCard], pending: ApprovalDetail, address: BoardAddress
) -> Markup:
    """Render a card in each state, as the board does."""
    first, _, late, *_ = agent_cards
    juniper = _build_assignee(first)
    waiting = _build_task(39, "Needs a decision", status=Status.REVIEW, assignee=juniper, tags=TAGS)
    for_others = _build_task(40, "Waits for the approval of others", status=Status.REVIEW)
    cards = [
        TaskCard(task, (), card, RejectedMove(task.id, task.version, code) if code else None)
        for task, card, code in _build_tasks(first, late)
    ]
    renderer = CardRenderer(
        address.query,
        can_write=True,
        decidable_ids={pending.approval.id},
        unread_task_ids={UUID(int=32)},
        context={"board": build_board(), "address": address},
    )
    read_only = CardRenderer("", can_write=False, decidable_ids=(), unread_task_ids=())
    return renderer.render(*cards, TaskCard(waiting, [pending], first, None)) + read_only.render(
        TaskCard(for_others, [pending], None, None)
    )


def _build_tasks(first: AgentCard, late: AgentCard) -> list[tuple[CardTask, AgentCard | None, str]]:
    """Build tasks without approvals, each with its agent and the code of a rejected move."""
    juniper, pike = _build_assignee(first), _build_assignee(late)
    blocker = TaskRef(UUID(int=30), "Cut the release candidate", Status.IN_PROGRESS)
    working: dict[str, Any] = {"in_progress_at": minutes_ago(2), "due_at": now(), "tags": TAGS}
    overdue: dict[str, Any] = {"due_at": now() - timedelta(days=2), "priority": "high"}
    blocked = "task_blocked_cannot_transition"
    return [
        (_build_task(31, "In progress", assignee=juniper, comments_count=6, **working), first, ""),
        (_build_task(32, "Unread comments", status=Status.INBOX, comments_count=2), None, ""),
        (_build_task(33, "Overdue", assignee=pike, **overdue), late, ""),
        (_build_task(34, "Blocked", status=Status.INBOX, blocked_by=[blocker]), None, ""),
        (_build_task(35, "Done", status=Status.DONE, assignee=juniper), first, ""),
        (_build_task(36, "Rejected move", assignee=juniper), first, "approval_required"),
        (_build_task(37, "Rejected move of a blocked task", blocked_by=[blocker]), None, blocked),
        (_build_task(41, "Pull request with failing checks", links=_build_links()), None, ""),
        (_build_task(42, "No activity", assignee=juniper, stale_since=now()), first, ""),
        (_build_task(38, "Move with a missing comment", priority="low"), None, "comment_required"),
    ]


def _build_links() -> list[LinkRef]:
    url = "https://github.com/acme/app/pull/12"
    return [
        LinkRef("change", "#12", "Show the page", url, "open", "failing"),
        LinkRef("change", "#9", "Cut the release", url, "merged", None),
    ]


def _build_assignee(card: AgentCard) -> Assignee:
    return Assignee(card.agent.id, card.agent.name, (card.agent.identity_profile or {})["emoji"])


def build_chat(user_id: UUID, agent: Agent) -> Page[NoteDetail]:
    """Build a chat with messages of an agent and of the viewer, and a command."""
    texts = [
        ("The candidate is built. Checksums are attached.", agent),
        ("Thank you. Please test the upgrade from **2.3** as well.", None),
        ("/pause", None),
        ("Paused after the current step.", agent),
    ]
    notes = [
        NoteDetail(
            Note(
                id=UUID(int=50 + number),
                content=text,
                is_chat=True,
                agent_id=author.id if author else None,
                user_id=None if author else user_id,
                version=1,
                created_at=minutes_ago(40 - 10 * number),
            ),
            author,
            None,
        )
        for number, (text, author) in enumerate(texts)
    ]
    return Page(notes, len(notes), limit=50, offset=0)


def build_history(agent: Agent) -> list[HistoryLine]:
    """Build a comment and an event of a task."""
    comment = Comment(id=UUID(int=60), message="Tag and packages are **ready**.")
    said = HistoryEntry(minutes_ago(12), agent.name, True, agent.id, None, comment)
    event = Event(id=UUID(int=61), type=EventType.TASK_STATUS_CHANGED)
    moved = HistoryEntry(minutes_ago(5), agent.name, True, agent.id, None, event=event)
    text = Markup("<b>Juniper</b> moved this task to Review.")
    return [HistoryLine(said), HistoryLine(moved, text, Status.REVIEW.value)]


def build_figures() -> Figures:
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
    return Figures(
        in_progress=Figure(4, 3, spark),
        done=Figure(sum(DONE_PER_DAY), sum(DONE_BEFORE), spark),
        cycle_hours=Figure(5.2, 6.1, spark),
        error_rate=Figure(None, None, None),
        median_hours=4.5,
        active_agents=3,
        done_per_day=sum(DONE_PER_DAY) / 7,
        throughput=build_bar_chart(series),
        cycle_time=build_bar_chart(series),
        work=build_work_chart(SeriesComparison(work, work)),
    )

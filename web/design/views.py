"""The page of all components in every state, for developers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.clock import now
from core.http.request import get_settings
from core.paging import Page
from models import (
    Agent,
    AgentStatus,
    Approval,
    ApprovalStatus,
    Board,
    Comment,
    Event,
    EventType,
    Member,
    Note,
    PolicyEffect,
    PolicyVerdict,
    Status,
    Task,
    User,
)
from services.activity import ActivityEntry
from services.agents import AgentCard, AgentState, StatusEvidence, StatusSource
from services.approvals import ApprovalDetail, LinkedTask, UndecidedApproval
from services.boards import BoardPerson, RelatedBoard
from services.memory import NoteDetail
from services.metrics import Bucket, SeriesComparison, TimeSeries, ValuePoint, WipPoint
from services.tasks import (
    Assignee,
    CardTask,
    HistoryEntry,
    HistoryPage,
    HistorySelection,
    LinkRef,
    TagRef,
    TaskDetail,
    TaskRef,
)
from web.activity.presenter import ActivityLine, build_activity_line
from web.agents.presenter import describe_evidence
from web.approvals.payload import parse_payload
from web.approvals.presenter import ApprovalView, DecisionRights
from web.boards.card_cache import CardRenderer
from web.boards.cards import CardColumn, RejectedMove, TaskCard, build_groups
from web.boards.query_parameters import LIST_COLUMNS, LIST_ORDER, BoardAddress
from web.dashboard import charts
from web.dashboard.charts import (
    KeyMetric,
    KeyMetrics,
    build_bar_chart,
    build_work_chart,
    format_value,
)
from web.dashboard.views import DashboardQuery
from web.saved_views.presenter import COLUMN_NAMES
from web.tasks.conversation import ConversationAddress, UnreadComments
from web.tasks.history import build_history_lines
from web.ui.forms import Form
from web.ui.layout import load_layout
from web.ui.list_addresses import TableOrder
from web.ui.markdown import render_markdown
from web.ui.render import ERROR_TEMPLATES, environment, render_page
from web.ui.translation import translate
from web.ui.unified_diff import parse_diff

BOARD_ID = UUID(int=1)
INTERVAL = timedelta(minutes=10)
TAGS = [
    TagRef(UUID(int=20), "release", "release", "0f766e"),
    TagRef(UUID(int=21), "docs", "docs", "b45309"),
]
DONE_PER_DAY = (3, 5, 2, 8, 6, 9, 4)
DONE_BEFORE = (2, 3, 4, 3, 5, 4, 6)

DIFF = """--- a/CHANGELOG.md
+++ b/CHANGELOG.md
@@ -1,4 +1,5 @@
 # Changes
-## 2.4 (unreleased)
+## 2.4
+Webhooks of version 1 stop on 1 March.
 ## 2.3
"""

ALL_DECISIONS = (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED)

MAY_DECIDE = DecisionRights(
    can_write=True,
    can_approve=True,
    allowed=ALL_DECISIONS,
    is_first_approver=False,
    has_approved=False,
)

READ_ONLY = DecisionRights(
    can_write=False,
    can_approve=False,
    allowed=ALL_DECISIONS,
    is_first_approver=False,
    has_approved=False,
)

BLOCKER = TaskRef(UUID(int=30), "Cut the release candidate", Status.IN_PROGRESS)
CHANGE_URL = "https://github.com/acme/app/pull/12"

LINKS = (
    LinkRef("change", "#12", "Show the page", CHANGE_URL, "open", "failing"),
    LinkRef("change", "#9", "Cut the release", CHANGE_URL, "merged", None),
)

UNREAD_ID = UUID(int=32)
OPEN_COUNTS = {Status.INBOX: 2, Status.IN_PROGRESS: 1, Status.REVIEW: 0}

STATES_OF_SCRIPTS = (
    ("Open beside the board", " data-item", ' data-item aria-current="true"'),
    ("Selected for a change", " data-pick", " data-pick checked"),
    ("Being dragged", 'class="card"', 'class="card sortable-ghost" inert'),
    ("Being saved", " data-item", " data-item data-saving"),
    ("Just changed", " data-item", " data-item data-fresh"),
)
"""States of a card that only scripts set: title, and what replaces what in the markup."""

TASK_ID = UUID(int=90)
FIRST_NEW_COMMENT = UUID(int=93)

ERRORS = {
    403: "You can read this board but not change it.",
    404: "Page not found, or no access.",
    500: "Something went wrong on the server.",
    503: "The database does not answer.",
}

COLOURS = (
    *("canvas", "lane", "surface", "card", "raised", "line", "line-2", "edge"),
    *("ink", "ink-2", "ink-3", "accent", "accent-solid", "accent-wash", "accent-line"),
    *("signal", "signal-text", "signal-wash", "signal-line"),
    *("danger", "danger-solid", "danger-wash", "danger-line"),
    *("good", "good-wash", "good-line", "plum"),
    *("series-1", "series-2", "series-3", "series-4"),
)
"""Roles of colours in static/app.css."""


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


@dataclass(frozen=True)
class ShownApproval:
    """An approval and the form that decides it."""

    view: ApprovalView
    form: Form


def build_approvals(agent: Agent, user: User) -> list[ShownApproval]:
    """Build an approval in each state; the first one waits for the viewer."""
    two = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two people for a release")
    devi = User(id=UUID(int=4), name="Devi Rao", email="devi@example.com")
    conflict = Form()
    conflict.problem = "Devi Rao has rejected this already."
    decided: dict[str, Any] = {"status": ApprovalStatus.APPROVED, "resolved_at": minutes_ago(180)}
    rejected: dict[str, Any] = decided | {
        "status": ApprovalStatus.REJECTED,
        "decided_by_user_id": devi.id,
    }
    undoable: dict[str, Any] = {"decided_status": ApprovalStatus.REJECTED, "decided_at": now()}
    scores = {"Completeness": 92, "Risk": 64}
    changes = {"changes": {"canary": {"from": "5 %", "to": "25 %"}}, "region": "eu-west"}
    return [
        _build_approval(70, "notes.publish", agent, payload={"diff": DIFF}, rubric_scores=scores),
        _build_approval(
            71,
            "canary.raise",
            agent,
            payload=changes,
            policy_verdict=two,
            confidence=74.0,
            expires_at=now(),
        ),
        _build_approval(72, "key.revoke", agent, rights=READ_ONLY, confidence=0.9),
        _build_approval(73, "build.deploy", agent, devi, form=conflict, **rejected),
        _build_approval(74, "notice.send", agent, user, **undoable, decided_by_user_id=user.id),
        _build_approval(76, "matrix.merge", agent, devi, **decided, decided_by_user_id=devi.id),
        _build_approval(
            75, "cache.clear", agent, **decided, is_decided_by_policy=True, policy_verdict=two
        ),
    ]


def _build_approval(
    number: int,
    kind: str,
    agent: Agent,
    decider: User | None = None,
    *,
    rights: DecisionRights = MAY_DECIDE,
    form: Form | None = None,
    payload: dict[str, Any] | None = None,
    **fields: Any,
) -> ShownApproval:
    defaults: dict[str, Any] = {
        "confidence": 92.0,
        "status": ApprovalStatus.PENDING,
        "policy_verdict": PolicyVerdict(),
        "created_at": minutes_ago(12),
    }
    approval = Approval(
        id=UUID(int=number),
        board_id=BOARD_ID,
        task_id=UUID(int=39),
        agent_id=agent.id,
        action_type=kind,
        payload={"reason": "All checks are green, and the notes were read twice."}
        | (payload or {}),
        **(defaults | fields),
    )
    task = LinkedTask(UUID(int=39), "Publish the 2.4 release notes")
    detail = ApprovalDetail(approval, build_board(), agent, decider, None, None, [task])
    return ShownApproval(ApprovalView(detail, parse_payload(detail), [], rights), form or Form())


class BoardExamples:
    """Builds cards in all states, the columns of a board and the rows of a list."""

    def __init__(self, agent_cards: Sequence[AgentCard], pending: UndecidedApproval) -> None:
        self._working, self._idle, self._late = agent_cards[:3]
        self._uncalled = agent_cards[-1]
        self._pending = pending
        self._renderer = CardRenderer(
            BoardAddress().query,
            can_write=True,
            decidable_ids={pending.id},
            unread_task_ids={UNREAD_ID},
            context={"board": build_board(), "address": BoardAddress()},
        )

    def render_cards(self) -> Markup:
        """Render a card in each state, as the board does."""
        read_only = CardRenderer("", can_write=False, decidable_ids=(), unread_task_ids=())
        for_others = _build_task(40, "Waits for the approval of others", status=Status.REVIEW)
        return (
            self._renderer.render(*self._build_cards())
            + read_only.render(TaskCard(for_others, [self._pending], None, None))
            + Markup().join(self._render_states_of_scripts())
        )

    def _render_states_of_scripts(self) -> list[Markup]:
        rendered = []
        for number, (title, old, new) in enumerate(STATES_OF_SCRIPTS):
            card = TaskCard(_build_task(80 + number, title), (), None, None)
            html = str(self._renderer.render(card)).replace(old, new, 1)
            rendered.append(Markup(html))  # noqa: S704 (rendered by a template)
        return rendered

    def _build_cards(self) -> list[TaskCard]:
        juniper, pike = _build_assignee(self._working), _build_assignee(self._late)
        lark = _build_assignee(self._uncalled)
        mara = Assignee(UUID(int=3), "Mara Okafor", None, is_person=True)
        working: dict[str, Any] = {"in_progress_at": minutes_ago(2), "due_at": now(), "tags": TAGS}
        overdue: dict[str, Any] = {"due_at": days_ago(2), "priority": "high"}
        blocked, inbox = "task_blocked_cannot_transition", Status.INBOX
        return [
            self._build_card(31, "At rest", juniper, comments_count=6, **working),
            self._build_card(32, "Unread comments", status=inbox, comments_count=2),
            self._build_card(33, "Overdue", pike, **overdue),
            self._build_card(34, "Blocked", status=inbox, blocked_by=[BLOCKER]),
            self._build_card(35, "Done", juniper, status=Status.DONE),
            self._build_card(36, "Rejected move", juniper, code="approval_required"),
            self._build_card(37, "Rejected, blocked", blocked_by=[BLOCKER], code=blocked),
            self._build_card(38, "Rejected, without a comment", mara, code="comment_required"),
            self._build_card(41, "Pull request with failing checks", links=LINKS),
            self._build_card(42, "No activity", juniper, stale_since=now()),
            self._build_card(43, "Agent that never called", lark, priority="low"),
            self._build_pending_card(39, "Needs a decision"),
        ]

    def _build_card(
        self,
        number: int,
        title: str,
        assignee: Assignee | None = None,
        code: str = "",
        **fields: Any,
    ) -> TaskCard:
        task = _build_task(number, title, assignee=assignee, **fields)
        move = RejectedMove(task.id, task.version, code) if code else None
        cards = {card.agent.id: card for card in (self._working, self._late, self._uncalled)}
        return TaskCard(task, (), cards.get(assignee.id) if assignee else None, move)

    def _build_pending_card(self, number: int, title: str) -> TaskCard:
        juniper = _build_assignee(self._working)
        task = _build_task(number, title, status=Status.REVIEW, assignee=juniper, tags=TAGS)
        return TaskCard(task, [self._pending], self._working, None)

    def build_column_context(self) -> dict[str, Any]:
        """Return what the template of columns needs: one is empty, one has parts, one is folded."""
        return {
            "board": build_board(),
            "address": BoardAddress(),
            "can_write": True,
            "columns": self._build_columns(),
            "phone_column": Status.REVIEW,
            "card_renderer": self._renderer,
        }

    def _build_columns(self) -> list[CardColumn]:
        wren, review = _build_assignee(self._idle), Status.REVIEW
        working = self._build_card(51, "Build the candidate", wren, in_progress_at=minutes_ago(9))
        in_review = [
            self._build_pending_card(52, "Publish the notes"),
            self._build_card(53, "Test the upgrade", status=review),
            self._build_card(54, "Announce it", status=review, blocked_by=[BLOCKER]),
        ]
        return [
            CardColumn(Status.INBOX, 0, (), has_lead=True),
            CardColumn(Status.IN_PROGRESS, 1, [working], has_lead=True),
            CardColumn(review, len(in_review), in_review, has_lead=True),
            CardColumn(Status.DONE, 158, (), has_lead=True),
        ]

    def build_list_context(self) -> dict[str, Any]:
        """Return what the template of the list needs."""
        later = self._build_card(61, "Update the guide", status=Status.INBOX, due_at=days_ago(-4))
        first = self._build_card(62, "Sign the packages", status=Status.REVIEW, tags=TAGS)
        columns = [
            CardColumn(Status.INBOX, 1, [later], has_lead=True),
            CardColumn(Status.REVIEW, 1, [first], has_lead=True),
        ]
        shown = [one for one in LIST_ORDER if one in (Status.INBOX, Status.REVIEW)]
        return {
            "board": build_board(),
            "address": BoardAddress(view="list"),
            "can_write": True,
            "groups": build_groups(columns, shown),
            "related_boards": [RelatedBoard(UUID(int=70), "Marketing", "Launch", OPEN_COUNTS)],
            "descriptions": {},
            "list_columns": [(name, translate(COLUMN_NAMES[name])) for name in LIST_COLUMNS],
            "card_renderer": self._renderer,
        }


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


def _build_assignee(card: AgentCard) -> Assignee:
    return Assignee(card.agent.id, card.agent.name, (card.agent.identity_profile or {})["emoji"])


def build_task_context(agent: Agent, user_id: UUID) -> dict[str, Any]:
    """Return what the properties of a task and its conversation need."""
    task = Task(
        id=TASK_ID,
        board_id=BOARD_ID,
        title="Publish the 2.4 release notes",
        status=Status.REVIEW,
        priority="high",
        due_at=days_ago(-1),
        assigned_agent_id=agent.id,
        version=1,
    )
    form = Form({"status": [Status.DONE.value]})
    form.problem = "The task needs an approval before it can be done."
    form.code = "approval_required"
    return {
        "task": task,
        "detail": _build_detail(task, agent),
        "form": form,
        "open_approvals": [],
        "task_fields": [],
        "due_date_field": "",
        "assignees": [agent],
        "people": [],
        "tag_choices": TAGS,
        "workers": [],
        "watchers": [BoardPerson(user_id, "Mara Okafor", can_write=True)],
        "reader_id": user_id,
        "is_lead_missing": False,
        "board_address": BoardAddress(),
        **_build_conversation(agent),
    }


def _build_detail(task: Task, agent: Agent) -> TaskDetail:
    depends_on = [TaskRef(UUID(int=30), "Cut the release candidate", Status.DONE)]
    return TaskDetail(task, agent, None, depends_on, [], TAGS, 0, 0, 2, {})


def _build_conversation(agent: Agent) -> dict[str, Any]:
    """Build two comments and two events, of which the second half is new."""
    entries = [
        _build_event(91, minutes_ago(60), agent, EventType.TASK_CREATED),
        _build_comment(92, minutes_ago(12), agent, "Tag and packages are **ready**."),
        _build_comment(FIRST_NEW_COMMENT.int, minutes_ago(7), None, "Thanks. @Juniper, go on."),
        _build_event(
            94, minutes_ago(5), agent, EventType.TASK_STATUS_CHANGED, entered=Status.REVIEW.value
        ),
    ]
    page = HistoryPage(entries, has_earlier=True)
    return {
        "entries": build_history_lines(entries, [agent]),
        "conversation": ConversationAddress("", HistorySelection(), page),
        "unread_comments": UnreadComments(f"c-{FIRST_NEW_COMMENT}", "", True, 0, False),
    }


def _build_comment(number: int, at: datetime, agent: Agent | None, text: str) -> HistoryEntry:
    comment = Comment(id=UUID(int=number), message=text)
    name, id = (agent.name, agent.id) if agent else ("Mara Okafor", None)
    return HistoryEntry(at, name, agent is not None, id, None, comment)


def _build_event(
    number: int, at: datetime, agent: Agent, type: EventType, **data: Any
) -> HistoryEntry:
    event = Event(id=UUID(int=number), type=type, data=data)
    return HistoryEntry(at, agent.name, True, agent.id, None, event=event)


def build_talk_context(agent: Agent, member: Member) -> dict[str, Any]:
    """Return what a chat and its form after an error need."""
    form = Form({"content": [""]})
    form.errors["content"] = "Write a message."
    chat = _build_chat(agent, member.user_id)
    return {
        "chat_messages": chat.items,
        "notes": chat,
        "rejected_message": form,
    }


def _build_chat(agent: Agent, user_id: UUID) -> Page[NoteDetail]:
    """Build a chat with messages of an agent, of the viewer and of another user, and a command."""
    devi = User(id=UUID(int=4), name="Devi Rao")
    viewer = User(id=user_id, name="Mara Okafor")
    texts: list[tuple[str, Agent | User]] = [
        ("The candidate is built. Checksums are attached.", agent),
        ("Thank you. Please test the upgrade from **2.3** as well.", viewer),
        ("I test it on Windows.", devi),
        ("/pause", viewer),
        ("Paused after the current step.", agent),
    ]
    notes = [_build_message(number, *row) for number, row in enumerate(texts)]
    return Page(notes, len(notes), limit=50, offset=0)


def _build_message(number: int, text: str, author: Agent | User) -> NoteDetail:
    agent, user = (author, None) if isinstance(author, Agent) else (None, author)
    note = Note(
        id=UUID(int=50 + number),
        content=text,
        is_chat=True,
        agent_id=agent.id if agent else None,
        user_id=user.id if user else None,
        version=1,
        created_at=minutes_ago(50 - 10 * number),
    )
    return NoteDetail(note, agent, user)


def build_feed(agent: Agent, member: Member) -> list[ActivityLine]:
    """Build rows of an agent, of the viewer and of the system; one has a body."""
    title: dict[str, Any] = {"title": "Publish the 2.4 release notes"}
    moved = title | {"entered": Status.REVIEW.value}
    question: dict[str, Any] = {"question": "Publish the 2.4 release notes?", "confidence": 92}
    rows: list[tuple[EventType, dict[str, Any], dict[str, Any], str | None]] = [
        (EventType.TASK_STATUS_CHANGED, moved, {"agent_id": agent.id}, None),
        (EventType.APPROVAL_REQUESTED, question, {"agent_id": agent.id}, None),
        (EventType.TASK_COMMENT, title, {"agent_id": agent.id}, "All checks are **green**."),
        (EventType.TASK_CREATED, title, {"user_id": member.user_id}, None),
        (EventType.TASK_STATUS_CHANGED, moved | {"completed_task_id": "30"}, {}, None),
    ]
    lines = []
    for number, (type, data, actor, comment) in enumerate(rows):
        event = Event(
            id=UUID(int=100 + number),
            type=type,
            data=data,
            board_id=BOARD_ID,
            task_id=TASK_ID,
            created_at=minutes_ago(4 * number),
            **actor,
        )
        agent_name = agent.name if "agent_id" in actor else None
        user_name = "Mara Okafor" if "user_id" in actor else None
        entry = ActivityEntry(event, "", "Release operations", agent_name, user_name, comment)
        lines.append(build_activity_line(entry, member))
    return lines


class ExampleTexts(dict[str, Markup]):
    """The HTML of the examples in Markdown, rendered when a template shows one."""

    def __missing__(self, text: str) -> Markup:
        """Render a text."""
        return render_markdown(text).html


async def show_components(request: Request) -> Response:
    """Show all components with examples; only in development."""
    if not get_settings(request).is_development:
        raise HTTPException(404)
    layout = await load_layout(request)
    return render_page(
        request, "design/show.html", layout=layout, live_url=None, **_build_context(request)
    )


def _build_context(request: Request) -> dict[str, Any]:
    """Return the example objects, under the names that the templates of pages use."""
    cards = build_agent_cards()
    lead = cards[1].agent
    shown_approvals = build_approvals(lead, request.user)
    waiting = shown_approvals[0].view.detail
    pending = UndecidedApproval(waiting.approval.id, lead.id, True, waiting.task_ids)
    return {
        "board": build_board(),
        "agent_cards": cards,
        "agent_order": TableOrder("/agents", "board", "board"),
        "agents_by_id": {card.agent.id: card.agent for card in cards},
        "lead": lead,
        "last_calls": [minutes_ago(minutes) for minutes in (2, 9, 14, 47)],
        "statuses": list(Status),
        "colours": COLOURS,
        "today": minutes_ago(0),
        "overdue_day": days_ago(2),
        "bulk_assignees": [("", [(card.agent.id, card.agent.name) for card in cards])],
        "shown_approvals": shown_approvals,
        "figures": {"figures": build_key_metrics(), "waiting_count": 2},
        "address": DashboardQuery(),
        "diff": parse_diff(DIFF, "changes")[0],
        "error_pages": [_render_error_block(code, message) for code, message in ERRORS.items()],
        "describe_evidence": describe_evidence,
        "format_value": format_value,
        "formatted": ExampleTexts(),
        **_render_board(BoardExamples(cards, pending)),
        **build_task_context(cards[0].agent, request.user.id),
        **build_talk_context(cards[0].agent, request.auth.member),
        **_render_feed(cards[0], request.auth.member),
    }


def _render_board(board_examples: BoardExamples) -> dict[str, Markup]:
    """Render cards, columns and the list as the pages of a board do."""
    return {
        "task_cards": board_examples.render_cards(),
        "columns": _render("boards/_columns.html", board_examples.build_column_context()),
        "task_list": _render("boards/_task_table.html", board_examples.build_list_context()),
    }


def _render_feed(card: AgentCard, member: Member) -> dict[str, Any]:
    """Render the rows of the activity; the first one has the mark that a script sets."""
    lines = build_feed(card.agent, member)
    shared = {"cards_by_agent": {card.agent.id: card}, "formatted": ExampleTexts()}
    rows = [_render("activity/_line.html", {"line": line, **shared}) for line in lines]
    rows[0] = Markup(str(rows[0]).replace(" data-v=", " data-fresh data-v=", 1))  # noqa: S704 (a template)
    return {"feed": Markup().join(rows), "feed_target": lines[1].event.id}


def _render(template: str, context: dict[str, Any]) -> Markup:
    return Markup(environment.get_template(template).render(context))  # noqa: S704 (a template)


def _render_error_block(code: int, message: str) -> Markup:
    """Render the content of an error page without the layout around it."""
    template = environment.get_template(ERROR_TEMPLATES.get(code, "errors/error.html"))
    context = template.new_context({"message": message, "code": code, "other_organization": None})
    return Markup("".join(template.blocks["content"](context)))  # noqa: S704 (a template)


ROUTES = [Route("/design", show_components)]

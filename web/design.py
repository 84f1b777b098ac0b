"""The page of all components in every state, for developers.

Each part of the page has a function here that returns the objects that its templates show, under
the names that the templates of other pages use. Nothing is read from the database.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from core.clock import now
from core.http.request import get_settings
from core.paging import KeysetPage, Page, PagePlace
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
    BoardColumn,
    CardTask,
    HistoryEntry,
    HistoryPage,
    HistorySelection,
    LinkRef,
    TagRef,
    TaskCreate,
    TaskDetail,
    TaskRef,
)
from web.activity.presenter import build_activity_line
from web.agents.presenter import describe_evidence
from web.approvals.payload import parse_payload
from web.approvals.presenter import ApprovalView, DecisionRights
from web.boards.cards import CardRenderer, RejectedMove
from web.boards.list_groups import ListGroup
from web.boards.query_parameters import LIST_COLUMNS, BoardAddress
from web.dashboard.charts import (
    KeyMetric,
    KeyMetrics,
    build_bar_chart,
    build_spark_line,
    build_work_chart,
    format_value,
)
from web.dashboard.views import DashboardQuery
from web.pickers import Chosen
from web.saved_views.presenter import COLUMN_NAMES
from web.tasks.conversation import ConversationAddress, UnreadComments
from web.tasks.forms import list_edited_fields
from web.tasks.history import build_history_lines
from web.ui.forms import Form
from web.ui.layout import load_layout
from web.ui.list_addresses import KeysetTable, TableOrder
from web.ui.markdown import render_markdown
from web.ui.object_forms import build_form_fields
from web.ui.render import ERROR_TEMPLATES, environment, render_page
from web.ui.translation import translate
from web.ui.unified_diff import parse_diff

COLOURS = (
    *("canvas", "lane", "surface", "card", "raised", "line", "line-2", "edge"),
    *("ink", "ink-2", "ink-3", "accent", "accent-solid", "accent-wash", "accent-line"),
    *("signal", "signal-text", "signal-wash", "signal-line"),
    *("danger", "danger-solid", "danger-wash", "danger-line"),
    *("good", "good-wash", "good-line", "plum"),
    *("series-1", "series-2", "series-3", "series-4"),
)
"""Roles of colours in static/app.css."""

BOARD = Board(
    id=UUID(int=1),
    organization_id=UUID(int=2),
    name="Release operations",
    slug="release",
    require_approval_for_done=True,
    require_review_before_done=False,
    version=1,
)
NOTES_TITLE = "Publish the 2.4 release notes"
CANDIDATE_TITLE = "Cut the release candidate"
VIEWER_NAME = "Mara Okafor"
DEVI = User(id=UUID(int=4), name="Devi Rao", email="devi@example.com")
TAGS = [
    TagRef(UUID(int=20), "release", "release", "0f766e"),
    TagRef(UUID(int=21), "docs", "docs", "b45309"),
]


async def show_components(request: Request) -> Response:
    """Show all components with examples; only in development."""
    if get_settings(request).app_env != "development":
        raise HTTPException(404)
    layout = await load_layout(request)
    member: Member = request.auth.member
    agent_cards = build_agent_cards()
    working, lead = agent_cards[0], agent_cards[1].agent
    approvals = build_approvals(lead, request.user)
    waiting = approvals[0]["view"].detail
    pending = UndecidedApproval(waiting.approval.id, lead.id, True, waiting.task_ids)
    chat = build_chat(working.agent, member.user_id)
    rejected_message = Form({"content": [""]})
    rejected_message.errors["content"] = "Write a message."
    context: dict[str, Any] = {
        "board": BOARD,
        "address": DashboardQuery(),
        # basics and forms
        "statuses": list(Status),
        "colours": COLOURS,
        "today": now(),
        "overdue_day": ago(days=2),
        # agents
        "agent_cards": agent_cards,
        "agent_table": build_agent_table(agent_cards),
        "agent_pickers": {"board": Chosen(), "gateway": Chosen()},
        "agents_by_id": {card.agent.id: card.agent for card in agent_cards},
        "lead": lead,
        "last_calls": [ago(minutes=minutes) for minutes in (2, 9, 14, 47)],
        "describe_evidence": describe_evidence,
        "bulk_chosen": {"assignee": Chosen(), "add_tag": Chosen(), "remove_tag": Chosen()},
        # boards
        **render_board(agent_cards, pending),
        # requests
        "shown_approvals": approvals,
        "figures": {"figures": build_key_metrics(), "waiting_count": 2},
        "format_value": format_value,
        "diff": parse_diff(DIFF, "changes")[0],
        # tasks
        **build_task_context(working.agent, request.user.id),
        "chat_messages": chat.items,
        "notes": chat,
        "rejected_message": rejected_message,
        **render_feed(working, member),
        "formatted": ExampleTexts(),
        # states
        "error_pages": [render_error_page(code, message) for code, message in ERRORS.items()],
    }
    return render_page(request, "design/show.html", layout=layout, live_url=None, **context)


def ago(**units: float) -> datetime:
    """Return the moment that is so many minutes or days before now."""
    return now() - timedelta(**units)


class ExampleTexts(dict[str, Markup]):
    """The HTML of the examples in Markdown, rendered when a template shows one."""

    def __missing__(self, text: str) -> Markup:
        """Render a text."""
        return render_markdown(text).html


def render(template: str, context: Mapping[str, Any]) -> Markup:
    """Render a part as the pages that use it do."""
    return Markup(environment.get_template(template).render(context))  # noqa: S704 (a template)


# Agents


def build_agent(number: int, name: str, emoji: str, **fields: Any) -> Agent:
    """Build an agent of the board."""
    defaults = {
        "status": AgentStatus.ONLINE,
        "last_seen_at": now(),
        "is_board_lead": False,
        "is_linked": False,
    }
    return Agent(
        id=UUID(int=number),
        organization_id=BOARD.organization_id,
        board_id=BOARD.id,
        name=name,
        identity_profile={"role": "Release engineer", "emoji": emoji},
        **(defaults | fields),
    )


def build_agent_table(agent_cards: Sequence[AgentCard]) -> KeysetTable:
    """Build the first page of a list of agents."""
    order = TableOrder("/agents", "name", "name", {"board": "", "gateway": ""})
    return KeysetTable(order, PagePlace(), KeysetPage(agent_cards, after="x"), 158)


def build_agent_cards() -> list[AgentCard]:
    """Build agents: one is held, one could not be set up, and the last one has never called."""
    values = {"limit": "10 minutes", "count": 12, "sender": "Juniper"}
    hold = {"cause": "loop", "values": values}
    failure = {"step": "check_in", "code": "no_check_in"}
    lark = build_agent(15, "Lark", "megaphone", provision_failure=failure, wake_attempts=3)
    rows = [
        (AgentState.WORKING, 1, build_agent(10, "Juniper", "rocket")),
        (AgentState.IDLE, 4, build_agent(11, "Wren", "dart", is_board_lead=True)),
        (AgentState.LATE, 14, build_agent(12, "Pike", "wrench", held_at=now(), hold=hold)),
        (AgentState.OFFLINE, 190, build_agent(13, "Knot", "mailbox", is_linked=True)),
        (AgentState.PROVISIONING, None, build_agent(14, "Plover", "mag")),
        (AgentState.AWAY, 6, lark),
        (AgentState.OFFLINE, None, build_agent(16, "Lapwing", "bulb")),
    ]
    cards = []
    for state, minutes, agent in rows:
        agent.last_seen_at = None if minutes is None else ago(minutes=minutes)
        silent_for = None if minutes is None else timedelta(minutes=minutes)
        is_working, is_uncalled = state is AgentState.WORKING, state is AgentState.OFFLINE
        card = AgentCard(
            agent,
            BOARD.name,
            Task(id=UUID(int=30), board_id=BOARD.id, title=CANDIDATE_TITLE) if is_working else None,
            None,
            timedelta(minutes=6) if state is AgentState.AWAY else None,
            state,
            timedelta(minutes=10),
            silent_for,
            StatusEvidence(StatusSource.CALL, agent.last_seen_at),
            silent_for,
            uncalled_for=timedelta(hours=2) if is_uncalled and not minutes else None,
        )
        cards.append(card)
    return cards


# Cards, columns and the list of a board

BLOCKER = TaskRef(UUID(int=30), CANDIDATE_TITLE, Status.IN_PROGRESS)
UNREAD_ID = UUID(int=32)
STATES_OF_SCRIPTS = (
    ("Open beside the board", " data-item", ' data-item aria-current="true"'),
    ("Selected for a change", " data-pick", " data-pick checked"),
    ("Being dragged", 'class="card"', 'class="card sortable-ghost" inert'),
    ("Being saved", " data-item", " data-item data-saving"),
    ("Just changed", " data-item", " data-item data-fresh"),
)
"""States of a card that only scripts set: title, and what replaces what in the markup."""


def render_board(agent_cards: Sequence[AgentCard], pending: UndecidedApproval) -> dict[str, Markup]:
    """Render cards in all states, the columns of a board, and the list."""
    working, idle, late, uncalled = *agent_cards[:3], agent_cards[-1]
    juniper, wren, pike, lark = map(build_assignee, (working, idle, late, uncalled))
    mara = Assignee(UUID(int=3), VIEWER_NAME, None, is_person=True)
    inbox, review = Status.INBOX, Status.REVIEW
    decidable: dict[str, Any] = {"status": review, "assignee": juniper, "tags": TAGS}
    change_url = "https://github.com/acme/app/pull/12"
    links = (
        LinkRef("change", "#12", "Show the page", change_url, "open", "failing"),
        LinkRef("change", "#9", "Cut the release", change_url, "merged", None),
    )
    at_work: dict[str, Any] = {"in_progress_at": ago(minutes=2), "due_at": now(), "tags": TAGS}
    cards = [
        build_task(31, "At rest", juniper, comments_count=6, **at_work),
        build_task(UNREAD_ID.int, "Unread comments", status=inbox, comments_count=2),
        build_task(33, "Overdue", pike, due_at=ago(days=2), priority="high"),
        build_task(34, "Blocked", status=inbox, blocked_by=[BLOCKER]),
        build_task(35, "Done", juniper, status=Status.DONE),
        build_task(36, "Rejected move", juniper),
        build_task(37, "Rejected, blocked", blocked_by=[BLOCKER]),
        build_task(38, "Rejected, without a comment", mara),
        build_task(41, "Pull request with failing checks", links=links),
        build_task(42, "No activity", juniper, stale_since=now()),
        build_task(43, "Agent that never called", lark, priority="low"),
        build_task(39, "Needs a decision", **decidable),
    ]
    codes = {36: "approval_required", 37: "task_blocked_cannot_transition", 38: "comment_required"}
    of_columns = [
        build_task(51, "Build the candidate", wren, in_progress_at=ago(minutes=9)),
        build_task(52, "Publish the notes", **decidable),
        build_task(53, "Test the upgrade", status=review),
        build_task(54, "Announce it", status=review, blocked_by=[BLOCKER]),
    ]
    columns = [
        BoardColumn(inbox, (), 0),
        BoardColumn(Status.IN_PROGRESS, of_columns[:1], 1),
        BoardColumn(review, of_columns[1:], 3),
        BoardColumn(Status.DONE, (), 158),
    ]
    later = build_task(61, "Update the guide", status=inbox, due_at=ago(days=-4))
    first = build_task(62, "Sign the packages", status=review, tags=TAGS)
    others = {inbox: 2, Status.IN_PROGRESS: 1, review: 0}
    renderer = CardRenderer(
        can_write=True,
        agent_cards=[working, idle, late, uncalled],
        approvals=[pending._replace(task_ids=[UUID(int=39), UUID(int=52)])],
        rejected_moves=[RejectedMove(UUID(int=id), 1, code) for id, code in codes.items()],
        unread_task_ids={UNREAD_ID},
        context={"board": BOARD, "address": BoardAddress()},
    )
    shared = {"board": BOARD, "can_write": True, "card_renderer": renderer}
    return {
        "task_cards": renderer.render(*cards) + render_special_cards(renderer, pending),
        "columns": render(
            "boards/_columns.html",
            {**shared, "address": BoardAddress(), "columns": columns, "phone_column": review},
        ),
        "task_list": render(
            "boards/_task_table.html",
            {
                **shared,
                "address": BoardAddress(view="list"),
                "groups": [
                    ListGroup(review, "Review", [first], 1, has_more=False),
                    ListGroup(inbox, "Inbox", [later], 1, has_more=False),
                ],
                "is_cut": False,
                "groupings": [("", "Status")],
                "related_boards": [RelatedBoard(UUID(int=70), "Marketing", "Launch", others)],
                "descriptions": {},
                "list_columns": [(name, translate(COLUMN_NAMES[name])) for name in LIST_COLUMNS],
            },
        ),
    }


def render_special_cards(renderer: CardRenderer, pending: UndecidedApproval) -> Markup:
    """Render the card of a reader, and cards in the states that only scripts set."""
    for_others = build_task(40, "Waits for the approval of others", status=Status.REVIEW)
    waiting = pending._replace(task_ids=[for_others.id])
    rendered = CardRenderer(can_write=False, approvals=[waiting]).render(for_others)
    for number, (title, old, new) in enumerate(STATES_OF_SCRIPTS, 80):
        html = str(renderer.render(build_task(number, title)))
        rendered += Markup(html.replace(old, new, 1))  # noqa: S704 (rendered by a template)
    return rendered


def build_task(
    number: int, title: str, assignee: Assignee | None = None, **fields: Any
) -> CardTask:
    """Build a task in progress, unless the fields say otherwise."""
    defaults: dict[str, Any] = {
        "status": Status.IN_PROGRESS,
        "priority": "medium",
        "version": 1,
        "due_at": None,
        "in_progress_at": None,
        "created_at": now(),
        "updated_at": now(),
        "stale_since": None,
        "assignee": assignee,
        "blocked_by": (),
        "tags": (),
        "links": (),
        "comments_count": 0,
        "last_decision": None,
    }
    return CardTask(id=UUID(int=number), board_id=BOARD.id, title=title, **(defaults | fields))


def build_assignee(card: AgentCard) -> Assignee:
    """Build the assignee of a task."""
    return Assignee(card.agent.id, card.agent.name, (card.agent.identity_profile or {})["emoji"])


# Approvals, changes and charts

DIFF = """--- a/CHANGELOG.md
+++ b/CHANGELOG.md
@@ -1,4 +1,5 @@
 # Changes
-## 2.4 (unreleased)
+## 2.4
+Webhooks of version 1 stop on 1 March.
 ## 2.3
"""


def build_approvals(agent: Agent, user: User) -> list[dict[str, Any]]:
    """Build an approval in each state, with its form; the first one waits for the viewer."""
    two = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two people for a release")
    approved: dict[str, Any] = {"status": ApprovalStatus.APPROVED, "resolved_at": ago(minutes=180)}
    by_devi: dict[str, Any] = {"decided_by_user_id": DEVI.id}
    rejected: dict[str, Any] = {**approved, "status": ApprovalStatus.REJECTED, **by_devi}
    undoable: dict[str, Any] = {"decided_status": ApprovalStatus.REJECTED, "decided_at": now()}
    changes = {"changes": {"canary": {"from": "5 %", "to": "25 %"}}, "region": "eu-west"}
    to_canary: dict[str, Any] = {"payload": changes, "policy_verdict": two, "expires_at": now()}
    conflict = Form()
    conflict.problem = "Devi Rao has rejected this already."

    def build(
        number: int,
        kind: str,
        decider: User | None = None,
        form: Form | None = None,
        *,
        is_writer: bool = True,
        payload: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        defaults: dict[str, Any] = {
            "confidence": 92.0,
            "status": ApprovalStatus.PENDING,
            "policy_verdict": PolicyVerdict(),
            "created_at": ago(minutes=12),
        }
        reason = "All checks are green, and the notes were read twice."
        approval = Approval(
            id=UUID(int=number),
            board_id=BOARD.id,
            task_id=UUID(int=39),
            agent_id=agent.id,
            action_type=kind,
            payload={"reason": reason, **(payload or {})},
            **(defaults | fields),
        )
        rights = DecisionRights(
            can_write=is_writer,
            can_approve=is_writer,
            allowed=(ApprovalStatus.APPROVED, ApprovalStatus.REJECTED),
            is_first_approver=False,
            has_approved=False,
        )
        task = LinkedTask(UUID(int=39), NOTES_TITLE)
        detail = ApprovalDetail(approval, BOARD, agent, decider, None, None, [task])
        view = ApprovalView(detail, parse_payload(detail), [], rights)
        return {"view": view, "form": form or Form()}

    scores = {"Completeness": 92, "Risk": 64}
    return [
        build(70, "notes.publish", payload={"diff": DIFF}, rubric_scores=scores),
        build(71, "canary.raise", confidence=74.0, **to_canary),
        build(72, "key.revoke", is_writer=False, confidence=0.9),
        build(73, "build.deploy", DEVI, conflict, **rejected),
        build(74, "notice.send", user, **undoable, decided_by_user_id=user.id),
        build(76, "matrix.merge", DEVI, **approved, **by_devi),
        build(75, "cache.clear", **approved, is_decided_by_policy=True, policy_verdict=two),
    ]


def build_key_metrics() -> KeyMetrics:
    """Build the figures and charts of a week."""
    done_per_day, done_before = (3, 5, 2, 8, 6, 9, 4), (2, 3, 4, 3, 5, 4, 6)
    days = [ago(days=6 - number) for number in range(7)]
    done, before = (
        TimeSeries("7d", Bucket.DAY, list(map(ValuePoint, days, values)))
        for values in (done_per_day, done_before)
    )
    points = [WipPoint(day, 6 - n % 3, 3 + n % 2, 1 + n, 9) for n, day in enumerate(days)]
    work = TimeSeries("7d", Bucket.DAY, points)
    series = SeriesComparison(done, before)
    spark = build_spark_line(done_per_day)
    return KeyMetrics(
        in_progress=KeyMetric(4, 3, spark),
        done=KeyMetric(sum(done_per_day), sum(done_before), spark),
        cycle_hours=KeyMetric(5.2, 6.1, spark),
        error_rate=KeyMetric(None, None, None),
        median_hours=4.5,
        active_agents=3,
        done_per_day=sum(done_per_day) / 7,
        throughput=build_bar_chart(series),
        cycle_time=build_bar_chart(series),
        work=build_work_chart(SeriesComparison(work, work)),
    )


# The page of a task, a chat, and the activity


def build_task_context(agent: Agent, user_id: UUID) -> dict[str, Any]:
    """Build the properties of a task, and its conversation, of which the second half is new."""
    task = Task(
        id=UUID(int=90),
        board_id=BOARD.id,
        title=NOTES_TITLE,
        status=Status.REVIEW,
        priority="high",
        due_at=ago(days=-1),
        assigned_agent_id=agent.id,
        version=1,
    )
    depends_on = [TaskRef(UUID(int=30), CANDIDATE_TITLE, Status.DONE)]
    form = Form({"status": [Status.DONE.value]})
    form.problem = "The task needs an approval before it can be done."
    form.code = "approval_required"

    detail = TaskDetail(task, agent, None, depends_on, [], TAGS, 0, 0, 2, {})
    edited = list_edited_fields(detail, UTC)

    by_agent: dict[str, Any] = {
        "author_name": agent.name,
        "is_by_agent": True,
        "agent_id": agent.id,
    }
    by_viewer: dict[str, Any] = {"author_name": VIEWER_NAME, "is_by_agent": False, "agent_id": None}

    def write(number: int, minutes: int, author: dict[str, Any], text: str) -> HistoryEntry:
        comment = Comment(id=UUID(int=number), message=text)
        return HistoryEntry(ago(minutes=minutes), user_id=None, comment=comment, **author)

    def record(number: int, minutes: int, type: EventType, **data: Any) -> HistoryEntry:
        event = Event(id=UUID(int=number), type=type, data=data)
        return HistoryEntry(ago(minutes=minutes), user_id=None, event=event, **by_agent)

    entries = [
        record(91, 60, EventType.TASK_CREATED),
        write(92, 12, by_agent, "Tag and packages are **ready**."),
        write(93, 7, by_viewer, "Thanks. @Juniper, go on."),
        record(94, 5, EventType.TASK_STATUS_CHANGED, entered=Status.REVIEW.value),
    ]
    page = HistoryPage(entries, has_earlier=True)
    return {
        "task": task,
        "detail": detail,
        "form": form,
        "open_approvals": [],
        "task_fields": [],
        "fields": build_form_fields(form, TaskCreate, edited),
        "current": {field.name: field.value for field in edited},
        "chosen_assignee": Chosen(),
        "chosen_tags": Chosen(),
        "chosen_dependency": Chosen(),
        "workers": [],
        "watchers": [BoardPerson(user_id, VIEWER_NAME, can_write=True)],
        "reader_id": user_id,
        "is_lead_missing": False,
        "board_address": BoardAddress(),
        "entries": build_history_lines(entries, [agent]),
        "conversation": ConversationAddress("", HistorySelection(), page),
        "unread_comments": UnreadComments(f"c-{UUID(int=93)}", "", True, 0, False),
    }


def build_chat(agent: Agent, user_id: UUID) -> Page[NoteDetail]:
    """Build a chat with messages of an agent, of the viewer and of another user, and a command."""
    viewer = User(id=user_id, name=VIEWER_NAME)
    texts: list[tuple[str, Agent | None, User | None]] = [
        ("The candidate is built. Checksums are attached.", agent, None),
        ("Thank you. Please test the upgrade from **2.3** as well.", None, viewer),
        ("I test it on Windows.", None, DEVI),
        ("/pause", None, viewer),
        ("Paused after the current step.", agent, None),
    ]
    notes = []
    for number, (text, author_agent, author_user) in enumerate(texts):
        note = Note(
            id=UUID(int=50 + number),
            content=text,
            is_chat=True,
            agent_id=author_agent.id if author_agent else None,
            user_id=author_user.id if author_user else None,
            version=1,
            created_at=ago(minutes=50 - 10 * number),
        )
        notes.append(NoteDetail(note, author_agent, author_user))
    return Page(notes, len(notes), limit=50, offset=0)


def render_feed(card: AgentCard, member: Member) -> dict[str, Any]:
    """Render rows of an agent, of the viewer and of the system; one has a body.

    The first row has the mark that a script sets.
    """
    title = {"title": NOTES_TITLE}
    moved = title | {"entered": Status.REVIEW.value}
    question = {"question": "Publish the 2.4 release notes?", "confidence": 92}
    by_agent, by_viewer = {"agent_id": card.agent.id}, {"user_id": member.user_id}
    events: list[tuple[EventType, dict[str, Any], dict[str, Any], str | None]] = [
        (EventType.TASK_STATUS_CHANGED, moved, by_agent, None),
        (EventType.APPROVAL_REQUESTED, question, by_agent, None),
        (EventType.TASK_COMMENT, title, by_agent, "All checks are **green**."),
        (EventType.TASK_CREATED, title, by_viewer, None),
        (EventType.TASK_STATUS_CHANGED, moved | {"completed_task_id": "30"}, {}, None),
    ]
    shared = {"cards_by_agent": {card.agent.id: card}, "formatted": ExampleTexts()}
    rows = []
    for number, (type, data, actor, comment) in enumerate(events):
        event = Event(
            id=UUID(int=100 + number),
            type=type,
            data=data,
            board_id=BOARD.id,
            task_id=UUID(int=90),
            created_at=ago(minutes=4 * number),
            **actor,
        )
        agent_name = card.agent.name if "agent_id" in actor else None
        user_name = VIEWER_NAME if "user_id" in actor else None
        entry = ActivityEntry(event, "", BOARD.name, agent_name, user_name, comment)
        line = build_activity_line(entry, member)
        rows.append(render("activity/_line.html", {"line": line, **shared}))
    rows[0] = Markup(str(rows[0]).replace(" data-v=", " data-fresh data-v=", 1))  # noqa: S704 (a template)
    return {"feed": Markup().join(rows), "feed_target": UUID(int=101)}


# Pages of errors

ERRORS = {
    403: "You can read this board but not change it.",
    404: "Page not found, or no access.",
    500: "Something went wrong on the server.",
    503: "The database does not answer.",
}


def render_error_page(code: int, message: str) -> Markup:
    """Render the content of an error page without the layout around it."""
    template = environment.get_template(ERROR_TEMPLATES.get(code, "errors/error.html"))
    context = template.new_context({"message": message, "code": code, "other_organization": None})
    return Markup("".join(template.blocks["content"](context)))  # noqa: S704 (a template)

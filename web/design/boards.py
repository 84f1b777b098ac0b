"""Example cards, columns and rows of tasks for the page of all components."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from markupsafe import Markup

from core.clock import now
from models import Status
from services.agents import AgentCard
from services.approvals import UndecidedApproval
from services.boards import RelatedBoard
from services.tasks import Assignee, CardTask, LinkRef, TaskRef
from web.boards.address import LIST_COLUMNS, LIST_ORDER, BoardAddress
from web.boards.card_cache import CardRenderer
from web.boards.cards import CardColumn, RejectedMove, TaskCard, build_groups
from web.design.examples import BOARD_ID, TAGS, build_board, days_ago, minutes_ago
from web.saved_views.presenter import COLUMN_NAMES
from web.ui.translation import translate

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

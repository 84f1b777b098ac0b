"""The cards of a board: their HTML, the moves that were rejected, and the sections of columns.

`CardContent` holds every value that a card shows to all viewers with the same rights. It is both
the only input of the template and the key of the cache, so a value that is shown cannot be missing
from the key. What differs between viewers, or changes with time alone, is put into the cached HTML
afterwards: the template marks its places with `slot`.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from markupsafe import Markup, escape

from models import Priority, Status
from services.agents import AgentCard
from services.approvals import UndecidedApproval
from services.tasks import Assignee, BoardColumn, CardTask
from web.boards.task_links import LinkLabel, label_link
from web.ui import time_format
from web.ui.avatars import agent_hue, emoji_icon, hex_colour, state_icon
from web.ui.render import environment
from web.ui.translation import N_, pgettext, reader_language, translate

MAX_TAGS = 3
SEPARATOR = "\0"  # not in any text of the database, and not escaped by templates

STATUS_NAMES = {
    Status.INBOX: N_("Inbox"),
    Status.IN_PROGRESS: N_("In progress"),
    Status.REVIEW: N_("Review"),
    Status.DONE: N_("Done"),
}

MOVE_ERRORS = {
    "task_blocked_cannot_transition": "",
    "approval_required": N_("Needs an approval before Done"),
    "completion_denied": N_("The policy does not allow this task to be done"),
    "decider_not_allowed": N_("Somebody else must approve this before Done"),
    "second_approval_required": N_("Two people must approve this before Done"),
    "review_required": N_("Needs a review before Done"),
    "approval_pending": N_("Locked while an approval is pending"),
    "comment_required": N_("Needs a comment before Review"),
}
"""Short texts of rejected moves by error code; "" where the card shows the reason anyway."""


@dataclass(frozen=True)
class RejectedMove:
    """A rejected move or other change, shown on its card until the task changes."""

    task_id: UUID
    version: int
    code: str
    message: str = ""
    is_selected: bool = False  # whether the card is selected, for another try

    @classmethod
    def parse_all(cls, text: str) -> "list[RejectedMove]":
        """Parse several moves, separated by commas; what is none is left out."""
        parsed = map(cls.parse, text.split(",")[:50])
        return [one for one in parsed if one is not None]

    @classmethod
    def parse(cls, text: str) -> "RejectedMove | None":
        """Parse the text that `str` returns; a refreshed part of the page sends it back."""
        id, _, rest = text.partition(".")
        version, _, code = rest.partition(".")
        if code not in MOVE_ERRORS or not (version.isdecimal() and version.isascii()):
            return None
        try:
            return cls(UUID(id), int(version[:9]), code)
        except ValueError:
            return None

    def __str__(self) -> str:
        """Format the move for an address."""
        return f"{self.task_id}.{self.version}.{self.code}"

    @property
    def text(self) -> str:
        """Return the reason in a few words."""
        known = MOVE_ERRORS.get(self.code)
        return self.message if known is None else translate(known)


def name_priority(priority: str) -> str:
    """Return the name of a priority; of an unknown one, its value."""
    names = {
        Priority.LOW.value: pgettext("priority", "Low"),
        Priority.MEDIUM.value: pgettext("priority", "Medium"),
        Priority.HIGH.value: pgettext("priority", "High"),
    }
    return names.get(priority, priority)


class TagLabel(NamedTuple):
    """A tag on a card."""

    name: str
    color: str


class AssigneeLabel(NamedTuple):
    """The assignee on a card."""

    name: str
    hue: int
    icon: str  # "" if the emoji is shown
    emoji: str
    state: str  # its icon; "" if the agent is on another board
    is_person: bool = False


class ShownTime(NamedTuple):
    """A time in the time zone of the viewer; without a text if it is an age, which is a slot."""

    iso: str
    absolute: str
    text: str = ""
    is_overdue: bool = False


class CardContent(NamedTuple):
    """Everything that a card shows, as it is shown."""

    language: str
    board_id: str
    task_id: str
    title: str
    status: str
    priority: str
    version: str
    is_movable: bool
    can_change: bool
    is_stale: bool
    has_approvals: bool  # undecided ones
    decision_count: int  # approvals that the viewer may decide
    blocker_count: int
    tags: tuple[TagLabel, ...]
    more_tags: int
    due: ShownTime | None
    assignee: AssigneeLabel | None
    agent_id: str  # whose state is shown, or ""
    is_uncalled: bool  # the assigned agent has never called
    working_since: ShownTime | None
    links: tuple[LinkLabel, ...]
    comments_count: int


class RenderedCard(NamedTuple):
    """The HTML of a card, without the values that are added for each viewer."""

    before_attributes: str
    before_query: str
    before_rejection: str
    before_age: str
    before_selection: str
    rest: str
    hash: str  # of what the viewer sees, except for the query in links and the age
    is_unread: bool = False


@lru_cache(1_000)
def _label_tag(name: str, color: str) -> TagLabel:
    return TagLabel(name, hex_colour(color))


def _show_time(moment: datetime) -> ShownTime:
    return ShownTime(time_format.format_iso(moment), time_format.format_absolute(moment))


@lru_cache(4_000)  # about 10 MB
def render_content(content: CardContent) -> RenderedCard:
    """Render the part of a card that is the same for all viewers with the same rights."""
    template = environment.get_template("boards/_task_card.html")
    texts = template.render(card=content, slot=SEPARATOR).split(SEPARATOR)
    return RenderedCard(*texts, hash=_digest(*texts))


def _digest(*texts: str) -> str:
    digest = hashlib.blake2b(SEPARATOR.join(texts).encode(), digest_size=6).digest()
    return urlsafe_b64encode(digest).decode()  # eight characters


@dataclass(frozen=True, kw_only=True)
class CardRenderer:
    """Renders the tasks of a board as cards for one viewer.

    What the page of the viewer already shows is not sent again: an element with the hash of its
    content takes its place, and static/known_cards.js keeps what is shown.
    """

    query: str = ""  # of the address of the board
    can_write: bool
    agent_cards: Sequence[AgentCard] = ()  # of the board
    approvals: Sequence[UndecidedApproval] = ()
    rejected_moves: Sequence[RejectedMove] = ()
    unread_task_ids: Collection[UUID | None] = ()
    known_hashes: Collection[str] = ()  # of what the page shows
    context: Mapping[str, object] = field(default_factory=dict)  # of _rejected_move.html
    _rendered: dict[UUID, RenderedCard] = field(default_factory=dict)
    _assignees: dict[tuple[UUID, str], AssigneeLabel] = field(default_factory=dict)

    @cached_property
    def decidable_ids(self) -> Collection[UUID]:
        """The approvals that the viewer may decide."""
        return {one.id for one in self.approvals if self.can_write and one.may_approve}

    @cached_property
    def _agents(self) -> Mapping[UUID, AgentCard]:
        return {card.agent.id: card for card in self.agent_cards}

    @cached_property
    def _has_lead(self) -> bool:
        return any(card.agent.is_board_lead for card in self.agent_cards)

    @cached_property
    def _approvals_by_task(self) -> Mapping[UUID, Sequence[UndecidedApproval]]:
        found: dict[UUID, list[UndecidedApproval]] = {}
        for approval in self.approvals:
            for task_id in approval.task_ids:
                found.setdefault(task_id, []).append(approval)
        return found

    @cached_property
    def _moves(self) -> Mapping[UUID, RejectedMove]:
        return {move.task_id: move for move in self.rejected_moves}

    @cached_property
    def _query_html(self) -> str:
        return escape(self.query)

    def list_approvals(self, task: CardTask) -> Sequence[UndecidedApproval]:
        """Return the undecided approvals of a task."""
        return self._approvals_by_task.get(task.id, ())

    def find_rejected_move(self, task: CardTask) -> RejectedMove | None:
        """Return the rejected move of a task, unless the task has changed since."""
        move = self._moves.get(task.id)
        return move if move and move.version == task.version else None

    def get_version(self, task: CardTask) -> str:
        """Return a value that changes with every change of the card."""
        return f"{task.version}.{task.comments_count}.{len(self.list_approvals(task))}"

    def list_sections(self, column: BoardColumn) -> Sequence[tuple[str, Sequence[CardTask]]]:
        """Return the tasks of a column; those in review under the headings of their sections."""
        if column.status is not Status.REVIEW:
            return [("", column.cards)]
        headings = (
            N_("Waiting for you") if self.can_write else N_("Waiting for others"),
            N_("Waiting for the lead") if self._has_lead else N_("Waiting for review"),
            N_("Blocked"),
        )

        def find_section(task: CardTask) -> int:
            if self.list_approvals(task):
                return 0
            return 2 if task.is_blocked else 1

        grouped = groupby(sorted(column.cards, key=find_section), find_section)
        sections = [(translate(headings[number]), list(tasks)) for number, tasks in grouped]
        return sections or [("", [])]

    def choose_phone_column(self, columns: Sequence[BoardColumn], requested: str) -> Status:
        """Return the column that a phone shows: as requested, or where a decision is needed."""
        if requested:
            return Status(requested)
        by_status = {column.status: column for column in columns}
        if any(map(self.list_approvals, by_status[Status.REVIEW].cards)):
            return Status.REVIEW
        order = (Status.IN_PROGRESS, Status.INBOX, Status.REVIEW)
        return next((status for status in order if by_status[status].total), Status.INBOX)

    def hash_column(self, column: BoardColumn) -> str:
        """Return a hash of everything that a column shows."""
        empty = (self.query, self.can_write, column.status, column.total, self._has_lead)
        hashes = [self._render_for_all(task).hash for task in column.cards]
        return _digest(reader_language.get(), repr(empty), *hashes)

    def render(self, *tasks: CardTask) -> Markup:
        """Render cards, or an element in the place of each that the page shows."""
        return Markup("".join(map(self._render_card, tasks)))  # noqa: S704 (each is escaped)

    def _render_card(self, task: CardTask) -> str:
        rendered, move = self._render_for_all(task), self.find_rejected_move(task)
        if rendered.hash in self.known_hashes:
            return f'<li id="task-{task.id}" data-keep="{rendered.hash}"></li>'
        attributes = f' data-hash="{rendered.hash}"{" data-unread" if rendered.is_unread else ""}'
        rejection = selection = age = ""
        if move:
            if self.can_write and move.is_selected:
                selection = " checked"
            attributes += f' data-refused="{move}"'
            template = environment.get_template("boards/_rejected_move.html")
            rejection = template.render(
                task=task, move=move, approvals=self.list_approvals(task), **self.context
            )
        if task.status is Status.IN_PROGRESS and task.in_progress_at and task.assignee:
            age = time_format.format_age(task.in_progress_at)
        return (
            f"{rendered.before_attributes}{attributes}{rendered.before_query}{self._query_html}"
            f"{rendered.before_rejection}{rejection}{rendered.before_age}{age}"
            f"{rendered.before_selection}{selection}{rendered.rest}"
        )

    def _render_for_all(self, task: CardTask) -> RenderedCard:
        """Render what all viewers with the same rights see, with the hash of this viewer."""
        rendered = self._rendered.get(task.id)
        if rendered is None:
            rendered = render_content(self._build_content(task))
            is_unread, move = task.id in self.unread_task_ids, self.find_rejected_move(task)
            if is_unread or move:
                hash = _digest(rendered.hash, str(is_unread), str(move))
                rendered = rendered._replace(hash=hash, is_unread=is_unread)
            self._rendered[task.id] = rendered
        return rendered

    def _build_content(self, task: CardTask) -> CardContent:
        """Collect what a card shows."""
        status, tags, blocker_count = task.status, task.tags, len(task.blocked_by)
        approvals = self.list_approvals(task)
        agent = self._agents.get(task.assignee.id) if task.assignee else None
        starts_at = task.in_progress_at if status is Status.IN_PROGRESS and task.assignee else None
        due = None
        if task.due_at is not None:
            is_done = status is Status.DONE
            due = _show_time(task.due_at)._replace(
                text=time_format.format_deadline(task.due_at, is_done),
                is_overdue=not is_done and time_format.is_overdue(task.due_at),
            )
        return CardContent(
            language=reader_language.get(),
            board_id=str(task.board_id),
            task_id=str(task.id),
            title=task.title,
            status=status.value,
            priority=task.priority,
            version=self.get_version(task),
            is_movable=self.can_write and not blocker_count,
            can_change=self.can_write,
            is_stale=task.stale_since is not None,
            has_approvals=bool(approvals),
            decision_count=sum(one.id in self.decidable_ids for one in approvals),
            blocker_count=blocker_count,
            tags=tuple([_label_tag(tag.name, tag.color) for tag in tags[:MAX_TAGS]]),
            more_tags=max(0, len(tags) - MAX_TAGS),
            due=due,
            assignee=self._label_assignee(task.assignee, agent) if task.assignee else None,
            agent_id=str(agent.agent.id) if agent else "",
            is_uncalled=bool(agent and agent.uncalled_for is not None and status != Status.DONE),
            working_since=_show_time(starts_at) if starts_at else None,
            links=tuple(map(label_link, task.links)) if task.links else (),
            comments_count=task.comments_count,
        )

    def _label_assignee(self, assignee: Assignee, card: AgentCard | None) -> AssigneeLabel:
        if assignee.is_person:
            return AssigneeLabel(assignee.name, 0, "", "", "", is_person=True)
        state = state_icon(card.state) if card else ""
        key = (assignee.id, state)
        if key not in self._assignees:
            self._assignees[key] = AssigneeLabel(
                assignee.name,
                agent_hue(assignee.id),
                emoji_icon(assignee.emoji),
                assignee.emoji or "",
                state,
            )
        return self._assignees[key]

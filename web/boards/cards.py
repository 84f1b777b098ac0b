"""The cards of a board and the rows of its list, the moves that were rejected, and sections.

Many tasks have the same elements, and differ in a few values. A template is rendered once for each
`CardShape`, with marks in the places of the values; Python puts the values of each task in. So a
changed task costs no call of Jinja. A template can only read the fields of the shape and place
values, so what it shows cannot be missing from the key of the cache.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import cached_property, lru_cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from markupsafe import Markup, escape

from models import Priority, Status
from services.agents import AgentCard
from services.approvals import UndecidedApproval
from services.tasks import BoardColumn, CardTask
from web.boards.task_links import label_link
from web.ui import time_format
from web.ui.render import environment
from web.ui.translation import N_, pgettext, reader_language, translate

MAX_TAGS = 3
UI = "macros/ui.html"
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


class CardShape(NamedTuple):
    """What decides which elements a card or a row has, and their texts that few tasks differ in."""

    language: str
    columns: tuple[str, ...]  # of the list; none of a card
    status: str
    priority: str
    is_movable: bool
    can_change: bool
    is_stale: bool
    is_unread: bool
    is_uncalled: bool  # the assigned agent has never called
    is_working: bool
    is_overdue: bool
    has_agent: bool  # an assigned one, whose state is shown
    has_assignee: bool
    has_due_date: bool
    has_comments: bool
    has_links: bool
    tag_count: int
    approval_count: int  # undecided ones
    decision_count: int  # approvals that the viewer may decide
    blocker_count: int
    last_decision: str | None  # of a task in review without undecided approvals


class CardContent(NamedTuple):
    """The values of a task, as HTML, which are the same for all viewers with the same rights."""

    id: str
    path: str
    title: str
    version: str
    agent_id: str
    assignee: str
    avatar: str
    comments: str
    tags: str
    links: str
    due_iso: str
    due_absolute: str
    due_text: str
    since_iso: str
    since_absolute: str
    description: str = ""  # this and the following: of a row
    updated_iso: str = ""
    updated_absolute: str = ""
    created_iso: str = ""
    created_absolute: str = ""


class ViewedContent(NamedTuple):
    """Values, as HTML, that differ between viewers, or change with time alone."""

    hash: str
    refused: str  # attribute
    rejection: str
    selected: str  # attribute
    query: str
    age: str
    updated_age: str = ""
    created_age: str = ""


class ShapeFormat(NamedTuple):
    """The HTML of a shape: a format, the function that picks its values, and a hash."""

    text: str
    pick: Callable[[tuple[str, ...]], tuple[str, ...]]
    hash: str

    def fill(self, content: CardContent, viewed: ViewedContent) -> str:
        """Return the HTML with the values of a task."""
        return self.text % self.pick(content + viewed)


class ValueMark(Markup):
    """The place of a value in a template, which must not depend on whether there is one."""

    def __bool__(self) -> bool:
        """Raise TypeError."""
        raise TypeError("Only the fields of the shape can be conditions.")


@lru_cache(2_000)  # about 6 MB
def render_shape(template: str, shape: CardShape) -> ShapeFormat:
    """Render a card or a row with marks in the places of its values."""
    count = len(CardContent._fields)
    numbers = range(count + len(ViewedContent._fields))
    marks = [ValueMark(f"{SEPARATOR}{number}{SEPARATOR}") for number in numbers]
    task, viewed = CardContent(*marks[:count]), ViewedContent(*marks[count:])
    html = environment.get_template(template).render(shape=shape, task=task, viewed=viewed)
    parts = html.split(SEPARATOR)
    text = "%s".join(part.replace("%", "%%") for part in parts[::2])
    return ShapeFormat(text, itemgetter(*map(int, parts[1::2])), _digest(html))


def _format_time(moment: datetime | None) -> tuple[str, str]:
    """Return a time for machines and for the reader, as HTML; twice "" without one."""
    if moment is None:
        return "", ""
    return _format_time_once(moment, time_format.reader_zone.get(), reader_language.get())


@lru_cache(8_000)  # by what the formats read
def _format_time_once(moment: datetime, zone: tzinfo, language: str) -> tuple[str, str]:
    return time_format.format_iso(moment), escape(time_format.format_absolute(moment))


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
    _cards: dict[UUID, tuple[ShapeFormat, CardContent, str]] = field(default_factory=dict)

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
        approval_count = len(self.list_approvals(task))
        return f"{task.version}.{task.comments_count}.{approval_count}.{task.last_decision or ''}"

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
        hashes = [self._prepare_card(task)[-1] for task in column.cards]
        return _digest(reader_language.get(), repr(empty), *hashes)

    def render(self, *tasks: CardTask) -> Markup:
        """Render cards, or an element in the place of each that the page shows."""
        return Markup("".join(map(self._render_card, tasks)))  # noqa: S704 (each is escaped)

    def render_rows(
        self, tasks: Sequence[CardTask], columns: tuple[str, ...], descriptions: Mapping[UUID, str]
    ) -> Markup:
        """Render rows of the list with these columns beside the title, or elements as above."""
        return Markup(  # noqa: S704 (each is escaped)
            "".join(
                self._render_row(task, columns, descriptions.get(task.id, "")) for task in tasks
            )
        )

    def _render_card(self, task: CardTask) -> str:
        shape, content, hash = self._prepare_card(task)
        if hash in self.known_hashes:
            return f'<li id="task-{content.id}" data-keep="{hash}"></li>'
        start = _find_start(task)
        age = time_format.format_age(start) if start else ""
        return shape.fill(content, self._build_viewed(task, hash, age))

    def _render_row(self, task: CardTask, columns: tuple[str, ...], description: str) -> str:
        shape = render_shape("boards/_task_row.html", self._build_shape(task, columns))
        times = *_format_time(task.updated_at), *_format_time(task.created_at)
        content = self._build_content(task, escape(description), *times)
        hash = _digest(shape.hash, *content, self.query, str(self.find_rejected_move(task) or ""))
        if hash in self.known_hashes:
            return f'<tr id="task-{content.id}" data-keep="{hash}"></tr>'
        viewed = self._build_viewed(task, hash)._replace(
            updated_age=time_format.format_age(task.updated_at),
            created_age=time_format.format_age(task.created_at),
        )
        return shape.fill(content, viewed)

    def _prepare_card(self, task: CardTask) -> tuple[ShapeFormat, CardContent, str]:
        """Return the parts of a card, and the hash of what the viewer sees, except for its age."""
        prepared = self._cards.get(task.id)
        if prepared is None:
            shape = render_shape("boards/_task_card.html", self._build_shape(task))
            content = self._build_content(task)
            hash = _digest(shape.hash, *content, str(self.find_rejected_move(task) or ""))
            prepared = self._cards[task.id] = (shape, content, hash)
        return prepared

    def _build_viewed(self, task: CardTask, hash: str = "", age: str = "") -> ViewedContent:
        move = self.find_rejected_move(task)
        if move is None:
            return ViewedContent(hash, "", "", "", self._query_html, age)
        approvals = self.list_approvals(task)
        rejection = environment.get_template("boards/_rejected_move.html").render(
            task=task, move=move, approvals=approvals, **self.context
        )
        selected = " checked" if self.can_write and move.is_selected else ""
        refused = f' data-refused="{move}"'
        return ViewedContent(hash, refused, rejection, selected, self._query_html, age)

    def _build_shape(self, task: CardTask, columns: tuple[str, ...] = ()) -> CardShape:
        status, assignee, approvals = task.status, task.assignee, self.list_approvals(task)
        agent = self._agents.get(assignee.id) if assignee else None
        blocker_count, is_done = len(task.blocked_by), status is Status.DONE
        return CardShape(
            language=reader_language.get(),
            columns=columns,
            status=status.value,
            priority=task.priority,
            is_movable=self.can_write and not blocker_count,
            can_change=self.can_write,
            is_stale=task.stale_since is not None,
            is_unread=task.id in self.unread_task_ids,
            is_uncalled=bool(agent and agent.uncalled_for is not None and not is_done),
            is_working=_find_start(task) is not None,
            is_overdue=bool(task.due_at and not is_done and time_format.is_overdue(task.due_at)),
            has_agent=agent is not None,
            has_assignee=assignee is not None,
            has_due_date=task.due_at is not None,
            has_comments=task.comments_count > 0,
            has_links=bool(task.links),
            tag_count=len(task.tags),
            approval_count=len(approvals),
            decision_count=sum(one.id in self.decidable_ids for one in approvals),
            blocker_count=blocker_count,
            last_decision=None if approvals else task.last_decision,
        )

    def _build_content(self, task: CardTask, *of_row: str) -> CardContent:
        id, due_at, due_text, is_done = str(task.id), task.due_at, "", task.status is Status.DONE
        if due_at is not None:
            due_text = escape(time_format.format_deadline(due_at, is_done))
        assignee, agent_id, name, avatar = task.assignee, "", "", ""
        if assignee is not None:
            name = escape(assignee.name)
            if assignee.is_person:
                avatar = environment.render_macro(UI, "user_avatar", assignee.name, "sm")
            else:
                agent = None if of_row else self._agents.get(assignee.id)
                agent_id, state = (str(assignee.id), agent.state) if agent else ("", "")
                avatar = environment.render_macro(
                    UI, "agent_avatar", assignee.id, assignee.emoji, state, "sm"
                )
        comments, tags, links = task.comments_count, task.tags, task.links
        return CardContent(
            id,
            f"/boards/{task.board_id}/tasks/{id}",
            escape(task.title),
            self.get_version(task),
            agent_id,
            name,
            avatar,
            environment.render_macro(UI, "comment_count", comments) if comments else "",
            "".join(
                [
                    environment.render_macro(UI, "tag", one.name, one.color)
                    for one in tags[:MAX_TAGS]
                ]
            ),
            "".join(
                [
                    environment.render_macro("macros/task_links.html", "link", label_link(one))
                    for one in links
                ]
            ),
            *_format_time(due_at),
            due_text,
            *_format_time(_find_start(task)),
            *of_row,
        )


def _find_start(task: CardTask) -> datetime | None:
    """Return since when somebody works on a task, or None."""
    is_working = task.status is Status.IN_PROGRESS and task.assignee
    return task.in_progress_at if is_working else None

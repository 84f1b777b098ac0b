"""The HTML of cards, cached by everything that it shows.

`CardContent` holds every value that a card shows to all viewers with the same rights. It is both
the only input of the template and the key of the cache, so a value that is shown cannot be missing
from the key. What differs between viewers, or changes with time alone, is put into the cached HTML
afterwards: the template marks its places with `slot`.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from typing import NamedTuple
from uuid import UUID

from markupsafe import Markup, escape

from models import Status
from services.agents import AgentCard
from services.tasks import Assignee
from web.boards.cards import CardColumn, TaskCard
from web.boards.task_links import LinkLabel, label_link
from web.ui import time_format
from web.ui.avatars import agent_hue, emoji_icon, hex_colour, state_icon
from web.ui.render import environment
from web.ui.translation import reader_language

MAX_TAGS = 3
DIGEST_SIZE = 6  # bytes, eight characters
SEPARATOR = "\0"  # not in any text of the database, and not escaped by templates


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


def _show_deadline(due_at: datetime | None, *, is_done: bool) -> ShownTime | None:
    if due_at is None:
        return None
    return _show_time(due_at)._replace(
        text=time_format.format_deadline(due_at, is_done),
        is_overdue=not is_done and time_format.is_overdue(due_at),
    )


@lru_cache(4_000)  # about 10 MB
def render_content(content: CardContent) -> RenderedCard:
    """Render the part of a card that is the same for all viewers with the same rights."""
    template = environment.get_template("boards/_task_card.html")
    texts = template.render(card=content, slot=SEPARATOR).split(SEPARATOR)
    return RenderedCard(*texts, hash=_digest(*texts))


def _digest(*texts: str) -> str:
    digest = hashlib.blake2b(SEPARATOR.join(texts).encode(), digest_size=DIGEST_SIZE).digest()
    return urlsafe_b64encode(digest).decode()


@dataclass(frozen=True)
class CardRenderer:
    """Renders the cards of a board for one viewer.

    What the page of the viewer already shows is not sent again: an element with the hash of its
    content takes its place, and static/known_cards.js keeps what is shown.
    """

    query: str  # of the address of the board
    can_write: bool
    decidable_ids: Collection[UUID]  # approvals that the viewer may decide
    unread_task_ids: Collection[UUID | None]
    known_hashes: Collection[str] = ()  # of what the page shows
    context: Mapping[str, object] = field(default_factory=dict)  # of _rejected_move.html
    _rendered: dict[UUID, RenderedCard] = field(default_factory=dict)
    _assignees: dict[tuple[UUID, str], AssigneeLabel] = field(default_factory=dict)

    @cached_property
    def _query_html(self) -> str:
        return escape(self.query)

    def hash_column(self, column: CardColumn) -> str:
        """Return a hash of everything that a column shows."""
        empty = (self.query, self.can_write, column.status, column.total, column.has_lead)
        hashes = [self._render_for_all(card).hash for card in column.cards]
        return _digest(reader_language.get(), repr(empty), *hashes)

    def render(self, *cards: TaskCard) -> Markup:
        """Render cards, or an element in the place of each that the page shows."""
        return Markup("".join(map(self._render_card, cards)))  # noqa: S704 (each is escaped)

    def _render_card(self, card: TaskCard) -> str:
        rendered, task = self._render_for_all(card), card.task
        if rendered.hash in self.known_hashes:
            return f'<li id="task-{task.id}" data-keep="{rendered.hash}"></li>'
        attributes = f' data-hash="{rendered.hash}"{" data-unread" if rendered.is_unread else ""}'
        rejection = selection = age = ""
        if card.rejected_move:
            if self.can_write and card.rejected_move.is_selected:
                selection = " checked"
            attributes += f' data-refused="{card.rejected_move}"'
            template = environment.get_template("boards/_rejected_move.html")
            rejection = template.render(card=card, task=task, **self.context)
        if task.status is Status.IN_PROGRESS and task.in_progress_at and task.assignee:
            age = time_format.format_age(task.in_progress_at)
        return (
            f"{rendered.before_attributes}{attributes}{rendered.before_query}{self._query_html}"
            f"{rendered.before_rejection}{rejection}{rendered.before_age}{age}"
            f"{rendered.before_selection}{selection}{rendered.rest}"
        )

    def _render_for_all(self, card: TaskCard) -> RenderedCard:
        """Render what all viewers with the same rights see, with the hash of this viewer."""
        task_id = card.task.id
        rendered = self._rendered.get(task_id)
        if rendered is None:
            rendered = render_content(self._build_content(card))
            is_unread = task_id in self.unread_task_ids
            if is_unread or card.rejected_move:
                hash = _digest(rendered.hash, str(is_unread), str(card.rejected_move))
                rendered = rendered._replace(hash=hash, is_unread=is_unread)
            self._rendered[task_id] = rendered
        return rendered

    def _build_content(self, card: TaskCard) -> CardContent:
        """Collect what a card shows."""
        task, approvals, tags, agent = card.task, card.approvals, card.task.tags, card.assignee_card
        status, blocker_count = task.status, len(task.blocked_by)
        starts_at = task.in_progress_at if status is Status.IN_PROGRESS and task.assignee else None
        return CardContent(
            language=reader_language.get(),
            board_id=str(task.board_id),
            task_id=str(task.id),
            title=task.title,
            status=status.value,
            priority=task.priority,
            version=card.version,
            is_movable=self.can_write and not blocker_count,
            can_change=self.can_write,
            is_stale=task.stale_since is not None,
            has_approvals=bool(approvals),
            decision_count=sum(one.id in self.decidable_ids for one in approvals),
            blocker_count=blocker_count,
            tags=tuple([_label_tag(tag.name, tag.color) for tag in tags[:MAX_TAGS]]),
            more_tags=max(0, len(tags) - MAX_TAGS),
            due=_show_deadline(task.due_at, is_done=status is Status.DONE),
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

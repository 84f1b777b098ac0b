"""The HTML of cards, cached by everything that it shows.

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
from typing import NamedTuple
from uuid import UUID

from markupsafe import Markup, escape

from models import Status
from services.approvals import UndecidedApproval
from services.tasks import TagRef
from web.boards.cards import CardColumn, TaskCard
from web.boards.task_links import LinkLabel, label_link
from web.ui import time_format
from web.ui.avatars import agent_hue, emoji_icon, hex_colour, state_icon
from web.ui.render import environment
from web.ui.translation import reader_language

MAX_CACHED_CARDS = 4_000  # about 10 MB
MAX_CACHED_TAGS = 1_000
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


class CachedCard(NamedTuple):
    """The HTML of a card, without the values that are added for each viewer."""

    before_attributes: str
    before_query: str
    before_rejection: str
    before_age: str
    before_selection: str
    rest: str
    digest: str  # of these texts


class CardBuilder:
    """Collects what cards show to a viewer with these rights."""

    def __init__(self, *, can_write: bool, decidable_ids: Collection[UUID]) -> None:
        self._can_write, self._decidable_ids = can_write, decidable_ids
        self._language = reader_language.get()
        self._assignees: dict[tuple[UUID, str], AssigneeLabel] = {}

    def build(self, card: TaskCard) -> CardContent:
        """Collect what a card shows."""
        task, approvals, tags = card.task, card.approvals, card.task.tags
        status, blocker_count = task.status, len(task.blocked_by)
        starts_at = task.in_progress_at if status is Status.IN_PROGRESS else None
        return CardContent(
            language=self._language,
            board_id=str(task.board_id),
            task_id=str(task.id),
            title=task.title,
            status=status.value,
            priority=task.priority,
            version=card.version,
            is_movable=self._can_write and not blocker_count,
            can_change=self._can_write,
            is_stale=task.stale_since is not None,
            has_approvals=bool(approvals),
            decision_count=self._count_decidable(approvals) if approvals else 0,
            blocker_count=blocker_count,
            tags=_label_tags(tags) if tags else (),
            more_tags=max(0, len(tags) - MAX_TAGS),
            due=_show_deadline(task.due_at, is_done=status is Status.DONE),
            assignee=self._label_assignee(card) if task.assignee else None,
            agent_id=str(card.assignee_card.agent.id) if card.assignee_card else "",
            is_uncalled=_waits_for_first_call(card),
            working_since=_show_start(starts_at) if task.assignee else None,
            links=tuple(map(label_link, task.links)) if task.links else (),
            comments_count=task.comments_count,
        )

    def _count_decidable(self, approvals: Sequence[UndecidedApproval]) -> int:
        return sum(one.id in self._decidable_ids for one in approvals)

    def _label_assignee(self, card: TaskCard) -> AssigneeLabel:
        agent = card.task.assignee
        assert agent is not None
        if agent.is_person:
            return AssigneeLabel(agent.name, 0, "", "", "", is_person=True)
        state = state_icon(card.assignee_card.state) if card.assignee_card else ""
        key = (agent.id, state)
        if key not in self._assignees:
            self._assignees[key] = AssigneeLabel(
                agent.name, agent_hue(agent.id), emoji_icon(agent.emoji), agent.emoji or "", state
            )
        return self._assignees[key]


def _waits_for_first_call(card: TaskCard) -> bool:
    agent = card.assignee_card
    return agent is not None and agent.uncalled_for is not None and card.task.status != Status.DONE


def _label_tags(tags: Sequence[TagRef]) -> tuple[TagLabel, ...]:
    return tuple([_label_tag(tag.name, tag.color) for tag in tags[:MAX_TAGS]])


@lru_cache(MAX_CACHED_TAGS)
def _label_tag(name: str, color: str) -> TagLabel:
    return TagLabel(name, hex_colour(color))


def _show_deadline(due_at: datetime | None, *, is_done: bool) -> ShownTime | None:
    if due_at is None:
        return None
    return ShownTime(
        time_format.format_iso(due_at),
        time_format.format_absolute(due_at),
        time_format.format_deadline(due_at, is_done),
        not is_done and time_format.is_overdue(due_at),
    )


def _show_start(moment: datetime | None) -> ShownTime | None:
    if moment is None:
        return None
    return ShownTime(time_format.format_iso(moment), time_format.format_absolute(moment))


@lru_cache(MAX_CACHED_CARDS)
def render_content(content: CardContent) -> CachedCard:
    """Render the part of a card that is the same for all viewers with the same rights."""
    template = environment.get_template("boards/_task_card.html")
    texts = template.render(card=content, slot=SEPARATOR).split(SEPARATOR)
    return CachedCard(*texts, digest=_digest(*texts))


def _digest(*texts: str) -> str:
    digest = hashlib.blake2b(SEPARATOR.join(texts).encode(), digest_size=DIGEST_SIZE).digest()
    return urlsafe_b64encode(digest).decode()


class PreparedCard(NamedTuple):
    """A card before it is rendered for its viewer."""

    cached: CachedCard
    is_unread: bool
    hash: str  # of what the viewer sees, except for the query in links and the age


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
    _prepared: dict[UUID, PreparedCard] = field(default_factory=dict)

    @cached_property
    def _query_html(self) -> str:
        return escape(self.query)

    @cached_property
    def _builder(self) -> CardBuilder:
        return CardBuilder(can_write=self.can_write, decidable_ids=self.decidable_ids)

    def hash_column(self, column: CardColumn) -> str:
        """Return a hash of everything that a column shows."""
        empty = (self.query, self.can_write, column.status, column.total, column.has_lead)
        return _digest(
            reader_language.get(), repr(empty), *[self._prepare(card).hash for card in column.cards]
        )

    def render(self, *cards: TaskCard) -> Markup:
        """Render cards, or an element in the place of each that the page shows."""
        return Markup("".join(map(self._render_card, cards)))  # noqa: S704 (each is escaped)

    def _render_card(self, card: TaskCard) -> str:
        cached, is_unread, hash = self._prepare(card)
        if hash in self.known_hashes:
            return f'<li id="task-{card.task.id}" data-keep="{hash}"></li>'
        attributes = f' data-hash="{hash}"{" data-unread" if is_unread else ""}'
        rejection = selection = ""
        if card.rejected_move:
            selection = " checked" if card.rejected_move.is_selected else ""
            attributes += f' data-refused="{card.rejected_move}"'
            rejection = self._render_rejected_move(card)
        return (
            f"{cached.before_attributes}{attributes}{cached.before_query}{self._query_html}"
            f"{cached.before_rejection}{rejection}{cached.before_age}{_format_age(card)}"
            f"{cached.before_selection}{selection if self.can_write else ''}{cached.rest}"
        )

    def _prepare(self, card: TaskCard) -> PreparedCard:
        task_id = card.task.id
        prepared = self._prepared.get(task_id)
        if prepared is None:
            cached, is_unread = (
                render_content(self._builder.build(card)),
                task_id in self.unread_task_ids,
            )
            hash = cached.digest
            if is_unread or card.rejected_move:
                hash = _digest(hash, str(is_unread), str(card.rejected_move))
            prepared = self._prepared[task_id] = PreparedCard(cached, is_unread, hash)
        return prepared

    def _render_rejected_move(self, card: TaskCard) -> str:
        template = environment.get_template("boards/_rejected_move.html")
        return template.render(card=card, task=card.task, **self.context)


def _format_age(card: TaskCard) -> str:
    """Format since when the agent has been working, where a card shows it."""
    task = card.task
    if task.status is not Status.IN_PROGRESS or task.in_progress_at is None:
        return ""
    return time_format.format_age(task.in_progress_at) if task.assignee else ""

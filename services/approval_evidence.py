"""What happened to a task since an agent took it: context for the decision about its approval.

It is not part of what is approved: its content can change without another hash.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, Text, Uuid, bindparam, case, column, func, select, true
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by

from core.db.reads import CombinedQuery, Query, Source
from models import (
    Agent,
    Board,
    Comment,
    Event,
    EventType,
    Run,
    Task,
    TaskDescription,
    TaskLink,
)
from services import forges
from services.gateways import runs
from services.tasks import MAX_RECORDED_LENGTH

MAX_COMMENTS = 3
MAX_COMMENT_LENGTH = 4_000  # characters
MAX_DESCRIPTION_LENGTH = 20_000  # characters of each text; longer ones are not compared
TASK_ID = bindparam("task_id", type_=Uuid())


class AgentComment(NamedTuple):
    """A comment of an agent, or its beginning."""

    id: UUID
    created_at: datetime
    author_name: str
    message: str
    is_cut: bool


class StartDescription(NamedTuple):
    """The description when the task was started; no text if that or the current one is too long."""

    text: str | None
    is_too_long: bool


@dataclass(frozen=True)
class TaskEvidence:
    """What the product knows about the work on a task."""

    task_id: UUID
    started_at: datetime | None  # when an agent or a person started it first
    description: StartDescription | None  # None if it has not changed since the start
    changes: Mapping[str, tuple[Any, Any]]  # of the other content since the start: old, new value
    comments: Sequence[AgentComment]  # the last ones of agents, oldest first
    run: tuple[Run, Agent] | None  # the last one
    links: Sequence[TaskLink]  # to pull requests and checks, the one changed last first

    @property
    def has_content_changes(self) -> bool:
        """Whether the content has changed since the task was started, as far as is known."""
        return self.description is not None or bool(self.changes)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known about the work."""
        found = (self.has_content_changes, self.comments, self.run, self.links)
        return not any(found)


async def load_evidence(source: Source, board: Board, task_id: UUID) -> TaskEvidence:
    """Load what is known about the work on a task of a board, in one statement."""
    started, descriptions, found, comments, found_runs, links = await EVIDENCE.fetch(
        source, board_id=board.id, task_id=task_id
    )
    started_at, current = started[0] if started else (None, None)
    changes = {name: (old, new) for name, old, new in found}
    change = changes.pop(Task.description.key, None)
    return TaskEvidence(
        task_id,
        started_at,
        _choose_description(change, current or "", next(iter(descriptions), None)),
        {name: (old, new) for name, (old, new) in changes.items() if old != new},
        comments[::-1],
        next(iter(runs.choose_running_or_latest(found_runs)), None),
        [link for link in links if link is not None],
    )


def _choose_description(
    change: tuple[Any, Any] | None, current: str, version: StartDescription | None
) -> StartDescription | None:
    """Return the description before the first change, or else the version at the start.

    A version can be newer than the start, because changes soon after each other become one. Events
    have short texts completely. `current` is the beginning of the present description.
    """
    old = None if change is None else change[0] or ""
    if old is None or len(old) >= MAX_RECORDED_LENGTH:
        return version
    return None if old == current else StartDescription(old, is_too_long=False)


STARTED_AT: Query[tuple[datetime | None, str | None]] = Query(
    select(Task.started_at, func.left(Task.description, MAX_RECORDED_LENGTH)).where(
        Task.id == TASK_ID
    )
)

_LENGTH = func.greatest(
    func.coalesce(func.length(TaskDescription.text), 0),
    func.coalesce(func.length(Task.description), 0),
)
START_DESCRIPTION: Query[StartDescription] = Query(
    select(
        func.left(func.coalesce(TaskDescription.text, ""), MAX_DESCRIPTION_LENGTH),
        _LENGTH > MAX_DESCRIPTION_LENGTH,
    )
    .join_from(Task, TaskDescription, TaskDescription.task_id == Task.id)
    .where(
        Task.id == TASK_ID,
        TaskDescription.id
        == select(TaskDescription.id)
        .where(TaskDescription.task_id == TASK_ID, TaskDescription.created_at <= Task.started_at)
        .order_by(TaskDescription.created_at.desc(), TaskDescription.id.desc())
        .limit(1)
        .correlate(Task)
        .scalar_subquery(),
        TaskDescription.text.is_distinct_from(Task.description),
    ),
    lambda row: StartDescription(None if row[1] else row[0], row[1]),
)


def _select_changes() -> Select[*tuple[Any, ...]]:
    """Select the content fields that were changed since the start: first old, last new value.

    All events count: if only the latest did, an agent could hide a change behind many others.
    """
    changes = Event.data["changes"]
    is_object = func.jsonb_typeof(changes) == "object"
    field = func.jsonb_each(case((is_object, changes))).table_valued(
        column("key", Text), column("value", JSONB), name="field"
    )
    pairs = func.jsonb_agg(aggregate_order_by(field.c.value, Event.seq), type_=JSONB)
    is_content = field.c.key.in_(["title", "description"]) | field.c.key.startswith(
        "custom_field_values.", autoescape=True
    )
    return (
        select(field.c.key, pairs[0][0], pairs[-1][1])
        .select_from(Event)
        .join(Task, Task.id == Event.task_id)
        .join(field, true())
        .where(
            Event.task_id == TASK_ID,
            Event.type.in_([EventType.TASK_UPDATED, EventType.TASK_STATUS_CHANGED]),
            Event.created_at >= Task.started_at,
            is_content,
        )
        .group_by(field.c.key)
        .order_by(func.min(Event.seq), field.c.key)
    )


CHANGES: Query[tuple[str, Any, Any]] = Query(_select_changes())
COMMENTS: Query[AgentComment] = Query(
    select(
        Comment.id,
        Comment.created_at,
        Agent.name,
        func.left(Comment.message, MAX_COMMENT_LENGTH),
        func.length(Comment.message) > MAX_COMMENT_LENGTH,
    )
    .join(Agent, Agent.id == Comment.agent_id)
    .where(Comment.task_id == TASK_ID)
    .order_by(Comment.created_at.desc(), Comment.id.desc())
    .limit(MAX_COMMENTS),
    lambda row: AgentComment(*row),
)
EVIDENCE = CombinedQuery(
    STARTED_AT, START_DESCRIPTION, CHANGES, COMMENTS, runs.CURRENT_TASK_RUNS, forges.TASK_LINKS
)

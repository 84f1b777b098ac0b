"""Tasks and their comments."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.endpoints.gateway_runs import RunRead, build_run_fields
from api.framework.agent_operations import declare_agent
from api.framework.auth import is_without_decisions
from api.framework.dependencies import board_for_lead, board_for_read, board_for_update
from api.framework.fields import (
    JsonObject,
    Ok,
    PageQuery,
    ResponseModel,
    StreamQuery,
    Timestamp,
)
from api.framework.news import WaitQuery
from api.framework.operation import (
    EITHER,
    USER,
    Operation,
    error_responses,
    has_items,
    reads_only,
    sends_events,
    waits_for_news,
)
from api.framework.request_context import RequestContext
from api.streams.subscription import StreamDefinition, format_frame, open_board_stream
from core.errors import Invalid
from core.fields import MAX_NAME_LENGTH
from core.http.request import Session
from core.json_responses import Encoded, build_encoder, encode_page, json_time
from core.paging import Page
from models import Board, Event, EventType, LinkKind, Status
from services import activity, events, forges, tags, tasks
from services.gateways import runs
from services.tasks import TaskCommentCreate, TaskCreate, TaskUpdate


class TagRef(ResponseModel):
    """A tag of a task."""

    id: UUID
    name: str
    slug: str
    color: str = Field(description="Six hex digits.")


encode_tag = build_encoder(TagRef)


class TaskRead(ResponseModel):
    """A task."""

    title: str
    description: str | None
    status: Status
    priority: str
    due_at: Timestamp | None
    assigned_agent_id: UUID | None
    assigned_user_id: UUID | None = Field(
        description="The person who has the task. A task has an agent or a person, never both."
    )
    depends_on_task_ids: list[UUID] = Field(description="In the order in which they were given.")
    tag_ids: list[UUID]
    id: UUID
    board_id: UUID
    created_by_user_id: UUID | None
    claimed_run: str | None = Field(
        description="The `run_id` of the run of the agent that has the task in progress."
    )
    in_progress_at: Timestamp | None
    stale_since: Timestamp | None = Field(
        description="When the worker noticed that nothing happens on a task in progress; null "
        "otherwise."
    )
    created_at: Timestamp
    updated_at: Timestamp
    version: int = Field(description="Increases with every change; the first part of the ETag.")
    blocked_by_task_ids: list[UUID] = Field(description="Dependencies that are not done.")
    is_blocked: bool
    tags: list[TagRef]
    custom_field_values: JsonObject | None = Field(
        description="The value, or the default, of every custom field of the board, by key."
    )


def build_task_fields(task: tasks.ListedTask) -> dict[str, Any]:
    """Return the fields of a TaskRead, in the order of the model."""
    depends_on, is_open = task.depends_on, task.status != Status.DONE
    blocked_by_ids = [id for id, status in depends_on if is_open and status != Status.DONE]
    return {
        "title": task.title,
        "description": task.description,
        "status": task.status,
        "priority": task.priority,
        "due_at": json_time(task.due_at),
        "assigned_agent_id": task.assigned_agent_id,
        "assigned_user_id": task.assigned_user_id,
        "depends_on_task_ids": [id for id, _ in depends_on],
        "tag_ids": [id for id, _, _, _ in task.tags],
        "id": task.id,
        "board_id": task.board_id,
        "created_by_user_id": task.created_by_user_id,
        "claimed_run": task.claimed_run,
        "in_progress_at": json_time(task.in_progress_at),
        "stale_since": json_time(task.stale_since),
        "created_at": json_time(task.created_at),
        "updated_at": json_time(task.updated_at),
        "version": task.version,
        "blocked_by_task_ids": blocked_by_ids,
        "is_blocked": bool(blocked_by_ids),
        "tags": [
            {"id": id, "name": name, "slug": slug, "color": color}
            for id, name, slug, color in task.tags
        ],
        "custom_field_values": task.custom_field_values or {},
    }


class TaskFilter(PageQuery):
    """Which tasks to list; all filters must match."""

    status: str | None = Field(
        default=None,
        max_length=MAX_NAME_LENGTH,
        description="One or more statuses, separated by commas.",
        examples=["inbox,in_progress"],
    )
    assigned_agent_id: UUID | None = Field(default=None, description="Only tasks of this agent.")
    assigned_user_id: UUID | None = Field(default=None, description="Only tasks of this person.")
    unassigned: bool = Field(default=False, description="Only tasks without an assignee.")

    def statuses(self) -> list[Status]:
        """Return the requested statuses; an empty list means all. Raises Invalid."""
        names = [word.strip() for word in (self.status or "").split(",") if word.strip()]
        if not set(names) <= set(Status):
            raise Invalid("unknown_status", f"The statuses are {', '.join(Status)}.")
        return [Status(word) for word in names]


@reads_only
async def list_tasks(
    context: RequestContext, board: Board, query: TaskFilter
) -> Encoded[Page[TaskRead]]:
    """List the tasks of a board, newest first."""
    found = await tasks.list_tasks(
        context.source,
        board,
        query.paging,
        statuses=query.statuses(),
        assigned_agent_id=query.assigned_agent_id,
        assigned_user_id=query.assigned_user_id,
        unassigned=query.unassigned,
    )
    return encode_page(found, build_task_fields)


class AgentTaskFilter(TaskFilter, WaitQuery):
    """Which tasks to list for an agent, and how long to wait for the first."""


@waits_for_news(has_items)
@reads_only
async def list_tasks_for_agent(
    context: RequestContext, board: Board, query: AgentTaskFilter
) -> Encoded[Page[TaskRead]]:
    """List the tasks of a board, newest first."""
    return await list_tasks(context, board, query)


@reads_only
async def get_task(context: RequestContext, board: Board, task_id: UUID) -> Encoded[TaskRead]:
    """Return a task."""
    return _encode_task(await tasks.get_task_detail(context.source, board, task_id))


def _encode_task(detail: tasks.TaskDetail) -> Encoded[TaskRead]:
    listed = tasks.build_listed_task(detail)
    return Encoded(build_task_fields(listed), listed.version)


@error_responses(409)
async def create_task(context: RequestContext, board: Board, body: TaskCreate) -> Encoded[TaskRead]:
    """Create a task on a board. Among agents, only the board's lead may.

    Agents, and tokens with the scope `no_decisions`, may not use tags that a policy names.
    """
    may_decide = not is_without_decisions(context.request)
    created = await tasks.create_task(
        context.session, context.actor, board, body, may_decide=may_decide
    )
    return _encode_task(created)


@error_responses(409, 412)
async def update_task(
    context: RequestContext, board: Board, task_id: UUID, body: TaskUpdate
) -> Encoded[TaskRead]:
    """Change a task: claim, move, comment or assign it. Only the fields in the request change.

    A worker may send `status`, `comment`, `custom_field_values`, `expected_status`, `run_id` and
    `expected_run_id`; a lead `status`, the assigned agent or user, `custom_field_values`,
    `depends_on_task_ids`, `tag_ids` and `expected_status`; a user everything but the two fields
    about runs. The rules of the board can reject the change with 409, or with 422 if a comment is
    missing. Agents, and tokens with the scope `no_decisions`, may not add and remove tags that a
    policy names.
    """
    changed = await tasks.update_task(
        context.session,
        context.actor,
        board,
        task_id,
        body,
        known=context.known_versions,
        may_decide=not is_without_decisions(context.request),
    )
    return _encode_task(changed)


@error_responses(412)
async def delete_task(context: RequestContext, board: Board, task_id: UUID) -> Ok:
    """Delete a task with its comments. Approvals keep their other tasks."""
    await tasks.delete_task(
        context.session, context.actor, board, task_id, known=context.known_versions
    )
    return Ok()


class TaskCommentRead(ResponseModel):
    """A comment on a task."""

    id: UUID
    message: str
    agent_id: UUID | None
    task_id: UUID
    created_at: Timestamp
    user_id: UUID | None
    author_name: str | None


encode_comment = build_encoder(TaskCommentRead, "comment", author_name="author_name")


@reads_only
async def list_task_comments(
    context: RequestContext, board: Board, task_id: UUID, query: PageQuery
) -> Encoded[Page[TaskCommentRead]]:
    """List the comments on a task, oldest first."""
    found = await tasks.list_comments(context.source, board, task_id, query.paging)
    return encode_page(found, encode_comment)


async def create_task_comment(
    context: RequestContext, board: Board, task_id: UUID, body: TaskCommentCreate
) -> Encoded[TaskCommentRead]:
    """Write a comment on a task.

    A lead may comment in review, where it was mentioned, and on tasks that it created.
    """
    comment = await tasks.create_comment(
        context.session, context.actor, board, task_id, body.message
    )
    return Encoded(encode_comment(comment))


class TaskActivity(ResponseModel):
    """An event of a task, described in a sentence."""

    id: UUID
    event_type: EventType
    message: str
    agent_id: UUID | None
    task_id: UUID | None
    created_at: Timestamp


class TaskMessage(ResponseModel):
    """A stream message with the current task, or null if it was deleted."""

    type: EventType
    activity: TaskActivity
    task: TaskRead | None


class TaskCommentMessage(ResponseModel):
    """A stream message with a comment."""

    type: EventType
    activity: TaskActivity
    comment: TaskCommentRead


@sends_events({"task": TaskMessage | TaskCommentMessage})
async def stream_tasks(context: RequestContext, board: Board, query: StreamQuery) -> Response:
    """Stream the changes of a board's tasks and their comments.

    Each message is an event `task` with `type`, `activity` and the current `task`; for a comment
    with `comment` instead; for a deleted task `task` is null.
    """

    async def write_frames(session: Session, received: Sequence[Event]) -> Mapping[int, bytes]:
        comment_event_ids = [event.id for event in received if event.type is EventType.TASK_COMMENT]
        comments = await tasks.load_comments(session, board, comment_event_ids)
        ids = {event.task_id for event in received if event.task_id}
        details = await tasks.load_task_details(session, board, ids)
        frames = {}
        for entry in await activity.load_entries(session, received):
            if message := _build_task_message(entry, comments, details):
                frames[entry.event.seq] = format_frame("task", entry.event.seq, message)
        return frames

    definition = StreamDefinition(
        "task",
        events.list_types(lambda entry: "task" in entry.streams),
        write_frames,
        board.id,
    )
    return await open_board_stream(context, definition, board, query)


def _build_task_message(
    entry: activity.ActivityEntry,
    comments: Mapping[UUID, tasks.CommentDetail],
    details: Mapping[UUID, tasks.TaskDetail],
) -> TaskMessage | TaskCommentMessage | None:
    """Return the message about a task event, or None for a comment that was deleted."""
    event = entry.event
    activity_entry = TaskActivity(
        id=event.id,
        event_type=event.type,
        message=entry.message,
        agent_id=event.agent_id,
        task_id=event.task_id,
        created_at=event.created_at,
    )
    if event.type is EventType.TASK_COMMENT:
        if event.id not in comments:
            return None
        comment = TaskCommentRead(**encode_comment(comments[event.id]))
        return TaskCommentMessage(type=event.type, activity=activity_entry, comment=comment)
    detail = details.get(event.task_id) if event.task_id else None
    task = TaskRead(**build_task_fields(tasks.build_listed_task(detail))) if detail else None
    return TaskMessage(type=event.type, activity=activity_entry, task=task)


class TaskLinkRead(ResponseModel):
    """A link, with the state that the code host has reported last.

    The states are, by kind:
    - `change`, a pull request or merge request: `open`, `draft`, `merged` or `closed`
    - `issue`: `open` or `closed`
    - `check` of a branch: `running`, `passing` or `failing`

    `checks_state` is that of all checks of the last commit of a change; null if none is known.
    """

    id: UUID
    task_id: UUID
    kind: LinkKind
    repository: str
    reference: str
    title: str
    url: str
    state: str
    checks_state: str | None
    created_at: Timestamp
    updated_at: Timestamp


encode_link = build_encoder(TaskLinkRead)


@reads_only
@error_responses(404)
async def list_task_links(
    context: RequestContext, board: Board, task_id: UUID
) -> Encoded[list[TaskLinkRead]]:
    """List the links of a task to code hosts, the one that changed last first."""
    found = await forges.list_task_links(context.source, board, task_id)
    return Encoded(list(map(encode_link, found)))


class WatcherRead(ResponseModel):
    """A user who watches a task, and can read its board."""

    user_id: UUID
    name: str


encode_watcher = build_encoder(WatcherRead, user_id="id")


@reads_only
@error_responses(404)
async def list_task_watchers(
    context: RequestContext, board: Board, task_id: UUID
) -> Encoded[list[WatcherRead]]:
    """List the users who watch a task, by name."""
    found = await tasks.list_watchers(context.source, board, task_id)
    if not found:
        await tasks.get_task(context.source, board, task_id)
    return Encoded(list(map(encode_watcher, found)))


@error_responses(404)
async def watch_task(context: RequestContext, board: Board, task_id: UUID) -> Ok:
    """Watch a task. Nothing changes if you watch it already."""
    await tasks.watch_task(context.session, context.user, board, task_id)
    return Ok()


@error_responses(404)
async def unwatch_task(context: RequestContext, board: Board, task_id: UUID) -> Ok:
    """Stop watching a task, until you comment on it, are mentioned in it, or get it."""
    await tasks.unwatch_task(context.session, context.user, board, task_id)
    return Ok()


@reads_only
@error_responses(404)
async def list_task_runs(
    context: RequestContext, board: Board, task_id: UUID, query: PageQuery
) -> Encoded[Page[RunRead]]:
    """List the runs of agents on gateways for a task, newest first."""
    found = await runs.list_task_runs(context.source, board, task_id, query.paging)
    return encode_page(found, build_run_fields)


@reads_only
async def list_board_tags(context: RequestContext, board: Board) -> Encoded[list[TagRef]]:
    """List the tags of the board's organization, by name."""
    return Encoded(list(map(encode_tag, await tags.list_board_tags(context.source, board))))


TASKS = "/boards/{board_id}/tasks"
TASK = "/boards/{board_id}/tasks/{task_id}"
COMMENTS = "/boards/{board_id}/tasks/{task_id}/comments"

OPERATIONS = [
    Operation("GET", TASKS, list_tasks, EITHER, ["tasks"], board_for_read),
    declare_agent("GET", TASKS, list_tasks_for_agent, "agent_board_task_discovery", board_for_read),
    Operation("POST", TASKS, create_task, USER, ["tasks"], board_for_update),
    declare_agent("POST", TASKS, create_task, "delegate_work", board_for_lead),
    Operation("GET", TASKS + "/stream", stream_tasks, EITHER, ["tasks"], board_for_read),
    Operation("GET", TASK, get_task, EITHER, ["tasks"], board_for_read),
    declare_agent("GET", TASK, get_task, "agent_board_task_lookup", board_for_read),
    Operation("PATCH", TASK, update_task, EITHER, ["tasks"], board_for_update),
    declare_agent("PATCH", TASK, update_task, "agent_task_update", board_for_update),
    Operation("DELETE", TASK, delete_task, USER, ["tasks"], board_for_update),
    declare_agent("DELETE", TASK, delete_task, "agent_task_delete", board_for_lead),
    Operation("GET", COMMENTS, list_task_comments, EITHER, ["tasks"], board_for_read),
    declare_agent(
        "GET", COMMENTS, list_task_comments, "agent_task_comment_discovery", board_for_read
    ),
    Operation("POST", COMMENTS, create_task_comment, EITHER, ["tasks"], board_for_update),
    declare_agent(
        "POST", COMMENTS, create_task_comment, "agent_task_comment_create", board_for_update
    ),
    Operation("GET", TASK + "/links", list_task_links, EITHER, ["tasks"], board_for_read),
    Operation("GET", TASK + "/watchers", list_task_watchers, USER, ["tasks"], board_for_read),
    Operation("PUT", TASK + "/watchers/me", watch_task, USER, ["tasks"], board_for_read),
    Operation("DELETE", TASK + "/watchers/me", unwatch_task, USER, ["tasks"], board_for_read),
    Operation("GET", TASK + "/runs", list_task_runs, USER, ["tasks"], board_for_read),
    declare_agent(
        "GET",
        "/boards/{board_id}/tags",
        list_board_tags,
        "agent_board_tag_discovery",
        board_for_read,
    ),
]

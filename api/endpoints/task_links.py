"""The links of tasks to issues, pull requests and checks of code hosts."""

from typing import Any
from uuid import UUID

from api.framework.fields import ResponseModel, Timestamp
from api.framework.handler import RequestContext, error_responses, reads_only
from core.json_responses import Encoded, json_id, json_time
from models import Board, LinkKind, TaskLink
from services import forges


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


@reads_only
@error_responses(404)
async def list_task_links(
    context: RequestContext, board: Board, task_id: UUID
) -> Encoded[list[TaskLinkRead]]:
    """List the links of a task to code hosts, the one that changed last first."""
    found = await forges.list_task_links(context.source, board, task_id)
    return Encoded(list(map(_build_link_fields, found)))


def _build_link_fields(link: TaskLink) -> dict[str, Any]:
    """Return the fields of a TaskLinkRead, in the order of the model."""
    return {
        "id": json_id(link.id),
        "task_id": json_id(link.task_id),
        "kind": link.kind,
        "repository": link.repository,
        "reference": link.reference,
        "title": link.title,
        "url": link.url,
        "state": link.state,
        "checks_state": link.checks_state,
        "created_at": json_time(link.created_at),
        "updated_at": json_time(link.updated_at),
    }

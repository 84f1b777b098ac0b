"""The list of board groups, and the page of a group."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.http.request import open_reader, open_transaction
from services import agents, boards, snapshots
from web.auth.viewer import current_member
from web.groups import presenter
from web.groups.forms import UNITS, GroupHeartbeatForm
from web.groups.presenter import GroupView
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import translate

COUNT_PARAMETER = "updated"  # number of agents whose interval was set


async def show_groups(request: Request) -> Response:
    """Show all groups that the member can read; for htmx only the list."""
    is_part = is_part_request(request)
    layout = None if is_part else await load_layout(request)
    async with open_reader(request) as source:
        lines = await presenter.list_group_lines(source, current_member(request))
    if is_part:
        return render_part(request, "groups/_table.html", lines=lines, apart=True)
    return render_page(request, "groups/index.html", layout=layout, lines=lines)


async def show_group(request: Request) -> Response:
    """Show the boards of a group and the heartbeats of its agents; for htmx only the boards."""
    if not is_part_request(request):
        return await render_group(request, forms.Form())
    async with open_reader(request) as source:
        context = await _load_boards(request, source)
    return render_part(request, "groups/_boards.html", **context)


async def show_group_agents(request: Request) -> Response:
    """Show the agents of a group with their heartbeat intervals."""
    async with open_reader(request) as source:
        context = await _load_boards(request, source, GroupView(task_limit=0))
        context |= await _load_agents(source, context)
    return render_part(request, "groups/_agents.html", **context)


async def set_heartbeat_interval(request: Request) -> Response:
    """Set the heartbeat interval of the agents of a group."""
    form = await forms.read_form(request)
    group_id = forms.path_id(request, "group_id")
    with form.catch_errors():
        fields = form.parse(GroupHeartbeatForm)
        every = fields.to_interval()
        async with open_transaction(request) as session:
            locked = await boards.lock_group_agents_as_manager(session, request.user, group_id)
            updated = await agents.set_group_heartbeat_interval(
                session,
                request.user,
                locked,
                every=every,
                include_board_leads=fields.include_board_leads,
            )
        return RedirectResponse(
            f"/groups/{group_id}?{COUNT_PARAMETER}={len(updated)}#heartbeat", 303
        )
    return await render_group(request, form)


async def render_group(request: Request, form: forms.Form) -> Response:
    """Render the page of a group with the form of the heartbeat interval."""
    layout = await load_layout(request)
    async with open_reader(request) as source:
        context = await _load_boards(request, source)
        context |= await _load_agents(source, context)
    updated = request.query_params.get(COUNT_PARAMETER)
    return render_page(
        request,
        "groups/show.html",
        layout=layout,
        status=form.status,
        form=form,
        interval_options=presenter.list_interval_options(),
        unit_options=[(value, translate(words)) for value, words in UNITS.items()],
        updated_count=None if updated is None else forms.parse_number(updated),
        **context,
    )


async def _load_boards(
    request: Request, source: Source, view: GroupView | None = None
) -> dict[str, Any]:
    """Load the group of the path with its boards. Raises NotFound or Forbidden."""
    view = view or GroupView.from_query(request.query_params)
    group_id = forms.path_id(request, "group_id")
    access = await boards.get_group_permissions(source, request.user, group_id)
    snapshot = await snapshots.load_group_snapshot(
        source,
        request.user,
        group_id,
        include_done=view.include_done,
        per_board_task_limit=view.task_limit,
    )
    return {
        "group": access.group,
        "can_manage": access.is_admin and access.can_write,
        "snapshot": snapshot,
        "view": view,
        "task_limits": presenter.TASK_LIMITS,
    }


async def _load_agents(source: Source, context: dict[str, Any]) -> dict[str, Any]:
    """Load the agents of the boards of a group."""
    shown = [one.board for one in context["snapshot"].boards]
    found = await agents.list_agents_of_boards(source, shown)
    return {
        "agents_by_board": presenter.group_agents_by_board(shown, found),
        "common_interval": presenter.find_common_interval(found),
        "describe_interval": presenter.describe_interval,
    }

"""Pages of an agent's files: the list, a file, and its history. The editor is in `file_edit_views`.

The gateway is queried after the page is shown. With `?wait=1`, which browsers without scripts use,
the page includes its reply.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from core.http.request import get_settings, open_reader
from models import Agent
from services import agents
from services.agents import AgentCard, FileVersion
from services.gateways import agent_files
from services.gateways.agent_files import AgentFile, AgentFileAccess
from web.agents import file_presenter, setup
from web.agents.file_presenter import FileRow
from web.agents.tab_views import tab_context
from web.auth.viewer import current_member
from web.gateways.session_views import query_gateway, waits_for_gateway
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_in_thread, render_page, render_part
from web.ui.text_comparison import TextComparison


@dataclass(frozen=True)
class FilePage:
    """What every page about an agent's files needs."""

    card: AgentCard
    access: AgentFileAccess
    latest: Mapping[str, FileVersion]

    @property
    def agent(self) -> Agent:
        """The agent."""
        return self.access.agent

    def context(self, tab: str = "files") -> dict[str, Any]:
        """Return the template context."""
        return tab_context(self.card, tab) | {
            "access": self.access,
            "summary": self.access.gateway,
            "obstacle": file_presenter.describe_obstacle(self.access),
            "describe_author": file_presenter.describe_author,
            "describe_model_limit": file_presenter.describe_model_limit,
            "max_length": agents.MAX_VERSION_LENGTH,
        }


async def show_files(request: Request) -> Response:
    """Show the files of an agent; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    page = await load_file_page(request)
    context: dict[str, Any] = page.context() | {"rows": [], "problem": "", "is_loaded": True}
    if page.access.gateway is None:
        context["rows"] = build_rows(page, [page.access.stored_soul])
    elif layout is None or waits_for_gateway(request):
        found, context["problem"] = await query_gateway(
            request,
            page.access.gateway,
            lambda client: agent_files.read_files(client, page.agent),
        )
        context["rows"] = build_rows(page, found or ())
    else:
        context["is_loaded"] = False
    if layout is None:
        return render_part(request, "agents/_files.html", **context)
    return render_page(request, "agents/files.html", layout=layout, **context)


async def show_file(request: Request) -> Response:
    """Show a file; for htmx only its content."""
    return await _render_file(request, read_file_name(request), "files")


async def show_soul(request: Request) -> Response:
    """Show the soul of an agent; for htmx only its content."""
    return await _render_file(request, agent_files.SOUL_FILE, "soul")


async def show_history(request: Request) -> Response:
    """Show the stored versions of a file."""
    name, layout = read_file_name(request), await load_layout(request)
    page = await load_file_page(request)
    async with open_reader(request) as source:
        versions = await agents.list_file_versions(source, page.agent, name)
    more = {"name": name, "versions": versions, "max_versions": agents.MAX_FILE_VERSIONS}
    context: dict[str, Any] = page.context() | more
    return render_page(request, "agents/file_history.html", layout=layout, **context)


async def show_version(request: Request) -> Response:
    """Show a stored version of a file, and its differences to the one before it."""
    name, layout = read_file_name(request), await load_layout(request)
    page = await load_file_page(request)
    async with open_reader(request) as source:
        shown = await agents.get_file_version(
            source, page.agent, name, forms.path_id(request, "version_id")
        )
    comparison = TextComparison(shown.previous_content or "", shown.content)
    context: dict[str, Any] = page.context()
    context |= {"name": name, "shown": shown, "comparison": comparison}
    page_template = "agents/file_version.html"
    return await render_in_thread(render_page, request, page_template, layout=layout, **context)


async def load_file_page(request: Request) -> FilePage:
    """Load the agent of the path. Raises NotFound, and Forbidden for members who are no admins."""
    agent_id, member = forms.path_id(request, "agent_id"), current_member(request)
    async with open_reader(request) as source:
        access = await agent_files.get_file_access(source, member, agent_id)
        card = await setup.load_agent_card(source, member, agent_id, get_settings(request))
        latest = await agents.load_latest_versions(source, access.agent)
    return FilePage(card, access, latest)


def read_file_name(request: Request) -> str:
    """Return the file name of the path. Raises NotFound."""
    return agent_files.check_file_name(request.path_params["name"])


def build_rows(page: FilePage, found: Sequence[AgentFile]) -> list[FileRow]:
    """Return files with their origins."""
    return [FileRow.from_file(page.access, file, page.latest.get(file.name)) for file in found]


async def read_current_file(
    request: Request, page: FilePage, name: str
) -> tuple[AgentFile | None, str]:
    """Return a file as it is now, or None and the reason."""
    if page.access.gateway is None:
        return _stored_file(page, name), ""
    return await query_gateway(
        request,
        page.access.gateway,
        lambda client: agent_files.read_file(client, page.agent, name),
    )


def _stored_file(page: FilePage, name: str) -> AgentFile:
    """Return the soul in our database, the only file of an agent without a gateway."""
    agent_files.check_stored_file_name(name)
    return page.access.stored_soul


async def _render_file(request: Request, name: str, tab: str) -> Response:
    layout = None if is_part_request(request) else await load_layout(request)
    page = await load_file_page(request)
    waits = layout is None or waits_for_gateway(request) or page.access.gateway is None
    file, problem = await read_current_file(request, page, name) if waits else (None, "")
    context: dict[str, Any] = page.context(tab) | {
        "name": name,
        "problem": problem,
        "is_loaded": waits,
    }
    context |= {"row": build_rows(page, [file])[0] if file else None}
    context |= {"saved": forms.read_saved_time(request)}
    if layout is None:
        return await render_in_thread(render_part, request, "agents/_file.html", **context)
    context["layout"] = layout
    return await render_in_thread(render_page, request, "agents/file.html", **context)

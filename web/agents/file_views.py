"""Pages of an agent's files: the list, a file, its history, and its editor.

The gateway is queried after the page is shown. With `?wait=1`, which browsers without scripts use,
the page includes its reply. The editor has the steps edit, review, save, and merge if the file has
changed. It keeps the text in each step, also if the gateway is away, and waits for the gateway,
because it needs the present text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, StringConstraints
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import get_settings, open_reader, open_transaction
from models import Agent, FileAuthor
from services import agents
from services.agents import AgentCard, FileVersion
from services.gateways import agent_files
from services.gateways.agent_files import AgentFile, AgentFileAccess, FileObstacle, WriteResult
from web.agents import setup
from web.agents.views import tab_context
from web.auth.viewer import current_member
from web.gateways.session_views import query_gateway, waits_for_gateway
from web.ui import forms
from web.ui.formatted_texts import run_in_page_thread
from web.ui.layout import load_layout
from web.ui.locale_format import format_number
from web.ui.posted_forms import allow_repetition
from web.ui.render import is_part_request, render_in_thread, render_page, render_part
from web.ui.text_comparison import CONTEXT_LINES, Opcode, TextComparison
from web.ui.time_format import reader_zone
from web.ui.translation import N_, _, translate

FILE_PURPOSES: Mapping[str, str] = {
    "AGENTS.md": N_("Rules, tools and the token, written by Mission Control. Notes go below."),
    "SOUL.md": N_("The character of the agent."),
    "IDENTITY.md": N_("Its name, role and picture."),
    "USER.md": N_("The person it works for."),
    "MEMORY.md": N_("What the agent keeps in mind."),
}
"""What each file is for."""

OBSTACLE_TEXTS: Mapping[FileObstacle, str] = {
    FileObstacle.LINKED: N_(
        "This agent was created on its gateway by others. Mission Control does not change its"
        " files."
    ),
    FileObstacle.READ_ONLY: N_("You can read the board of this agent but not change it."),
    FileObstacle.BEING_REMOVED: N_("This agent is being removed from its gateway."),
}
"""Why files cannot be edited."""


@dataclass(frozen=True)
class FileRow:
    """A file with who changed it last, and when, as far as that is known."""

    file: AgentFile
    purpose: str
    author: str
    changed_at: datetime | None


class ComparedLine(NamedTuple):
    """A line of two texts beside each other: numbers and texts, and whether they differ."""

    left_number: str
    left: str
    right_number: str
    right: str
    differs: bool


def describe_author(author: FileAuthor, user_name: str | None, *, has_gateway: bool) -> str:
    """Return who wrote a version of a file."""
    if author is FileAuthor.USER:
        return user_name or _("A former member")
    if author is FileAuthor.AGENT:
        return _("A lead")
    if author is FileAuthor.SYNC:
        return "Mission Control"
    return _("On the gateway") if has_gateway else _("Not recorded")


def describe_model_limit(file_name: str, length: int) -> str:
    """Return a warning if not all of a file reaches the model of the agent, or ""."""
    limit = agent_files.MAX_MODEL_LENGTHS[file_name]
    if length <= limit:
        return ""
    return _(
        "The file has %(length)s characters. OpenClaw passes only %(limit)s to the model.",
        length=format_number(length),
        limit=format_number(limit),
    )


def align_texts(left: str, right: str) -> list[list[ComparedLine]] | None:
    """Return the differing passages of two texts, line by line beside each other.

    Return None if the texts are too long to be compared.
    """
    comparison = TextComparison(left, right)
    if comparison.is_too_long:
        return None
    passages: list[list[ComparedLine]] = [[]]
    for opcode in comparison.opcodes:
        lines, passage = [*_align_lines(comparison.old, comparison.new, opcode)], passages[-1]
        is_short = bool(passage) and len(lines) <= 2 * CONTEXT_LINES
        if opcode[0] != "equal" or is_short:
            passage += lines
            continue
        passage += lines[:CONTEXT_LINES] if passage else []
        passages.append(lines[-CONTEXT_LINES:])
    return [passage for passage in passages if any(line.differs for line in passage)]


def _align_lines(old: Sequence[str], new: Sequence[str], opcode: Opcode) -> Iterator[ComparedLine]:
    kind, left_start, left_end, right_start, right_end = opcode
    for place in range(max(left_end - left_start, right_end - right_start)):
        left, right = left_start + place, right_start + place
        has_left, has_right = left < left_end, right < right_end
        yield ComparedLine(
            str(left + 1) if has_left else "",
            old[left] if has_left else "",
            str(right + 1) if has_right else "",
            new[right] if has_right else "",
            differs=kind != "equal",
        )


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
        obstacle = self.access.obstacle
        return tab_context(self.card, tab) | {
            "access": self.access,
            "summary": self.access.gateway,
            "obstacle": translate(OBSTACLE_TEXTS[obstacle]) if obstacle else "",
            "describe_author": describe_author,
            "describe_model_limit": describe_model_limit,
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
    more = {"layout": layout, "name": name, "shown": shown, "comparison": comparison}
    context: dict[str, Any] = page.context() | more
    return await render_in_thread(render_page, request, "agents/file_version.html", **context)


async def load_file_page(request: Request) -> FilePage:
    """Load the agent of the path. Raises NotFound, and Forbidden for members who are not admins."""
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
    has_gateway, rows = page.access.gateway is not None, []
    for file in found:
        latest = page.latest.get(file.name)
        kind, at, name = agent_files.find_file_origin(page.agent, file, latest)
        author = describe_author(kind, name, has_gateway=has_gateway)
        rows.append(FileRow(file, translate(FILE_PURPOSES[file.name]), author, at))
    return rows


async def read_current_file(
    request: Request, page: FilePage, name: str
) -> tuple[AgentFile | None, str]:
    """Return a file as it is now, or None and the reason."""
    if page.access.gateway is None:  # its soul in our database is its only file
        agent_files.check_stored_file_name(name)
        return page.access.stored_soul, ""
    return await query_gateway(
        request,
        page.access.gateway,
        lambda client: agent_files.read_file(client, page.agent, name),
    )


async def _render_file(request: Request, name: str, tab: str) -> Response:
    layout = None if is_part_request(request) else await load_layout(request)
    page = await load_file_page(request)
    waits = layout is None or waits_for_gateway(request) or page.access.gateway is None
    file, problem = await read_current_file(request, page, name) if waits else (None, "")
    context: dict[str, Any] = page.context(tab) | {
        "name": name,
        "problem": problem,
        "is_loaded": waits,
        "row": build_rows(page, [file])[0] if file else None,
        "saved": forms.read_saved_time(request),
    }
    if layout is None:
        return await render_in_thread(render_part, request, "agents/_file.html", **context)
    context["layout"] = layout
    return await render_in_thread(render_page, request, "agents/file.html", **context)


class FileForm(BaseModel):
    """The edited text of a file, and the version that was edited."""

    content: Annotated[str, StringConstraints(max_length=agents.MAX_VERSION_LENGTH)] = ""
    version: Annotated[str, StringConstraints(max_length=64)] = ""


async def show_editor(request: Request) -> Response:
    """Show the editor with the present content of a file; of one that is too long, its page."""
    name, page = read_file_name(request), await load_file_page(request)
    page.access.require_editable()
    file, problem = await read_current_file(request, page, name)
    if file is not None and file.is_too_long:
        return RedirectResponse(f"/agents/{page.agent.id}/files/{name}", 303)
    return await _render_editor(request, page, name, forms.Form(), file=file, problem=problem)


async def continue_editing(request: Request) -> Response:
    """Show the editor with the text that was reviewed."""
    form = await forms.read_form(request)
    page = await load_file_page(request)
    page.access.require_editable()
    return await _render_editor(request, page, read_file_name(request), form)


async def review_file(request: Request) -> Response:
    """Show the changes that saving would make, or both versions if the file has changed.

    With `restored` the text is that of a stored version, and the present file is what it replaces.
    """
    allow_repetition(request)
    form, name = await forms.read_form(request), read_file_name(request)
    page = await load_file_page(request)
    page.access.require_editable()
    if version_id := forms.parse_id(form.value("restored")):
        async with open_reader(request) as source:
            restored = await agents.get_file_version(source, page.agent, name, version_id)
        form.values["content"] = [restored.content]
    with form.catch_errors(beside="content"):
        fields = form.parse(FileForm)
        file, problem = await read_current_file(request, page, name)
        if file is None:
            form.status, form.problem = 502, problem
        elif file.is_too_long or (
            fields.version not in ("", file.version) and fields.content != file.content
        ):
            return await _render_conflict(request, page, file, fields.content)
        else:
            context: dict[str, Any] = page.context() | {
                "layout": await load_layout(request),
                "file": file,
                "content": fields.content,
                "comparison": TextComparison(file.content, file.normalize(fields.content)),
            }
            template = "agents/file_review.html"
            return await render_in_thread(render_page, request, template, **context)
    return await _render_editor(request, page, name, form)


async def save_file(request: Request) -> Response:
    """Save a file, or show both versions if it has changed."""
    form, name = await forms.read_form(request), read_file_name(request)
    page = await load_file_page(request)
    page.access.require_editable()
    with form.catch_errors(beside="content"):
        fields = form.parse(FileForm)
        if page.access.gateway is None:
            agent_files.check_stored_file_name(name)
            member, problem = current_member(request), ""
            async with open_transaction(request) as session:
                result: WriteResult | None = await agent_files.save_stored_soul(
                    session, member, page.agent.id, fields.content, version=fields.version
                )
        else:
            result, problem = await _write_to_gateway(request, page, name, fields)
        if result is None:
            form.status, form.problem = 502, problem
        elif not result.is_written:
            return await _render_conflict(request, page, result.found, fields.content)
        else:
            return forms.redirect_saved(f"/agents/{page.agent.id}/files/{name}", reader_zone.get())
    return await _render_editor(request, page, name, form)


async def _render_editor(
    request: Request,
    page: FilePage,
    name: str,
    form: forms.Form,
    *,
    file: AgentFile | None = None,
    problem: str = "",
) -> Response:
    return render_page(
        request,
        "agents/file_edit.html",
        layout=await load_layout(request),
        status=form.status,
        name=name,
        form=form,
        file=file,
        problem=problem,
        **page.context(),
    )


async def _render_conflict(
    request: Request, page: FilePage, file: AgentFile, content: str
) -> Response:
    """Show the present version and the edited one beside each other, with a text to merge them."""
    passages = None
    if not file.is_too_long:
        passages = await run_in_page_thread(partial(align_texts, file.content, content))
    context: dict[str, Any] = page.context() | {
        "layout": await load_layout(request),
        "status": 409,
        "row": build_rows(page, [file])[0],
        "content": content,
        "passages": passages,
    }
    return await render_in_thread(render_page, request, "agents/file_conflict.html", **context)


async def _write_to_gateway(
    request: Request, page: FilePage, name: str, fields: FileForm
) -> tuple[WriteResult | None, str]:
    """Write a file, and record the version before and after; return None and the reason if not."""
    member, agent, summary = current_member(request), page.agent, page.access.gateway
    assert summary is not None

    async def record_replaced(found: AgentFile) -> None:
        async with open_transaction(request) as session:
            await agent_files.record_replaced_file(session, member, agent.id, found)

    result, problem = await query_gateway(
        request,
        summary,
        lambda client: agent_files.write_file(
            client,
            agent,
            name,
            fields.content,
            version=fields.version,
            record_replaced=record_replaced,
        ),
    )
    if result is not None and result.is_written:
        async with open_transaction(request) as session:
            await agent_files.record_saved_file(
                session, member, agent.id, result.found, fields.content
            )
    return result, problem

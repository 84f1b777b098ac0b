"""The editor of an agent's files: edit, review, save, and merge if the file has changed.

The text is kept in each step, also if the gateway is away. The editor waits for the gateway,
because it needs the present text.
"""

from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import open_reader, open_transaction
from services import agents
from services.gateways import agent_files
from services.gateways.agent_files import AgentFile, WriteResult
from web.agents import file_presenter
from web.agents.file_views import (
    FilePage,
    build_rows,
    load_file_page,
    read_current_file,
    read_file_name,
)
from web.auth.viewer import current_member
from web.gateways.session_views import query_gateway
from web.ui import forms
from web.ui.formatted_texts import run_in_renderer
from web.ui.layout import load_layout
from web.ui.posted_forms import allow_repetition
from web.ui.render import render_in_thread, render_page
from web.ui.text_comparison import TextComparison
from web.ui.time_format import reader_zone

FileText = Annotated[str, StringConstraints(max_length=agents.MAX_VERSION_LENGTH)]


class FileForm(BaseModel):
    """The edited text of a file, and the version that was edited."""

    content: FileText = ""
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
    await _fill_restored_text(request, page, name, form)
    with form.catch_errors(beside="content"):
        fields = form.parse(FileForm)
        file, problem = await read_current_file(request, page, name)
        if file is None:
            form.status, form.problem = 502, problem
        elif file.is_too_long or _is_stale(fields, file):
            return await _render_conflict(request, page, file, fields.content)
        else:
            return await _render_review(request, page, file, fields.content)
    return await _render_editor(request, page, name, form)


def _is_stale(fields: FileForm, file: AgentFile) -> bool:
    return fields.version not in ("", file.version) and fields.content != file.content


async def save_file(request: Request) -> Response:
    """Save a file, or show both versions if it has changed."""
    form, name = await forms.read_form(request), read_file_name(request)
    page = await load_file_page(request)
    page.access.require_editable()
    with form.catch_errors(beside="content"):
        fields = form.parse(FileForm)
        if page.access.gateway is None:
            result, problem = await _save_stored_soul(request, page, fields), ""
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
    layout = await load_layout(request)
    context: dict[str, Any] = page.context() | {
        "name": name,
        "form": form,
        "file": file,
        "problem": problem,
    }
    context |= {"status": form.status}
    return render_page(request, "agents/file_edit.html", layout=layout, **context)


async def _render_review(
    request: Request, page: FilePage, file: AgentFile, content: str
) -> Response:
    layout = await load_layout(request)
    comparison = TextComparison(file.content, file.normalize(content))
    context: dict[str, Any] = page.context()
    context |= {"file": file, "content": content, "comparison": comparison}
    context["layout"] = layout
    return await render_in_thread(render_page, request, "agents/file_review.html", **context)


async def _render_conflict(
    request: Request, page: FilePage, file: AgentFile, content: str
) -> Response:
    """Show the present version and the edited one beside each other, with a text to merge them."""
    layout = await load_layout(request)
    [row] = build_rows(page, [file])
    passages = None
    if not file.is_too_long:
        align = partial(file_presenter.align_texts, file.content, content)
        passages = await run_in_renderer(align)
    context: dict[str, Any] = page.context() | {
        "row": row,
        "content": content,
        "passages": passages,
    }
    context |= {"layout": layout, "status": 409}
    return await render_in_thread(render_page, request, "agents/file_conflict.html", **context)


async def _fill_restored_text(
    request: Request, page: FilePage, name: str, form: forms.Form
) -> None:
    version_id = forms.parse_id(form.value("restored"))
    if version_id is None:
        return
    async with open_reader(request) as source:
        found = await agents.get_file_version(source, page.agent, name, version_id)
    form.values["content"] = [found.content]


async def _save_stored_soul(request: Request, page: FilePage, fields: FileForm) -> WriteResult:
    agent_files.check_stored_file_name(read_file_name(request))
    async with open_transaction(request) as session:
        return await agent_files.save_stored_soul(
            session,
            current_member(request),
            page.agent.id,
            fields.content,
            version=fields.version,
        )


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

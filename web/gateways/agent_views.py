"""Pages of a gateway's agents: linking, unlinking, and synchronization of their files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from core.errors import AppError, NotFound
from core.fields import BlankToNone
from core.http.request import Session, get_settings, open_reader, open_transaction
from models import Agent
from services import agents, gateways, pickers
from services.gateways import GatewayAgentLink, GatewaySummary, ListedAgent, SessionOwner, sync
from services.gateways.files import FilePlan, FileState
from services.gateways.sync import AgentSyncReport, SyncOptions, SyncPlan, SyncProblem, SyncReport
from services.pickers import PickerKind, PickerPlace
from web.agents import setup
from web.agents.provisioning import list_sync_progress
from web.auth.viewer import current_member
from web.gateways.connection_texts import describe_gateway_error
from web.gateways.session_views import load_gateway_agents, query_gateway, waits_for_gateway
from web.gateways.views import (
    TEMPLATE_FUNCTIONS,
    count_gateway_request,
    gateway_connector,
)
from web.pickers import load_chosen
from web.ui import forms
from web.ui.flash_cookies import redirect_with_notice
from web.ui.forms import Switch
from web.ui.layout import load_layout
from web.ui.render import forbid_storage, is_part_request, render_page, render_part
from web.ui.translation import N_, _, pgettext, translate
from web.ui.unified_diff import parse_diff

PER_AGENT_FIELDS = {"name", "gateway_agent_id"}
"""Fields that each of several linked agents has for itself."""


class LinkAgentsForm(BaseModel):
    """Agents to link, their board and role. Their names are separate fields."""

    agent: Annotated[list[str], Field(min_length=1, max_length=100)]
    board_id: UUID
    kind: Literal["worker", "lead"] = "worker"


class FileSyncForm(BaseModel):
    """The agents whose files are synchronized, and how."""

    board_id: Annotated[UUID | None, BlankToNone] = None
    include_main: Switch = False
    lead_only: Switch = False
    overwrite: Switch = False
    rotate_tokens: Switch = False
    reset_sessions: Switch = False


@dataclass(frozen=True)
class GatewayAgentRow:
    """An agent of a gateway, and the agent of this server that it belongs to."""

    gateway_agent: ListedAgent
    owner: SessionOwner | None

    @property
    def can_link(self) -> bool:
        """Return whether the agent can be linked."""
        return self.owner is None and not self.gateway_agent.is_managed


@dataclass(frozen=True)
class LinkedAgent:
    """An agent that was just linked, with its token and its instructions."""

    agent: Agent
    workspace: str | None
    token: str
    handover_text: str


async def show_gateway_agents(request: Request) -> Response:
    """Show the agents of a gateway; for htmx only the list."""
    return await _render_gateway_agents(request, forms.Form())


async def link_agents(request: Request) -> Response:
    """Link agents, and show the token of each once."""
    form = await forms.read_form(request)
    async with open_reader(request) as source:
        summary, _owners = await load_gateway_agents(request, source)
    with form.catch_errors():
        links = form.parse(LinkAgentsForm)
        gateway_agents, problem = await query_gateway(
            request, summary, gateways.list_gateway_agents
        )
        if gateway_agents is None:
            form.problem, form.status = problem, 502
            return await _render_gateway_agents(request, form)
        async with open_transaction(request) as session:
            linked = []
            for key in dict.fromkeys(links.agent):
                link = {
                    "gateway_agent_id": key,
                    "board_id": links.board_id,
                    "is_board_lead": links.kind == "lead",
                    "name": form.value(f"name:{key}").strip() or None,
                }
                linked.append(await _link_agent(request, session, summary, gateway_agents, link))
        page = render_page(
            request,
            "gateways/linked.html",
            layout=await load_layout(request),
            summary=summary,
            linked=linked,
            board_id=links.board_id,
        )
        return forbid_storage(page)
    return await _render_gateway_agents(request, form)


async def unlink_agent(request: Request) -> Response:
    """Unlink an agent. It continues to run on its gateway."""
    agent_id = forms.path_id(request, "agent_id")
    async with open_transaction(request) as session:
        agent = await agents.get_agent(session, current_member(request), agent_id)
        if not agent.is_linked or agent.gateway_id != forms.path_id(request, "gateway_id"):
            raise NotFound("agent_not_found", N_("There is no such agent on this gateway."))
        await agents.delete_agent(session, request.user, agent_id)
    path = f"/gateways/{agent.gateway_id}/agents?wait=1"
    return redirect_with_notice(request, path, _("Unlinked “%(name)s”", name=agent.name))


async def _link_agent(
    request: Request,
    session: Session,
    summary: GatewaySummary,
    gateway_agents: Sequence[ListedAgent],
    link: Mapping[str, Any],
) -> LinkedAgent:
    """Link one of several agents. An error about it alone is shown beside it."""
    key = link["gateway_agent_id"]
    try:
        agent, token = await gateways.link_agent(
            session,
            current_member(request),
            summary.gateway,
            gateway_agents,
            GatewayAgentLink.parse(link),
        )
    except AppError as error:
        if error.field in PER_AGENT_FIELDS:
            error.field = f"name:{key}"
        raise
    workspace = next(one.workspace for one in gateway_agents if one.id == key)
    handover_text = await setup.render_handover(
        session,
        agent,
        token,
        base_url=get_settings(request).base_url,
        workspace=workspace or "",
    )
    return LinkedAgent(agent, workspace, token, handover_text)


async def _render_gateway_agents(request: Request, form: forms.Form) -> Response:
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        summary, owners = await load_gateway_agents(request, source)
        member, kind = current_member(request), PickerKind.CHANGEABLE_BOARDS
        first = await pickers.find_first_option(source, PickerPlace(member), kind)
        board_ids = [first.key] if first else []
        chosen = await load_chosen(source, member, kind, "board_id", form, board_ids)
    is_loaded = layout is None or waits_for_gateway(request) or form.is_submitted
    gateway_agents, problem = (
        await query_gateway(request, summary, gateways.list_gateway_agents)
        if is_loaded
        else (None, "")
    )
    rows = [GatewayAgentRow(one, owners.get(one.id)) for one in gateway_agents or ()]
    context: dict[str, Any] = {
        "summary": summary,
        "form": form,
        "rows": sorted(rows, key=lambda row: not row.can_link),
        "problem": problem,
        "chosen_board": chosen,
        "has_boards": first is not None,
    }
    if layout is None:
        return render_part(request, "gateways/_agents.html", **context)
    more = {"is_loaded": is_loaded, **TEMPLATE_FUNCTIONS}
    return render_page(
        request, "gateways/agents.html", layout=layout, status=form.status, **context, **more
    )


async def show_file_sync(request: Request) -> Response:
    """Show what a synchronization would write; for htmx only the changes."""
    query = request.query_params  # without parameters all agents are selected
    submitted = {name: query.getlist(name) for name in query if name in FileSyncForm.model_fields}
    form = forms.Form(submitted if "asked" in query else {"include_main": ["on"]})
    with form.catch_errors():
        fields = form.parse(FileSyncForm)
        is_part = is_part_request(request)
        report = None
        if is_part or waits_for_gateway(request):
            summary, _plan, report = await _compare_files(request, fields)
        if is_part:
            context: dict[str, Any] = {"summary": summary, "report": report, "form": form}
            return render_part(request, "gateways/_file_changes.html", **context, **SYNC_FUNCTIONS)
        return await _render_file_sync(request, form, fields, report=report)
    return await _render_file_sync(request, form, FileSyncForm())


async def start_file_sync(request: Request) -> Response:
    """Start a synchronization, and show the affected agents."""
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(FileSyncForm)
        _summary, plan, report = await _compare_files(request, fields)
        async with open_transaction(request) as session:
            report = await sync.request_sync(session, current_member(request), plan, report)
        report = await sync.reset_sessions(gateway_connector(request), plan, report)
        return await _render_file_sync(request, form, fields, started_report=report)
    return await _render_file_sync(request, form, FileSyncForm())


async def show_sync_progress(request: Request) -> Response:
    """Show the provisioning progress of a gateway's agents."""
    async with open_reader(request) as source:
        summary = await gateways.get_gateway_summary(
            source, current_member(request), forms.path_id(request, "gateway_id")
        )
        agent_progress = await list_sync_progress(
            source,
            current_member(request),
            summary.gateway,
            offline_after=get_settings(request).offline_after,
        )
    return render_part(
        request, "gateways/_sync_progress.html", summary=summary, agent_progress=agent_progress
    )


async def _compare_files(
    request: Request, fields: FileSyncForm
) -> tuple[GatewaySummary, SyncPlan, SyncReport]:
    """Compare the files with the expected content. Nothing is written."""
    member, gateway_id = current_member(request), forms.path_id(request, "gateway_id")
    async with open_reader(request) as source:
        summary = await gateways.get_gateway_summary(source, member, gateway_id)
        await count_gateway_request(request, summary)
        plan = await sync.plan_sync(
            source,
            request.state.secret_cipher,
            member,
            summary.gateway,
            SyncOptions(**fields.model_dump()),
            base_url=get_settings(request).base_url,
        )
    remote_files = await sync.read_remote_files(
        gateway_connector(request), summary.gateway, plan.selection.agents
    )
    return summary, plan, sync.report_sync(plan, remote_files)


async def _render_file_sync(
    request: Request,
    form: forms.Form,
    fields: FileSyncForm,
    *,
    report: SyncReport | None = None,
    started_report: SyncReport | None = None,
) -> Response:
    layout = await load_layout(request)
    member, gateway_id = current_member(request), forms.path_id(request, "gateway_id")
    async with open_reader(request) as source:
        summary = await gateways.get_gateway_summary(source, member, gateway_id)
        chosen = await load_chosen(
            source, member, PickerKind.GATEWAY_BOARDS, "board_id", form, [fields.board_id]
        )
        agent_progress = await list_sync_progress(
            source,
            current_member(request),
            summary.gateway,
            offline_after=get_settings(request).offline_after,
        )
    switches = {name: "on" for name, value in fields.model_dump().items() if value is True}
    query = urlencode({"asked": "1", "board_id": str(fields.board_id or ""), **switches})
    context: dict[str, Any] = {
        "summary": summary,
        "agent_progress": agent_progress,
        "chosen_board": chosen,
        "query": query,
        "report": report,
        "started_report": started_report,
        **SYNC_FUNCTIONS,
    }
    return render_page(
        request,
        "gateways/sync.html",
        layout=layout,
        status=form.status,
        form=form,
        **context,
        **TEMPLATE_FUNCTIONS,
    )


def describe_agent_report(report: AgentSyncReport) -> str:
    """Describe what is written to an agent, and what is kept."""
    if not report.files:
        return _("The gateway had no agent of its own: it is created with its files.")
    written = sum(one.state.is_written for one in report.files)
    kept = [one.name for one in report.files if one.state is FileState.KEPT]
    sentences = [
        "" if report.is_listed else _("The gateway does not have this agent yet: it is created."),
        _("%(count)d of %(total)d files to write.", count=written, total=len(report.files))
        if written
        else _("Nothing to write."),
        _("Changed by the agent, and kept: %(files)s.", files=", ".join(kept)) if kept else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def describe_file_state(file: FilePlan) -> str:
    """Return the label of a file that differs."""
    labels = {
        FileState.NEW: pgettext("file", "New"),
        FileState.CHANGED: pgettext("file", "Changed"),
        FileState.KEPT: _("Kept as changed by the agent"),
    }
    return labels[file.state]


def describe_hidden_diff(file: FilePlan) -> str:
    """Describe why the difference of a file is not shown, or return "" if it is shown."""
    if file.diff == sync.HIDDEN_DIFF:
        return _("The file names boards that you cannot read.")
    return "" if file.diff.startswith("---") else _("The file is too long to be compared.")


def describe_sync_problem(problem: SyncProblem) -> str:
    """Describe a problem of a synchronization: an error of a gateway, or one with its own text."""
    return describe_gateway_error(problem.code, problem.values, translate(problem.message))


SYNC_FUNCTIONS: dict[str, Any] = {
    "describe_agent_report": describe_agent_report,
    "describe_file_state": describe_file_state,
    "describe_hidden_diff": describe_hidden_diff,
    "describe_sync_problem": describe_sync_problem,
    "parse_diff": parse_diff,
    "config_file": sync.CONFIG_FILE,
}
"""What the templates of a synchronization call."""

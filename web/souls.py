"""Search souls, and compare one with that of an agent before the agent gets it. For admins."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.clock import now
from core.errors import Conflict, UpstreamError
from core.http.request import get_settings, open_reader, open_transaction
from models import Agent
from services import agents, organizations, souls
from services.gateways import agent_files
from services.gateways.agent_files import AgentFile
from services.pickers import PickerKind
from services.souls import CachedSoul, RemoteDirectory, SoulSearchResult
from web.auth.viewer import current_member
from web.pickers import load_chosen
from web.ui import forms
from web.ui.formatted_texts import format_texts, run_in_page_thread
from web.ui.layout import load_layout
from web.ui.locale_format import describe_error
from web.ui.render import render_in_thread, render_page
from web.ui.text_comparison import list_changes
from web.ui.translation import N_
from web.ui.unified_diff import DiffLine

MAX_RESULTS = 100  # souls in the list


@dataclass(frozen=True)
class SoulComparison:
    """What changes if an agent gets a soul. Without lines it has this soul already."""

    agent: Agent
    lines: Sequence[DiffLine]
    digest: str  # of both texts, so that nothing is applied that was not shown


def digest_texts(old: str, new: str) -> str:
    """Return a hash of two texts."""
    return hashlib.sha256(json.dumps([old, new]).encode()).hexdigest()


class ApplicationForm(BaseModel):
    """The agent that gets a soul, and the hash of the comparison that was shown."""

    agent_id: UUID
    shown: str = ""


async def show_souls(request: Request) -> Response:
    """Show the souls that match a search."""
    organizations.require_admin(current_member(request))
    layout = await load_layout(request)
    return render_page(request, "souls/index.html", layout=layout, **await _search(request))


async def show_soul(request: Request) -> Response:
    """Show a soul, and its differences from the soul of an agent."""
    return await _render_soul(request, forms.Form())


async def apply_soul(request: Request) -> Response:
    """Give an agent a soul, and redirect to the agent."""
    form = await forms.read_form(request)
    member = current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        fields = form.parse(ApplicationForm)
        content = (await _read_content(request)).content or ""
        async with open_transaction(request) as session:
            agent, _boards = await agents.lock_agent(session, member, fields.agent_id)
            if digest_texts(agent.soul_template or "", content.strip()) != fields.shown:
                reason = N_("This was changed meanwhile. Look at it again, then change it.")
                raise Conflict("stale", reason)
            if agent.gateway_key is not None:
                soul = agents.AgentUpdate.parse({"soul_template": content})
                await agents.update_agent(session, member, agent.id, soul)
            else:  # without a gateway, the history of its soul is here
                before = AgentFile(agent_files.SOUL_FILE, agent.soul_template or "").version
                await agent_files.save_stored_soul(
                    session, member, agent.id, content, version=before
                )
        return RedirectResponse(f"/agents/{agent.id}", 303)
    return await _render_soul(request, form)


async def _render_soul(request: Request, form: forms.Form) -> Response:
    """Render a soul; if the directory does not answer, its page says so with the status 502."""
    member = current_member(request)
    organizations.require_admin(member)
    layout = await load_layout(request)
    context, status, soul, unreachable = await _search(request), form.status, None, ""
    try:
        soul = await _read_content(request)
    except UpstreamError as error:
        status, unreachable = 502, describe_error(error)
    given = form.value("agent_id") or request.query_params.get("agent")
    agent_id = forms.parse_id(given)
    async with open_reader(request) as source:
        chosen = await load_chosen(
            source, member, PickerKind.SOUL_AGENTS, "agent", forms.Form(), [agent_id]
        )
        agent = await agents.get_agent(source, member, agent_id) if agent_id else None
    comparison = None
    if agent and soul:
        texts = agent.soul_template or "", (soul.content or "").strip()
        lines = await run_in_page_thread(partial(list_changes, *texts))
        comparison = SoulComparison(agent, lines, digest_texts(*texts))
    return await render_in_thread(
        render_page,
        request,
        "souls/show.html",
        formatted=await format_texts([soul.content] if soul else ()),
        layout=layout,
        status=status,
        form=form,
        soul=soul,
        unreachable=unreachable,
        path=request.url.path.removesuffix("/applications"),
        chosen_agent=chosen,
        comparison=comparison,
        **context,
    )


async def _read_content(request: Request) -> CachedSoul:
    """Return the soul of the path with its content. Raises NotFound, and UpstreamError."""
    handle, slug = (request.path_params[name] for name in ("handle", "soul"))
    souls.check_names(handle, slug)
    transaction = partial(open_transaction, request)
    found, remote = await souls.read_soul(transaction, get_settings(request), handle, slug)
    return souls.require_content(found, remote)


async def _search(request: Request) -> dict[str, Any]:
    """Search the souls. If nothing matches and the directory does not answer, there are none."""
    text = forms.parse_search(request.query_params)
    settings = get_settings(request)
    transaction = partial(open_transaction, request)
    try:
        found = await souls.search_directory(transaction, settings, text, MAX_RESULTS)
    except UpstreamError:
        found = SoulSearchResult((), RemoteDirectory(settings.souls_directory_url, failed_at=now()))
    return {
        "entries": found.entries,
        "remote": found.remote,
        "is_unreachable": found.remote.failed_at is not None,
        "search": text,
        "search_query": f"?{urlencode({'q': text})}" if text else "",
        "max_results": MAX_RESULTS,
    }


SOUL_PATH = "/souls/{handle}/{soul}"
SOUL_ROUTES: list[Route] = [
    Route("/souls", show_souls, name="souls"),
    Route(SOUL_PATH, show_soul),
    Route(f"{SOUL_PATH}/applications", apply_soul, methods=["POST"]),
    Route(f"{SOUL_PATH}/applications", show_soul),
]

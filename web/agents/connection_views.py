"""Pages that connect the client of a coding agent: what to paste, and what of it works."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.clock import now
from core.config.parsers import is_loopback
from core.db.reads import Source
from core.errors import NotFound
from core.http.request import get_settings, open_reader, open_transaction
from models import Agent, ClientConnection, CodingClient, ToolAnswer, ToolCall
from services import agents, coding_sessions, organizations
from services.coding_sessions import (
    CLIENT_NAMES,
    TEST_COMMAND,
    TEST_SECONDS,
    ConnectionKind,
    find_contact,
)
from web.agents.presenter import format_duration
from web.auth.viewer import current_member
from web.ui import flash_cookies, forms
from web.ui.assets import hash_client_file
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_, _, translate

HOOK_ADVICE = {
    CodingClient.CLAUDE: N_(
        "Start Claude Code again and let it call a tool. If this stays grey, look for"
        " “disableAllHooks” in the project's .claude/settings.json: it switches the hook off."
    ),
    CodingClient.CODEX: N_(
        "Start Codex again and let it call a tool. If this stays grey, open /hooks in Codex and"
        " trust the hook: Codex skips hooks that are not trusted without saying so."
    ),
    CodingClient.COPILOT: N_(
        "Start Copilot again and let it call a tool. If this stays grey, look for"
        " “disableAllHooks” in .github/copilot/settings.json of the project."
    ),
    CodingClient.OPENCODE: N_(
        "Start opencode again and let it call a tool: it loads the plugin when it starts."
    ),
    CodingClient.GEMINI: N_(
        "Start Gemini CLI again in a trusted folder and let it call a tool. If this stays grey,"
        " look for “hooksConfig” in the project's .gemini/settings.json."
    ),
}
"""What to do if no request of the hook arrives."""


@dataclass(frozen=True)
class ClientCheck:
    """A part of a connection: since when it works, or what to do until then."""

    title: str
    at: datetime | None
    advice: str


@dataclass(frozen=True)
class ConnectionTest:
    """The test of a connection: whether a call can be held for a long time."""

    is_requested: bool  # the next call is held
    call: ToolCall | None  # of the latest test
    cut_seconds: float | None = None  # after which the client's last connection closed

    @property
    def state(self) -> str:
        """Return `none`, `requested`, `held`, `cut`, `passed` or `short` (answered too early)."""
        call = self.call
        if self.is_requested or call is None:
            return "requested" if self.is_requested else "none"
        if call.abandoned_at is not None and self.seconds < TEST_SECONDS:
            # a server that stops ends its waits as well
            return "cut" if int(self.cut_seconds or 0) == self.seconds else "none"
        if call.answer is None and call.abandoned_at is None:
            # a killed server has not recorded the end of a wait
            return "held" if call.waits_until and call.waits_until > now() else "none"
        return "passed" if self.seconds >= TEST_SECONDS else "short"

    @property
    def seconds(self) -> int:
        """Return for how long the call was held."""
        call = self.call
        assert call is not None
        ended_at = call.abandoned_at or call.answered_at or now()
        return int((ended_at - call.asked_at).total_seconds())

    @property
    def answer(self) -> ToolAnswer | None:
        """Return the answer that the client received."""
        return self.call.answer if self.call else None


def build_checks(
    client: CodingClient, agent: Agent, connection: ClientConnection, base_url: str
) -> Sequence[ClientCheck]:
    """Return the checks of a connection, in the order in which they usually succeed."""
    checks = [
        ClientCheck(
            _("Token seen"),
            agent.last_seen_at,
            _(
                "Paste the block into a terminal and run it. If this stays grey, open"
                " %(address)s on that computer: it must be reachable from there.",
                address=base_url,
            ),
        ),
        ClientCheck(
            _("Hook answered"),
            find_contact(connection, ConnectionKind.HOOK),
            translate(HOOK_ADVICE[client]),
        ),
        ClientCheck(
            _("MCP connected"),
            find_contact(connection, ConnectionKind.MCP),
            _(
                "The client connects when it starts. It lists its MCP servers with /mcp. Without"
                " them it can ask, but takes no tasks."
            ),
        ),
    ]
    if client is not CodingClient.OPENCODE:  # its plugin reports usage through the hook
        advice = _(
            "It arrives up to a minute after a turn. Without it nobody notices calls that ran"
            " without asking."
        )
        at = find_contact(connection, ConnectionKind.TELEMETRY)
        checks.append(ClientCheck(_("Telemetry arrived"), at, advice))
    return checks


async def show_connection(request: Request) -> Response:
    """Show how to connect a client, and what of it works; for htmx only what works."""
    is_part = is_part_request(request)
    layout = None if is_part else await load_layout(request)
    async with open_reader(request) as source:
        context = await _load_connection(request, source)
    agent: Agent = context["agent"]
    if agent.board_id is None or agent.gateway_id is not None:  # a gateway runs it
        return RedirectResponse(f"/agents/{agent.id}", 303)
    if layout is None:
        return render_part(request, "agents/_connection_status.html", **context)
    context |= _build_block(request, context["client"])
    response = render_page(request, "agents/connect.html", layout=layout, **context)
    return flash_cookies.forget_secret(request, response)


async def request_test(request: Request) -> Response:
    """Hold the next call of the client, and show the page again."""
    form, agent_id = await forms.read_form(request), forms.path_id(request, "agent_id")
    client = parse_client(form.value("client"))
    if client is None:
        raise NotFound("client_not_found", N_("There is no such client."))
    async with open_transaction(request) as session:
        agent = await agents.get_agent(session, current_member(request), agent_id)
        await coding_sessions.request_test(session, agent, client)
    return RedirectResponse(f"{connection_path(agent, client)}#test", 303)


async def _load_connection(request: Request, source: Source) -> dict[str, Any]:
    """Load a connection as the context of its page.

    The client is that of the address, or the first one that the agent was connected with. Raises
    NotFound, and Forbidden for a member who is not an admin.
    """
    member, agent_id = current_member(request), forms.path_id(request, "agent_id")
    organizations.require_admin(member)
    agent = await agents.get_agent(source, member, agent_id)
    connections = await coding_sessions.CONNECTIONS.fetch(source, agent_id=agent.id)
    known = {one.client: one for one in connections}
    client = parse_client(request.query_params.get("client")) or next(iter(known), None)
    client = client or CodingClient.CLAUDE
    connection = known.get(client) or ClientConnection(client=client)
    call = await coding_sessions.LATEST_TEST.first(source, agent_id=agent.id, client=client)
    base_url = get_settings(request).base_url
    return {
        "agent": agent,
        "client": client,
        "client_name": CLIENT_NAMES[client],
        "client_names": CLIENT_NAMES,
        "checks": build_checks(client, agent, connection, base_url),
        "test": ConnectionTest(
            connection.test_requested_at is not None, call, connection.cut_seconds
        ),
        "has_asked": find_contact(connection, ConnectionKind.HOOK) is not None,
        "test_command": TEST_COMMAND,
        "test_seconds": TEST_SECONDS,
        "disconnect_command": f"curl -fsS {base_url}/client.py | python3 - disconnect {client}",
        "format_duration": format_duration,
        "path": connection_path(agent, client),
    }


def _build_block(request: Request, client: CodingClient) -> dict[str, Any]:
    """Return what is pasted, with the token if the page may show it."""
    token = flash_cookies.read_secret(request)
    if token is None:
        return {"token": None}
    base_url, is_claude = get_settings(request).base_url, client is CodingClient.CLAUDE
    words = build_connect_command(client, base_url, token)
    headless = build_connect_command(client, base_url, token, "--headless")
    address = f"{base_url}/client.py"
    download = f"curl -fsS {address} \\\n  | python3 -"
    return {
        "token": token,
        "command": f"{download} {words}",
        "headless_command": f"{download} {headless}" if is_claude else "",
        "inspect_command": " &&\n".join(  # what has another checksum does not run
            [
                f"curl -fsS -o client.py {address}",
                f"echo '{hash_client_file('/client.py')}  client.py' | shasum -a 256 -c",
                f"python3 client.py {words}",
            ]
        ),
        "settings_file": "~/.claude/settings.json",
        "settings_text": build_claude_settings(base_url, token) if is_claude else "",
        "mcp_command": (
            f"claude mcp add --transport http --scope user mission-control {base_url}/mcp"
            " --header 'Authorization: Bearer ${MC_TOKEN}'"
        ),
    }


def build_connect_command(client: CodingClient, base_url: str, token: str, *options: str) -> str:
    """Build the arguments with which client.py changes the settings of a client."""
    parts = urlsplit(base_url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        options = (*options, "--insecure-http")
    return shlex.join(["connect", client, "--url", base_url, "--token", token, *options])


def build_claude_settings(base_url: str, token: str) -> str:
    """Build the settings with which Claude Code asks, and reports what it does, by itself."""
    signal = {
        "type": "http",
        "url": f"{base_url}/hooks/claude",
        "headers": {"Authorization": "Bearer $MC_TOKEN"},
        "allowedEnvVars": ["MC_TOKEN"],
        "timeout": 3,
    }
    asking = {
        **signal,
        "timeout": 600,
        "onFailure": "block",  # it would run the call when nobody answers
        "statusMessage": "Asking Mission Control",
    }
    variables = {
        "MC_TOKEN": token,
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{base_url}/otlp",
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer {token}",
    }
    hooks = {"PreToolUse": asking, "Stop": signal, "SessionEnd": signal}
    groups = {event: [{"hooks": [hook]}] for event, hook in hooks.items()}
    return json.dumps({"env": variables, "hooks": groups}, indent=2)


def connection_path(agent: Agent, client: CodingClient) -> str:
    """Return the address of the page that connects an agent with a client."""
    return f"/agents/{agent.id}/connect?client={client}"


def parse_client(text: str | None) -> CodingClient | None:
    """Parse the name of a client, or return None."""
    return CodingClient(text) if text in list(CodingClient) else None

"""Creation of agents, and what an agent needs for its first call."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from markupsafe import Markup

from core.config.settings import Settings
from core.db.reads import Source
from core.errors import Invalid, NotFound
from core.http.request import Session
from models import Agent, Board, Member
from services import agents, boards, coding_sessions, tasks
from services.agents import AgentCard
from services.gateways import files
from services.tasks import TaskCreate
from web.agents.forms import NewAgentForm
from web.agents.presenter import format_clock, format_duration
from web.ui.translation import N_, _

TOKEN_VARIABLE = "$AUTH_TOKEN"  # noqa: S105 - a placeholder for a token that cannot be shown
TASK_PLACEHOLDER = "TASK_ID"
WORKER_PLACEHOLDER = "AGENT_ID"


@dataclass(frozen=True)
class CurlExample:
    """An API call: title, note, and the curl command."""

    title: str
    note: str
    command: str


@dataclass(frozen=True)
class ExampleContext:
    """The server, board, task and agents that appear in the commands."""

    base_url: str
    board: Board
    agent: Agent
    token: str | None = None  # None when it cannot be shown any more
    task_id: UUID | None = None
    lead: Agent | None = None  # of the board
    worker: Agent | None = None  # an agent to which a task can be assigned

    def build_examples(self) -> list[CurlExample]:
        """Return the first calls of this agent, in order."""
        common = [
            CurlExample(
                _("Send a heartbeat"),
                _("Repeat it every few minutes, so that people see that the agent is online."),
                self._curl_command("POST", "/heartbeat"),
            ),
            CurlExample(_("List its boards"), "", self._curl_command("GET", "/boards")),
            CurlExample(
                _("List unassigned tasks in the inbox"),
                "",
                self._curl_command("GET", f"{self._board_path}/tasks?status=inbox&unassigned=true"),
            ),
        ]
        specific = self._lead_examples() if self.agent.is_board_lead else self._worker_examples()
        return [*common, *specific]

    def _worker_examples(self) -> Iterator[CurlExample]:
        moves = not self.board.only_lead_can_change_status
        if moves:
            yield self._move_example(
                _("Claim a task"), _("It is then assigned to the agent."), "in_progress"
            )
        yield CurlExample(
            _("Comment on the task"),
            "",
            self._curl_command(
                "POST", f"{self._task_path}/comments", {"message": "I have started."}
            ),
        )
        yield self._question_example()
        if moves:
            yield self._move_example(_("Move it to Review"), "", "review")
        yield from self._approval_examples()
        if moves and self.lead is None:
            yield self._move_example(_("Move it to Done"), self._done_requirement(), "done")

    def _lead_examples(self) -> Iterator[CurlExample]:
        yield CurlExample(
            _("Create a task"),
            "",
            self._curl_command(
                "POST", f"{self._board_path}/tasks", {"title": "Look around and report"}
            ),
        )
        worker_id = str(self.worker.id) if self.worker else WORKER_PLACEHOLDER
        assignment = {"status": "in_progress", "assigned_agent_id": worker_id}
        no_worker = _(
            "The board has no worker: add one, and put its ID in place of %(placeholder)s.",
            placeholder=WORKER_PLACEHOLDER,
        )
        yield CurlExample(
            _("Assign a task to a worker"),
            "" if self.worker else no_worker,
            self._curl_command("PATCH", self._task_path, assignment),
        )
        yield self._question_example()
        yield from self._approval_examples()
        yield self._move_example(_("Accept a task in Review"), self._done_requirement(), "done")
        yield self._move_example(
            _("Or return it"), _("It returns to the agent that did it."), "inbox"
        )

    def _question_example(self) -> CurlExample:
        is_allowed = self.agent.is_board_lead or self.board.workers_may_ask_people
        path = f"/boards/{self.board.id}/settings#rules"
        refused = _(  # in another tab: this page shows the token only once
            "Refused until “Workers may ask people” is turned on in the"
            ' <a class="link" href="%(path)s" target="_blank">settings of the board</a>.',
            path=path,
        )
        question = {
            "content": "Which of the two titles?",
            "task_id": str(self.task_id or TASK_PLACEHOLDER),
        }
        return CurlExample(
            _("Ask a person"),
            _("The answer reaches the agent as a message.") if is_allowed else Markup(refused),  # noqa: S704 (a text of ours)
            self._curl_command("POST", f"{self._board_path}/gateway/main/ask-user", question),
        )

    def _approval_examples(self) -> Iterator[CurlExample]:
        approval = {
            "action_type": "task.complete",
            "task_id": str(self.task_id or TASK_PLACEHOLDER),
            "confidence": 90,
            "payload": {"reason": "Everything that was asked for is there."},
        }
        note = _(  # in another tab, as above
            'The approval appears under <a class="link" href="/approvals" target="_blank">'
            "Needs you</a>."
        )
        yield CurlExample(
            _("Request an approval"),
            Markup(note),  # noqa: S704 (a text of ours)
            self._curl_command("POST", f"{self._board_path}/approvals", approval),
        )
        yield CurlExample(
            _("Read the decision"),
            _(
                "The status is pending, approved or rejected. It stays pending for a few seconds"
                " after a decision, while people can undo it. The newest approval comes first."
            ),
            self._curl_command("GET", f"{self._board_path}/approvals?limit=1"),
        )

    def _move_example(self, title: str, note: str, status: str) -> CurlExample:
        return CurlExample(
            title, note, self._curl_command("PATCH", self._task_path, {"status": status})
        )

    def _done_requirement(self) -> str:
        needs_approval = self.board.require_approval_for_done
        return _("Refused until a person has approved it.") if needs_approval else ""

    @property
    def _board_path(self) -> str:
        return f"/boards/{self.board.id}"

    @property
    def _task_path(self) -> str:
        return f"{self._board_path}/tasks/{self.task_id or TASK_PLACEHOLDER}"

    def _curl_command(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> str:
        token = self.token or TOKEN_VARIABLE
        return build_curl_command(self.base_url, method, path, token=token, body=body)


def build_curl_command(
    base_url: str,
    method: str,
    path: str,
    *,
    token: str = TOKEN_VARIABLE,
    body: Mapping[str, object] | None = None,
) -> str:
    """Build a curl command. The values need no escaping because they contain no quotes."""
    parts = [
        f"curl -sS -X {method} '{base_url}/api/v1/agent{path}'",
        f'-H "X-Agent-Token: {token}"',
    ]
    if body is not None:
        parts += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(body)}'"]
    return " \\\n  ".join(parts)


@dataclass(frozen=True)
class AgentSetup:
    """An agent with the data of its first-call page: card, board, and example commands."""

    card: AgentCard
    board: Board
    examples: ExampleContext
    handover_text: str = ""  # for the AGENTS.md of a linked agent, with its token


async def create_agent(
    session: Session, member: Member, fields: NewAgentForm
) -> tuple[Agent, str | None]:
    """Create an agent, and its first task if the form names one.

    Return the agent with its token, which is None for an agent on a gateway. Raises Invalid for an
    agent with a client on a board whose agents run on a gateway.
    """
    board = await boards.lock_board_as_admin(session, member, fields.board_id)
    if fields.client is not None and board.gateway_id is not None:
        message = N_("The agents of this board run on its gateway. Choose another board.")
        raise Invalid("board_has_gateway", message, field="board_id")
    agent, token = await agents.create_agent(session, member.user, board, fields.to_fields())
    if fields.client is not None:
        await coding_sessions.add_connection(session, agent, fields.client)
    if fields.first_task:
        await tasks.create_task(
            session, member.user, board, TaskCreate.parse({"title": fields.first_task})
        )
    return agent, token


async def load_agent_setup(
    source: Source,
    member: Member,
    agent_id: UUID,
    settings: Settings,
    *,
    token: str | None = None,
) -> AgentSetup:
    """Load an agent of a board with what it needs to call the API.

    Raises NotFound, and Forbidden for a member who is not an admin.
    """
    agent = await agents.get_agent(source, member, agent_id)
    if agent.board_id is None:
        raise NotFound("agent_not_found", N_("This agent works on no board."))
    card = await load_agent_card(source, member, agent_id, settings)
    board = await boards.get_board(source, member, agent.board_id)
    examples = ExampleContext(
        base_url=settings.base_url,
        board=board,
        agent=agent,
        token=token,
        task_id=await tasks.find_free_task(source, board),
        lead=await agents.find_board_lead(source, board),
        worker=await agents.find_first_worker(source, board),
    )
    text = ""
    if token and agent.is_linked:
        text = await render_handover(source, agent, token, base_url=settings.base_url)
    return AgentSetup(card, board, examples, text)


async def render_handover(
    source: Source, agent: Agent, token: str, *, base_url: str, workspace: str = ""
) -> str:
    """Return the instructions that a linked agent needs to work with this server."""
    facts = await files.load_agent_facts(source, agent, base_url=base_url, token=token)
    return files.render_handover(replace(facts, workspace=workspace))


async def load_agent_card(
    source: Source, member: Member, agent_id: UUID, settings: Settings
) -> AgentCard:
    """Return an agent with its current state."""
    return await agents.get_agent_card(
        source, member, agent_id, offline_after=settings.offline_after
    )


def time_functions() -> dict[str, Any]:
    """Return the time formatters that the first-call templates call."""
    return {"format_clock": format_clock, "format_duration": format_duration}


def setup_context(setup: AgentSetup, path: str) -> dict[str, Any]:
    """Return the context of the first-call templates, which reload themselves from `path`."""
    return {
        **time_functions(),
        "card": setup.card,
        "board": setup.board,
        "token": setup.examples.token,
        "handover_text": setup.handover_text,
        "examples": setup.examples.build_examples(),
        "has_lead": setup.examples.lead is not None,
        "has_task": setup.examples.task_id is not None,
        "token_variable": TOKEN_VARIABLE,
        "task_placeholder": TASK_PLACEHOLDER,
        "path": path,
    }

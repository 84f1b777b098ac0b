"""Pages of what led to something: the steps that led to a task, an approval or a message."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from core.http.request import open_reader
from models import Member
from services import agents, approvals, causes, tasks
from services.causes import CauseStep, StepKind
from web.approvals.sentences import describe_kind, describe_question
from web.approvals.tool_calls import ToolCallView, load_tool_call
from web.auth.viewer import current_member
from web.boards.views import board_access
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part
from web.ui.text_display import reveal
from web.ui.translation import N_, _, translate

ICONS = {
    StepKind.MESSAGE: "mail",
    StepKind.RUN: "loader-circle",
    StepKind.REQUEST: "terminal",
    StepKind.APPROVAL: "hand",
    StepKind.DECISION: "check",
    StepKind.CHANGE: "pencil",
}

UNKNOWN_ACTORS = {
    StepKind.RUN: N_("An agent"),
    StepKind.REQUEST: N_("An agent"),
    StepKind.APPROVAL: N_("Unknown agent or user"),
    StepKind.DECISION: N_("Deleted user"),
}


async def show_task_causes(request: Request) -> Response:
    """Show what led to the state of a task."""
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        task = (await tasks.get_task_detail(source, board, forms.path_id(request, "task_id"))).task
        steps = await causes.load_task_causes(source, board, task)
    return await _render(request, task.title, f"/boards/{board.id}/tasks/{task.id}", steps)


async def show_approval_causes(request: Request) -> Response:
    """Show what led to an approval, and what followed."""
    approval_id = forms.path_id(request, "approval_id")
    async with open_reader(request) as source:
        detail = await approvals.get_member_approval(source, current_member(request), approval_id)
        steps = await causes.load_approval_causes(source, detail.board, detail.approval)
        if detail.approval.is_tool_call:
            call = await load_tool_call(source, current_member(request), detail)
            reasons = {str(detail.approval.id): describe_asking(call)}
            steps = [replace(one, note=one.note or reasons.get(one.id, "")) for one in steps]
    return await _render(request, describe_question(detail), f"/approvals/{approval_id}", steps)


def describe_asking(call: ToolCallView) -> str:
    """Say which rule asked people about a tool call, or why they were asked without one."""
    verdict = call.detail.approval.policy_verdict
    if call.asking_reason or not verdict.rule_name:
        return call.asking_reason
    if verdict.required_approvals > 1:
        return _("Policy “%(rule)s”: two people must approve.", rule=verdict.rule_name)
    return _("Policy “%(rule)s”: one person decides.", rule=verdict.rule_name)


async def show_message_causes(request: Request) -> Response:
    """Show what led to a message, and what the agent did because of it."""
    message_id = forms.path_id(request, "message_id")
    agent_id = forms.path_id(request, "agent_id")
    async with open_reader(request) as source:
        card = await agents.get_agent_card(source, current_member(request), agent_id)
        steps = await causes.load_message_causes(source, card.agent, message_id)
    path = f"/agents/{agent_id}/messages?message={message_id}#message-{message_id}"
    return await _render(request, _("Message to %(agent)s", agent=card.agent.name), path, steps)


async def _render(request: Request, title: str, path: str, steps: Sequence[CauseStep]) -> Response:
    member = current_member(request)
    context: dict[str, Any] = {
        "title": title,
        "path": path,
        "steps": steps,
        "numbers": {step.id: number for number, step in enumerate(steps, 1)},
        "icons": ICONS,
        "sentences": {step.id: describe_step(step, member) for step in steps},
    }
    if is_part_request(request):
        return render_part(request, "causes/_why.html", **context)
    layout = await load_layout(request)
    return render_page(request, "causes/show.html", layout=layout, **context)


def describe_step(step: CauseStep, viewer: Member) -> Markup:
    """Return the sentence of a step, with a link to its object if the viewer may see that."""
    subject = reveal(describe_kind(step.subject) if "kind" in step.names else step.subject)
    if url := find_step_url(step, viewer):
        subject = Markup('<a class="link" href="{}">{}</a>').format(url, subject)
    recipient = step.names.get("recipient") or _("an agent")
    actor = Markup("<b>{}</b>").format(_name_actor(step))
    values = {"actor": actor, "recipient": reveal(recipient), "subject": subject}
    return Markup(translate(step.sentence)) % values  # noqa: S704 (a text of ours)


def _name_actor(step: CauseStep) -> Markup:
    if "policy" in step.names:
        return reveal(_("The policy “%(policy)s”", policy=step.names["policy"]))
    unknown = translate(UNKNOWN_ACTORS.get(step.kind, ""))
    return reveal(step.names.get("actor") or unknown or "Mission Control")


def find_step_url(step: CauseStep, viewer: Member) -> str:
    """Return the page of a step's object, or "" if there is none for the viewer."""
    if step.kind is StepKind.MESSAGE:
        return f"/agents/{step.agent_id}/messages/{step.id}/why"
    if step.kind is StepKind.APPROVAL:
        return f"/approvals/{step.id}"
    if step.kind is StepKind.REQUEST and (viewer.is_admin or viewer.all_boards_write):
        return f"/approvals/requests/{step.id}"
    return ""

"""Pages that answer "Why?": the steps that led to a task, an approval or a message."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from core.http.request import open_reader
from models import Member, Status
from services import agents, approvals, causes, tasks
from services.causes import CauseStep, StepKind
from web.approvals.sentences import describe_kind, describe_question
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

STEP_TEXTS = {
    "message": N_("<b>%(actor)s</b> sent a message to %(recipient)s: %(subject)s"),
    "run_running": N_("<b>%(actor)s</b> started to work, and is still working."),
    "run_ended": N_("<b>%(actor)s</b> started to work. The run is finished."),
    "run_failed": N_("<b>%(actor)s</b> started to work. The run failed."),
    "run_aborted": N_("<b>%(actor)s</b> started to work. The run was aborted."),
    "run_lost": N_("<b>%(actor)s</b> started to work. The outcome of the run is unknown."),
    "request_exec": N_("<b>%(actor)s</b> asked to run a command: %(subject)s"),
    "request_question": N_("<b>%(actor)s</b> asked a question: %(subject)s"),
    "request_plugin": N_("<b>%(actor)s</b> asked to allow an action of a plugin: %(subject)s"),
    "request_allow-once": N_("<b>%(actor)s</b> allowed it once: %(subject)s"),
    "request_allow-always": N_("<b>%(actor)s</b> always allows it: %(subject)s"),
    "request_deny": N_("<b>%(actor)s</b> denied it: %(subject)s"),
    "request_answered": N_("<b>%(actor)s</b> answered the question: %(subject)s"),
    "approval": N_("<b>%(actor)s</b> requested an approval: %(subject)s"),
    "approval_approved": N_("<b>%(actor)s</b> approved the request: %(subject)s"),
    "approval_rejected": N_("<b>%(actor)s</b> rejected the request: %(subject)s"),
    "task.created": N_("<b>%(actor)s</b> created the task “%(subject)s”."),
    "task.updated": N_("<b>%(actor)s</b> changed the task “%(subject)s”."),
    "task.deleted": N_("<b>%(actor)s</b> deleted the task “%(subject)s”."),
    "task.restored": N_("<b>%(actor)s</b> restored the task “%(subject)s”."),
    Status.INBOX: N_("<b>%(actor)s</b> moved the task “%(subject)s” back to Inbox."),
    Status.IN_PROGRESS: N_("<b>%(actor)s</b> started the task “%(subject)s”."),
    Status.REVIEW: N_("<b>%(actor)s</b> moved the task “%(subject)s” to Review."),
    Status.DONE: N_("<b>%(actor)s</b> completed the task “%(subject)s”."),
    "completed_task_id": N_("A task that “%(subject)s” depends on was completed."),
    "reopened_task_id": N_("A task that “%(subject)s” depends on was reopened."),
    "deleted_task_id": N_("A task that “%(subject)s” depends on was deleted."),
    "restored_task_id": N_("A task that “%(subject)s” depends on was restored."),
}
"""The sentence of a step by its code."""

OTHER_TEXTS = {
    StepKind.DECISION: N_("<b>%(actor)s</b> made a decision: %(subject)s"),
    StepKind.CHANGE: N_("<b>%(actor)s</b> moved the task “%(subject)s”."),
}
"""The sentence of a step with an unknown code."""

UNKNOWN_ACTORS = {
    StepKind.RUN: N_("An agent"),
    StepKind.REQUEST: N_("An agent"),
    StepKind.APPROVAL: N_("Deleted agent or user"),
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
    return await _render(request, describe_question(detail), f"/approvals/{approval_id}", steps)


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
    text = STEP_TEXTS.get(step.code) or OTHER_TEXTS[step.kind]
    name = describe_kind(step.subject) if step.code.startswith("approval") else step.subject
    subject, url = reveal(name), find_step_url(step, viewer)
    if url:
        subject = Markup('<a class="link" href="{}">{}</a>').format(url, subject)
    recipient = step.names.get("recipient") or _("an agent")
    values = {"actor": _name_actor(step), "recipient": reveal(recipient), "subject": subject}
    return Markup(translate(text)) % values  # noqa: S704 (a text of ours)


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

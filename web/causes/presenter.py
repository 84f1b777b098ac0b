"""Texts of the steps that led to a task, an approval or a message."""

from markupsafe import Markup

from models import Member, Status
from services.causes import CauseStep, StepKind
from web.approvals.sentences import describe_kind
from web.ui.text_display import reveal
from web.ui.translation import N_, _, translate

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

"""What a webhook would do with a recorded payload, for the preview of its action."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.db.reads import Source
from models import Board, BoardWebhook, Tag, WebhookAction
from services import board_webhooks, forges
from services.board_webhooks import StoredPayload
from services.forges import ForgeReport, UnusedPayload
from services.payload_templates import (
    Operator,
    PayloadTemplate,
    RenderedTask,
    holds_condition,
    render_message,
)
from web.board_webhooks.reasons import describe_missing, describe_problem, describe_reason
from web.boards.task_links import name_state
from web.ui.translation import N_, _, translate

MAX_SHOWN_LENGTH = 20_000  # characters of a payload beside its preview

ACTIONS = {
    WebhookAction.NOTIFY: (
        N_("Tell the agent"),
        N_("It gets the payload, and follows the instruction."),
    ),
    WebhookAction.MESSAGE: (
        N_("Tell the agent in your words"),
        N_("It gets the text of the template instead of the payload."),
    ),
    WebhookAction.TASK: (
        N_("Create a task"),
        N_("A template makes the title and the other fields of the payload."),
    ),
    WebhookAction.FORGE: (
        N_("Follow GitHub or GitLab"),
        N_(
            "Issues and failing checks become tasks. Pull requests are linked to the task that"
            " they name, or whose issue they close."
        ),
    ),
}
"""Name and explanation of each action."""

OPERATORS = {
    Operator.EQUALS: N_("is"),
    Operator.DIFFERS: N_("is not"),
    Operator.CONTAINS: N_("contains"),
    Operator.EXISTS: N_("exists"),
}


@dataclass(frozen=True, kw_only=True)
class ActionPreview:
    """What would be done with a payload."""

    text: str  # the payload
    is_cut: bool
    ignored: str = ""  # why nothing would be done
    report: str = ""  # what a code host reports
    task: RenderedTask | None = None
    tags: Sequence[Tag] = ()
    fields: Sequence[tuple[str, str]] = ()  # keys and texts of custom fields
    message: str = ""
    notes: Sequence[str] = ()  # what is missing or could not be used


async def build_preview(
    source: Source,
    board: Board,
    webhook: BoardWebhook,
    stored: StoredPayload,
    *,
    action: WebhookAction,
    template: PayloadTemplate,
) -> ActionPreview:
    """Build the preview of an action and a template, which need not be saved."""
    text, is_cut = board_webhooks.format_payload(stored.payload, MAX_SHOWN_LENGTH)
    if action is WebhookAction.FORGE:
        return _preview_report(stored, text, is_cut)
    if action is WebhookAction.NOTIFY:
        return ActionPreview(text=text, is_cut=is_cut, message=text)
    data = board_webhooks.build_payload_data(webhook, stored)
    if not holds_condition(template, data):
        reason = describe_reason(board_webhooks.CONDITION_FAILED)
        return ActionPreview(text=text, is_cut=is_cut, ignored=reason)
    if action is WebhookAction.MESSAGE:
        message = render_message(template, data)
        notes = list(map(describe_missing, message.missing))
        return ActionPreview(text=text, is_cut=is_cut, message=message.text, notes=notes)
    at = stored.received_at
    task, tags, values = await board_webhooks.build_task(source, board, template, data, at)
    notes = [*map(describe_missing, task.missing), *map(describe_problem, task.problems)]
    fields = [(key, task.custom_fields[key]) for key in values]
    return ActionPreview(text=text, is_cut=is_cut, task=task, tags=tags, fields=fields, notes=notes)


def _preview_report(stored: StoredPayload, text: str, is_cut: bool) -> ActionPreview:
    try:
        report = forges.read_payload(stored.headers, stored.payload)
    except UnusedPayload as unused:
        reason = describe_reason(unused.reason)
        return ActionPreview(text=text, is_cut=is_cut, ignored=reason)
    return ActionPreview(text=text, is_cut=is_cut, report=_describe_report(report))


def _describe_report(report: ForgeReport) -> str:
    if isinstance(report, forges.IssueReport):
        values = {"number": report.number, "repository": report.repository.name}
        return _("Issue %(number)s of %(repository)s: %(title)s", title=report.title, **values)
    state = name_state(report.state)
    if isinstance(report, forges.CheckReport):
        names = {"name": report.name, "branch": report.branch}
        return _("Check %(name)s on the branch %(branch)s: %(state)s", state=state, **names)
    values = {"number": report.number, "repository": report.repository.name}
    return _(
        "Pull request %(number)s of %(repository)s: %(title)s (%(state)s)",
        title=report.title,
        state=state,
        **values,
    )


def list_actions() -> list[tuple[str, str, str]]:
    """Return the value, name and explanation of each action."""
    return [
        (one.value, translate(name), translate(about)) for one, (name, about) in ACTIONS.items()
    ]


def list_operators() -> list[tuple[str, str]]:
    """Return the comparisons of conditions."""
    return [(one.value, translate(text)) for one, text in OPERATORS.items()]

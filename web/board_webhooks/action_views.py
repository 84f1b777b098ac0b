"""The page that chooses what a webhook does, with a preview on a recorded payload."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.errors import Forbidden
from core.fields import Label
from core.http.request import open_reader, open_transaction
from core.paging import Paging
from core.security.encryption import SecretCipher
from models import Board, BoardWebhook, Tag, WebhookAction
from services import board_webhooks, forges
from services.board_webhooks import BoardWebhookUpdate, StoredPayload
from services.forges import ForgeReport, UnusedPayload
from services.payload_templates import (
    Operator,
    PayloadTemplate,
    RenderedTask,
    holds_condition,
    render_message,
)
from web.board_webhooks.presenter import (
    describe_missing,
    describe_problem,
    describe_reason,
    page_path,
)
from web.boards.task_links import name_state
from web.boards.views import board_access, board_for_update
from web.ui import forms, time_format
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, check_edit, without
from web.ui.formatted_texts import format_texts
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import render_page
from web.ui.translation import N_, _, translate

ACTIONS = {
    WebhookAction.NOTIFY: (
        N_("Send payload to agent"),
        N_("It gets the payload, and follows the instruction."),
    ),
    WebhookAction.MESSAGE: (
        N_("Send a message to agent"),
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


class ActionForm(PayloadTemplate):
    """What a webhook does, and with which template."""

    action: Annotated[WebhookAction, Label(N_("Action"))]


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
    text, is_cut = board_webhooks.format_payload(stored.payload, 20_000)
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


def name_actions() -> dict[WebhookAction, str]:
    """Return the name of each action."""
    return {action: translate(name) for action, (name, _about) in ACTIONS.items()}


def list_action_fields(webhook: BoardWebhook) -> list[EditedField]:
    """Return the current action and template of a webhook as the form shows them."""
    template = board_webhooks.read_template(webhook)
    *fields, action = list_edited_fields(ActionForm, template, {"action": webhook.action.value})
    return [action, *(one._replace(column="template") for one in fields)]


async def show_action(request: Request) -> Response:
    """Show what a webhook does, with a preview on the newest payload."""
    return await _render_action(request, forms.Form())


async def save_action(request: Request) -> Response:
    """Save what a webhook does, and redirect to its page; or show a preview and save nothing."""
    form = await forms.read_form(request)
    if form.value("do") == "preview":
        return await _render_action(request, form)
    webhook_id = forms.path_id(request, "webhook_id")
    cipher: SecretCipher = request.state.secret_cipher
    with form.catch_errors():
        sent = form.parse(ActionForm).model_dump(exclude_unset=True)
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            current = await board_webhooks.get_webhook(session, board, webhook_id)
            sent = without(sent, check_edit(form, list_action_fields(current)))
            action = sent.pop("action", current.action)
            template = dict(board_webhooks.read_template(current)) | sent
            changes = BoardWebhookUpdate.of(action=action, template=template)
            await board_webhooks.update_webhook(
                session, request.user, board, webhook_id, changes, cipher
            )
        return RedirectResponse(page_path(board, current), 303)
    if form.conflicts:
        return await _render_conflict(request, form)
    if form.code == "instruction_required":  # it is on the other form
        form.errors["action"] = form.errors.pop("description")
    return await _render_action(request, form)


async def _render_action(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        if not access.can_write:
            raise Forbidden(
                "board_write_forbidden", N_("You can read this board but not change it.")
            )
        webhook_id = forms.path_id(request, "webhook_id")
        webhook = await board_webhooks.get_webhook(source, access.board, webhook_id)
        context = await _load_preview(source, access.board, webhook, form)
    task = context["preview"].task if context["preview"] else None
    edited = list_action_fields(webhook)
    return render_page(
        request,
        "board_webhooks/action.html",
        layout=layout,
        status=form.status,
        form=form,
        board=access.board,
        webhook=webhook,
        path=page_path(access.board, webhook),
        may_change=board_webhooks.may_change_webhook(access, webhook),
        actions=list_actions(),
        operators=[(one.value, translate(text)) for one, text in OPERATORS.items()],
        formatted=await format_texts([task.description] if task else ()),
        fields=build_form_fields(form, ActionForm, edited),
        shown={one.name: one.value for one in edited},
        **context,
    )


async def _load_preview(
    source: Source, board: Board, webhook: BoardWebhook, form: forms.Form
) -> dict[str, Any]:
    """Load the recorded payloads, and the preview on the chosen one, else on the newest."""
    page = await board_webhooks.list_payloads(source, board, webhook.id, Paging(20))
    recorded = {str(one.id): one for one in page.items}
    chosen = form.value("payload")
    chosen = chosen if chosen in recorded else next(iter(recorded), "")
    context: dict[str, Any] = {
        "chosen": chosen,
        "preview": None,
        "recorded": [
            (id, time_format.format_absolute(one.received_at)) for id, one in recorded.items()
        ],
    }
    if not chosen:
        return context
    stored = await board_webhooks.get_payload(source, board, webhook.id, UUID(chosen))
    action, template = webhook.action, board_webhooks.read_template(webhook)
    with (form if form.is_submitted else forms.Form()).catch_errors():
        if form.is_submitted:
            template = form.parse(ActionForm)
            action = template.action
        context["preview"] = await build_preview(
            source, board, webhook, stored, action=action, template=template
        )
    return context


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render the action as the user and as somebody else have changed it."""
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        webhook_id = forms.path_id(request, "webhook_id")
        webhook = await board_webhooks.get_webhook(source, board, webhook_id)
    about = ConflictContext(
        title=_("Webhook of %(board)s", board=board.name),
        back=f"{page_path(board, webhook)}/action",
        organization_id=board.organization_id,
        object_id=webhook.id,
        names={"action": {value: name for value, name, _about in list_actions()}},
        suggest=f"board={board.id}",
    )
    return await render_conflict(request, form, about)

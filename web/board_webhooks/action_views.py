"""The page that chooses what a webhook does, with a preview on a recorded payload."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, StringConstraints
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.errors import Forbidden
from core.http.request import open_reader, open_transaction
from core.paging import Paging
from core.security.encryption import SecretCipher
from models import Board, BoardWebhook, WebhookAction
from services import board_webhooks
from services.payload_templates import MAX_TEMPLATE_LENGTH, PayloadTemplate
from web.board_webhooks.action_presenter import build_preview, list_actions, list_operators
from web.board_webhooks.presenter import page_path
from web.boards.views import board_access, board_for_update
from web.ui import forms, time_format
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, FieldKind, check_edit, without
from web.ui.formatted_texts import format_texts
from web.ui.layout import load_layout
from web.ui.render import render_page
from web.ui.translation import N_, _

RECORDED_PAYLOADS = 20  # offered for the preview
PREVIEW = "preview"  # the value of the button that saves nothing

TemplateText = Annotated[str, StringConstraints(max_length=MAX_TEMPLATE_LENGTH)]


class ActionForm(BaseModel):
    """What a webhook does, and with which template."""

    action: WebhookAction
    condition_path: TemplateText = ""
    condition_operator: TemplateText = ""
    condition_value: TemplateText = ""
    title: TemplateText = ""
    description: TemplateText = ""
    priority: TemplateText = ""
    tags: TemplateText = ""
    due: TemplateText = ""
    message: TemplateText = ""
    custom_fields: TemplateText = ""
    payload: Annotated[UUID | None, forms.BlankAsNone] = None


FIELD_LABELS = {
    "condition_path": N_("Only if"),
    "condition_operator": N_("Comparison"),
    "condition_value": N_("Value"),
    "title": N_("Title"),
    "description": N_("Description"),
    "priority": N_("Priority"),
    "tags": N_("Tags"),
    "due": N_("Due"),
    "message": N_("Message"),
    "custom_fields": N_("Custom fields"),
}


def list_action_fields(webhook: BoardWebhook) -> list[EditedField]:
    """Return the current action and template of a webhook as the form shows them."""
    template = asdict(board_webhooks.read_template(webhook))
    return [
        EditedField("action", N_("What it does"), webhook.action.value),
        *(
            EditedField(name, label, str(template[name]), FieldKind.LINE, "template")
            for name, label in FIELD_LABELS.items()
        ),
    ]


async def show_action(request: Request) -> Response:
    """Show what a webhook does, with a preview on the newest payload."""
    return await _render_action(request, forms.Form())


async def save_action(request: Request) -> Response:
    """Save what a webhook does, and redirect to its page; or show a preview and save nothing."""
    form = await forms.read_form(request)
    if form.value("do") == PREVIEW:
        return await _render_action(request, form)
    webhook_id = forms.path_id(request, "webhook_id")
    cipher: SecretCipher = request.state.secret_cipher
    with form.catch_errors():
        fields = form.parse(ActionForm).model_dump(exclude={"payload"})
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            current = await board_webhooks.get_webhook(session, board, webhook_id)
            fields = without(fields, check_edit(form, list_action_fields(current)))
            template = asdict(board_webhooks.read_template(current))
            changes: dict[str, Any] = {"action": fields.pop("action", current.action)}
            changes["template"] = template | fields
            await board_webhooks.update_webhook(
                session, request.user, board, webhook_id, changes, cipher
            )
        return RedirectResponse(page_path(board, current), 303)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_action(request, form)


async def _render_action(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        if not access.can_write:
            raise Forbidden("board_write_forbidden", _("You may read this board, not change it."))
        webhook_id = forms.path_id(request, "webhook_id")
        webhook = await board_webhooks.get_webhook(source, access.board, webhook_id)
        context = await _load_preview(source, access.board, webhook, form)
    task = context["preview"].task if context["preview"] else None
    return render_page(
        request,
        "board_webhooks/action.html",
        layout=layout,
        status=form.status,
        form=form,
        board=access.board,
        webhook=webhook,
        path=page_path(access.board, webhook),
        actions=list_actions(),
        operators=list_operators(),
        formatted=await format_texts([task.description] if task else ()),
        shown={one.name: one.value for one in list_action_fields(webhook)},
        **context,
    )


async def _load_preview(
    source: Source, board: Board, webhook: BoardWebhook, form: forms.Form
) -> dict[str, Any]:
    """Load the recorded payloads, and the preview on the chosen one, else on the newest."""
    page = await board_webhooks.list_payloads(source, board, webhook.id, Paging(RECORDED_PAYLOADS))
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
            fields = form.parse(ActionForm).model_dump(exclude={"payload"})
            action = fields.pop("action")
            template = PayloadTemplate.parse(fields)
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

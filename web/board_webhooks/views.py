"""The incoming webhooks of a board: their list, the forms that change them, and their payloads."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.errors import Forbidden
from core.http.request import get_settings, open_reader, open_transaction
from core.paging import Paging
from core.security.encryption import SecretCipher
from models import Board, WebhookAction
from services import agents, board_webhooks, pickers
from services.board_webhooks import (
    BoardWebhookCreate,
    BoardWebhookUpdate,
    SavedWebhook,
    WebhookSecret,
)
from services.pickers import PickerKind, PickerPlace
from web.auth.viewer import current_member
from web.board_webhooks import action_views
from web.board_webhooks.presenter import (
    SECRET_PLACEHOLDER,
    SIGNATURE_HEADER,
    WebhookPayloadRow,
    build_test_command,
    build_url,
    describe_payload,
    describe_rejection,
    name_default_agent,
    page_path,
)
from web.boards.views import board_access, board_for_update
from web.pickers import load_chosen, load_value_names
from web.ui import flash_cookies, forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, check_edit
from web.ui.flash_cookies import redirect_with_notice
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_, _

WITHOUT_TEMPLATE = (WebhookAction.NOTIFY, WebhookAction.FORGE)
"""The actions that a new webhook can have."""


class SecretForm(BaseModel):
    """Another secret; without one it is generated."""

    secret: WebhookSecret = None


async def show_webhooks(request: Request) -> Response:
    """Show the webhooks of a board; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        overviews = await board_webhooks.list_webhook_overviews(source, access.board)
    base_url = get_settings(request).base_url
    context: dict[str, Any] = {
        "board": access.board,
        "can_write": access.can_write,
        "action_names": action_views.name_actions(),
        "overviews": [
            (
                one,
                build_url(base_url, one.webhook),
                access.can_write and board_webhooks.has_short_secret(one.webhook, _cipher(request)),
            )
            for one in overviews
        ],
    }
    if layout is None:
        return render_part(request, "board_webhooks/_list.html", **context)
    return render_page(request, "board_webhooks/index.html", layout=layout, **context)


async def show_webhook(request: Request) -> Response:
    """Show a webhook with its payloads; for htmx only the payloads."""
    layout = None if is_part_request(request) else await load_layout(request)
    paging = Paging(20, forms.parse_offset(request.query_params))
    async with open_reader(request) as source:
        access = await board_access(request, source)
        overview, page = await board_webhooks.list_payload_overviews(
            source, access.board, forms.path_id(request, "webhook_id"), paging
        )
    webhook = overview.webhook
    newest = page.items[0].received_at if page.items else None
    context: dict[str, Any] = {
        "board": access.board,
        "webhook": webhook,
        "page": page.map(WebhookPayloadRow.from_overview),
        "path": page_path(access.board, webhook),
        "queued_count": overview.queued_count,
        "rejection": "" if paging.offset else describe_rejection(webhook, newest),
    }
    if layout is None:
        return render_part(request, "board_webhooks/_payloads.html", **context)
    url = build_url(get_settings(request).base_url, webhook)
    secret = flash_cookies.read_secret(request)
    response = render_page(
        request,
        "board_webhooks/show.html",
        layout=layout,
        can_write=access.can_write,
        url=url,
        test_command=build_test_command(webhook, url, secret) if access.can_write else "",
        signature_header=webhook.signature_header or SIGNATURE_HEADER,
        secret_placeholder=SECRET_PLACEHOLDER,
        has_short_secret=access.can_write
        and board_webhooks.has_short_secret(webhook, request.state.secret_cipher),
        agent_name=overview.agent_name,
        secret=secret,
        action_names=action_views.name_actions(),
        **context,
    )
    return flash_cookies.forget_secret(request, response)


async def show_new_webhook_form(request: Request) -> Response:
    """Show the form for a new webhook."""
    return await _render_form(request, forms.Form())


async def create_webhook(request: Request) -> Response:
    """Create a webhook, and redirect to its page, which shows a generated secret once."""
    form = await forms.read_form(request)
    with form.catch_errors():
        given = {"enabled": True, "secret": form.value("secret")}
        if "action" in form.values:
            given["action"] = form.value("action")
        fields = form.parse(BoardWebhookCreate, given)
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            saved = await board_webhooks.create_webhook(
                session, request.user, board, fields, _cipher(request)
            )
        return _redirect_to_webhook(request, board, saved)
    return await _render_form(request, form)


async def show_edit_form(request: Request) -> Response:
    """Show the form that changes a webhook."""
    return await _render_form(request, forms.Form())


async def update_webhook(request: Request) -> Response:
    """Change a webhook, and redirect to its page."""
    form = await forms.read_form(request)
    webhook_id = forms.path_id(request, "webhook_id")
    with form.catch_errors():
        fields = form.parse(BoardWebhookUpdate)
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            current = await board_webhooks.get_webhook(session, board, webhook_id)
            edited = list_edited_fields(BoardWebhookUpdate, current)
            fields = fields.without(check_edit(form, edited))
            await board_webhooks.update_webhook(
                session, request.user, board, webhook_id, fields, _cipher(request)
            )
        return RedirectResponse(page_path(board, current), 303)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_form(request, form)


async def replace_secret(request: Request) -> Response:
    """Replace the secret, and redirect to the page that shows a generated one once."""
    form = await forms.read_form(request)
    with form.catch_errors():
        secret = form.parse(SecretForm).secret
        return await _save(request, BoardWebhookUpdate.of(secret=secret))
    return await _render_form(request, form)


async def end_previous_secret(request: Request) -> Response:
    """Stop accepting the previous secret, and redirect to the page of the webhook."""
    return await _save(request, BoardWebhookUpdate.of(ends_previous_secret=True))


async def allow_unsigned_payloads(request: Request) -> Response:
    """Accept payloads without a signature, and redirect to the page of the webhook."""
    return await _save(request, BoardWebhookUpdate.of(allows_unsigned=True))


async def end_unsigned_payloads(request: Request) -> Response:
    """Accept only signed payloads again, and redirect to the page of the webhook."""
    return await _save(request, BoardWebhookUpdate.of(allows_unsigned=False))


async def delete_webhook(request: Request) -> Response:
    """Delete a webhook with its payloads, and redirect to the list."""
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        webhook_id = forms.path_id(request, "webhook_id")
        await board_webhooks.delete_webhook(session, request.user, board, webhook_id)
    return redirect_with_notice(request, page_path(board), _("Webhook deleted"))


async def _save(request: Request, fields: BoardWebhookUpdate) -> Response:
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        webhook_id = forms.path_id(request, "webhook_id")
        saved = await board_webhooks.update_webhook(
            session, request.user, board, webhook_id, fields, _cipher(request)
        )
    return _redirect_to_webhook(request, board, saved)


async def _render_form(request: Request, form: forms.Form) -> Response:
    """Render the form of the webhook in the path, or that of a new one."""
    layout = await load_layout(request)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        if not access.can_write:
            raise Forbidden(
                "board_write_forbidden", N_("You can read this board but not change it.")
            )
        webhook_id: UUID | None = request.path_params.get("webhook_id")
        webhook = (
            await board_webhooks.get_webhook(source, access.board, webhook_id)
            if webhook_id
            else None
        )
        lead = await agents.find_board_lead(source, access.board)
        member, kind = current_member(request), PickerKind.AGENTS
        place = PickerPlace(member, access.board)
        first = await pickers.find_first_option(source, place, kind)
        # A board without a lead has its first agent as the default.
        agent_id = webhook.agent_id if webhook else first.key if first and not lead else None
        chosen = await load_chosen(source, member, kind, "agent_id", form, [agent_id])
    edited = list_edited_fields(BoardWebhookUpdate, webhook) if webhook else []
    initial = edited or [EditedField("agent_id", "", agent_id)]
    may_change = webhook is None or board_webhooks.may_change_webhook(access, webhook)
    return render_page(
        request,
        "board_webhooks/edit.html" if webhook else "board_webhooks/new.html",
        layout=layout,
        status=form.status,
        form=form,
        board=access.board,
        webhook=webhook,
        path=page_path(access.board, webhook),
        fields=build_form_fields(form, BoardWebhookCreate, initial),
        chosen_agent=chosen,
        default_agent=name_default_agent(lead),
        actions=[one for one in action_views.list_actions() if one[0] in WITHOUT_TEMPLATE],
        has_agents=first is not None,
        has_lead=lead is not None,
        is_admin=access.is_admin,
        may_change=may_change,
        has_short_secret=bool(webhook)
        and board_webhooks.has_short_secret(webhook, _cipher(request)),
        shown={one.name: one.value for one in edited if may_change or one.name == "enabled"},
    )


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render the webhook as the user and as somebody else have changed it."""
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        webhook_id = forms.path_id(request, "webhook_id")
        webhook = await board_webhooks.get_webhook(source, board, webhook_id)
        lead = await agents.find_board_lead(source, board)
        ids = [*form.selected("agent_id"), webhook.agent_id]
        names = await load_value_names(source, current_member(request), PickerKind.AGENTS, ids)
    about = ConflictContext(
        title=_("Webhook of %(board)s", board=board.name),
        back=f"{page_path(board, webhook)}/edit",
        organization_id=board.organization_id,
        object_id=webhook.id,
        names={"agent_id": {"": name_default_agent(lead), **names}},
        suggest=f"board={board.id}",
    )
    return await render_conflict(request, form, about)


def _redirect_to_webhook(request: Request, board: Board, saved: SavedWebhook) -> Response:
    """Redirect to the page of a webhook, which shows a generated secret once."""
    path = page_path(board, saved.webhook)
    if saved.generated_secret is None:
        return RedirectResponse(path, 303)
    return flash_cookies.redirect_with_secret(request, path, saved.generated_secret)


def _cipher(request: Request) -> SecretCipher:
    cipher: SecretCipher = request.state.secret_cipher
    return cipher


async def show_payload(request: Request) -> Response:
    """Show a payload with its headers; for htmx only what is in the page."""
    return await _render_payload(request, forms.Form())


async def send_payload_again(request: Request) -> Response:
    """Send a payload to the agent again, and redirect to the payload."""
    form = await forms.read_form(request)
    with form.catch_errors():
        async with open_transaction(request) as session:
            await board_webhooks.send_again(
                session,
                request.user,
                await board_for_update(request, session),
                forms.path_id(request, "webhook_id"),
                forms.path_id(request, "payload_id"),
                base_url=get_settings(request).base_url,
            )
        return RedirectResponse(request.url.path.removesuffix("/messages"), 303)
    return await _render_payload(request, form)


async def _render_payload(request: Request, form: forms.Form) -> Response:
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        webhook, overview, stored = await board_webhooks.load_payload(
            source,
            access.board,
            forms.path_id(request, "webhook_id"),
            forms.path_id(request, "payload_id"),
        )
    context: dict[str, Any] = {
        "board": access.board,
        "webhook": webhook,
        "row": WebhookPayloadRow.from_overview(overview),
        "can_write": access.can_write,
        "path": f"{page_path(access.board, webhook)}/payloads/{stored.id}",
        "form": form,
        **describe_payload(stored),
    }
    if layout is None:
        return render_part(request, "board_webhooks/_payload.html", **context)
    return render_page(
        request, "board_webhooks/payload.html", layout=layout, status=form.status, **context
    )


WEBHOOKS_PATH = "/boards/{board_id:uuid}/webhooks"

BOARD_WEBHOOK_ROUTES = [
    Route(f"{WEBHOOKS_PATH}{path}", handler, methods=[method])
    for path, method, handler in [
        ("", "GET", show_webhooks),
        ("", "POST", create_webhook),
        ("/new", "GET", show_new_webhook_form),
        ("/{webhook_id:uuid}", "GET", show_webhook),
        ("/{webhook_id:uuid}/edit", "GET", show_edit_form),
        ("/{webhook_id:uuid}/edit", "POST", update_webhook),
        ("/{webhook_id:uuid}/action", "GET", action_views.show_action),
        ("/{webhook_id:uuid}/action", "POST", action_views.save_action),
        ("/{webhook_id:uuid}/secrets", "GET", show_edit_form),
        ("/{webhook_id:uuid}/secrets", "POST", replace_secret),
        ("/{webhook_id:uuid}/secrets/endings", "POST", end_previous_secret),
        ("/{webhook_id:uuid}/unsigned-payloads", "POST", allow_unsigned_payloads),
        ("/{webhook_id:uuid}/unsigned-payloads/endings", "POST", end_unsigned_payloads),
        ("/{webhook_id:uuid}/deletions", "POST", delete_webhook),
        ("/{webhook_id:uuid}/payloads/{payload_id:uuid}", "GET", show_payload),
        (
            "/{webhook_id:uuid}/payloads/{payload_id:uuid}/messages",
            "POST",
            send_payload_again,
        ),
        (
            "/{webhook_id:uuid}/payloads/{payload_id:uuid}/messages",
            "GET",
            show_payload,
        ),
    ]
]
"""Everyone who can read a board sees its webhooks; who may change it changes them."""

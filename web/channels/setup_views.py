"""Set up a channel: the form of each kind, web push, and the confirmation of an e-mail address."""

import asyncio
from collections.abc import Mapping
from functools import partial
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from core.errors import Invalid, NotFound
from core.fields import MAX_NAME_LENGTH
from core.http.request import open_reader, open_transaction
from models import ChannelKind
from services import channels
from services.channels import ChannelForm, ConfigValue
from web.auth.viewer import current_member
from web.channels.presenter import KIND_TEXTS, name_kind
from web.channels.views import build_manual_messages, count_message, render_channel
from web.settings import describe_browser
from web.ui import flash_cookies, forms
from web.ui.assets import STATIC
from web.ui.layout import load_layout
from web.ui.render import render_page
from web.ui.translation import N_, _, reader_language

SERVICE_WORKER = STATIC / "service_worker.js"
SERVICE_WORKER_HEADERS = {"Cache-Control": "no-cache", "Service-Worker-Allowed": "/"}


class RenewedSubscription(BaseModel):
    """A subscription that the browser has renewed, with the address of the one before."""

    old_endpoint: ConfigValue
    endpoint: ConfigValue
    p256dh: ConfigValue
    auth: ConfigValue


class CodeForm(BaseModel):
    """The code that confirms an e-mail address."""

    code: forms.Line


def serve_service_worker(request: Request) -> Response:
    """Serve the script that shows push notifications, for all pages."""
    return FileResponse(
        SERVICE_WORKER, headers=SERVICE_WORKER_HEADERS, media_type="text/javascript"
    )


async def show_new_channel(request: Request) -> Response:
    """Show the form of a kind of channels."""
    return await _render_new(request, forms.Form(), _read_kind(request))


async def create_channel(request: Request) -> Response:
    """Create a channel, and redirect to its page; an e-mail address gets a code there."""
    kind = _read_kind(request)
    form = await forms.read_form(request)
    sender, cipher = request.state.channel_sender, request.state.secret_cipher
    with form.catch_errors():
        if kind is ChannelKind.EMAIL:
            if not sender.sends_mail:
                raise Invalid("mail_not_configured", N_("This installation has no mail server."))
            await count_message(request)  # else a channel without its code would stay
        sent = {name: form.value(name) for name in ChannelForm.model_fields}
        fields = form.parse(ChannelForm, sent | {"kind": kind})
        fields.name = fields.name or _suggest_name(request, fields)[:MAX_NAME_LENGTH]
        await _check_receiver(request, fields.model_dump())
        member = current_member(request)
        async with open_transaction(request) as session:
            channel = await channels.create_channel(session, member, cipher, fields)
        path = f"/settings/channels/{channel.id}"
        if not channel.confirmed_at:
            await _send_code(request, channel.id)
        if kind is ChannelKind.WEBHOOK and not fields.secret:
            secret = channels.decrypt_config(cipher, channel)["secret"]
            return flash_cookies.redirect_with_secret(request, path, secret)
        return RedirectResponse(path, 303)
    return await _render_new(request, form, kind)


async def renew_subscription(request: Request) -> Response:
    """Replace a subscription that the browser has renewed; its service worker sends this."""
    form = await forms.read_form(request)
    fields = form.parse(RenewedSubscription)
    config = fields.model_dump(exclude={"old_endpoint"})
    await _check_receiver(request, config)
    cipher, user_id = request.state.secret_cipher, request.user.id
    async with open_transaction(request) as session:
        await channels.renew_subscription(session, user_id, cipher, fields.old_endpoint, config)
    return Response(status_code=204)


async def _check_receiver(request: Request, config: Mapping[str, str]) -> None:
    await channels.check_receiver(
        partial(open_reader, request),
        request.state.outbound_client,
        current_member(request),
        config,
    )


async def send_code(request: Request) -> Response:
    """Send another code to an e-mail address that is not confirmed."""
    channel_id = forms.path_id(request, "channel_id")
    await count_message(request)
    await _send_code(request, channel_id)
    return RedirectResponse(f"/settings/channels/{channel_id}", 303)


async def confirm_channel(request: Request) -> Response:
    """Confirm an e-mail address with the code that was sent to it."""
    form = await forms.read_form(request)
    channel_id = forms.path_id(request, "channel_id")
    with form.catch_errors():
        code = form.parse(CodeForm).code
        async with open_transaction(request) as session:
            channel = await channels.lock_channel(session, current_member(request), channel_id)
            error = await channels.confirm_channel(
                session, channel, request.state.secret_cipher, code
            )
        if error:
            raise error
        return RedirectResponse(f"/settings/channels/{channel_id}", 303)
    return await render_channel(request, form)


async def _send_code(request: Request, channel_id: UUID) -> None:
    """Send a new code to an address that is not confirmed."""
    messages = build_manual_messages(request)
    await messages.send_code(current_member(request), channel_id, reader_language.get())


async def _render_new(request: Request, form: forms.Form, kind: ChannelKind) -> Response:
    sender = request.state.channel_sender
    push_key = await asyncio.to_thread(lambda: sender.push_key)  # derived when it is first used
    return render_page(
        request,
        "channels/new.html",
        layout=await load_layout(request),
        status=form.status,
        form=form,
        kind=kind,
        texts=KIND_TEXTS[kind],
        kind_name=name_kind(kind),
        own_address=request.user.email or "",
        sends_mail=sender.sends_mail,
        push_key=push_key,
    )


def _read_kind(request: Request) -> ChannelKind:
    try:
        return ChannelKind(request.path_params["kind"])
    except ValueError:
        raise NotFound("channel_not_found", N_("There is no such kind of channel.")) from None


def _suggest_name(request: Request, fields: ChannelForm) -> str:
    if fields.kind is ChannelKind.PUSH:
        return describe_browser(request.headers.get("User-Agent"))
    if fields.kind is ChannelKind.EMAIL and fields.address:
        return fields.address
    return _("My %(kind)s channel", kind=name_kind(fields.kind))

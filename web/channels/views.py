"""The channels of a user, and the page of one: test, name, pause, log and deletion."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import open_reader, open_transaction
from models import DeliveryState, NotificationChannel
from services import channels
from services.channels import ChannelUpdate, ManualMessages
from services.notifications import OpenedPage
from web.auth.viewer import current_member
from web.channels import presenter
from web.notifications.texts import describe_reason
from web.notifications.views import mark_page_read
from web.ui import flash_cookies, forms, time_format
from web.ui.flash_cookies import redirect_deleted
from web.ui.layout import load_layout
from web.ui.render import render_page
from web.ui.translation import reader_language


async def show_channels(request: Request) -> Response:
    """Show the channels of the user, and the kinds that can be added."""
    layout = await load_layout(request)
    async with open_reader(request) as source:
        found = await channels.list_channels(
            source, current_member(request), request.state.secret_cipher
        )
    rows = [
        (detail, *presenter.describe_state(detail.state), describe_problem(detail))
        for detail in found
    ]
    return render_page(
        request,
        "channels/index.html",
        layout=layout,
        rows=rows,
        kinds=presenter.KIND_TEXTS,
        name_kind=presenter.name_kind,
        sends_mail=request.state.channel_sender.sends_mail,
    )


async def show_channel(request: Request) -> Response:
    """Show a channel and its log."""
    await mark_page_read(request, OpenedPage(named_id=forms.path_id(request, "channel_id")))
    return await render_channel(request, forms.Form())


async def rename_channel(request: Request) -> Response:
    """Rename a channel."""
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(ChannelUpdate, {"name": form.value("name")})
        async with open_transaction(request) as session:
            channel = await _lock(request, session)
            await channels.update_channel(session, channel, fields)
        zone = time_format.get_time_zone(request.user.timezone)
        return forms.redirect_saved(_path(channel), zone)
    return await render_channel(request, form)


async def pause_channel(request: Request) -> Response:
    """Pause or resume a channel."""
    form = await forms.read_form(request)
    fields = ChannelUpdate.of(is_paused=form.value("paused") == "on")
    async with open_transaction(request) as session:
        channel = await _lock(request, session)
        await channels.update_channel(session, channel, fields)
    return RedirectResponse(_path(channel), 303)


async def delete_channel(request: Request) -> Response:
    """Delete a channel, and redirect to the list."""
    async with open_transaction(request) as session:
        channel = await _lock(request, session)
        await channels.delete_channel(session, channel, request.state.secret_cipher)
    return redirect_deleted(request, "/settings/channels", channel.name)


async def send_test(request: Request) -> Response:
    """Send a test at once, and redirect to the page that shows its result."""
    form, id = forms.Form(), forms.path_id(request, "channel_id")
    with form.catch_errors(has_limit=True):
        await count_message(request)
        messages = build_manual_messages(request)
        test_id = await messages.send_test(current_member(request), id, reader_language.get())
        return RedirectResponse(f"/settings/channels/{id}?test={test_id}#result", 303)
    return await render_channel(request, form)


async def send_again(request: Request) -> Response:
    """Send a message that failed again."""
    form = forms.Form()
    with form.catch_errors(has_limit=True):
        await count_message(request)
        async with open_transaction(request) as session:
            channel = await _lock(request, session)
            await channels.send_again(session, channel, forms.path_id(request, "delivery_id"))
        return RedirectResponse(f"{_path(channel)}#log", 303)
    return await render_channel(request, form)


async def render_channel(request: Request, form: forms.Form) -> Response:
    """Render the page of a channel with a submitted form."""
    layout = await load_layout(request)
    async with open_reader(request) as source:
        id = forms.path_id(request, "channel_id")
        cipher = request.state.secret_cipher
        detail = await channels.get_channel(source, current_member(request), id, cipher)
        log = await channels.list_sent_messages(source, detail.channel)
    rows = [presenter.build_row(delivery, notification) for delivery, notification in log]
    test_id = request.query_params.get("test")
    context: dict[str, Any] = {
        "channel": detail.channel,
        "receiver": detail.receiver,
        "state": detail.state,
        "state_texts": presenter.describe_state(detail.state),
        "kind_name": presenter.name_kind(detail.channel.kind),
        "problem": describe_problem(detail),
        "rows": rows,
        "tested": next((row for row in rows if str(row.delivery.id) == test_id), None),
        "states": DeliveryState,
        "secret": flash_cookies.read_secret(request),
        "saved": forms.read_saved_time(request),
    }
    response = render_page(
        request, "channels/show.html", layout=layout, status=form.status, form=form, **context
    )
    return flash_cookies.forget_secret(request, response)


def describe_problem(detail: channels.ChannelDetail) -> str:
    """Say why the last message was not delivered and what to do, or return ""."""
    return describe_reason(detail.channel.last_error) if detail.channel.failing_since else ""


def build_manual_messages(request: Request) -> ManualMessages:
    """Return what sends a message of the user at once."""
    state = request.state
    return ManualMessages(
        lambda: open_transaction(request),
        state.secret_cipher,
        state.channel_sender,
        state.message_renderer,
    )


async def count_message(request: Request) -> None:
    """Count what the user sends by hand. Raises TooMany."""
    await request.state.rate_limits.channel_messages.hit(f"user {request.user.id}")


async def _lock(request: Request, session: Any) -> NotificationChannel:
    id = forms.path_id(request, "channel_id")
    return await channels.lock_channel(session, current_member(request), id)


def _path(channel: NotificationChannel) -> str:
    return f"/settings/channels/{channel.id}"

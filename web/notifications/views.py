"""The page of notifications, and the forms that mark them as read."""

from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.http.request import open_reader, open_transaction
from core.paging import Paging
from services import notifications
from services.notifications import KindGroup, NotificationEntry, NotificationFilters, OpenedPage
from services.pickers import PickerKind
from web.auth.viewer import current_member
from web.notifications.texts import (
    KIND_ICONS,
    build_path,
    describe_body,
    describe_kind,
    describe_title,
)
from web.pickers import load_chosen
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.list_addresses import build_query
from web.ui.markdown import excerpt_markdown
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_, translate

PAGE_SIZE = 50  # notifications

GROUP_NAMES = {
    KindGroup.DECISIONS: N_("Decisions"),
    KindGroup.TASKS: N_("Tasks"),
    KindGroup.AGENTS: N_("Agents and gateways"),
    KindGroup.ACCOUNT: N_("Account"),
}

MAX_BODY_LENGTH = 300  # characters of what is said about an object


def describe_group(group: KindGroup) -> str:
    """Name a group of kinds in the reader's language."""
    return translate(GROUP_NAMES[group])


@dataclass(frozen=True)
class NotificationQuery:
    """Which notifications are shown. Invalid parameters are ignored."""

    unread: str = ""  # "1", or all
    group: str = ""
    board: str = ""
    offset: int = 0

    @classmethod
    def from_query(cls, query: QueryParams) -> "NotificationQuery":
        """Parse the query of a request."""
        group = query.get("group", "")
        return cls(
            unread="1" if query.get("unread") == "1" else "",
            group=group if group in tuple(KindGroup) else "",
            board=str(forms.parse_id(query.get("board")) or ""),
            offset=forms.parse_offset(query),
        )

    @property
    def board_id(self) -> UUID | None:
        """Return the chosen board."""
        return forms.parse_id(self.board)

    @property
    def is_narrowed(self) -> bool:
        """Return whether a filter is set."""
        return bool(self.unread or self.group or self.board)

    def build_filters(self) -> NotificationFilters:
        """Return the filters."""
        group = KindGroup(self.group) if self.group else None
        return NotificationFilters(bool(self.unread), group, self.board_id)

    def url_with(self, **changes: Any) -> str:
        """Return the address of the first page with some parameters changed, or another page."""
        return f"/notifications{self.query_with(**changes)}"

    def query_with(self, **changes: Any) -> str:
        """Return the query of the same."""
        return build_query(vars(replace(self, **{"offset": 0, **changes})))


class ReadForm(BaseModel):
    """Whether a notification is marked as read."""

    read: Literal["0", "1"] = "1"


@dataclass(frozen=True)
class NotificationLine:
    """A notification with its texts."""

    entry: NotificationEntry
    icon: str
    kind: str
    title: str
    body: str

    @classmethod
    def build(cls, entry: NotificationEntry) -> "NotificationLine":
        """Build the line in the reader's language."""
        notification = entry.notification
        body = describe_body(notification)
        if "excerpt" in notification.data:
            body = excerpt_markdown(body, MAX_BODY_LENGTH)
        elif len(body) > MAX_BODY_LENGTH:
            body = f"{body[: MAX_BODY_LENGTH - 1]}…"
        return cls(
            entry,
            KIND_ICONS[notification.kind],
            describe_kind(notification.kind),
            describe_title(notification, entry.actor_name),
            body,
        )


async def show_notifications(request: Request) -> Response:
    """Show the notifications of the user; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    context = await _load_list(request)
    if layout is None:
        return render_part(request, "notifications/_list.html", **context)
    groups = [(group, describe_group(group)) for group in KindGroup]
    return render_page(
        request, "notifications/index.html", layout=layout, group_options=groups, **context
    )


async def show_unread_count(request: Request) -> Response:
    """Show the number of unread notifications, as it is in the sidebar and on phones."""
    async with open_reader(request) as source:
        count = await notifications.count_unread(source, current_member(request), with_inbox=False)
    return render_part(request, "notifications/_count_update.html", unread_count=count)


async def open_notification(request: Request) -> Response:
    """Mark a notification as read, and redirect to what it is about."""
    async with open_transaction(request) as session:
        id = forms.path_id(request, "notification_id")
        entry = await notifications.mark_read(session, current_member(request), id)
        path = build_path(entry.notification)
    return RedirectResponse(path, 303)


async def change_read_state(request: Request) -> Response:
    """Mark a notification as read or unread, and show the list."""
    fields = (await forms.read_form(request)).parse(ReadForm)
    async with open_transaction(request) as session:
        id, member = forms.path_id(request, "notification_id"), current_member(request)
        await notifications.mark_read(session, member, id, is_read=fields.read == "1")
    return await _render_changed_list(request)


async def mark_all_read(request: Request) -> Response:
    """Mark all notifications that fit the filters as read, and show the list."""
    filters = NotificationQuery.from_query(request.query_params).build_filters()
    async with open_transaction(request) as session:
        await notifications.mark_all_read(session, current_member(request), filters)
    return await _render_changed_list(request)


async def mark_page_read(request: Request, page: OpenedPage) -> None:
    """Mark the notifications about the object that the user has opened as read, if there are any.

    It opens no transaction if nothing is unread.
    """
    async with open_reader(request) as source:
        if not await notifications.has_unread_about(source, request.user, page):
            return
    async with open_transaction(request) as session:
        await notifications.mark_page_read(session, request.user, page)


async def _render_changed_list(request: Request) -> Response:
    address = NotificationQuery.from_query(request.query_params)
    if not is_part_request(request):
        return RedirectResponse(address.url_with(offset=address.offset), 303)
    context = await _load_list(request)
    return render_part(request, "notifications/_list_update.html", **context)


async def _load_list(request: Request) -> dict[str, Any]:
    member, address = (
        current_member(request),
        NotificationQuery.from_query(request.query_params),
    )
    async with open_reader(request) as source:
        paging = Paging(PAGE_SIZE, address.offset)
        found = await notifications.list_notifications(
            source, member, paging, address.build_filters()
        )
        unread_count = await notifications.count_unread(source, member)
        chosen = await load_chosen(
            source, member, PickerKind.BOARDS, "board", forms.Form(), [address.board]
        )
    end = address.offset + len(found.items)
    return {
        "address": address,
        "chosen_board": chosen,
        "lines": [NotificationLine.build(entry) for entry in found.items],
        "unread_count": unread_count,
        "total": found.total,
        "end": end,
        "has_more": end < found.total,
        "page_size": PAGE_SIZE,
    }


NOTIFICATION_ROUTES: list[Route] = [
    Route("/notifications", show_notifications, name="notifications"),
    Route("/notifications/count", show_unread_count),
    Route("/notifications/readings", mark_all_read, methods=["POST"]),
    Route("/notifications/readings", show_notifications),
    Route("/notifications/{notification_id:uuid}", open_notification),
    Route("/notifications/{notification_id:uuid}/readings", change_read_state, methods=["POST"]),
]

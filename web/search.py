"""The search page, and the suggestions of the command palette and of text boxes."""

import re
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import partial
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.db.reads import Source
from core.http.request import open_reader
from core.paging import Paging
from core.text import is_storable
from models import Member, Status
from services import boards, search
from services.pickers import PickerKind
from services.search import (
    MAX_MATCHES,
    FoundObject,
    RecentObject,
    ResultKind,
    SearchFilters,
    SearchResults,
    TaskReference,
    TextPlace,
)
from web.auth.viewer import current_member
from web.boards.query_parameters import build_comment_path
from web.notes.note_pages import build_note_path
from web.pickers import load_chosen
from web.ui import forms, time_format
from web.ui.layout import load_layout
from web.ui.list_addresses import build_query
from web.ui.locale_format import format_number
from web.ui.render import render_page, render_part
from web.ui.translation import N_, _, translate

MAX_QUERY_LENGTH = 200  # characters
PAGE_SIZE = 20  # results

KIND_NAMES = {
    ResultKind.TASK: N_("Tasks"),
    ResultKind.COMMENT: N_("Comments"),
    ResultKind.MEMORY: N_("Notes and chat"),
    ResultKind.BOARD: N_("Boards"),
    ResultKind.AGENT: N_("Agents"),
    ResultKind.PERSON: N_("People"),
}

ICONS = {
    ResultKind.TASK: "circle-check",
    ResultKind.COMMENT: "message-square",
    ResultKind.MEMORY: "notebook-pen",
    ResultKind.BOARD: "square-kanban",
    ResultKind.AGENT: "bot",
    ResultKind.PERSON: "user",
}

MARKDOWN_SIGNS = re.compile(r"([\\`*_\[\]<>~|])")

FILTER_PICKERS = {
    "board": PickerKind.BOARDS,
    "assignee": PickerKind.ACTORS,
    "author": PickerKind.ACTORS,
}

PATHS = {
    ResultKind.TASK: "/boards/{0.board_id}/tasks/{0.id}",
    ResultKind.BOARD: "/boards/{0.id}",
    ResultKind.AGENT: "/agents/{0.id}",
}


@dataclass(frozen=True)
class SearchQuery:
    """What is searched, and which page of the results is shown. Invalid parameters are ignored."""

    q: str = ""
    kind: str = ""
    board: str = ""
    status: str = ""
    assignee: str = ""
    author: str = ""
    since: str = ""
    until: str = ""
    offset: int = 0

    @classmethod
    def from_query(cls, query: QueryParams) -> "SearchQuery":
        """Parse the query of a request. Only the first MAX_QUERY_LENGTH characters are searched."""
        q = query.get("q", "").strip()[:MAX_QUERY_LENGTH]
        offset = min(forms.parse_number(query.get("offset")), MAX_MATCHES * len(ResultKind))
        return cls(
            q=q if is_storable(q) else "",
            kind=_known(tuple(ResultKind), query.get("kind")),
            board=str(forms.parse_id(query.get("board")) or ""),
            status=_known(tuple(Status), query.get("status")),
            assignee=str(forms.parse_id(query.get("assignee")) or ""),
            author=str(forms.parse_id(query.get("author")) or ""),
            since=str(time_format.parse_day(query.get("since")) or ""),
            until=str(time_format.parse_day(query.get("until")) or ""),
            offset=offset - offset % PAGE_SIZE,
        )

    def build_filters(self, zone: tzinfo) -> SearchFilters:
        """Return the filters; days are those of the reader, and include the last one."""
        until = time_format.parse_day(self.until)
        return SearchFilters(
            kind=ResultKind(self.kind) if self.kind else None,
            board_id=forms.parse_id(self.board),
            status=Status(self.status) if self.status else None,
            assignee_id=forms.parse_id(self.assignee),
            author_id=forms.parse_id(self.author),
            since=time_format.start_of_day(time_format.parse_day(self.since), zone),
            until=time_format.start_of_day(until, zone, days_later=1),
        )

    @property
    def is_filtered(self) -> bool:
        """Return whether a filter other than the kind is set."""
        return any((self.board, self.status, self.assignee, self.author, self.since, self.until))

    def query_with(self, **changes: Any) -> str:
        """Return the query of the first page with some parameters changed, or of another page."""
        return build_query(vars(replace(self, **{"offset": 0, **changes})))


def _known(values: tuple[str, ...], value: str | None) -> str:
    return value if value in values else ""


async def show_search(request: Request) -> Response:
    """Show the search page with the results for the address."""
    address, member = SearchQuery.from_query(request.query_params), current_member(request)
    filters = address.build_filters(time_format.get_time_zone(request.user.timezone))
    layout = await load_layout(request)
    async with open_reader(request) as source:
        paging = Paging(PAGE_SIZE, address.offset)
        results = await search.search_for_page(source, member, address.q, paging, filters)
        empty = forms.Form()
        chosen = {
            name: await load_chosen(source, member, kind, name, empty, [getattr(address, name)])
            for name, kind in FILTER_PICKERS.items()
        }
    total = (
        results.counts.get(ResultKind(address.kind), 0)
        if address.kind
        else sum(results.counts.values())
    )
    end = address.offset + len(results.items)
    return render_page(
        request,
        "search/index.html",
        layout=layout,
        address=address,
        results=results,
        lines=[
            (item, ICONS[item.kind], build_path(item, is_admin=member.is_admin))
            for item in results.items
        ],
        kind_tabs=build_kind_tabs(results),
        total=total,
        next_offset=end if results.items and end < total else 0,
        previous_offset=address.offset - PAGE_SIZE if address.offset else None,
        is_searchable=search.is_searchable(address.q),
        max_matches=search.MAX_MATCHES,
        is_too_long=len(request.query_params.get("q", "").strip()) > MAX_QUERY_LENGTH,
        chosen=chosen,
        statuses=list_statuses(),
    )


async def show_suggestions(request: Request) -> Response:
    """Show what the text in the command palette may mean; without a text, what was opened.

    With `commands` show only commands.
    """
    member, text = current_member(request), _read_text(request)
    board_id = forms.parse_id(request.query_params.get("board"))
    is_command = request.query_params.get("commands") == "1"
    sections, recent, listed, new_task_boards = {}, [], [], []
    async with open_reader(request) as source:
        if text:
            new_task_boards = await search.suggest_boards(source, member, _read_board_words(text))
        if text and not is_command:
            sections = await search.suggest_objects(source, member, text, board_id=board_id)
        elif not text and not is_command:
            # opened in this browser; the service checks what the member may read
            given = request.query_params.get("recent", "").split(",", search.MAX_RECENT)
            ids = [id for id in map(forms.parse_id, given) if id is not None]
            recent = await search.load_recent_objects(source, member, ids)
            listed = (await boards.list_boards(source, member, Paging(8))).items
    return render_part(
        request,
        "search/_suggestions.html",
        text=text,
        is_searchable=search.is_searchable(text) and not is_command,
        sections=sections,
        recent=recent,
        listed_boards=listed,
        new_task_boards=[board for board in new_task_boards if board.id != board_id],
        build_path=partial(build_path, is_admin=member.is_admin),
        icons=ICONS,
    )


def _read_board_words(text: str) -> list[str]:
    """Return the words of a text that may be of a board, of "new task on" and its name."""
    command = _("New task on %(board)s", board="").casefold().split()
    words = text.casefold().split()
    return [word for word in words if not any(one.startswith(word) for one in command)]


async def suggest_mentions(request: Request) -> Response:
    """Show who can be mentioned in a text box. Raises NotFound and Forbidden."""
    member = current_member(request)
    async with open_reader(request) as source:
        place = await _read_place(request, source, member)
        found = await search.suggest_mentions(source, member, place, _read_text(request))
    return render_part(request, "search/_mentions.html", mentions=found, is_group=place.is_group)


async def suggest_tasks(request: Request) -> Response:
    """Show the tasks to which a text can refer. Raises NotFound and Forbidden."""
    member = current_member(request)
    async with open_reader(request) as source:
        place = await _read_place(request, source, member)
        found = await search.suggest_tasks(source, place, _read_text(request))
    names = {board.id: board.name for board in place.boards} if place.is_group else {}
    tasks = [(task, build_task_link(task)) for task in found]
    return render_part(request, "search/_tasks.html", tasks=tasks, board_names=names)


def _read_text(request: Request) -> str:
    text = request.query_params.get("q", "").strip()[:MAX_QUERY_LENGTH]
    return text if is_storable(text) else ""


async def _read_place(request: Request, source: Source, member: Member) -> TextPlace:
    """Return the board or the group of the text box, else a place without boards.

    Raises NotFound and Forbidden.
    """
    board_id = forms.parse_id(request.query_params.get("board"))
    group_id = forms.parse_id(request.query_params.get("group"))
    if board_id is not None:
        return await search.get_board_place(source, member, board_id)
    if group_id is not None:
        return await search.get_group_place(source, member, group_id)
    return TextPlace(member.organization_id, [])


def build_path(found: FoundObject | RecentObject, *, is_admin: bool) -> str:
    """Return the address of a result; the pages of single members are for admins."""
    if isinstance(found, FoundObject) and found.kind is ResultKind.MEMORY:
        of_group = found.board_group_id is not None
        place = f"/groups/{found.board_group_id}" if of_group else f"/boards/{found.board_id}"
        return build_note_path(place, found.id, is_chat=found.is_chat)
    if isinstance(found, FoundObject) and found.kind is ResultKind.COMMENT:
        return build_comment_path(found.board_id, found.task_id, found.id)
    if found.kind is ResultKind.PERSON:
        return f"/people/{found.id}" if is_admin else "/people"
    return PATHS[found.kind].format(found)


def build_kind_tabs(results: SearchResults) -> list[tuple[str, str, str]]:
    """Return value, name and number of results of each kind, first of all kinds."""
    counts = results.counts
    tabs = [("", _("Everything"), format_count(sum(counts.values()), cut=results.is_cut))]
    for kind, name in KIND_NAMES.items():
        count = counts.get(kind, 0)
        tabs.append((kind, translate(name), format_count(count, cut=count > MAX_MATCHES)))
    return tabs


def format_count(count: int, *, cut: bool) -> str:
    """Format a number of results; one that was cut has a plus sign."""
    return f"{format_number(count - count % MAX_MATCHES)}+" if cut else format_number(count)


def list_statuses() -> list[tuple[str, str]]:
    """Return the options of the filter by status."""
    return [
        ("", _("All statuses")),
        (Status.INBOX, _("Inbox")),
        (Status.IN_PROGRESS, _("In progress")),
        (Status.REVIEW, _("Review")),
        (Status.DONE, _("Done")),
    ]


def build_task_link(task: TaskReference) -> str:
    """Return the Markdown that refers to a task: a link with its title.

    The title is cut and loses its @, so that it mentions nobody. See docs/decisions/search.md.
    """
    title = " ".join(task.title.replace("@", "").split())
    if len(title) > 80:
        title = f"{title[:80].rstrip()}…"
    escaped = MARKDOWN_SIGNS.sub(r"\\\1", title)
    return f"[{escaped}](/boards/{task.board_id}/tasks/{task.id})"


SEARCH_ROUTES: list[Route] = [
    Route("/search", show_search, name="search"),
    Route("/search/suggestions", show_suggestions),
    Route("/suggestions/mentions", suggest_mentions),
    Route("/suggestions/tasks", suggest_tasks),
]

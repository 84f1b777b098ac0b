"""A page of the conversation about a task, and which comments are new to the reader."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.responses import Response

from core.db.reads import Source
from models import Board, User
from services import presence, tasks
from services.presence import ReadPosition, ReadState
from services.tasks import MAX_ENTRIES, HistoryPage, HistorySelection
from web.tasks.history import build_history_lines
from web.ui import forms

SINCE_PARAMETER = "since"
ONLY_COMMENTS = {"show": "comments"}
"""The parameter of a conversation without events."""

NEWEST_ENTRIES = 30
"""How many entries a task shows first. What is shown then stays, and more entries join it."""

MORE_ENTRIES = {"entries": "more"}
"""The parameter of the newest page with as many entries as other pages have."""

KEPT_PARAMETERS = ("show", "first")
"""What the form for a comment sends, so that the conversation shows the same afterwards."""


@dataclass(frozen=True)
class ConversationAddress:
    """The addresses of the pages of a conversation: queries with their question marks, or ""."""

    all_query: str  # the newest page with comments and events
    selection: HistorySelection
    page: HistoryPage
    kept_names = KEPT_PARAMETERS

    @property
    def parameters(self) -> dict[str, str]:
        """Return the parameters that select the shown page, and keep its first entry."""
        ids = {
            "before": self.selection.before,
            "after": self.selection.after,
            "comment": self.selection.around,
        }
        if self.selection.is_newest and self.page.entries:
            ids["first"] = self.page.entries[0].id
        return {**self._kind, **{name: str(id) for name, id in ids.items() if id}}

    @property
    def query(self) -> str:
        """Return the query of the shown page."""
        return self._build_query(self.parameters)

    @property
    def comments_query(self) -> str:
        """Return the query of the newest comments."""
        return self._build_query(ONLY_COMMENTS)

    @property
    def newest_query(self) -> str:
        """Return the query of the newest page of what is shown."""
        return self._build_query(self._kind)

    @property
    def earlier_query(self) -> str:
        """Return the query of the page before, or "" if this is the first one."""
        if self.more_query or not self.page.has_earlier:
            return ""
        return self._build_page_query("before", 0)

    @property
    def more_query(self) -> str:
        """Return the query that also shows earlier entries, or "" if there are none or too many."""
        has_more = self.page.has_earlier and len(self.page.entries) < MAX_ENTRIES
        if not (has_more and self.selection.is_newest):
            return ""
        return self._build_query({**self._kind, **MORE_ENTRIES})

    @property
    def later_query(self) -> str:
        """Return the query of the page after, or "" if this is the newest one."""
        return self._build_page_query("after", -1) if self.page.has_later else ""

    @property
    def _kind(self) -> Mapping[str, str]:
        return ONLY_COMMENTS if self.selection.comments_only else {}

    def _build_page_query(self, name: str, index: int) -> str:
        entries = self.page.entries
        place = {name: str(entries[index].id)} if entries else {}
        return self._build_query({**self._kind, **place})

    def _build_query(self, parameters: Mapping[str, str]) -> str:
        return add_parameters(self.all_query, parameters)


def add_parameters(query: str, parameters: Mapping[str, str]) -> str:
    """Add parameters to a query, which is "" or begins with a question mark."""
    return f"{query}{'&' if query else '?'}{urlencode(parameters)}" if parameters else query


def keep_filter(query: QueryParams, form: forms.Form | None) -> QueryParams:
    """Return the query with what a conversation showed when a comment was sent."""
    if form is None:
        return query
    shown = {name: form.value(name) for name in KEPT_PARAMETERS if form.value(name)}
    return QueryParams([*query.multi_items(), *shown.items()])


def parse_selection(query: QueryParams) -> HistorySelection:
    """Parse which page of a conversation an address shows. Invalid parameters are ignored."""
    return HistorySelection(
        before=forms.parse_id(query.get("before")),
        after=forms.parse_id(query.get("after")),
        around=forms.parse_id(query.get("comment")),
        first=forms.parse_id(query.get("first")),
        comments_only=query.get("show") == ONLY_COMMENTS["show"],
    )


async def load_conversation(
    source: Source,
    user: User,
    board: Board,
    task_id: UUID,
    query: QueryParams,
    *,
    address_query: str,
    read_position: ReadPosition | None = None,
) -> dict[str, Any]:
    """Load a page of the history and comments of a task; with `show=comments` only comments.

    `address_query` is that of the board, with its filters, or "". `read_position` is given if it is
    loaded already.
    """
    given = query.get(SINCE_PARAMETER)
    state = await presence.load_read_state(
        source,
        user,
        board,
        task_id,
        shown_since=None if given is None else forms.parse_number(given),
        position=read_position,
    )
    unread = describe_unread_comments(state, address_query)
    selection = parse_selection(query)
    limit = MAX_ENTRIES
    if selection.is_newest and query.get("entries") != MORE_ENTRIES["entries"]:
        limit = NEWEST_ENTRIES
        first_new = forms.parse_id(unread.first_id.removeprefix("c-"))
        selection = replace(selection, first=selection.first or first_new)
    page = await tasks.list_history(source, board, task_id, selection, limit=limit)
    authors = {one.agent for one in page.entries if one.agent and one.agent.board_id == board.id}
    return {
        "entries": build_history_lines(page.entries, authors),
        "conversation": ConversationAddress(unread.query, selection, page),
        "unread_comments": unread,
    }


@dataclass(frozen=True)
class UnreadComments:
    """The comments that are new to a reader.

    The line above the first new comment keeps its place while the page is open: the page requests
    its parts with the number of the event after which the comments were new.
    """

    first_id: str  # element id of the first new comment; "" if nothing is new
    query: str  # address query that shows the same again
    has_new: bool  # whether something was unread before this view
    last_seq: int  # number of the last event before the comments were loaded
    is_first_view: bool

    def trigger_refresh(self, response: Response) -> None:
        """Make htmx refresh the board beside the conversation after comments were read."""
        if self.has_new:
            response.headers["HX-Trigger"] = "tasks"


def describe_unread_comments(state: ReadState, address_query: str) -> UnreadComments:
    """Return which comments of a task are new to a user.

    Nothing is new for a user who opens the task for the first time.
    """
    comments, is_first_view = state.new_items, state.read_up_to is None
    has_new = bool(comments) and comments[-1].seq > (state.read_up_to or 0)
    if state.since is None or not comments:
        return UnreadComments("", address_query, has_new, state.last_seq, is_first_view)
    refresh_query = add_parameters(address_query, {SINCE_PARAMETER: str(state.since)})
    first_id = f"c-{comments[0].id}"
    return UnreadComments(first_id, refresh_query, has_new, state.last_seq, is_first_view)

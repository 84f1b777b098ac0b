"""Saved views for the templates: the menu of a board page, and descriptions of views."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from starlette.datastructures import QueryParams

from core.db.reads import Source
from models import Board
from services import agents, boards, custom_fields
from services.saved_views import ListedView
from web.boards.assignees import name_assignee
from web.boards.cards import STATUS_NAMES, name_priority
from web.boards.list_groups import GROUPING_NAMES
from web.boards.query_parameters import BoardAddress
from web.ui.edited_fields import get_shown_hash
from web.ui.forms import Form, parse_id
from web.ui.translation import N_, _, translate

UNKNOWN_HASH = "-"  # of no query, so that saving is a conflict

SORT_NAMES = {
    "manual": N_("Manual order"),
    "priority": N_("Priority"),
    "due": N_("Due date"),
    "updated": N_("Last change"),
    "created": N_("Creation"),
    "title": N_("Title"),
    "assignee": N_("Assignee"),
    "tags": N_("Tags"),
    "flags": N_("Flags"),
    "approvals": N_("Pending approvals"),
    "description": N_("Description"),
}
COLUMN_NAMES = {
    "title": N_("Task"),
    "description": N_("Description"),
    "flags": N_("Flags"),
    "approvals": N_("Pending approvals"),
    "priority": N_("Priority"),
    "assignee": N_("Assignee"),
    "tags": N_("Tags"),
    "due": N_("Due"),
    "updated": N_("Changed"),
    "created": N_("Created"),
}


def parse_view_query(query: str) -> BoardAddress:
    """Parse the query of a view. Invalid parameters are ignored."""
    return BoardAddress.from_query(QueryParams(query))


def build_view_address(view: ListedView) -> BoardAddress:
    """Return the address that shows a view as it was saved."""
    address = parse_view_query(view.query)
    return replace(address, saved=str(view.id), base=view.version, names_view=False)


def complete_address(
    address: BoardAddress, views: Sequence[ListedView], *, use_default: bool
) -> BoardAddress:
    """Return the address without a view that does not exist; of the default view if it is used."""
    default = next((view for view in views if view.is_default), None)
    if use_default and default is not None:
        return build_view_address(default)
    address = replace(address, names_view=default is not None)
    if address.saved in {str(view.id) for view in views}:
        return address
    return replace(address, saved="", base=1)


@dataclass(frozen=True)
class ViewMenu:
    """The saved views of a board, and what the page shows compared with the chosen one."""

    views: Sequence[ListedView]
    address: BoardAddress

    @property
    def active(self) -> ListedView | None:
        """Return the view that was opened."""
        return next((view for view in self.views if str(view.id) == self.address.saved), None)

    @property
    def is_changed(self) -> bool:
        """Return whether the page shows something else than the view as it is saved."""
        view = self.active
        stored = parse_view_query(view.query).view_query if view else ""
        return view is not None and stored != self.address.view_query

    @property
    def is_outdated(self) -> bool:
        """Return whether the view was saved by somebody else since it was opened."""
        view = self.active
        return view is not None and view.version != self.address.base and self.is_changed

    @property
    def shown_hash(self) -> str:
        """Return the hash of the query that was opened, as a form of `check_edit` submits it."""
        view = self.active
        if view is None or self.is_outdated:
            return UNKNOWN_HASH
        return get_shown_hash(Form(), "query", view.query)

    @property
    def all_tasks_query(self) -> str:
        """Return the query of the board without a view."""
        return BoardAddress(names_view=self.address.names_view or bool(self.default)).query

    @property
    def default(self) -> ListedView | None:
        """Return the view that the user sees first."""
        return next((view for view in self.views if view.is_default), None)

    def get_query(self, view: ListedView) -> str:
        """Return the query that shows a view."""
        return build_view_address(view).query


async def load_names(source: Source, board: Board, queries: Iterable[str]) -> Mapping[str, str]:
    """Return the names of what views name: people and agents by id, custom fields by key."""
    addresses = [parse_view_query(query) for query in queries]
    named = [(*one.list_values("agent"), *one.list_values("not_agent")) for one in addresses]
    ids = {id for id in map(parse_id, chain.from_iterable(named)) if id}
    found = await agents.load_agents(source, board.organization_id, ids)
    people = await boards.list_board_people(source, board)
    keys = {one.field for one in addresses if one.field}
    labels = await custom_fields.load_field_labels(source, board.organization_id, keys)
    return labels | {str(one.id): one.name for one in (*found.values(), *people)}


def describe_view(query: str, names: Mapping[str, str]) -> str:
    """Describe what a view shows: "List · Priority: High". `names` are those of `load_names`."""
    address = parse_view_query(query)

    def name_assignees(filter: str) -> str:
        return ", ".join(name_assignee(one, names) for one in address.list_values(filter))

    priorities = map(name_priority, address.list_values("priority"))
    statuses = [translate(STATUS_NAMES[status]) for status in address.filters.statuses]
    columns = [translate(COLUMN_NAMES[name]) for name in ("title", *address.shown_columns)]
    sort = translate(SORT_NAMES[address.shown_sort.removeprefix("-")])
    is_reversed = address.shown_sort.startswith("-")
    values = [
        (address.q, _("Filter"), f"“{address.q}”"),
        (address.needs, _("Needs you"), ""),
        (address.blocked, _("Blocked"), ""),
        (address.agent, _("Assignee"), name_assignees("agent")),
        (address.not_agent, _("Not assigned to"), name_assignees("not_agent")),
        (address.tag, _("Tag"), ", ".join(address.list_values("tag"))),
        (address.not_tag, _("Without tag"), ", ".join(address.list_values("not_tag"))),
        (address.priority, _("Priority"), ", ".join(priorities)),
        (address.status, _("Status"), ", ".join(statuses)),
        (address.value and address.field, names.get(address.field, address.field), address.value),
        (address.sort, _("Sort by"), f"{sort} ({_('descending')})" if is_reversed else sort),
        (address.group, _("Group by"), translate(GROUPING_NAMES[address.group])),
        (address.done, _("Done column expanded"), ""),
        (address.columns, _("Columns"), ", ".join(columns)),
    ]
    shown = [f"{label}: {value}" if value else label for is_set, label, value in values if is_set]
    kinds = {"board": _("Board"), "list": _("List"), "calendar": _("Calendar")}
    return " · ".join([kinds[address.view], *shown])

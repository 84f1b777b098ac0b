"""Data of search results and suggestions for the templates."""

import re
from collections.abc import Mapping, Sequence
from uuid import UUID

from core.db.reads import Source
from core.paging import Paging
from models import Member, Status
from services import agents, organizations
from services.search import (
    MAX_MATCHES,
    FoundObject,
    RecentObject,
    ResultKind,
    SearchResults,
    TaskReference,
)
from web.boards.address import build_comment_path
from web.notes.note_pages import build_note_path
from web.ui.locale_format import format_number
from web.ui.translation import N_, _, translate

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
MAX_LINK_TEXT = 80  # characters of a title in a text
MARKDOWN_SIGNS = re.compile(r"([\\`*_\[\]<>~|])")


PATHS = {
    ResultKind.TASK: "/boards/{0.board_id}/tasks/{0.id}",
    ResultKind.BOARD: "/boards/{0.id}",
    ResultKind.AGENT: "/agents/{0.id}",
}


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


def count_results(results: SearchResults, kind: str) -> int:
    """Return the number of results of the chosen kind, or of all."""
    return results.counts.get(ResultKind(kind), 0) if kind else sum(results.counts.values())


async def list_filter_options(
    source: Source, member: Member, board_options: Sequence[tuple[UUID, str]]
) -> Mapping[str, list[tuple[str, str]]]:
    """Return the options of each filter: what the member may see."""
    names = await agents.list_agent_names(source, member)
    programs = [(str(id), name) for id, name in names]
    members = await organizations.list_members(source, member, Paging())
    people = [(str(one.member.user_id), one.member.user.display_name) for one in members.items]
    statuses = {
        Status.INBOX: _("Inbox"),
        Status.IN_PROGRESS: _("In progress"),
        Status.REVIEW: _("Review"),
        Status.DONE: _("Done"),
    }
    return {
        "board": [("", _("All boards")), *((str(id), name) for id, name in board_options)],
        "status": [("", _("All statuses")), *((str(one), name) for one, name in statuses.items())],
        "assignee": [("", _("Everybody")), *people, *programs],
        "author": [("", _("Everybody")), *people, *programs],
    }


def build_task_link(task: TaskReference) -> str:
    """Return the Markdown that refers to a task: a link with its title.

    The title is cut and loses its @, so that it mentions nobody. See docs/decisions/search.md.
    """
    title = " ".join(task.title.replace("@", "").split())
    if len(title) > MAX_LINK_TEXT:
        title = f"{title[:MAX_LINK_TEXT].rstrip()}…"
    escaped = MARKDOWN_SIGNS.sub(r"\\\1", title)
    return f"[{escaped}](/boards/{task.board_id}/tasks/{task.id})"

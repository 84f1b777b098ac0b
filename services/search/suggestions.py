"""Suggestions of the command palette and of text boxes.

The palette shows what the words of a user may mean, and what they have opened. Text boxes show
agents and people to mention with @, and tasks to refer to with #.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    String,
    Uuid,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)

from core.accents import remove_accents
from core.db.full_text import (
    SIMPLE_CONFIG,
    TSQUERY,
    build_rank,
    contains_words,
    format_patterns,
    format_tsquery,
    split_words,
)
from core.db.reads import Query, Source
from core.paging import PAGE_LIMIT, Paging
from models import USER_NAME, Agent, Board, BoardAccess, BoardShortcut, Member, Status, Task, User
from services import agents, boards
from services.board_pages import newest_rows_query
from services.messages import (
    ALL_MENTION,
    find_mention,
    find_person_mention,
)
from services.search.queries import (
    FoundObject,
    build_found,
    find_snippets,
    is_searchable,
    named_rows,
    rank_order,
    select_found,
    term_parameters,
)
from services.search.sources import (
    AGENTS,
    BOARDS,
    COMMENTS,
    NO_TEXT,
    PEOPLE,
    TASKS,
    ResultKind,
    SearchSource,
    select_visible_boards,
)

MAX_CANDIDATES = 2_000  # matches of each section that are ranked
MAX_RECENT = 8  # objects
MAX_BOARDS = 5  # for a new task
MAX_SUGGESTIONS = 8  # of agents, people or tasks
HERE_ID: ColumnElement[Any] = bindparam("here_id", type_=Uuid())
BOARD_IDS: ColumnElement[Any] = bindparam("board_ids", type_=ARRAY(Uuid()))


@dataclass(frozen=True)
class Section:
    """A part of the suggestions: the source, the number of rows, and where to look."""

    source: SearchSource
    limit: int
    condition: ColumnElement[bool] | None = None


SECTIONS: Mapping[str, Section] = {
    "here": Section(TASKS, 6, Task.board_id == HERE_ID),
    "boards": Section(BOARDS, 5),
    "tasks": Section(TASKS, 6, Task.board_id.is_distinct_from(HERE_ID)),
    "agents": Section(AGENTS, 4),
    "people": Section(PEOPLE, 4),
    "comments": Section(COMMENTS, 4),
}
"""The sections in their order."""


async def suggest_objects(
    source: Source, member: Member, query_text: str, *, board_id: UUID | None
) -> Mapping[str, Sequence[FoundObject]]:
    """Return the best matches of each section, in one statement; first those of this board.

    The board may be any: the rights are part of the statement.
    """
    if not is_searchable(query_text):
        return {}
    terms = split_words(query_text)
    rows = await _build_suggestions_query().fetch(
        source,
        **boards.access_parameters(member),
        **term_parameters(terms),
        is_admin=member.is_admin,
        here_id=board_id,
    )
    found = {
        name: [build_found(row, terms) for row in rows if row.section == name] for name in SECTIONS
    }
    return {name: items for name, items in found.items() if items}


@cache
def _build_suggestions_query() -> Query[Any]:
    visible_boards = select_visible_boards(boards.READABLE_BOARD_IDS)
    parts = []
    for name, section in SECTIONS.items():
        matches = select_found(section.source, visible_boards)
        if section.condition is not None:
            matches = matches.where(section.condition)
        ranked = matches.limit(MAX_CANDIDATES).subquery()
        best = select(literal(name).label("section"), ranked).order_by(*rank_order(ranked))
        parts.append(select(best.limit(section.limit).subquery()))
    found = union_all(*parts).subquery("found")
    snippet, snippet_columns = find_snippets(found)
    statement = select(found, *snippet_columns, NO_TEXT.label("author_name"))
    statement = statement.join(snippet, true()).order_by(*rank_order(found))
    return Query(statement, named_rows(statement))


class SuggestedBoard(NamedTuple):
    """A board for a new task."""

    id: UUID
    name: str


async def suggest_boards(
    source: Source, member: Member, words: Sequence[str]
) -> Sequence[SuggestedBoard]:
    """Return boards that the member may change, with all these words in their names.

    Those come first that the member has opened last.
    """
    given = {"patterns": format_patterns(words), **boards.access_parameters(member)}
    return await BOARD_SUGGESTIONS.fetch(source, **given)


BOARD_SUGGESTIONS: Query[SuggestedBoard] = Query(
    select(Board.id, Board.name)
    .outerjoin(
        BoardShortcut,
        (BoardShortcut.board_id == Board.id)
        & (BoardShortcut.user_id == bindparam("user_id", type_=Uuid())),
    )
    .where(
        Board.organization_id == bindparam("organization_id", type_=Uuid()),
        contains_words(Board.name),
        Board.id.in_(boards.WRITABLE_BOARD_IDS),
    )
    .order_by(BoardShortcut.opened_at.desc().nulls_last(), *boards.BY_NAME)
    .limit(MAX_BOARDS),
    SuggestedBoard._make,
)


class RecentObject(NamedTuple):
    """An object that the user has opened before, as it is named now."""

    kind: ResultKind
    id: UUID
    board_id: UUID | None
    title: str
    board_name: str | None
    status: Status | None


async def load_recent_objects(
    source: Source, member: Member, ids: Sequence[UUID]
) -> Sequence[RecentObject]:
    """Return those of these tasks, boards and agents that the member may read, in this order."""
    wanted = list(dict.fromkeys(ids))[:MAX_RECENT]
    if not wanted:
        return []
    return await _build_recent_query().fetch(
        source, **boards.access_parameters(member), is_admin=member.is_admin, ids=wanted
    )


@cache
def _build_recent_query() -> Query[RecentObject]:
    visible_boards = select_visible_boards(boards.READABLE_BOARD_IDS)
    ids = bindparam("ids", type_=ARRAY(Uuid()))
    wanted = func.unnest(ids).table_valued("id", with_ordinality="place").render_derived("wanted")
    parts = [
        select(
            wanted.c.place,
            literal(source.kind.value).label("kind"),
            source.id.label("id"),
            source.board_id.label("board_id"),
            source.title.label("title"),
            source.board_name.label("board_name"),
            source.status.label("status"),
        )
        .select_from(source.tables)
        .join(wanted, wanted.c.id == source.id)
        .where(source.is_visible(visible_boards))
        for source in (TASKS, BOARDS, AGENTS)
    ]
    found = union_all(*parts).subquery("recent")
    columns = [column for column in found.c if column.key != "place"]
    return Query(select(*columns).order_by(found.c.place), _build_recent)


def _build_recent(row: Any) -> RecentObject:
    kind, id, board_id, title, board_name, status = row
    return RecentObject(
        ResultKind(kind), id, board_id, title, board_name, Status(status) if status else None
    )


class MentionKind(StrEnum):
    """What a mention names."""

    AGENT = "agent"
    PERSON = "person"
    ALL = "all"  # all agents of a board group


@dataclass(frozen=True)
class Mention:
    """Somebody who can be mentioned, and the text after the @ that does it."""

    kind: MentionKind
    text: str
    name: str
    agent: Agent | None = None
    board_name: str | None = None  # of an agent, in a group
    email: str | None = None  # of a person, if somebody else has this name


class PersonName(NamedTuple):
    """A person who can be mentioned, or who has the name of one."""

    id: UUID
    name: str
    email: str | None
    spelling: str  # the same for names that differ only by signs and case
    is_found: bool  # and not only a namesake


@dataclass(frozen=True)
class TextPlace:
    """Where a text is written: the boards whose agents and tasks it can name."""

    organization_id: UUID
    boards: Sequence[Board]
    is_group: bool = False

    @property
    def board_ids(self) -> list[UUID]:
        """Return the ids of the boards."""
        return [board.id for board in self.boards]


async def get_board_place(source: Source, member: Member, board_id: UUID) -> TextPlace:
    """Return the place of a text on a board. Raises NotFound and Forbidden."""
    board = await boards.get_board(source, member, board_id)
    return TextPlace(board.organization_id, [board])


async def get_group_place(source: Source, member: Member, group_id: UUID) -> TextPlace:
    """Return the place of a text in a group: the boards of it that the member may read.

    Raises NotFound and Forbidden.
    """
    group = await boards.get_group(source, member.user, group_id)
    found = await boards.list_boards(source, member, Paging(), board_group_id=group.id)
    return TextPlace(group.organization_id, found.items, is_group=True)


async def suggest_mentions(
    source: Source, member: Member, place: TextPlace, query_text: str
) -> Sequence[Mention]:
    """Return the agents of a place, then the people who may read it, by the words of a user."""
    if not place.boards:
        return []
    terms = split_words(remove_accents(query_text).lower())
    found_agents = await agents.list_agents_of_boards(source, place.boards)
    names = {board.id: board.name for board in place.boards}
    of_agents = (
        Mention(MentionKind.AGENT, text, agent.name, agent, names.get(agent.board_id))
        for agent in found_agents
        if _matches(f"{agent.name} {'lead' if agent.is_board_lead else ''}", terms)
        and (text := find_mention(agent, found_agents))
        and not (place.is_group and text.lower() == ALL_MENTION)
    )
    mentions = list(islice(of_agents, MAX_SUGGESTIONS))
    if place.is_group and _matches(ALL_MENTION, terms):
        mentions.append(Mention(MentionKind.ALL, ALL_MENTION, ALL_MENTION))
    people = await PEOPLE_OF_BOARDS.fetch(
        source,
        organization_id=place.organization_id,
        board_ids=place.board_ids,
        own_id=member.user_id,
        tsquery=format_tsquery(terms) or None,
        page_limit=MAX_SUGGESTIONS,
    )
    counts = Counter(person.spelling for person in people)
    for person in people:
        if person.is_found and (text := find_person_mention(person, people, found_agents)):
            email = person.email if counts[person.spelling] > 1 else None
            mentions.append(Mention(MentionKind.PERSON, text, person.name, email=email))
    return mentions


def _matches(name: str, terms: Sequence[str]) -> bool:
    words = split_words(remove_accents(name).lower())
    return all(any(word.startswith(term) for word in words) for term in terms)


def _build_people_query() -> Query[PersonName]:
    """Build the query of the people who may read a board and match, and of their namesakes."""
    grants = exists().where(
        BoardAccess.organization_member_id == Member.id,
        BoardAccess.board_id == func.any(BOARD_IDS),
        or_(BoardAccess.can_read, BoardAccess.can_write),
    )
    tsquery = bindparam("tsquery", type_=String())
    words = func.words_of(func.concat_ws(" ", User.preferred_name, User.name), None, None)
    matches = words.bool_op("@@")(func.to_tsquery(SIMPLE_CONFIG, tsquery))
    spelling = func.regexp_replace(func.lower(USER_NAME), "[^[:alnum:]]+", "", "g")
    members = (
        select(User.id, spelling.label("spelling"))
        .join(Member, Member.user_id == User.id)
        .where(Member.organization_id == bindparam("organization_id", type_=Uuid()))
    )
    found = (
        members.where(
            User.id != bindparam("own_id", type_=Uuid()),
            USER_NAME.is_not(None),
            or_(Member.all_boards_read, Member.all_boards_write, grants),
            or_(tsquery.is_(None), matches),
        )
        .order_by(func.lower(USER_NAME), User.id)
        .limit(PAGE_LIMIT)
        .cte("found")
    )
    is_found = User.id.in_(select(found.c.id))
    query = members.with_only_columns(User.id, USER_NAME, User.email, spelling, is_found)
    query = query.where(spelling.in_(select(found.c.spelling)), USER_NAME.is_not(None))
    return Query(query.order_by(func.lower(USER_NAME), User.id), PersonName._make)


PEOPLE_OF_BOARDS = _build_people_query()


class TaskReference(NamedTuple):
    """A task that a text can refer to."""

    id: UUID
    board_id: UUID
    title: str
    status: Status


async def suggest_tasks(
    source: Source, place: TextPlace, query_text: str
) -> Sequence[TaskReference]:
    """Return the tasks of a place that contain the words, best first; without words the newest."""
    terms = split_words(query_text)
    parameters = {"board_ids": place.board_ids, "page_limit": MAX_SUGGESTIONS, "page_offset": 0}
    if not terms:
        return await NEWEST_TASKS.fetch(source, **parameters)
    return await MATCHING_TASKS.fetch(source, tsquery=format_tsquery(terms), **parameters)


TASK_COLUMNS = (Task.id, Task.board_id, Task.title, Task.status)


_NEWEST_IDS = newest_rows_query(
    select(func.unnest(BOARD_IDS).label("id")),
    select(Task.id, Task.updated_at),
    Task.board_id,
    Task.updated_at,
)().subquery("newest")
NEWEST_TASKS: Query[TaskReference] = Query(
    select(*TASK_COLUMNS)
    .join(_NEWEST_IDS, _NEWEST_IDS.c.id == Task.id)
    .order_by(_NEWEST_IDS.c.updated_at.desc(), Task.id),
    TaskReference._make,
)
_WORDS = Task.__table__.c.words
_MATCHES = (
    select(*TASK_COLUMNS, Task.updated_at.label("at"), build_rank(_WORDS, TSQUERY).label("rank"))
    .where(Task.board_id == func.any(BOARD_IDS), _WORDS.bool_op("@@")(TSQUERY))
    .limit(MAX_CANDIDATES)
    .subquery("matches")
)
MATCHING_TASKS: Query[TaskReference] = Query(
    select(*(_MATCHES.c[column.key] for column in TASK_COLUMNS))
    .order_by(*rank_order(_MATCHES))
    .limit(PAGE_LIMIT),
    TaskReference._make,
)

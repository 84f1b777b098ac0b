"""What fields offer to choose from: the objects of a kind that a member may see, page by page.

A page shows what was chosen, and asks for the options when somebody opens the field: there can be
thousands. The number of options is counted up to MAX_COUNT.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Select,
    String,
    Uuid,
    and_,
    bindparam,
    cast,
    exists,
    func,
    join,
    literal,
    literal_column,
    null,
    or_,
    outerjoin,
    select,
    union_all,
)

from core.db.full_text import (
    TSQUERY,
    contains_words,
    format_patterns,
    format_tsquery,
    split_words,
)
from core.db.reads import Query, Source
from core.errors import NotFound
from core.paging import PAGE_LIMIT, PAGE_OFFSET, Page, Paging
from core.text import N_, is_storable
from models import (
    USER_NAME,
    Agent,
    Board,
    BoardAccess,
    BoardGroup,
    Gateway,
    Member,
    SkillPack,
    Tag,
    Task,
    User,
)
from services import boards, desired_state, notifications, organizations, tasks

MAX_COUNT = 1_000  # of more options the page says only that there are more

ORGANIZATION_ID = bindparam("organization_id", type_=Uuid())
BOARD_ID = bindparam("board_id", type_=Uuid())
TASK_ID = bindparam("task_id", type_=Uuid())
GATEWAY_ID = bindparam("gateway_id", type_=Uuid())
IS_ADMIN = bindparam("is_admin", type_=Boolean())
NO_TEXT = cast(null(), String)


class PickerKind(StrEnum):
    """What a field offers. The values are parts of addresses."""

    AGENTS = "agents"
    SOUL_AGENTS = "soul-agents"  # to which a soul can be given
    PEOPLE = "people"
    DECIDERS = "deciders"  # the other people who can decide approvals of at least one board
    ACTORS = "actors"  # agents and people
    ASSIGNEES = "assignees"  # the workers and people of a board, to whom its tasks can be assigned
    BOARDS = "boards"
    CHANGEABLE_BOARDS = "changeable-boards"
    PROGRAM_BOARDS = "program-boards"  # changeable ones without a gateway
    GATEWAY_BOARDS = "gateway-boards"  # changeable ones on a gateway, or on the given one
    ORGANIZATION_BOARDS = "organization-boards"  # also those that an admin may not read
    GROUPS = "groups"  # of boards
    TAGS = "tags"
    TAG_SLUGS = "tag-slugs"
    TASKS = "tasks"  # of a board, on which the task `task_id` may depend
    GATEWAYS = "gateways"
    SKILL_PACKS = "skill-packs"


FOR_ADMINS = {PickerKind.ORGANIZATION_BOARDS, PickerKind.GATEWAYS, PickerKind.SKILL_PACKS}
ON_ONE_BOARD = {PickerKind.ASSIGNEES, PickerKind.TASKS}


class PickerOption(NamedTuple):
    """An object that can be chosen. The key is what a field stores: an id, or the slug of a tag."""

    kind: str  # agent, person, board, group, tag, task, gateway or pack
    key: str
    name: str
    note: str | None = None  # tells objects of one name apart: a board, or an e-mail address
    mark: str | None = None  # an emoji, a colour or a status


@dataclass(frozen=True, kw_only=True)
class OptionSource:
    """A table with options, and the condition of those that a member may see."""

    kind: str
    key: Any
    name: Any
    is_visible: ColumnElement[bool]
    is_on_board: ColumnElement[bool] | None = None  # on the board `board_id`, if one is given
    tables: Any = None
    note: Any = NO_TEXT
    is_note_board: bool = False  # which is the same for all options of one board
    mark: Any = NO_TEXT
    searched: Sequence[Any] = ()  # beside the name
    words: Any = None  # what is searched instead, by an index of words
    order: Sequence[Any] = ()  # instead of the name

    def select_options(self, *, on_board: bool, by_text: bool, by_key: bool) -> Select[Any]:
        """Select the columns of PickerOption of the visible options that match."""
        query = select(
            literal(self.kind).label("kind"),
            cast(self.key, String).label("key"),
            self.name.label("name"),
            (NO_TEXT if on_board and self.is_note_board else self.note).label("note"),
            self.mark.label("mark"),
        ).where(self.is_visible)
        if self.tables is not None:
            query = query.select_from(self.tables)
        if on_board and self.is_on_board is not None:
            query = query.where(self.is_on_board)
        if by_text:
            query = query.where(self._matches())
        if by_key:
            keys = bindparam("keys", type_=ARRAY(self.key.type))
            query = query.where(self.key == func.any(keys))
        return query.order_by(*(self.order or (func.lower(self.name), self.key)))

    def _matches(self) -> ColumnElement[bool]:
        if self.words is not None:
            matches: ColumnElement[bool] = self.words.bool_op("@@")(TSQUERY)
            return matches
        return contains_words(self.name, *self.searched)


_IS_AGENT_VISIBLE = and_(
    Agent.organization_id == ORGANIZATION_ID,
    or_(
        Agent.board_id.in_(boards.READABLE_BOARD_IDS),
        and_(Agent.board_id.is_(None), IS_ADMIN),
    ),
)
_CAN_READ_BOARD = or_(
    Member.all_boards_read,
    Member.all_boards_write,
    exists().where(
        BoardAccess.organization_member_id == Member.id,
        BoardAccess.board_id == BOARD_ID,
        or_(BoardAccess.can_read, BoardAccess.can_write),
    ),
)


def _build_agents(
    *conditions: ColumnElement[bool], is_on_board: ColumnElement[bool] | None = None
) -> OptionSource:
    return OptionSource(
        kind="agent",
        key=Agent.id,
        name=Agent.name,
        note=Board.name,
        is_note_board=True,
        mark=Agent.identity_profile["emoji"].astext,
        tables=outerjoin(Agent, Board, Board.id == Agent.board_id),
        is_visible=and_(_IS_AGENT_VISIBLE, *conditions),
        is_on_board=is_on_board,
    )


def _build_people(*conditions: ColumnElement[bool]) -> OptionSource:
    return OptionSource(
        kind="person",
        key=User.id,
        name=USER_NAME,
        note=User.email,
        searched=(User.email,),
        tables=join(User, Member, Member.user_id == User.id),
        is_visible=and_(Member.organization_id == ORGANIZATION_ID, *conditions),
        is_on_board=_CAN_READ_BOARD,
    )


def _build_boards(ids: Select[UUID], *conditions: ColumnElement[bool]) -> OptionSource:
    return OptionSource(
        kind="board",
        key=Board.id,
        name=Board.name,
        is_visible=and_(Board.organization_id == ORGANIZATION_ID, Board.id.in_(ids), *conditions),
    )


def _build_tags(key: Any) -> OptionSource:
    return OptionSource(
        kind="tag",
        key=key,
        name=Tag.name,
        mark=Tag.color,
        is_visible=Tag.organization_id == ORGANIZATION_ID,
    )


_AGENTS = _build_agents(is_on_board=Agent.board_id == BOARD_ID)
_WORKERS = _build_agents(
    is_on_board=and_(
        Agent.board_id == BOARD_ID,
        Agent.is_board_lead.is_(False),
        desired_state.IS_NOT_BEING_REMOVED,
    )
)
_PEOPLE = _build_people()
SOURCES: dict[PickerKind, Sequence[OptionSource]] = {
    PickerKind.AGENTS: [_AGENTS],
    PickerKind.SOUL_AGENTS: [_build_agents(~Agent.is_linked, desired_state.IS_NOT_BEING_REMOVED)],
    PickerKind.PEOPLE: [_PEOPLE],
    PickerKind.DECIDERS: [_build_people(notifications.IS_OTHER_DECIDER)],
    PickerKind.ACTORS: [_AGENTS, _PEOPLE],
    PickerKind.ASSIGNEES: [_WORKERS, _PEOPLE],
    PickerKind.BOARDS: [_build_boards(boards.READABLE_BOARD_IDS)],
    PickerKind.CHANGEABLE_BOARDS: [
        replace(
            _build_boards(boards.WRITABLE_BOARD_IDS),
            note=BoardGroup.name,
            tables=outerjoin(Board, BoardGroup, BoardGroup.id == Board.board_group_id),
        )
    ],
    PickerKind.PROGRAM_BOARDS: [
        _build_boards(boards.WRITABLE_BOARD_IDS, Board.gateway_id.is_(None))
    ],
    PickerKind.GATEWAY_BOARDS: [
        _build_boards(
            boards.WRITABLE_BOARD_IDS,
            Board.gateway_id == func.coalesce(GATEWAY_ID, Board.gateway_id),
        )
    ],
    PickerKind.ORGANIZATION_BOARDS: [
        OptionSource(
            kind="board",
            key=Board.id,
            name=Board.name,
            is_visible=and_(Board.organization_id == ORGANIZATION_ID, IS_ADMIN),
        )
    ],
    PickerKind.GROUPS: [
        OptionSource(
            kind="group",
            key=BoardGroup.id,
            name=BoardGroup.name,
            is_visible=and_(
                BoardGroup.organization_id == ORGANIZATION_ID,
                BoardGroup.id.in_(boards.READABLE_GROUP_IDS),
            ),
        )
    ],
    PickerKind.TAGS: [_build_tags(Tag.id)],
    PickerKind.TAG_SLUGS: [_build_tags(Tag.slug)],
    PickerKind.TASKS: [
        OptionSource(
            kind="task",
            key=Task.id,
            name=Task.title,
            mark=cast(Task.status, String),
            words=Task.__table__.c.words,
            is_visible=and_(
                Task.board_id == BOARD_ID, or_(TASK_ID.is_(None), tasks.IS_POSSIBLE_DEPENDENCY)
            ),
            order=(Task.created_at.desc(), Task.id),
        )
    ],
    PickerKind.GATEWAYS: [
        OptionSource(
            kind="gateway",
            key=Gateway.id,
            name=Gateway.name,
            is_visible=Gateway.organization_id == ORGANIZATION_ID,
        )
    ],
    PickerKind.SKILL_PACKS: [
        OptionSource(
            kind="pack",
            key=SkillPack.id,
            name=SkillPack.name,
            is_visible=SkillPack.organization_id == ORGANIZATION_ID,
        )
    ],
}


@dataclass(frozen=True)
class PickerPlace:
    """Whose options they are: all that the member may see, or those of a board.

    `task_id` is the task for which others are offered, and `gateway_id` that of boards.
    """

    member: Member
    board: Board | None = None
    task_id: UUID | None = None
    gateway_id: UUID | None = None

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of the statements."""
        return {
            **boards.access_parameters(self.member),
            "is_admin": self.member.is_admin,
            "board_id": self.board.id if self.board else None,
            "task_id": self.task_id,
            "gateway_id": self.gateway_id,
        }


async def get_picker_place(
    source: Source,
    member: Member,
    kind: PickerKind,
    *,
    board_id: UUID | None = None,
    task_id: UUID | None = None,
    gateway_id: UUID | None = None,
) -> PickerPlace:
    """Return the place of the options of a kind. Raises NotFound and Forbidden."""
    if kind in FOR_ADMINS:
        organizations.require_admin(member)
    if board_id is None:
        if kind in ON_ONE_BOARD:
            raise NotFound("board_not_found", N_("There is no such board."))
        return PickerPlace(member, gateway_id=gateway_id)
    return PickerPlace(member, await boards.get_board(source, member, board_id), task_id)


async def list_options(
    source: Source, place: PickerPlace, kind: PickerKind, text: str, paging: Paging
) -> Page[PickerOption]:
    """Return the options with all words of a text in the name, by name; tasks, newest first.

    A total above MAX_COUNT stands for any larger number.
    """
    words = split_words(text)
    if text and kind is PickerKind.TASKS and not words:
        return Page([], 0, paging.limit, paging.offset)
    query = _build_page_query(kind, on_board=place.board is not None, by_text=bool(text))
    rows = await query.fetch(
        source,
        **place.parameters,
        **paging.parameters,
        patterns=format_patterns(text.split()),
        tsquery=format_tsquery(words),
    )
    total = rows[0][1] if rows else 0
    return Page([option for option, _ in rows], total, paging.limit, paging.offset)


@cache
def _build_page_query(
    kind: PickerKind, *, on_board: bool, by_text: bool, is_counted: bool = True
) -> Query[tuple[PickerOption, int]]:
    selected = [
        source.select_options(on_board=on_board, by_text=by_text, by_key=False)
        for source in SOURCES[kind]
    ]
    counts = (
        select(func.count())
        .select_from(one.order_by(None).limit(MAX_COUNT + 1).subquery())
        .scalar_subquery()
        for one in selected
    )
    total: Any = sum(counts) if is_counted else literal_column("0")
    statement = selected[0]
    if len(selected) > 1:
        firsts = (select(one.limit(PAGE_LIMIT + PAGE_OFFSET).subquery()) for one in selected)
        merged = union_all(*firsts).subquery("options")
        statement = select(merged).order_by(func.lower(merged.c.name), merged.c.key)
    statement = statement.limit(PAGE_LIMIT).offset(PAGE_OFFSET).add_columns(total)
    return Query(statement, lambda row: (PickerOption(*row[:-1]), row[-1]))


async def find_first_option(
    source: Source, place: PickerPlace, kind: PickerKind
) -> PickerOption | None:
    """Return the first option, or None if there is none."""
    on_board = place.board is not None
    query = _build_page_query(kind, on_board=on_board, by_text=False, is_counted=False)
    found = await query.first(source, **place.parameters, **Paging(1).parameters)
    return found[0] if found else None


async def find_options(
    source: Source,
    place: PickerPlace,
    kind: PickerKind,
    keys: Sequence[str],
    *,
    only_offered: bool = False,
) -> dict[str, PickerOption]:
    """Return those options that have one of these keys, by key; without keys no statement runs.

    They need not be on the board of the place, except tasks, unless `only_offered`: an agent that
    was chosen may have been moved.
    """
    wanted: list[Any] = [key for key in keys if is_storable(key)]
    if kind is not PickerKind.TAG_SLUGS:
        wanted = [id for id in map(_parse_id, keys) if id is not None]
    if not wanted:
        return {}
    on_board = only_offered and place.board is not None
    query = _build_key_query(kind, on_board=on_board)
    found = await query.fetch(source, **place.parameters, keys=wanted)
    return {option.key: option for option in found}


def _parse_id(key: str) -> UUID | None:
    try:
        return UUID(key)
    except ValueError:
        return None


@cache
def _build_key_query(kind: PickerKind, *, on_board: bool) -> Query[PickerOption]:
    selected = [
        select(
            source.select_options(on_board=on_board, by_text=False, by_key=True)
            .order_by(None)
            .subquery()
        )
        for source in SOURCES[kind]
    ]
    statement = select(union_all(*selected).subquery("options"))
    return Query(statement, PickerOption._make)

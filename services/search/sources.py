"""The searched tables, the columns that their results display, and who may read their rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    Select,
    String,
    Uuid,
    and_,
    bindparam,
    cast,
    func,
    join,
    literal,
    null,
    or_,
    outerjoin,
    select,
)

from core.db.full_text import TSQUERY, build_rank
from models import (
    USER_NAME,
    Agent,
    Board,
    BoardGroup,
    Comment,
    GroupNote,
    Member,
    Note,
    Task,
    User,
)

NO_ID = cast(null(), Uuid)
NO_TEXT = cast(null(), String)
NO_BOOLEAN = cast(null(), Boolean)
ORGANIZATION_ID = bindparam("organization_id", type_=Uuid())
IS_ADMIN = bindparam("is_admin", type_=Boolean())


class Kind(StrEnum):
    """What the API can find."""

    TASK = "task"
    COMMENT = "comment"
    MEMORY = "memory"
    BOARD = "board"


class ResultKind(StrEnum):
    """What pages can find."""

    TASK = "task"
    COMMENT = "comment"
    MEMORY = "memory"
    BOARD = "board"
    AGENT = "agent"
    PERSON = "person"


@dataclass(frozen=True, kw_only=True)
class SearchSource:
    """A searchable table, and the columns that a result displays.

    `filters` has the column that each filter compares. A table without the column of a filter has
    no results while the filter is set.
    """

    kind: StrEnum
    id: Any
    words: Any
    title: Any
    text: Any
    at: Any
    tables: Any
    is_visible: Callable[[CTE], ColumnElement[bool]]
    board_id: Any = field(default_factory=lambda: Board.id)  # as a default it would be a property
    board_name: Any = field(default_factory=lambda: Board.name)
    group_id: Any = NO_ID
    task_id: Any = NO_ID
    status: Any = NO_TEXT
    is_chat: Any = NO_BOOLEAN
    user_id: Any = NO_ID  # the author
    agent_id: Any = NO_ID  # the author
    filters: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def _is_on_visible_board(visible_boards: CTE) -> ColumnElement[bool]:
    return Board.id.in_(select(visible_boards.c.id))


def _is_visible_agent(visible_boards: CTE) -> ColumnElement[bool]:
    """Agents without a board are for admins."""
    on_board = Agent.board_id.in_(select(visible_boards.c.id))
    visible = or_(on_board, and_(Agent.board_id.is_(None), IS_ADMIN))
    return and_(Agent.organization_id == ORGANIZATION_ID, visible)


TASKS = SearchSource(
    kind=Kind.TASK,
    id=Task.id,
    words=Task.__table__.c.words,
    title=Task.title,
    text=Task.description,
    at=Task.updated_at,
    tables=join(Task, Board, Board.id == Task.board_id),
    is_visible=_is_on_visible_board,
    task_id=Task.id,
    status=cast(Task.status, String),
    filters={
        "board": (Task.board_id,),
        "status": (Task.status,),
        "assignee": (Task.assigned_agent_id, Task.assigned_user_id),
        "author": (Task.created_by_user_id,),
        "time": (Task.updated_at,),
    },
)
COMMENTS = SearchSource(
    kind=Kind.COMMENT,
    id=Comment.id,
    words=Comment.__table__.c.words,
    title=Task.title,
    text=Comment.message,
    at=Comment.created_at,
    tables=join(Comment, Task, Task.id == Comment.task_id).join(
        Board, Board.id == Comment.board_id
    ),
    is_visible=_is_on_visible_board,
    task_id=Comment.task_id,
    user_id=Comment.user_id,
    agent_id=Comment.agent_id,
    filters={
        "board": (Comment.board_id,),
        "author": (Comment.user_id, Comment.agent_id),
        "time": (Comment.created_at,),
    },
)
NOTES = SearchSource(
    kind=Kind.MEMORY,
    id=Note.id,
    words=Note.__table__.c.words,
    title=Board.name,
    text=Note.content,
    at=Note.updated_at,
    tables=join(Note, Board, Board.id == Note.board_id),
    is_visible=_is_on_visible_board,
    is_chat=Note.is_chat,
    user_id=Note.user_id,
    agent_id=Note.agent_id,
    filters={
        "board": (Note.board_id,),
        "author": (Note.user_id, Note.agent_id),
        "time": (Note.updated_at,),
    },
)
GROUP_NOTES = SearchSource(
    kind=Kind.MEMORY,
    id=GroupNote.id,
    words=GroupNote.__table__.c.words,
    title=BoardGroup.name,
    text=GroupNote.content,
    at=GroupNote.updated_at,
    tables=join(GroupNote, BoardGroup, BoardGroup.id == GroupNote.board_group_id),
    # Who may read one board of a group may read the memory of the group.
    is_visible=lambda visible: BoardGroup.id.in_(select(visible.c.board_group_id)),
    board_id=NO_ID,
    board_name=NO_TEXT,
    group_id=BoardGroup.id,
    is_chat=GroupNote.is_chat,
    user_id=GroupNote.user_id,
    agent_id=GroupNote.agent_id,
    filters={
        "author": (GroupNote.user_id, GroupNote.agent_id),
        "time": (GroupNote.updated_at,),
    },
)
BOARDS = SearchSource(
    kind=Kind.BOARD,
    id=Board.id,
    words=Board.__table__.c.words,
    title=Board.name,
    text=func.concat_ws(" ", Board.description, Board.objective),
    at=Board.updated_at,
    tables=Board,
    is_visible=_is_on_visible_board,
    filters={"board": (Board.id,), "time": (Board.updated_at,)},
)
_ROLE = Agent.identity_profile["role"].astext
AGENTS = SearchSource(
    kind=ResultKind.AGENT,
    id=Agent.id,
    words=func.words_of_agent(Agent.name, Agent.identity_profile),
    title=Agent.name,
    text=_ROLE,
    at=Agent.updated_at,
    tables=outerjoin(Agent, Board, Board.id == Agent.board_id),
    is_visible=_is_visible_agent,
    filters={"board": (Agent.board_id,)},
)
PEOPLE = SearchSource(
    kind=ResultKind.PERSON,
    id=Member.id,
    words=func.words_of(func.concat_ws(" ", User.preferred_name, User.name), User.email, NO_TEXT),
    title=USER_NAME,
    text=User.email,
    at=Member.created_at,
    tables=join(Member, User, User.id == Member.user_id),
    is_visible=lambda _: Member.organization_id == ORGANIZATION_ID,
    board_id=NO_ID,
    board_name=NO_TEXT,
)
"""The members of the organization, as the list of members shows them to every member."""

TEXT_SOURCES = (TASKS, COMMENTS, NOTES, GROUP_NOTES, BOARDS)
"""What the API searches. The words of these tables are stored and have an index."""

ALL_SOURCES = (*TEXT_SOURCES, AGENTS, PEOPLE)
"""What pages search. The words of agents are in an index; those of people, of whom an organization
has few, are computed."""


def select_visible_boards(readable_ids: Select[UUID]) -> CTE:
    """Select the boards of these ids, with their groups."""
    boards = select(Board.id, Board.board_group_id).where(Board.id.in_(readable_ids))
    return boards.cte("visible_boards")


def select_matches(source: SearchSource, visible_boards: CTE) -> Select[*tuple[Any, ...]]:
    """Select the visible rows of a table that contain all words, with their rank."""
    return (
        select(
            literal(source.kind.value).label("kind"),
            source.id.label("id"),
            source.board_id.label("board_id"),
            source.board_name.label("board_name"),
            source.group_id.label("board_group_id"),
            source.task_id.label("task_id"),
            source.title.label("title"),
            source.text.label("text"),
            source.at.label("at"),
            build_rank(source.words, TSQUERY).label("rank"),
        )
        .select_from(source.tables)
        .where(source.words.bool_op("@@")(TSQUERY), source.is_visible(visible_boards))
    )

"""Read the questions of workers."""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    ScalarSelect,
    Uuid,
    bindparam,
    func,
    or_,
    select,
)

from core.db.reads import AnySelect, Query, Source
from core.errors import NotFound
from core.paging import Page, PagedQuery, Paging
from models import Agent, AgentQuestion, Board, Member, Task
from services import boards

MAX_SHOWN = 100  # open questions


class QuestionDetail(NamedTuple):
    """A question with its board, its agent, and the title of its task."""

    question: AgentQuestion
    board: Board
    agent: Agent
    task_title: str | None
    can_write: bool  # whether the member may answer


def open_count_query(board_id: Any) -> ScalarSelect[int]:
    """Select the number of open questions on the board of the enclosing query."""
    is_open = AgentQuestion.answered_at.is_(None)
    query = select(func.count()).select_from(AgentQuestion)
    return query.where(AgentQuestion.board_id == board_id, is_open).scalar_subquery()


def _select_visible() -> AnySelect:
    visible = boards.MEMBER_BOARDS.subquery()
    return (
        select(AgentQuestion, Board, Agent, Task.title, visible.c.writes)
        .select_from(AgentQuestion)
        .join(Board, Board.id == AgentQuestion.board_id)
        .join(visible, visible.c.id == Board.id)
        .join(Agent, Agent.id == AgentQuestion.agent_id)
        .outerjoin(Task, Task.id == AgentQuestion.task_id)
        .where(visible.c.reads)
    )


def _build_open_query(*, by_board: bool) -> Query[QuestionDetail]:
    query = _select_visible().where(AgentQuestion.answered_at.is_(None))
    if by_board:
        query = query.where(AgentQuestion.board_id == bindparam("board_id"))
    newest = query.order_by(AgentQuestion.created_at.desc(), AgentQuestion.id.desc())
    return Query(newest.limit(MAX_SHOWN), QuestionDetail._make)


OPEN_QUESTIONS = {by_board: _build_open_query(by_board=by_board) for by_board in (False, True)}
"""The open questions on boards that a member may read, by whether they are of one board."""

QUESTION = Query(
    _select_visible().where(AgentQuestion.id == bindparam("question_id")), QuestionDetail._make
)


_IS_OPEN: ColumnElement[bool | None] = bindparam("is_open", type_=Boolean())
_OF_BOARD: ColumnElement[UUID | None] = bindparam("of_board_id", type_=Uuid())
QUESTIONS = PagedQuery(
    _select_visible()
    .where(
        or_(_OF_BOARD.is_(None), AgentQuestion.board_id == _OF_BOARD),
        or_(_IS_OPEN.is_(None), AgentQuestion.answered_at.is_(None) == _IS_OPEN),
    )
    .order_by(AgentQuestion.created_at.desc(), AgentQuestion.id.desc()),
    QuestionDetail._make,
)


async def list_questions(
    source: Source,
    member: Member,
    paging: Paging,
    *,
    board_id: UUID | None = None,
    is_open: bool | None = None,
) -> Page[QuestionDetail]:
    """Return the questions on boards that the member may read, or on one of them, newest first."""
    filters = {"of_board_id": board_id, "is_open": is_open}
    return await QUESTIONS.fetch_page(source, paging, **filters, **boards.access_parameters(member))


async def get_question(source: Source, member: Member, question_id: UUID) -> QuestionDetail:
    """Return a question on a board that the member may read. Raises NotFound."""
    found = await QUESTION.first(
        source, question_id=question_id, **boards.access_parameters(member)
    )
    if found is None:
        raise NotFound("question_not_found", "There is no such question.")
    return found

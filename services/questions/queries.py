"""Read the questions of workers."""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ScalarSelect, bindparam, func, select

from core.db.reads import AnySelect, Query, Source
from core.errors import NotFound
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


async def get_question(source: Source, member: Member, question_id: UUID) -> QuestionDetail:
    """Return a question on a board that the member may read. Raises NotFound."""
    found = await QUESTION.first(
        source, question_id=question_id, **boards.access_parameters(member)
    )
    if found is None:
        raise NotFound("question_not_found", "There is no such question.")
    return found

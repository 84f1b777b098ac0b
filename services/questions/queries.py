"""Read the questions of workers."""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    FromClause,
    Select,
    String,
    Uuid,
    bindparam,
    literal,
    or_,
    select,
)

from core.db.reads import AnySelect, Query, Source
from core.errors import NotFound
from core.paging import Page, PagedQuery, Paging
from core.text import N_
from models import Agent, AgentQuestion, Board, Member, RiskLevel, Task
from services import boards


class QuestionDetail(NamedTuple):
    """A question with its board, its agent, and the title of its task."""

    question: AgentQuestion
    board: Board
    agent: Agent
    task_title: str | None
    can_write: bool  # whether the member may answer


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


def open_rows_query() -> Select[*tuple[Any, ...]]:
    """Select the open questions on boards that a member may read, as rows of the inbox.

    The columns are those of `approvals.undecided_rows_query`.
    """
    visible = boards.MEMBER_BOARDS.subquery()
    return (
        select(
            AgentQuestion.id,
            AgentQuestion.board_id,
            AgentQuestion.created_at.label("at"),
            (~visible.c.writes).label("waits_for_others"),
            AgentQuestion.agent_id,
            Agent.name.label("agent_name"),
            literal("question").label("request_kind"),
            literal(RiskLevel.LOW, String).label("risk"),
            literal(None, String).label("equality_hash"),
        )
        .join(visible, visible.c.id == AgentQuestion.board_id)
        .join(Agent, Agent.id == AgentQuestion.agent_id)
        .where(visible.c.reads, AgentQuestion.answered_at.is_(None))
    )


def build_listed_query(listed: FromClause) -> Query[QuestionDetail]:
    """Build the query of the questions whose ids are in the column `id` of another one."""
    query = _select_visible().join(listed, listed.c.id == AgentQuestion.id)
    return Query(query, QuestionDetail._make)


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
        raise NotFound("question_not_found", N_("There is no such question."))
    return found

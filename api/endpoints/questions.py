"""Questions of workers to people, on boards that allow them."""

from uuid import UUID

from pydantic import Field

from api.framework.dependencies import active_membership, loads
from api.framework.fields import PageQuery, ResponseModel, Timestamp
from api.framework.operation import USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, build_encoder, encode_page
from core.paging import Page
from models import Member
from services import boards, questions
from services.questions import QuestionAnswer, QuestionDetail


class QuestionRead(ResponseModel):
    """A question of a worker, and its answer."""

    id: UUID
    board_id: UUID
    task_id: UUID | None
    task_title: str | None
    agent_id: UUID
    agent_name: str
    content: str
    answer: str | None = Field(description="Null: nobody has answered.")
    answered_by_user_id: UUID | None
    can_answer: bool = Field(description="Whether you may change the board.")
    created_at: Timestamp
    answered_at: Timestamp | None


class QuestionFilter(PageQuery):
    """Which questions to list."""

    board_id: UUID | None = Field(default=None, description="Only those of this board.")
    is_open: bool | None = Field(
        default=None,
        description="`true`: only those without an answer; `false`: only those with one.",
    )


encode_question = build_encoder(
    QuestionRead,
    "question",
    task_title="task_title",
    agent_name="agent.name",
    can_answer="can_write",
)


@reads_only
@error_responses(403, 404)
async def list_questions(
    context: RequestContext, member: Member, query: QuestionFilter
) -> Encoded[Page[QuestionRead]]:
    """List the questions of workers on boards that you can read, newest first."""
    if query.board_id:
        await boards.get_board(context.source, member, query.board_id)
    found = await questions.list_questions(
        context.source, member, query.paging, board_id=query.board_id, is_open=query.is_open
    )
    return encode_page(found, encode_question)


@reads_only
async def get_question(context: RequestContext, found: QuestionDetail) -> Encoded[QuestionRead]:
    """Return a question of a worker."""
    return Encoded(encode_question(found))


@error_responses(403, 404, 409)
async def answer_question(
    context: RequestContext, member: Member, found: QuestionDetail, body: QuestionAnswer
) -> Encoded[QuestionRead]:
    """Answer a question; the agent receives the answer as a message."""
    session, id = context.session, found.question.id
    board = await boards.lock_board(session, context.user, found.board.id)
    await questions.answer_question(session, context.user, board, id, body.answer)
    return Encoded(encode_question(await questions.get_question(session, member, id)))


QUESTION = "/questions/{question_id}"
LOADED = loads(questions.get_question, "question_id")
TAGS = ["questions"]

OPERATIONS = [
    Operation("GET", "/questions", list_questions, USER, TAGS, active_membership),
    Operation("GET", QUESTION, get_question, USER, TAGS, LOADED),
    Operation("POST", QUESTION + "/answer", answer_question, USER, TAGS, LOADED),
]

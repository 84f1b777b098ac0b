"""What agents on gateways ask people, as JSON, and the answers that people give."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from api.fields import Answer, Body, JsonObject, Moment, Paged
from api.operations import Call, may_answer
from kit.paging import Page
from models import Member, RequestKind, RequestState
from services import gateway_requests
from services.gateway_requests import RequestDetail, Wish

MOST_QUESTIONS = 20
MOST_ANSWERS = 20
LONGEST_ANSWER = 4_000  # characters

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9A-Fa-f]{64}$")]
Said = Annotated[str, StringConstraints(max_length=LONGEST_ANSWER)]
Answers = Annotated[
    dict[str, Annotated[list[Said], Field(max_length=MOST_ANSWERS)]],
    Field(max_length=MOST_QUESTIONS),
]

OF_STATE = (
    "`waiting`; `answering`: answered, and not told to the gateway yet; `answered`; `lost`: "
    "answered elsewhere, or nobody knows how; `expired`; `cancelled`."
)
WHAT_WAS_SEEN = (
    "The `sha256` of the request as you have seen it. The answer counts for exactly that."
)


class GatewayRequestRead(Answer):
    """Something that an agent on a gateway asks a person, and what has become of it."""

    id: UUID
    kind: RequestKind = Field(description="`exec`: leave to run a command; `question`.")
    gateway_id: UUID | None
    gateway_name: str
    request_id: str = Field(description="The gateway's id of it.")
    agent_id: UUID | None = Field(description="Null if the agent is none of ours.")
    asked_by: str = Field(description="What the agent is called, or how the gateway calls it.")
    board_id: UUID | None
    task_id: UUID | None = Field(description="On which the agent works in this run.")
    agent_key: str | None
    session_key: str | None
    run_id: str | None
    command: str | None = Field(
        description="To the byte, but for tokens of ours, which are masked. Null for questions."
    )
    cwd: str | None
    context: JsonObject | None = Field(
        description="What else the gateway says of a command: `host`, `path`, `warning`."
    )
    questions: list[JsonObject] = Field(
        description="As the gateway tells them, but for tokens of ours."
    )
    sha256: str = Field(
        description="Of the command, or of the questions as compact JSON: of every byte, also of "
        "what is masked here."
    )
    is_masked: bool = Field(description="Whether a token of ours in it is masked.")
    allowed_decisions: list[str] = Field(description="What the gateway takes for a command.")
    state: RequestState = Field(description=OF_STATE)
    asked_at: Moment
    expires_at: Moment
    answer: JsonObject | None = Field(description="What was answered, here or elsewhere.")
    answered_by_user_id: UUID | None
    answered_by: str | None = Field(description="How whoever has answered was called then.")
    answered_at: Moment | None
    delivered_at: Moment | None = Field(description="When the gateway had the answer.")
    ended_at: Moment | None
    error: str | None = Field(description="Why it has come to nothing, in words.")
    created_at: Moment

    @classmethod
    def of(cls, detail: RequestDetail) -> "GatewayRequestRead":
        """Make one of what the services know of a request."""
        row = detail.request
        names = cls.model_fields.keys() - {"asked_by", "task_id"}
        task_id = detail.task.id if detail.task else None
        fields = {name: getattr(row, name) for name in names}
        return cls(**fields, asked_by=detail.asked_by, task_id=task_id)


class GatewayRequestFilter(Paged):
    """Which requests to list."""

    state: RequestState | None = Field(default=None, description=OF_STATE)
    board_id: UUID | None = Field(default=None, description="Only what agents of this board ask.")
    gateway_id: UUID | None = Field(default=None, description="Only what this gateway asks.")


class GatewayAnswer(Body):
    """An answer: a decision about a command; or answers to questions, or that there are none."""

    example = {
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "decision": "allow-once",
    }

    sha256: Sha256 = Field(description=WHAT_WAS_SEEN)
    decision: str | None = Field(
        default=None, max_length=40, description="One of the request's `allowed_decisions`."
    )
    answers: Answers | None = Field(default=None, description="By the questions' `questionId`.")
    cancel: bool = Field(default=False, description="Leave the questions unanswered.")


async def list_gateway_requests(
    call: Call, member: Member, query: GatewayRequestFilter
) -> Page[GatewayRequestRead]:
    """List what agents on gateways ask, newest first, for those who may answer it.

    That is whoever may change the agent's board; what is asked on no board, admins answer.
    """
    found = await gateway_requests.listed(
        call.session,
        member,
        query.paging,
        state=query.state,
        board_id=query.board_id,
        gateway_id=query.gateway_id,
    )
    return found.map(GatewayRequestRead.of)


async def get_gateway_request(call: Call, asked: RequestDetail) -> GatewayRequestRead:
    """Return what an agent on a gateway asks, for those who may answer it."""
    return GatewayRequestRead.of(asked)


@may_answer(404, 409)
async def answer_gateway_request(
    call: Call, asked: RequestDetail, body: GatewayAnswer
) -> GatewayRequestRead:
    """Answer what an agent on a gateway asks, once and for all. Its gateway is told at once.

    Of two who answer, the second gets 409 and who was first. So does whoever has seen something
    else than is asked, and whoever comes too late.
    """
    wish = Wish(**dict(body))
    answered = await gateway_requests.answer(call.session, call.user, asked.request.id, wish)
    return GatewayRequestRead.of(answered)

"""Requests of agents on gateways (exec approvals and questions), and their answers."""

from uuid import UUID

from pydantic import Field

from api.framework.dependencies import active_membership, gateway_request_for_answer
from api.framework.fields import JsonObject, PageQuery, ResponseModel, Timestamp
from api.framework.operation import USER, Operation, changes_decisions, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, build_encoder, encode_page
from core.paging import Page
from models import Member, RequestKind, RequestState
from services.gateways import requests
from services.gateways.requests import GatewayAnswer, RequestDetail

STATE_DESCRIPTION = (
    "`waiting`; `answering`: answered, but not sent to the gateway yet; `answered`; `lost`: "
    "answered elsewhere, or the answer is unknown; `expired`; `cancelled`."
)


class GatewayRequestRead(ResponseModel):
    """A request of an agent on a gateway, and its resolution."""

    id: UUID
    kind: RequestKind = Field(
        description="`exec`: permission to run a command; `question`; `plugin`: permission for an "
        "action of a plugin."
    )
    gateway_id: UUID | None
    gateway_name: str
    request_id: str = Field(description="The id of the request on the gateway.")
    agent_id: UUID | None = Field(description="Null for an agent that is not managed here.")
    asked_by: str = Field(description="The name of the agent, here or on the gateway.")
    board_id: UUID | None
    task_id: UUID | None = Field(description="The task of the agent's run.")
    agent_key: str | None
    session_key: str | None
    run_id: str | None
    command: str | None = Field(
        description="The exact command, except that our tokens are masked. Null for questions."
    )
    cwd: str | None
    context: JsonObject | None = Field(
        description="What `content` has about a command: `host`, `node`, `path`, `argv`, `plan` "
        "(a hash), `warning`. Of requests of earlier versions also `environment`."
    )
    content: JsonObject | None = Field(
        description="Everything that the gateway sent: `id`, `request` and more, with our tokens "
        "masked; `cronOperationBinding` is a hash. Null for questions and earlier requests."
    )
    questions: list[JsonObject] = Field(
        description="The questions of the gateway; our tokens are masked."
    )
    plugin_action: JsonObject | None = Field(
        description="What a plugin asks for, our tokens masked: `title` and `description`, and if "
        "given `detail`, `severity`, `pluginId`, `toolName`, `mcpTool` and `scope`."
    )
    sha256: str = Field(
        description="Hash before masking: of `content` as canonical JSON, or of the questions as "
        "compact JSON (docs/approvals.md)."
    )
    is_masked: bool = Field(description="Whether one of our tokens is masked.")
    allowed_decisions: list[str] = Field(
        description="The decisions that the gateway accepts for a command or an action."
    )
    state: RequestState = Field(description=STATE_DESCRIPTION)
    asked_at: Timestamp
    expires_at: Timestamp
    answer: JsonObject | None = Field(description="The answer that was given, here or elsewhere.")
    answered_by_user_id: UUID | None
    answered_by: str | None = Field(description="The name, at that time, of the user who answered.")
    answered_at: Timestamp | None
    delivered_at: Timestamp | None = Field(description="When the gateway received the answer.")
    ended_at: Timestamp | None
    error: str | None = Field(
        description="Why the request failed, or why it is asked again, as a sentence."
    )
    created_at: Timestamp


encode_request = build_encoder(
    GatewayRequestRead, "request", asked_by="asked_by", task_id="task_id"
)


class GatewayRequestFilter(PageQuery):
    """Which requests to list."""

    state: RequestState | None = Field(default=None, description=STATE_DESCRIPTION)
    board_id: UUID | None = Field(
        default=None, description="Only requests of agents on this board."
    )
    gateway_id: UUID | None = Field(default=None, description="Only requests from this gateway.")


@reads_only
async def list_gateway_requests(
    context: RequestContext, member: Member, query: GatewayRequestFilter
) -> Encoded[Page[GatewayRequestRead]]:
    """List requests of agents on gateways that the user may answer, newest first.

    Users who may change the agent's board may answer; without a board, admins. A page with very
    long contents ends early: its `limit` is then the number of its items.
    """
    found = await requests.list_requests(
        context.source,
        member,
        query.paging,
        state=query.state,
        board_id=query.board_id,
        gateway_id=query.gateway_id,
    )
    return encode_page(found, encode_request)


@reads_only
async def get_gateway_request(
    context: RequestContext, gateway_request: RequestDetail
) -> Encoded[GatewayRequestRead]:
    """Return a request of an agent on a gateway that the user may answer."""
    return Encoded(encode_request(gateway_request))


@changes_decisions
@error_responses(404, 409)
async def answer_gateway_request(
    context: RequestContext, gateway_request: RequestDetail, body: GatewayAnswer
) -> Encoded[GatewayRequestRead]:
    """Answer a request of an agent on a gateway. The answer is final and sent at once.

    If two users answer, the second gets 409 and the name of the first. A different `sha256` and an
    answer that is too late also give 409.
    """
    answered = await requests.answer_request(
        context.session, context.user, gateway_request.request.id, body
    )
    return Encoded(encode_request(answered))


REQUEST = "/gateway-requests/{request_id}"
TAGS = ["gateway-requests"]

OPERATIONS = [
    Operation("GET", "/gateway-requests", list_gateway_requests, USER, TAGS, active_membership),
    Operation("GET", REQUEST, get_gateway_request, USER, TAGS, gateway_request_for_answer),
    Operation(
        "POST", REQUEST + "/answer", answer_gateway_request, USER, TAGS, gateway_request_for_answer
    ),
]

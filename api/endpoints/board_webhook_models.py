"""Requests and responses of the operations on incoming webhooks."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from api.framework.fields import (
    NOT_SENT,
    AnyJson,
    BlankToNone,
    PatchModel,
    RequestModel,
    ResponseModel,
    Timestamp,
    build_line_constraints,
)
from models import PayloadState, WebhookAction
from services import board_webhooks
from services.payload_templates import MAX_TEMPLATE_LENGTH, Operator

MAX_CHARS = 1_000_000  # of a shortened payload (contract, 6.12)

Description = Annotated[
    str,
    build_line_constraints(board_webhooks.MAX_DESCRIPTION_LENGTH),
    Field(description="What agents are to do with the payloads."),
]
Secret = Annotated[
    Annotated[
        str,
        StringConstraints(max_length=board_webhooks.MAX_SECRET_LENGTH),
        Field(json_schema_extra={"minLength": board_webhooks.MIN_SECRET_LENGTH}),
    ]
    | None,
    BlankToNone,
    Field(
        description="The key of the signatures, of at least"
        f" {board_webhooks.MIN_SECRET_LENGTH} characters. Null or blank: a new one is generated."
    ),
]
SignatureHeader = Annotated[
    Annotated[str, StringConstraints(max_length=board_webhooks.MAX_HEADER_NAME_LENGTH)] | None,
    BlankToNone,
    Field(
        description="The header with the hexadecimal HMAC-SHA256 of the body. Null: "
        "X-Hub-Signature-256 or X-Webhook-Signature."
    ),
]
AgentId = Annotated[
    UUID | None, Field(description="The agent that is told of payloads. Null: the lead.")
]


Action = Annotated[
    WebhookAction,
    Field(
        description="What happens with a payload: `notify` tells the agent, `message` tells it with"
        " the text of the template, `task` creates a task by the template, `forge` creates and"
        " links tasks by what GitHub or GitLab reports."
    ),
]


Template = Annotated[
    dict[str, Annotated[str, StringConstraints(max_length=MAX_TEMPLATE_LENGTH)]] | None,
    Field(
        description="What the actions `message` and `task` make of a payload: texts with"
        " placeholders such as `{{ issue.title }}`, by the names `title`, `description`,"
        " `priority`, `tags`, `due` and `message`. `custom_fields` has a line for"
        " each field: its key, a colon and a text. With `condition_path`, `condition_operator`"
        f" ({', '.join(Operator)}) and `condition_value`, other payloads are ignored.",
        examples=[{"title": "{{ issue.title }}", "condition_path": "issue"}],
    ),
]


class BoardWebhookRead(ResponseModel):
    """An incoming webhook. Its secret is not readable."""

    id: UUID
    board_id: UUID
    agent_id: UUID | None
    description: str
    enabled: bool
    has_secret: bool = Field(description="Always true: a webhook without a secret is impossible.")
    has_short_secret: bool = Field(
        description=f"Whether the secret has fewer than {board_webhooks.MIN_SECRET_LENGTH}"
        " characters, which was allowed once. Replace it: `secret` in a PATCH."
    )
    signature_header: str | None
    action: WebhookAction
    template: dict[str, str] | None
    endpoint_path: str
    endpoint_url: str = Field(description="The address to which other systems send.")
    created_at: Timestamp
    updated_at: Timestamp
    previous_secret_expires_at: Timestamp | None = Field(
        description="Until when the secret before the current one is accepted."
    )
    last_rejected_at: Timestamp | None = Field(
        description="When it last rejected a request; to the minute."
    )
    last_rejection: str | None = Field(
        description="The error code of that request, such as `body_too_large`."
    )


class BoardWebhookSaved(BoardWebhookRead):
    """A webhook after a change."""

    generated_secret: str | None = Field(
        description="The secret, if it was generated now. No other response contains it."
    )


class BoardWebhookCreate(RequestModel):
    """A new webhook."""

    example = {"description": "Create a task for each failed build."}

    description: Description
    enabled: bool = True
    agent_id: AgentId = None
    secret: Secret = None
    signature_header: SignatureHeader = None
    action: Action = WebhookAction.NOTIFY
    template: Template = None


class BoardWebhookUpdate(PatchModel):
    """Changes of a webhook. A replaced secret is accepted for another 24 hours."""

    example = {"enabled": False}

    description: Description = NOT_SENT
    enabled: bool = NOT_SENT
    agent_id: AgentId = None
    secret: Secret = None
    signature_header: SignatureHeader = None
    action: Action = NOT_SENT
    template: Template = None
    ends_previous_secret: bool = Field(
        default=NOT_SENT, description="`true`: a replaced secret is not accepted any longer."
    )


class BoardWebhookPayloadRead(ResponseModel):
    """What a webhook has received in one request."""

    id: UUID
    board_id: UUID
    webhook_id: UUID
    payload: AnyJson = Field(description="The JSON of the body, or its text.")
    headers: dict[str, str] | None = Field(description="The headers that are kept.")
    source_ip: str | None
    content_type: str | None
    received_at: Timestamp
    delivery_id: str | None = Field(description="The id that the sender gave to the delivery.")
    size: int = Field(description="Bytes of the body.")
    state: PayloadState
    error: str | None
    task_id: UUID | None = Field(description="The task that was created or changed.")
    message_id: UUID | None = Field(
        description="The message to the agent. Payloads that arrive fast share one."
    )
    is_queued: bool = Field(
        description="Whether the agent is still to be told of it, in a message with others."
    )


class BoardWebhookIngestResponse(ResponseModel):
    """A request was received. The same delivery id has the same payload id."""

    ok: bool = True
    board_id: UUID
    webhook_id: UUID
    payload_id: UUID


class PayloadQuery(BaseModel):
    """How much of a payload to return."""

    max_chars: int | None = Field(
        default=None,
        ge=1,
        le=MAX_CHARS,
        description="Of a longer payload, return so many characters as text.",
    )

"""Models of outgoing webhooks and their deliveries."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.framework.fields import (
    NOT_SENT,
    NonEmptyPatchModel,
    PageQuery,
    RequestModel,
    RequestTimestamp,
    ResponseModel,
    ShortText,
    Timestamp,
)
from core.http.outbound import MAX_URL_LENGTH
from core.json_responses import json_id, json_time
from models import EndpointState, WebhookDelivery, WebhookDeliveryState
from services.webhook_endpoints import EVENT_GROUPS, MAX_DESCRIPTION_LENGTH, EndpointSummary

TYPE_NAMES = ", ".join(f"`{type}`" for group in EVENT_GROUPS.values() for type in group)

WebhookUrl = Annotated[
    str,
    Field(
        max_length=MAX_URL_LENGTH,
        description="Begins with https:// or http://. Private addresses are rejected unless "
        "`OUTBOUND_ALLOW_PRIVATE` allows them. Redirects are not followed.",
    ),
]
Description = Annotated[ShortText, Field(max_length=MAX_DESCRIPTION_LENGTH)]
EventTypes = Annotated[
    list[ShortText], Field(max_length=100, description=f"Empty: all. The types: {TYPE_NAMES}.")
]
BoardIds = Annotated[
    list[UUID],
    Field(
        max_length=200,
        description="Only events of these boards, and events without a board. Empty: all boards.",
    ),
]


class WebhookRead(ResponseModel):
    """An outgoing webhook. The secret is shown when it is created."""

    id: UUID
    url: str
    description: str
    event_types: list[str]
    board_ids: list[UUID]
    state: EndpointState = Field(
        description="`gone`: it responded with status 410. `failing`: disabled after five days. "
        "`owner_without_access`: the owner may not read its boards any more."
    )
    owner_user_id: UUID | None = Field(
        description="Who has set the URL and the boards: only what this admin may read is sent."
    )
    failing_since: Timestamp | None
    previous_secret_expires_at: Timestamp | None
    pending_count: int
    failed_count: int
    last_delivered_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


HasUnknownHost = Annotated[
    bool,
    Field(
        description="The name of the host in a new address cannot be resolved now. Deliveries are "
        "repeated until it can."
    ),
]


class WebhookCreated(ResponseModel):
    """A new webhook with its secret, which is not shown again."""

    id: UUID
    secret: str
    has_unknown_host: HasUnknownHost = False


class WebhookUpdated(WebhookRead):
    """A webhook after a change."""

    has_unknown_host: HasUnknownHost = False


class WebhookSecret(ResponseModel):
    """A new secret, which is not shown again. The previous one signs for a day."""

    secret: str
    previous_secret_expires_at: Timestamp


class WebhookDeliveryRead(ResponseModel):
    """A delivery, with the result of its last attempt."""

    id: UUID = Field(description="The `webhook-id` of all attempts.")
    event_id: UUID | None = Field(description="Null: a test.")
    event_type: str
    state: WebhookDeliveryState
    attempts: int
    next_attempt_at: Timestamp | None
    last_attempt_at: Timestamp | None
    outcome: str | None = Field(
        description="`delivered`, `rejected` (another status), `redirected`, `address_invalid`, "
        "`address_forbidden`, `dns`, `unreachable`, `tls`, `timeout`, `invalid_response`, "
        "`not_sent`."
    )
    status: int | None
    detail: str | None
    duration_ms: int | None
    created_at: Timestamp
    delivered_at: Timestamp | None


class WebhookDeliveryDetail(WebhookDeliveryRead):
    """A delivery with what was sent, and the beginning of the response."""

    payload: str | None = Field(
        description="Null if you may not read all boards whose events this webhook receives."
    )
    response: str | None


class WebhookCreate(RequestModel):
    """A new webhook."""

    example = {"url": "https://example.com/hooks/mission-control", "event_types": ["task.created"]}

    url: WebhookUrl
    description: Description = ""
    event_types: EventTypes = []
    board_ids: BoardIds = []


class WebhookUpdate(NonEmptyPatchModel):
    """Changes of a webhook: at least one field."""

    example = {"is_enabled": False}

    url: WebhookUrl = NOT_SENT
    description: Description = NOT_SENT
    event_types: EventTypes = NOT_SENT
    board_ids: BoardIds = NOT_SENT
    is_enabled: bool = Field(
        default=NOT_SENT,
        description="False pauses it, true resumes it. Events meanwhile can be sent by a replay.",
    )


class WebhookPeriod(RequestModel):
    """A period within the last 30 days with at most 1,000 events."""

    example = {"since": "2026-05-01T08:00:00", "until": "2026-05-01T12:00:00"}

    since: RequestTimestamp
    until: RequestTimestamp


class WebhookReplay(ResponseModel):
    """How many deliveries are sent again."""

    count: int


class WebhookDeliveryQuery(PageQuery):
    """Which deliveries to list."""

    state: WebhookDeliveryState | None = Field(
        default=None, description="Only deliveries in this state."
    )


def build_fields(summary: EndpointSummary) -> dict[str, Any]:
    """Return the fields of a WebhookRead, in the order of the model."""
    endpoint = summary.endpoint
    return {
        "id": json_id(endpoint.id),
        "url": endpoint.url,
        "description": endpoint.description,
        "event_types": endpoint.event_types,
        "board_ids": endpoint.board_ids,
        "state": endpoint.state.value,
        "owner_user_id": json_id(endpoint.owner_user_id),
        "failing_since": json_time(endpoint.failing_since),
        "previous_secret_expires_at": json_time(endpoint.previous_secret_expires_at),
        "pending_count": summary.pending_count,
        "failed_count": summary.failed_count,
        "last_delivered_at": json_time(summary.last_delivered_at),
        "created_at": json_time(endpoint.created_at),
        "updated_at": json_time(endpoint.updated_at),
    }


def build_delivery_fields(delivery: WebhookDelivery) -> dict[str, Any]:
    """Return the fields of a WebhookDeliveryRead, in the order of the model."""
    fields = {name: getattr(delivery, name) for name in WebhookDeliveryRead.model_fields}
    ids = {name: json_id(fields[name]) for name in ("id", "event_id")}
    times = {name: json_time(one) for name, one in fields.items() if name.endswith("_at")}
    return {**fields, **ids, **times, "state": delivery.state.value}

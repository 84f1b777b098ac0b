"""Read the webhooks of an organization, and the log of their deliveries."""

from datetime import datetime
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, String, bindparam, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query, Source
from core.errors import NotFound
from core.paging import Page, PagedQuery, Paging
from core.text import N_
from models import (
    USER_NAME,
    Board,
    Member,
    User,
    WebhookDelivery,
    WebhookDeliveryState,
    WebhookEndpoint,
)
from services import boards, organizations, rows


class EndpointSummary(NamedTuple):
    """A webhook with what became of its deliveries that are in the log."""

    endpoint: WebhookEndpoint
    pending_count: int
    failed_count: int
    last_delivered_at: datetime | None
    owner_name: str | None  # None: the account was deleted


_OF_ENDPOINT = WebhookDelivery.endpoint_id == WebhookEndpoint.id


def _count(state: WebhookDeliveryState) -> ScalarSelect[int]:
    return (
        select(func.count()).where(_OF_ENDPOINT, WebhookDelivery.state == state).scalar_subquery()
    )


_IN_ORGANIZATION = WebhookEndpoint.organization_id == bindparam("organization_id")
_SUMMARIES = (
    select(
        WebhookEndpoint,
        _count(WebhookDeliveryState.PENDING),
        _count(WebhookDeliveryState.FAILED),
        select(func.max(WebhookDelivery.delivered_at)).where(_OF_ENDPOINT).scalar_subquery(),
        USER_NAME,
    )
    .outerjoin(User, User.id == WebhookEndpoint.owner_user_id)
    .where(_IN_ORGANIZATION)
)
_ENDPOINTS = PagedQuery(
    _SUMMARIES.order_by(WebhookEndpoint.created_at, WebhookEndpoint.id), EndpointSummary._make
)
_ENDPOINT = Query(
    _SUMMARIES.where(WebhookEndpoint.id == bindparam("endpoint_id")), EndpointSummary._make
)
_LOCKED_ENDPOINT: Query[WebhookEndpoint] = Query(
    select(WebhookEndpoint)
    .where(WebhookEndpoint.id == bindparam("endpoint_id"), _IN_ORGANIZATION)
    .with_for_update()
    .execution_options(populate_existing=True),
    itemgetter(0),
)
_STATE: ColumnElement[str] = bindparam("state", type_=String)
_DELIVERIES: PagedQuery[WebhookDelivery] = PagedQuery(
    select(WebhookDelivery)
    .where(
        WebhookDelivery.endpoint_id == bindparam("endpoint_id"),
        or_(_STATE == "", WebhookDelivery.state.cast(String) == _STATE),
    )
    .order_by(WebhookDelivery.number.desc()),
    itemgetter(0),
)
_DELIVERY: Query[WebhookDelivery] = Query(
    select(WebhookDelivery).where(
        WebhookDelivery.endpoint_id == bindparam("endpoint_id"),
        WebhookDelivery.id == bindparam("delivery_id"),
    ),
    itemgetter(0),
)


async def list_endpoints(source: Source, member: Member, paging: Paging) -> Page[EndpointSummary]:
    """Return the webhooks of the member's organization, oldest first. Raises Forbidden."""
    organizations.require_admin(member)
    organization_id = member.organization_id
    return await _ENDPOINTS.fetch_page(source, paging, organization_id=organization_id)


async def get_endpoint(source: Source, member: Member, endpoint_id: UUID) -> EndpointSummary:
    """Return a webhook of the member's organization. Raises Forbidden and NotFound."""
    organizations.require_admin(member)
    ids = {"organization_id": member.organization_id, "endpoint_id": endpoint_id}
    return await rows.get_one(source, _ENDPOINT, _not_found, **ids)


async def lock_endpoint(
    session: AsyncSession, member: Member, endpoint_id: UUID
) -> WebhookEndpoint:
    """Lock a webhook for a change and return it. Raises Forbidden and NotFound."""
    organizations.require_admin(member)
    ids = {"organization_id": member.organization_id, "endpoint_id": endpoint_id}
    return await rows.get_one(session, _LOCKED_ENDPOINT, _not_found, **ids)


def _not_found() -> NotFound:
    return NotFound("webhook_not_found", N_("There is no such webhook."))


async def list_deliveries(
    source: Source, endpoint: WebhookEndpoint, paging: Paging, state: str = ""
) -> Page[WebhookDelivery]:
    """Return the deliveries of a webhook in a state, or all, newest first."""
    return await _DELIVERIES.fetch_page(source, paging, endpoint_id=endpoint.id, state=state)


async def get_delivery(
    source: Source, endpoint: WebhookEndpoint, delivery_id: UUID
) -> WebhookDelivery:
    """Return a delivery of a webhook. Raises NotFound."""
    ids = {"endpoint_id": endpoint.id, "delivery_id": delivery_id}
    return await rows.get_one(source, _DELIVERY, _delivery_not_found, **ids)


def _delivery_not_found() -> NotFound:
    return NotFound("webhook_delivery_not_found", N_("There is no such delivery."))


def may_read_all_boards(member: Member) -> bool:
    """Return whether a member may read all boards, also those that are created later."""
    return member.all_boards_read or member.all_boards_write


async def list_covered_board_ids(source: Source, member: Member) -> set[str]:
    """Return the ids of the boards that a member may read, as texts."""
    found = await _COVERED.fetch(source, **boards.access_parameters(member))
    return {str(id) for id in found}


_COVERED: Query[UUID] = Query(
    select(Board.id).where(Board.id.in_(boards.READABLE_BOARD_IDS)), itemgetter(0)
)


async def may_read_payloads(source: Source, member: Member, endpoint: WebhookEndpoint) -> bool:
    """Return whether a member may read all boards whose events a webhook receives."""
    if may_read_all_boards(member):
        return True
    covered = await list_covered_board_ids(source, member)
    return bool(endpoint.board_ids) and set(endpoint.board_ids) <= covered

"""Read what was written to the configuration of a gateway, with what can have led to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from sqlalchemy import Boolean, bindparam, exists, func, or_, select

from core.db.reads import AnySelect, Query, Source
from core.paging import Page, PagedQuery, Paging
from models import Agent, AuditRecord, Board, Gateway, GatewayConfigChange, Member
from services import boards

CHANGES_PAGE_SIZE = 50  # changes
LAST_ID = UUID(int=2**128 - 1)


@dataclass(frozen=True)
class LoggedConfigChange:
    """A change with its cause, and whether the reader may see the agent and the difference."""

    change: GatewayConfigChange
    cause: AuditRecord | None
    is_readable: bool
    has_agent: bool  # the agent still exists


@dataclass(frozen=True)
class ConfigLogPage:
    """Changes, newest first. The next page has those before `earlier`; None on the last one."""

    changes: Sequence[LoggedConfigChange]
    earlier: UUID | None


async def list_config_changes(
    source: Source, member: Member, gateway: Gateway, paging: Paging
) -> Page[LoggedConfigChange]:
    """Return changes, newest first. The caller has checked the access to the gateway.

    Changes of agents on boards that the member may not read are not readable.
    """
    parameters = _build_parameters(member, gateway)
    return await _build_page_query().fetch_page(source, paging, **parameters)


async def load_config_log(
    source: Source, member: Member, gateway: Gateway, before: UUID | None
) -> ConfigLogPage:
    """Return the page with the changes before `before`; with None, that with the newest ones.

    Later pages stay as they are when there are new changes. Access is as in `list_config_changes`.
    """
    parameters = _build_parameters(member, gateway)
    found = await _build_log_query().fetch(source, before_id=before or LAST_ID, **parameters)
    changes = found[:CHANGES_PAGE_SIZE]
    return ConfigLogPage(changes, changes[-1].change.id if len(found) > len(changes) else None)


def _build_parameters(member: Member, gateway: Gateway) -> dict[str, object]:
    return {
        "gateway_id": gateway.id,
        "reads_all": member.all_boards_read,
        **boards.access_parameters(member),
    }


@cache
def _build_log_query() -> Query[LoggedConfigChange]:
    page = _build_selection().where(GatewayConfigChange.id < bindparam("before_id"))
    return Query(page.limit(CHANGES_PAGE_SIZE + 1), lambda row: LoggedConfigChange(*row))


@cache
def _build_page_query() -> PagedQuery[LoggedConfigChange]:
    of_gateway = GatewayConfigChange.gateway_id == bindparam("gateway_id")
    total = select(func.count()).select_from(GatewayConfigChange).where(of_gateway)
    return PagedQuery(
        _build_selection(), lambda row: LoggedConfigChange(*row), total.scalar_subquery()
    )


def _build_selection() -> AnySelect:
    """Select the changes of a gateway with their causes, newest first."""
    change = GatewayConfigChange
    is_deleted = ~exists(select(Board.id).where(Board.id == change.board_id))
    is_readable = or_(
        change.board_id.is_(None),
        change.board_id.in_(boards.READABLE_BOARD_IDS),
        is_deleted & bindparam("reads_all", type_=Boolean()),
    )
    query = select(change, AuditRecord, is_readable, Agent.id.is_not(None))
    query = query.outerjoin(Agent, Agent.id == change.agent_id)
    query = query.outerjoin(AuditRecord, AuditRecord.id == change.cause_id)
    query = query.where(change.gateway_id == bindparam("gateway_id"))
    return query.order_by(change.id.desc())

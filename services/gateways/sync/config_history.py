"""Read what was written to the configuration of a gateway, with what can have led to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from sqlalchemy import Boolean, bindparam, exists, or_, select

from core.db.reads import Query, Source
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


async def list_config_changes(
    source: Source, member: Member, gateway: Gateway, *, before: UUID | None = None
) -> Sequence[LoggedConfigChange]:
    """Return a page of changes and the next one, newest first. The caller has checked the access.

    Changes of agents on boards that the member may not read are not readable.
    """
    return await _build_changes_query().fetch(
        source,
        gateway_id=gateway.id,
        before_id=before or LAST_ID,
        reads_all=member.all_boards_read,
        **boards.access_parameters(member),
    )


@cache
def _build_changes_query() -> Query[LoggedConfigChange]:
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
    query = query.where(change.id < bindparam("before_id"))
    page = query.order_by(change.id.desc()).limit(CHANGES_PAGE_SIZE + 1)
    return Query(page, lambda row: LoggedConfigChange(*row))

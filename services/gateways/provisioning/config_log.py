"""The log of what provisioning writes to the configurations of gateways.

A change is recorded before the gateway is called, because its answer may be lost, and confirmed
when the step that wrote it is done. A pass compares the configuration with all that is stored, so
which change it writes is not certain: the cause is the newest audited one that can have led to it.

The size is limited for each user or agent who acted in the causes. A limit of the whole log would
let the token of one lead displace the changes of all others.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Delete,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import String

from core.db.engine import TransactionFactory
from core.db.reads import Query, Source
from core.paging import Page, PagedQuery, Paging
from core.text import replace_unstorable
from models import (
    Agent,
    AuditRecord,
    Board,
    ConfigChangeKind,
    Event,
    EventType,
    Gateway,
    GatewayConfigChange,
    Member,
    ProvisioningStep,
    new_id,
)
from services import boards

MAX_CHANGES_BY_ACTOR = 200  # on one gateway; older ones are deleted

KINDS_OF_STEPS = {
    ProvisioningStep.CREATE: ConfigChangeKind.ADDED,
    ProvisioningStep.NAME: ConfigChangeKind.CHANGED,
    ProvisioningStep.HEARTBEAT: ConfigChangeKind.CHANGED,
}
"""What the steps that end with an agent on its gateway write to the configuration."""

ANY_FIELD = ()
REQUESTS = ("files", "provisioning")  # a sync and a restart, among the changes of an agent

MOVES: Mapping[EventType, Sequence[str]] = {
    EventType.AGENT_UPDATED: ("board_id", "is_board_lead", *REQUESTS),
    EventType.BOARD_UPDATED: ("gateway_id",),
}
"""Changes that remove an entry from one gateway, and add it to another or under another key."""

ADDITIONS = MOVES | {
    EventType.AGENT_CREATED: ANY_FIELD,
    EventType.AGENT_LOST: ANY_FIELD,
    EventType.ONBOARDING_CONFIRMED: ANY_FIELD,
    EventType.GATEWAY_CREATED: ANY_FIELD,
    EventType.GATEWAY_UPDATED: ("url",),
}

CAUSES: Mapping[ConfigChangeKind, Mapping[EventType, Sequence[str]]] = {
    ConfigChangeKind.ADDED: ADDITIONS,
    ConfigChangeKind.CHANGED: {
        **ADDITIONS,
        EventType.AGENT_UPDATED: (*MOVES[EventType.AGENT_UPDATED], "name"),
        EventType.GATEWAY_UPDATED: ("url", "name"),  # its agent is renamed with it
    },
    ConfigChangeKind.REMOVED: {
        **MOVES,
        EventType.AGENT_DELETED: ANY_FIELD,
        EventType.AGENT_STATUS_CHANGED: ANY_FIELD,  # audited if somebody deletes an agent
        EventType.BOARD_DELETED: ANY_FIELD,
    },
}
"""The changed fields of each type of event that can lead to a write. All types are audited."""

KEY_ID = re.compile(r"(mc|lead)-([0-9a-f-]{36})")


@dataclass(frozen=True)
class ConfigWrite:
    """What is about to be written for an agent; the row of an agent may be deleted already."""

    agent_key: str
    kind: ConfigChangeKind
    diff: str
    agent: Agent | None = None


class ConfigLog:
    """Records what one pass writes to the configuration of a gateway."""

    def __init__(
        self,
        open_transaction: TransactionFactory,
        gateway_id: UUID,
        clock: Callable[[], datetime],
    ) -> None:
        self._open_transaction = open_transaction
        self._gateway_id = gateway_id
        self._clock = clock
        self._recorded: dict[tuple[str, ConfigChangeKind], UUID] = {}

    async def record(self, writes: Sequence[ConfigWrite]) -> None:
        """Record what is about to be written. It replaces what was not confirmed before."""
        async with self._open_transaction() as session:
            query = select(Gateway.organization_id).where(Gateway.id == self._gateway_id)
            locked = query.with_for_update(read=True, key_share=True)
            organization_id = await session.scalar(locked)
            if organization_id is None:
                return
            rows = []
            for write in writes:
                pending = self._pending_condition(write.agent_key, write.kind)
                await session.execute(delete(GatewayConfigChange).where(pending))
                rows.append(await self._build_row(session, organization_id, write))
            session.add_all(rows)
            await session.flush()
            # These are kept until this pass has confirmed them, also if they exceed the limit.
            pending_ids = [*self._recorded.values(), *(row.id for row in rows)]
            for actor_id in {row.actor_id for row in rows}:
                old = build_deletion_of_oldest(
                    self._gateway_id, actor_id, before_id=min(pending_ids)
                )
                await session.execute(old.execution_options(synchronize_session=False))
        self._recorded |= {(row.agent_key, row.kind): row.id for row in rows}

    async def confirm_step(self, session: AsyncSession, agent: Agent) -> None:
        """Record that the gateway has what the current step of an agent wrote.

        If this pass has written nothing, it is what an earlier one wrote, in any process, without
        an answer. What was written before the agent was last compared with its gateway from the
        start is not confirmed: the gateway may have refused it, and the agent may want another one.
        The row of the agent is locked before: a gateway is deleted after its agents, in this order.
        """
        kind = KINDS_OF_STEPS.get(agent.step) if agent.step else None
        if kind is None:
            return
        key = agent.gateway_key or ""
        if await self._confirm_recorded(session, key, kind):
            return
        pending = self._pending_condition(key, kind)
        begun_at = agent.provisioning_state.step_times.get(ProvisioningStep.CREATE.value)
        if kind is ConfigChangeKind.CHANGED and begun_at is not None:
            pending &= GatewayConfigChange.created_at >= begun_at
        await self._confirm(session, pending)

    async def confirm_removal(self, session: AsyncSession, key: str) -> None:
        """Record that the gateway has removed an agent; see `confirm_step` for the order."""
        kind = ConfigChangeKind.REMOVED
        if not await self._confirm_recorded(session, key, kind):
            await self._confirm(session, self._pending_condition(key, kind))

    async def _confirm_recorded(
        self, session: AsyncSession, key: str, kind: ConfigChangeKind
    ) -> bool:
        """Confirm the row that this pass has recorded; return whether there was one."""
        id = self._recorded.pop((key, kind), None)
        if id is not None:
            await self._confirm(session, GatewayConfigChange.id == id)
        return id is not None

    async def _confirm(self, session: AsyncSession, which: ColumnElement[bool]) -> None:
        """Confirm rows, and add up earlier writes of the same kind with the same cause."""
        found = await session.scalars(select(GatewayConfigChange).where(which).with_for_update())
        for row in found.all():
            earlier = delete(GatewayConfigChange).where(
                self._entry_condition(row.agent_key, row.kind),
                GatewayConfigChange.cause_id.is_not_distinct_from(row.cause_id),
                GatewayConfigChange.confirmed_at.is_not(None),
            )
            counts = await session.scalars(earlier.returning(GatewayConfigChange.writes))
            row.writes += sum(counts)
            row.confirmed_at = self._clock()

    async def _build_row(
        self, session: AsyncSession, organization_id: UUID, write: ConfigWrite
    ) -> GatewayConfigChange:
        agent = write.agent
        agent_id, board_id = (
            (agent.id, agent.board_id) if agent else parse_agent_key(write.agent_key)
        )
        name = agent.name if agent else None
        if agent is None:
            known_id, name = await self._find_logged_agent(session, write.agent_key)
            agent_id = agent_id or known_id
        if board_id is None and agent is None and agent_id is not None:
            last = select(Event.board_id).where(
                Event.agent_id == agent_id, Event.board_id.is_not(None)
            )
            board_id = await session.scalar(last.order_by(Event.seq.desc()).limit(1))
        ids = [str(id) for id in (agent_id, board_id, self._gateway_id, organization_id) if id]
        cause = await find_config_change_cause(session, organization_id, ids, write.kind)
        return GatewayConfigChange(
            id=new_id(),
            gateway_id=self._gateway_id,
            agent_key=write.agent_key,
            agent_id=agent_id,
            agent_name=name,
            board_id=board_id,
            kind=write.kind,
            diff=replace_unstorable(write.diff),
            cause_id=cause.record_id,
            actor_id=cause.actor_id,
            created_at=self._clock(),
        )

    async def _find_logged_agent(
        self, session: AsyncSession, key: str
    ) -> tuple[UUID | None, str | None]:
        """Return the id and the name of the agent that had a key last, as far as it is logged."""
        query = select(GatewayConfigChange.agent_id, GatewayConfigChange.agent_name).where(
            GatewayConfigChange.gateway_id == self._gateway_id,
            GatewayConfigChange.agent_key == key,
        )
        newest = await session.execute(query.order_by(GatewayConfigChange.id.desc()).limit(1))
        return tuple(newest.one_or_none() or (None, None))

    def _entry_condition(self, key: str, kind: ConfigChangeKind) -> ColumnElement[bool]:
        return and_(
            GatewayConfigChange.gateway_id == self._gateway_id,
            GatewayConfigChange.agent_key == key,
            GatewayConfigChange.kind == kind,
        )

    def _pending_condition(self, key: str, kind: ConfigChangeKind) -> ColumnElement[bool]:
        return self._entry_condition(key, kind) & GatewayConfigChange.confirmed_at.is_(None)


def build_deletion_of_oldest(gateway_id: UUID, actor_id: UUID | None, *, before_id: UUID) -> Delete:
    """Build the deletion of an actor's rows above the limit that are older than `before_id`."""
    # With None, `==` is IS NULL. IS NOT DISTINCT FROM would not use the index of the actors.
    is_theirs = and_(
        GatewayConfigChange.gateway_id == gateway_id, GatewayConfigChange.actor_id == actor_id
    )
    newest_first = select(GatewayConfigChange.id).where(is_theirs)
    newest_first = newest_first.order_by(GatewayConfigChange.id.desc())
    first_to_delete = newest_first.offset(MAX_CHANGES_BY_ACTOR).limit(1).scalar_subquery()
    return delete(GatewayConfigChange).where(
        is_theirs, GatewayConfigChange.id <= first_to_delete, GatewayConfigChange.id < before_id
    )


def parse_agent_key(key: str) -> tuple[UUID | None, UUID | None]:
    """Return the id of the agent, or of the board that it leads, by its key on a gateway."""
    found = KEY_ID.fullmatch(key)
    try:
        id = UUID(found[2]) if found else None
    except ValueError:
        return None, None
    return (None, id) if found and found[1] == "lead" else (id, None)


class ConfigChangeCause(NamedTuple):
    """An audit record, and who acted: a user, an agent, or None for Mission Control itself."""

    record_id: UUID | None = None
    actor_id: UUID | None = None


async def find_config_change_cause(
    session: AsyncSession, organization_id: UUID, object_ids: Sequence[str], kind: ConfigChangeKind
) -> ConfigChangeCause:
    """Return the newest audited change of these objects that can have led to a write."""
    query = select(AuditRecord.id, AuditRecord.actor_id).where(
        AuditRecord.organization_id == organization_id,
        AuditRecord.object_id.in_(object_ids),
        _build_cause_condition(kind),
    )
    newest = await session.execute(query.order_by(AuditRecord.sequence.desc()).limit(1))
    found = newest.one_or_none()
    return ConfigChangeCause() if found is None else ConfigChangeCause(*found)


@cache
def _build_cause_condition(kind: ConfigChangeKind) -> ColumnElement[bool]:
    return or_(
        *(
            and_(AuditRecord.action == type.value, _has_field(fields))
            if fields
            else AuditRecord.action == type.value
            for type, fields in CAUSES[kind].items()
        )
    )


def _has_field(names: Sequence[str]) -> ColumnElement[bool]:
    """Return whether one of these fields was changed: they are keys, or in the list `changed`."""
    wanted, after = cast(list(names), ARRAY(String)), AuditRecord.after
    return or_(after.has_any(wanted), after["changed"].has_any(wanted))


CHANGES_PAGE_SIZE = 50  # changes


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


IS_READABLE = or_(
    GatewayConfigChange.board_id.is_(None),
    GatewayConfigChange.board_id.in_(boards.READABLE_BOARD_IDS),
    ~exists(select(Board.id).where(Board.id == GatewayConfigChange.board_id))
    & bindparam("reads_all", type_=Boolean()),
)
IS_OF_GATEWAY = GatewayConfigChange.gateway_id == bindparam("gateway_id")
LOGGED_CHANGES = (
    select(GatewayConfigChange, AuditRecord, IS_READABLE, Agent.id.is_not(None))
    .outerjoin(Agent, Agent.id == GatewayConfigChange.agent_id)
    .outerjoin(AuditRecord, AuditRecord.id == GatewayConfigChange.cause_id)
    .where(IS_OF_GATEWAY)
    .order_by(GatewayConfigChange.id.desc())
)
CHANGE_PAGES = PagedQuery(
    LOGGED_CHANGES,
    lambda row: LoggedConfigChange(*row),
    select(func.count()).select_from(GatewayConfigChange).where(IS_OF_GATEWAY).scalar_subquery(),
)
CHANGES_BEFORE = Query(
    LOGGED_CHANGES.where(GatewayConfigChange.id < bindparam("before_id")).limit(
        CHANGES_PAGE_SIZE + 1
    ),
    lambda row: LoggedConfigChange(*row),
)


async def list_config_changes(
    source: Source, member: Member, gateway: Gateway, paging: Paging
) -> Page[LoggedConfigChange]:
    """Return changes, newest first. The caller has checked the access to the gateway.

    Changes of agents on boards that the member may not read are not readable.
    """
    return await CHANGE_PAGES.fetch_page(source, paging, **_build_parameters(member, gateway))


async def load_config_log(
    source: Source, member: Member, gateway: Gateway, before: UUID | None
) -> ConfigLogPage:
    """Return the page with the changes before `before`; with None, that with the newest ones.

    Later pages stay as they are when there are new changes. Access is as in `list_config_changes`.
    """
    before_id = before or UUID(int=2**128 - 1)
    parameters = _build_parameters(member, gateway)
    found = await CHANGES_BEFORE.fetch(source, before_id=before_id, **parameters)
    changes = found[:CHANGES_PAGE_SIZE]
    return ConfigLogPage(changes, changes[-1].change.id if len(found) > len(changes) else None)


def _build_parameters(member: Member, gateway: Gateway) -> dict[str, object]:
    return {
        "gateway_id": gateway.id,
        "reads_all": member.all_boards_read,
        **boards.access_parameters(member),
    }

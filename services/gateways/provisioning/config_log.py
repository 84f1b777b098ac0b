"""The log of what provisioning writes to the configurations of gateways.

A change is recorded before the gateway is called, because its answer may be lost, and confirmed
when the step that wrote it is done. The cause is the newest audited change that can have led to it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from core.text import replace_unstorable
from models import (
    Agent,
    ConfigChangeKind,
    Event,
    Gateway,
    GatewayConfigChange,
    ProvisioningStep,
    new_id,
)
from services.gateways.provisioning.config_causes import find_config_cause

MAX_LOGGED_CHANGES = 500  # of one gateway; older ones are deleted

KINDS_OF_STEPS = {
    ProvisioningStep.CREATE: ConfigChangeKind.ADDED,
    ProvisioningStep.NAME: ConfigChangeKind.CHANGED,
    ProvisioningStep.HEARTBEAT: ConfigChangeKind.CHANGED,
}
"""What the steps that end with an agent on its gateway write to the configuration."""

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

    async def record(self, writes: Sequence[ConfigWrite]) -> None:
        """Record what is about to be written. It replaces what was not confirmed before."""
        async with self._open_transaction() as session:
            query = select(Gateway.organization_id).where(Gateway.id == self._gateway_id)
            locked = query.with_for_update(read=True, key_share=True)
            organization_id = await session.scalar(locked)
            if organization_id is None:
                return
            for write in writes:
                pending = self._pending_condition(write.agent_key, write.kind)
                await session.execute(delete(GatewayConfigChange).where(pending))
                session.add(await self._build_row(session, organization_id, write))
            await session.flush()
            await self._delete_oldest(session)

    async def confirm_step(self, session: AsyncSession, agent: Agent) -> None:
        """Record that the gateway has what the current step of an agent wrote, in any process.

        A change that was written before the agent was last compared with its gateway from the
        start is not confirmed: the gateway may have refused it, and the agent may want another one.
        The row of the agent is locked before: a gateway is deleted after its agents, in this order.
        """
        kind = KINDS_OF_STEPS.get(agent.step) if agent.step else None
        if kind is None:
            return
        pending = self._pending_condition(agent.gateway_key or "", kind)
        begun_at = agent.provisioning_state.step_times.get(ProvisioningStep.CREATE.value)
        if kind is ConfigChangeKind.CHANGED and begun_at is not None:
            pending &= GatewayConfigChange.created_at >= begun_at
        await self._confirm(session, pending)

    async def confirm_removal(self, session: AsyncSession, key: str) -> None:
        """Record that the gateway has removed an agent; see `confirm_step` for the order."""
        await self._confirm(session, self._pending_condition(key, ConfigChangeKind.REMOVED))

    async def _confirm(self, session: AsyncSession, pending: ColumnElement[bool]) -> None:
        statement = update(GatewayConfigChange).where(pending)
        await session.execute(statement.values(confirmed_at=self._clock()))

    async def _build_row(
        self, session: AsyncSession, organization_id: UUID, write: ConfigWrite
    ) -> GatewayConfigChange:
        agent = write.agent
        agent_id, board_id = (
            (agent.id, agent.board_id) if agent else parse_agent_key(write.agent_key)
        )
        if board_id is None and agent is None and agent_id is not None:
            board_id = await _find_former_board(session, agent_id)
        ids = [str(id) for id in (agent_id, board_id, self._gateway_id, organization_id) if id]
        return GatewayConfigChange(
            id=new_id(),
            gateway_id=self._gateway_id,
            agent_key=write.agent_key,
            agent_id=agent_id,
            agent_name=agent.name if agent else None,
            board_id=board_id,
            kind=write.kind,
            diff=replace_unstorable(write.diff),
            cause_id=await find_config_cause(session, organization_id, ids, write.kind),
            created_at=self._clock(),
        )

    def _pending_condition(self, key: str, kind: ConfigChangeKind) -> ColumnElement[bool]:
        return and_(
            GatewayConfigChange.gateway_id == self._gateway_id,
            GatewayConfigChange.agent_key == key,
            GatewayConfigChange.kind == kind,
            GatewayConfigChange.confirmed_at.is_(None),
        )

    async def _delete_oldest(self, session: AsyncSession) -> None:
        mine = GatewayConfigChange.gateway_id == self._gateway_id
        newest_first = select(GatewayConfigChange.id).where(mine)
        newest_first = newest_first.order_by(GatewayConfigChange.id.desc())
        first_to_delete = newest_first.offset(MAX_LOGGED_CHANGES).limit(1).scalar_subquery()
        old = delete(GatewayConfigChange).where(mine, GatewayConfigChange.id <= first_to_delete)
        await session.execute(old.execution_options(synchronize_session=False))


def parse_agent_key(key: str) -> tuple[UUID | None, UUID | None]:
    """Return the id of the agent, or of the board that it leads, by its key on a gateway."""
    found = KEY_ID.fullmatch(key)
    try:
        id = UUID(found[2]) if found else None
    except ValueError:
        return None, None
    return (None, id) if found and found[1] == "lead" else (id, None)


async def _find_former_board(session: AsyncSession, agent_id: UUID) -> UUID | None:
    """Return the last board of an agent whose row is deleted."""
    query = select(Event.board_id).where(Event.agent_id == agent_id, Event.board_id.is_not(None))
    return await session.scalar(query.order_by(Event.seq.desc()).limit(1))

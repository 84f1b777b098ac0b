"""The gateway job that asks a gateway whether it has the skills that its agent was asked for.

It asks when the agent has finished a request, and again from time to time, because skills can be
changed on the gateway. A gateway says which skills it has, not which revision.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from operator import itemgetter
from uuid import UUID

from sqlalchemy import DateTime, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import Query, ReadFactory
from models import EventType, Gateway, GatewaySkill, Message, MessageState, Skill, SkillAction
from openclaw import GatewayClient, GatewayError
from openclaw.api import ListedSkill, list_skills
from services import events
from services.skills.events import installation_event

POLL_INTERVAL = 30.0  # seconds
DEBOUNCE_DELAY = 0.5  # seconds, in which several notifications are handled as one
GRACE_PERIOD = timedelta(seconds=90)  # in which a gateway notices the change of its agent
MIN_INTERVAL = timedelta(seconds=20)  # between two calls: a gateway reads its folders for each
CHECK_INTERVAL = timedelta(hours=1)  # between two checks of what is known

log = logging.getLogger(__name__)

_IS_HANDLED = or_(GatewaySkill.message_id.is_(None), Message.state == MessageState.ACKNOWLEDGED)
_DUE: Query[UUID] = Query(
    select(GatewaySkill.id)
    .outerjoin(Message, Message.id == GatewaySkill.message_id)
    .where(
        GatewaySkill.gateway_id == bindparam("gateway_id"),
        _IS_HANDLED,
        or_(
            GatewaySkill.checked_at.is_(None),
            GatewaySkill.checked_at < bindparam("checked_before", type_=DateTime(timezone=True)),
        ),
    ),
    itemgetter(0),
)


class SkillConfirmationJob:
    """A gateway job: compares what a gateway lists with what was requested."""

    def __init__(
        self,
        transaction: TransactionFactory,
        open_read: ReadFactory,
        listener: PostgresListener,
        *,
        poll_interval: float = POLL_INTERVAL,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._transaction = transaction
        self._open_read = open_read
        self._listener = listener
        self._poll_interval = poll_interval
        self._clock = clock
        self._asked_at: dict[UUID, datetime] = {}

    async def __call__(self, gateway: Gateway, client: GatewayClient) -> None:
        """Work for a gateway until cancelled."""
        with self._listener.subscribe(str(gateway.organization_id)) as wake_up:
            while True:
                await client.wait_connected()
                wake_up.clear()
                if not await self.check(gateway, client):
                    await asyncio.sleep(self._poll_interval)
                    continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake_up.wait(), self._poll_interval)
                await asyncio.sleep(DEBOUNCE_DELAY)

    async def check(self, gateway: Gateway, client: GatewayClient) -> bool:
        """Ask the gateway once, if something is due. Return whether it answered."""
        at = self._clock()
        async with self._open_read() as source:
            due = await _DUE.fetch(
                source, gateway_id=gateway.id, checked_before=at - CHECK_INTERVAL
            )
        asked_at = self._asked_at.get(gateway.id)
        if not due or (asked_at is not None and at - asked_at < MIN_INTERVAL):
            return True
        self._asked_at[gateway.id] = at
        agent_id = gateway.session_key.split(":")[1]
        try:
            listed = await list_skills(client, agent_id)
        except GatewayError as error:
            log.info("The gateway %s did not list its skills: %s", gateway.id, error)
            return False
        async with self._transaction() as session:
            await record_listing(session, gateway, due, listed, at)
        return True


async def record_listing(
    session: AsyncSession,
    gateway: Gateway,
    ids: Sequence[UUID],
    listed: Sequence[ListedSkill],
    at: datetime,
) -> None:
    """Record whether a gateway lists the skills of these requests, with an event if that is new."""
    query = (
        select(GatewaySkill, Skill, Message.acknowledged_at)
        .join(Skill, Skill.id == GatewaySkill.skill_id)
        .outerjoin(Message, Message.id == GatewaySkill.message_id)
        .where(GatewaySkill.id.in_(ids), _IS_HANDLED)
        .order_by(GatewaySkill.id)
    )
    locked = query.with_for_update(of=GatewaySkill).execution_options(populate_existing=True)
    # A gateway lists the folder of each skill; one without a folder is compared by its name.
    folders = {one.folder for one in listed if one.folder and not one.is_bundled}
    names = {one.name for one in listed if not one.folder and not one.is_bundled}
    new_events: list[events.NewEvent] = []
    for row, skill, acknowledged_at in (await session.execute(locked)).all():
        is_wanted = row.action is SkillAction.INSTALL
        is_listed = row.folder in folders or (is_wanted and skill.name in names)
        is_early = acknowledged_at is not None and at - acknowledged_at < GRACE_PERIOD
        if is_listed != is_wanted and is_early:
            continue
        type = _event_type(is_wanted=is_wanted, is_listed=is_listed)
        if row.is_listed != is_listed:
            new_events.append(installation_event(type, None, skill, gateway, row))
        row.is_listed, row.checked_at = is_listed, at
        if type is EventType.SKILL_INSTALLED:
            row.installed_digest = row.digest
        elif type is EventType.SKILL_REMOVED:
            await session.delete(row)
    await session.flush()
    await events.record_events(session, new_events)


def _event_type(*, is_wanted: bool, is_listed: bool) -> EventType:
    if is_wanted != is_listed:
        return EventType.SKILL_REQUEST_FAILED
    return EventType.SKILL_INSTALLED if is_wanted else EventType.SKILL_REMOVED

"""Ask the agent of a gateway to install a skill, or to remove it, and then ask the gateway.

Nothing is installed by this server: the agent gets a message with the revision and the digest of
the files that a person has seen. docs/decisions/skills.md gives the reasons. When the agent has
finished, a gateway job asks the gateway whether it has the skill, and again from time to time,
because skills can be changed there. A gateway says which skills it has, not which revision.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter
from uuid import UUID

from sqlalchemy import DateTime, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import Query, ReadFactory
from core.db.transactions import lock_name
from core.errors import Conflict, NotFound
from core.text import N_
from models import (
    Actor,
    Agent,
    EventType,
    Gateway,
    GatewaySkill,
    Member,
    Message,
    MessageState,
    Skill,
    SkillAction,
    SkillVersion,
    new_id,
)
from openclaw import GatewayClient, GatewayError
from openclaw.api import ListedSkill, list_skills
from services import events, messages
from services.messages import OutgoingMessage, templates
from services.messages.templates import SkillText
from services.skills.commands import skill_event
from services.skills.files import list_hidden_files
from services.skills.queries import find_version, lock_skill
from services.skills.rules import Installation, SkillState

POLL_INTERVAL = 30.0  # seconds
DEBOUNCE_DELAY = 0.5  # seconds, in which several notifications are handled as one
GRACE_PERIOD = timedelta(seconds=90)  # in which a gateway notices the change of its agent
MIN_INTERVAL = timedelta(seconds=20)  # between two calls: a gateway reads its folders for each
CHECK_INTERVAL = timedelta(hours=1)  # between two checks of what is known

REMOVAL_STATES = {
    SkillState.REMOVAL_REQUESTED,
    SkillState.REMOVAL_SENT,
    SkillState.REMOVAL_ACKNOWLEDGED,
}
"""States in which a removal is not requested again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Target:
    """A locked skill, the gateway, and the present state there."""

    skill: Skill
    gateway: Gateway
    installation: Installation | None

    @property
    def folder(self) -> str:
        """The folder on the gateway; an update stays where the skill is."""
        return self.installation.row.folder if self.installation else self.skill.folder


async def request_install(
    session: AsyncSession,
    member: Member,
    gateway: Gateway,
    skill_id: UUID,
    *,
    base_url: str,
    shown_digest: str | None = None,
) -> Installation:
    """Send the request to install the current files of a skill on a gateway.

    Repeating it changes nothing while the request goes on, or has succeeded. With `shown_digest`
    it raises Conflict if the files are others meanwhile. Raises Forbidden, NotFound, and Conflict
    if another skill has the same folder there.
    """
    target = await _lock_target(session, member, gateway, skill_id)
    skill, present = target.skill, target.installation
    if shown_digest is not None and shown_digest != (skill.digest or ""):
        raise Conflict("stale", N_("This was changed meanwhile. Look at it again, then change it."))
    if present is not None and present.row.digest == skill.digest and present.is_wanted:
        return present
    await _check_folder_is_free(session, target)
    version = await find_version(session, skill, skill.digest)
    text = _build_text(target, version, base_url)
    is_reviewed = shown_digest is not None
    content = templates.render_skill_install(text, is_reviewed=is_reviewed)
    return await _send(session, member, target, SkillAction.INSTALL, content)


async def request_removal(
    session: AsyncSession, member: Member, gateway: Gateway, skill_id: UUID, *, base_url: str
) -> Installation | None:
    """Send the request to remove a skill from a gateway; None if it was never requested there.

    Repeating it changes nothing while the request goes on. Raises Forbidden and NotFound.
    """
    target = await _lock_target(session, member, gateway, skill_id)
    present = target.installation
    if present is None or present.state in REMOVAL_STATES:
        return present
    content = templates.render_skill_uninstall(_build_text(target, None, base_url))
    return await _send(session, member, target, SkillAction.REMOVE, content)


async def _lock_target(
    session: AsyncSession, member: Member, gateway: Gateway, skill_id: UUID
) -> _Target:
    # The gateway cannot be deleted until the commit.
    exists = select(Gateway.id).where(Gateway.id == gateway.id)
    if await session.scalar(exists.with_for_update(read=True, key_share=True)) is None:
        raise NotFound("gateway_not_found", N_("There is no such gateway."))
    skill = await lock_skill(session, member, skill_id)
    query = (
        select(GatewaySkill, Message.state, Message.last_error)
        .outerjoin(Message, Message.id == GatewaySkill.message_id)
        .where(GatewaySkill.skill_id == skill.id, GatewaySkill.gateway_id == gateway.id)
    )
    locked = query.with_for_update(of=GatewaySkill).execution_options(populate_existing=True)
    row = (await session.execute(locked)).one_or_none()
    return _Target(skill, gateway, Installation(*row, gateway.name) if row else None)


async def _check_folder_is_free(session: AsyncSession, target: _Target) -> None:
    """Raise Conflict if another skill has the folder there; other requests for it wait."""
    await lock_name(session, f"skills of gateway {target.gateway.id}")
    query = (
        select(Skill.name)
        .join(GatewaySkill, GatewaySkill.skill_id == Skill.id)
        .where(
            GatewaySkill.gateway_id == target.gateway.id,
            Skill.id != target.skill.id,
            GatewaySkill.folder == target.folder,
        )
    )
    other = await session.scalar(query.limit(1))
    if other is not None:
        reason = N_(
            "The skill “%(name)s” has the folder %(folder)s on this gateway. Remove it first."
        )
        raise Conflict("skill_folder_taken", reason, name=other, folder=target.folder)


def _build_text(target: _Target, version: SkillVersion | None, base_url: str) -> SkillText:
    skill = target.skill
    text = SkillText(
        name=skill.name,
        source_url=skill.source_url,
        workspace_root=target.gateway.workspace_root,
        folder=target.folder,
    )
    if version is None:
        return text
    path = f"/api/v1/agent/skills/{skill.id}/versions/{version.digest}"
    return replace(
        text,
        source_url=version.source_url,
        revision=version.revision,
        digest=version.digest,
        files_url=f"{base_url.rstrip('/')}{path}",
        hidden_files=list_hidden_files(version.files),
    )


async def _send(
    session: AsyncSession, member: Member, target: _Target, action: SkillAction, content: str
) -> Installation:
    """Store the request and enqueue its message, with the event."""
    skill, gateway, present, at = target.skill, target.gateway, target.installation, now()
    agent = await session.scalar(
        select(Agent).where(Agent.gateway_id == gateway.id, Agent.board_id.is_(None)).limit(1)
    )
    if agent is None:
        raise _agent_missing()
    if present is None:
        row = GatewaySkill(
            id=new_id(),
            gateway_id=gateway.id,
            skill_id=skill.id,
            folder=target.folder,
            installed_digest=None,
            created_at=at,
        )
    else:
        row = present.row
        row.installed_digest = present.known_digest
    row.action, row.requested_at, row.updated_at = action, at, at
    row.is_listed = row.checked_at = row.message_id = None
    type = EventType.SKILL_REMOVAL_REQUESTED
    if action is SkillAction.INSTALL:
        row.digest, type = skill.digest, EventType.SKILL_INSTALL_REQUESTED
    session.add(row)
    await session.flush()
    event = _installation_event(type, member.user, skill, gateway, row)
    message = OutgoingMessage(to=agent, content=content, sender=member.user, deliver=True)
    sent = await messages.enqueue_messages(session, [message], new_events=[event])
    if not sent:
        raise _agent_missing()
    [row.message_id] = sent
    await session.flush()
    query = select(Message.state, Message.last_error).where(Message.id == row.message_id)
    state, error = (await session.execute(query)).one()
    return Installation(row, state, error, gateway.name)


def _agent_missing() -> Conflict:
    return Conflict("gateway_agent_missing", N_("This gateway has no agent that could do it."))


def _installation_event(
    type: EventType, actor: Actor | None, skill: Skill, gateway: Gateway, row: GatewaySkill
) -> events.NewEvent:
    return skill_event(
        type,
        actor,
        skill,
        gateway_id=str(gateway.id),
        gateway=gateway.name,
        digest=row.digest,
        revision=skill.revision,
    )


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
        if not due or (asked_at is not None and abs(at - asked_at) < MIN_INTERVAL):
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
        type = EventType.SKILL_REQUEST_FAILED
        if is_listed == is_wanted:
            type = EventType.SKILL_INSTALLED if is_wanted else EventType.SKILL_REMOVED
        if row.is_listed != is_listed:
            new_events.append(_installation_event(type, None, skill, gateway, row))
        row.is_listed, row.checked_at = is_listed, at
        if type is EventType.SKILL_INSTALLED:
            row.installed_digest = row.digest
        elif type is EventType.SKILL_REMOVED:
            await session.delete(row)
    await session.flush()
    await events.record_events(session, new_events)

"""Ask the agent of a gateway to install a skill, or to remove it.

Nothing is installed by this server: the agent gets a message with the revision and the digest of
the files that a person has seen. docs/decisions/skills.md gives the reasons.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.transactions import lock_name
from core.errors import Conflict, NotFound
from core.text import N_
from models import (
    Agent,
    EventType,
    Gateway,
    GatewaySkill,
    Member,
    Message,
    Skill,
    SkillAction,
    SkillVersion,
    new_id,
)
from services import messages
from services.messages import OutgoingMessage, templates
from services.messages.templates import SkillText
from services.skills.events import installation_event
from services.skills.files import list_hidden_files
from services.skills.queries import find_version, lock_skill
from services.skills.rules import Installation, SkillState

API_PREFIX = "/api/v1"
IN_PROGRESS = {
    SkillAction.INSTALL: {
        *(SkillState.REQUESTED, SkillState.SENT, SkillState.ACKNOWLEDGED, SkillState.INSTALLED)
    },
    SkillAction.REMOVE: {
        *(SkillState.REMOVAL_REQUESTED, SkillState.REMOVAL_SENT, SkillState.REMOVAL_ACKNOWLEDGED)
    },
}
"""States in which the same request is not sent again."""


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
    is_same = present is not None and present.row.digest == skill.digest
    if present is not None and is_same and present.state in IN_PROGRESS[SkillAction.INSTALL]:
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
    if present is None or present.state in IN_PROGRESS[SkillAction.REMOVE]:
        return present
    content = templates.render_skill_uninstall(_build_text(target, None, base_url))
    return await _send(session, member, target, SkillAction.REMOVE, content)


async def _lock_target(
    session: AsyncSession, member: Member, gateway: Gateway, skill_id: UUID
) -> _Target:
    await _lock_gateway(session, gateway)
    skill = await lock_skill(session, member, skill_id)
    query = (
        select(GatewaySkill, Message.state, Message.last_error)
        .outerjoin(Message, Message.id == GatewaySkill.message_id)
        .where(GatewaySkill.skill_id == skill.id, GatewaySkill.gateway_id == gateway.id)
    )
    locked = query.with_for_update(of=GatewaySkill).execution_options(populate_existing=True)
    row = (await session.execute(locked)).one_or_none()
    return _Target(skill, gateway, Installation(*row, gateway.name) if row else None)


async def _lock_gateway(session: AsyncSession, gateway: Gateway) -> None:
    """Prevent that a gateway is deleted. Raises NotFound if it is."""
    query = select(Gateway.id).where(Gateway.id == gateway.id)
    if await session.scalar(query.with_for_update(read=True, key_share=True)) is None:
        raise NotFound("gateway_not_found", N_("There is no such gateway."))


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
    path = f"{API_PREFIX}/agent/skills/{skill.id}/versions/{version.digest}"
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
    skill, gateway, at = target.skill, target.gateway, now()
    agent = await session.scalar(
        select(Agent).where(Agent.gateway_id == gateway.id, Agent.board_id.is_(None)).limit(1)
    )
    if agent is None:
        raise _agent_missing()
    row = _prepare_row(target, action, at)
    session.add(row)
    await session.flush()
    is_install = action is SkillAction.INSTALL
    type = EventType.SKILL_INSTALL_REQUESTED if is_install else EventType.SKILL_REMOVAL_REQUESTED
    event = installation_event(type, member.user, skill, gateway, row)
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


def _prepare_row(target: _Target, action: SkillAction, at: datetime) -> GatewaySkill:
    present = target.installation
    if present is None:
        row = GatewaySkill(
            id=new_id(),
            gateway_id=target.gateway.id,
            skill_id=target.skill.id,
            folder=target.folder,
            installed_digest=None,
            created_at=at,
        )
    else:
        row = present.row
        row.installed_digest = present.known_digest
    row.action, row.requested_at, row.updated_at = action, at, at
    row.is_listed = row.checked_at = row.message_id = None
    if action is SkillAction.INSTALL:
        row.digest = target.skill.digest
    return row

"""Events of packs and skills."""

from models import Actor, EventType, Gateway, GatewaySkill, Skill, SkillPack
from services import events


def pack_event(
    type: EventType, actor: Actor | None, pack: SkillPack, **more: object
) -> events.NewEvent:
    """Build an event of a pack. `more` is added to its data."""
    return events.NewEvent(
        type,
        actor,
        organization_id=pack.organization_id,
        data={"pack_id": str(pack.id), "name": pack.name, **more},
    )


def skill_event(
    type: EventType, actor: Actor | None, skill: Skill, **more: object
) -> events.NewEvent:
    """Build an event of a skill. `more` is added to its data."""
    return events.NewEvent(
        type,
        actor,
        organization_id=skill.organization_id,
        data={"skill_id": str(skill.id), "name": skill.name, **more},
    )


def installation_event(
    type: EventType, actor: Actor | None, skill: Skill, gateway: Gateway, row: GatewaySkill
) -> events.NewEvent:
    """Build an event of a skill on a gateway."""
    return skill_event(
        type,
        actor,
        skill,
        gateway_id=str(gateway.id),
        gateway=gateway.name,
        digest=row.digest,
        revision=skill.revision,
    )

"""Rows of skills, of their packs, and of skills on gateways."""

from typing import Any
from uuid import UUID

from core.clock import now
from models import (
    Agent,
    Gateway,
    GatewaySkill,
    Message,
    MessageState,
    Organization,
    Skill,
    SkillAction,
    SkillPack,
    SkillPackUpdate,
    SkillVersion,
    new_id,
)
from services.skills.files import digest_files, encode_file
from tests.support.board_rows import make_message
from tests.support.skill_archives import COMMIT, REPOSITORY, WRITER

DIGEST = digest_files({"SKILL.md": WRITER.encode()})
PACK_ID, SKILL_ID = UUID(int=48), UUID(int=49)


def make_pack(organization: Organization, **fields: Any) -> SkillPack:
    """Make a pack of an organization."""
    defaults = {
        "id": new_id(),
        "name": "Skills",
        "description": "Skills of Tern",
        "source_url": REPOSITORY,
        "branch": "main",
        "extra": {},
        "revision": COMMIT,
        "archive_digest": "0" * 64,
        "warnings": [],
        "fetched_at": now(),
        "created_at": now(),
        "updated_at": now(),
    }
    return SkillPack(organization_id=organization.id, **defaults | fields)


def make_pack_update(pack: SkillPack, **changes: Any) -> SkillPackUpdate:
    """Make an update of a pack that waits to be accepted."""
    lists: dict[str, Any] = {"added": [], "changed": [], "removed": [], "warnings": []}
    return SkillPackUpdate(
        id=new_id(),
        pack_id=pack.id,
        archive=b"x",
        archive_digest="1" * 64,
        revision=COMMIT,
        changes={**lists, "unchanged": 0, **changes},
        fetched_at=now(),
    )


def make_skill(organization: Organization, pack: SkillPack | None = None, **fields: Any) -> Skill:
    """Make a skill, of a pack or by itself."""
    defaults = {
        "id": new_id(),
        "pack_id": pack.id if pack else None,
        "name": "Report writer",
        "description": "Writes reports.",
        "category": "text",
        "risk": "low",
        "source": "writer",
        "source_url": f"{REPOSITORY}/tree/main/writer",
        "folder": "writer",
        "extra": {"skill_dir": "writer"},
        "digest": DIGEST,
        "revision": COMMIT,
        "created_at": now(),
        "updated_at": now(),
    }
    return Skill(organization_id=organization.id, **defaults | fields)


def make_version(skill: Skill, files: dict[str, str] | None = None, **fields: Any) -> SkillVersion:
    """Make the current files of a skill."""
    contents = {path: text.encode() for path, text in (files or {"SKILL.md": WRITER}).items()}
    defaults = {
        "id": new_id(),
        "digest": digest_files(contents),
        "revision": COMMIT,
        "source_url": f"{REPOSITORY}/tree/{COMMIT}/writer",
        "files": [encode_file(path, content) for path, content in contents.items()],
        "created_at": now(),
    }
    return SkillVersion(skill_id=skill.id, **defaults | fields)


def make_gateway_skill(gateway: Gateway, skill: Skill, **fields: Any) -> GatewaySkill:
    """Make a skill that was requested on a gateway."""
    defaults = {
        "id": new_id(),
        "action": SkillAction.INSTALL,
        "folder": skill.folder,
        "digest": skill.digest,
        "installed_digest": None,
        "requested_at": now(),
        "created_at": now(),
        "updated_at": now(),
    }
    return GatewaySkill(gateway_id=gateway.id, skill_id=skill.id, **defaults | fields)


def make_request_message(agent: Agent, state: MessageState, **fields: Any) -> Message:
    """Make the message of a request."""
    if state is MessageState.ACKNOWLEDGED:
        fields.setdefault("acknowledged_at", now())
    return make_message(agent, state=state, key=str(new_id()), **fields)

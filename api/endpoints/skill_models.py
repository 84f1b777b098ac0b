"""Models of skills and packs: those of the contract (agents 12), with additional fields."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AliasChoices, BaseModel, Field

from api.framework.fields import (
    JsonObject,
    Name,
    RequestModel,
    ResponseModel,
    ShortText,
    Text,
    Timestamp,
)
from core.json_responses import json_id, json_time
from core.validation import MAX_INTEGER
from models import Skill
from services.skills import MAX_DESCRIPTION_LENGTH, PackSummary, SkillCard, SkillState

Description = Annotated[Text, Field(max_length=MAX_DESCRIPTION_LENGTH)]
MAX_ADDRESS_LENGTH = 600  # characters
Url = Annotated[Text, Field(max_length=MAX_ADDRESS_LENGTH)]
Metadata = Annotated[
    JsonObject, Field(validation_alias=AliasChoices("metadata", "metadata_"), default_factory=dict)
]


class MarketplaceSkillRead(ResponseModel):
    """A skill."""

    id: UUID
    organization_id: UUID
    pack_id: UUID | None
    name: str
    description: str | None
    category: str | None
    risk: str | None = Field(description="What its author says about the risk.")
    source: str | None = Field(description="The folder in the pack.")
    source_url: str
    revision: str | None = Field(description="The revision of the pack that the files are from.")
    digest: str | None = Field(
        description="The SHA-256 of the list of its files, or null if they are not stored."
    )
    metadata: JsonObject
    removed_at: Timestamp | None = Field(description="When it disappeared from its pack.")
    created_at: Timestamp
    updated_at: Timestamp


class MarketplaceSkillCardRead(MarketplaceSkillRead):
    """A skill with its state on a gateway."""

    source: str | None = Field(description="The address, or the folder in the pack.")
    installed: bool = Field(
        description="It was requested for the gateway, and this has not failed. `state` says what "
        "is known."
    )
    installed_at: Timestamp | None = Field(
        description="When it was requested, while `installed` is true."
    )
    state: SkillState | None = Field(
        description="`requested`: the message waits. `sent`: the agent works on it. "
        "`acknowledged`: the agent has finished. `installed`: the gateway lists the skill. "
        "`failed`: not delivered, or not listed. The same with `removal_`. Null: never requested."
    )
    installed_digest: str | None = Field(
        description="The digest of the files that the gateway has, as far as is known."
    )
    error: str | None


class MarketplaceSkillActionResponse(ResponseModel):
    """What was requested."""

    ok: bool = True
    skill_id: UUID
    gateway_id: UUID
    installed: bool
    state: SkillState | None


class SkillPackRead(ResponseModel):
    """A pack of skills."""

    id: UUID
    organization_id: UUID
    name: str
    description: str | None
    source_url: str = Field(description="`upload:…` for a pack that was uploaded.")
    branch: str = Field(description="A branch, a tag or a commit.")
    revision: str | None = Field(description="The commit, or the digest of the archive.")
    archive_digest: str | None = Field(description="The SHA-256 of the archive.")
    metadata: JsonObject
    skill_count: int
    fetched_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class SkillPackSyncResponse(ResponseModel):
    """What became of the skills of a pack."""

    ok: bool = True
    pack_id: UUID
    synced: int
    created: int
    updated: int
    removed: int
    warnings: list[str] = Field(description="What was left out, and why.")


class SkillFile(ResponseModel):
    """A file of a skill."""

    path: str
    encoding: str = Field(description="`utf-8` or `base64`.")
    content: str


class SkillFiles(ResponseModel):
    """The files of a skill at one revision."""

    skill_id: UUID
    name: str
    folder: str
    revision: str
    digest: str
    files: list[SkillFile]


class GatewayQuery(BaseModel):
    """The gateway on which a skill is requested."""

    gateway_id: UUID = Field(description="A gateway of the organization.")


class MarketplaceQuery(GatewayQuery):
    """Which skills to list."""

    search: ShortText = Field(
        default="", description="A part of the name, description, category, risk or address."
    )
    category: ShortText = Field(default="", description="`uncategorized`: without a category.")
    risk: ShortText = Field(default="", description="`uncategorized`: without a risk.")
    pack_id: UUID | None = Field(default=None, description="Only skills of this pack.")
    limit: int | None = Field(
        default=None,
        ge=1,
        le=200,
        description="With it the response has X-Total-Count, X-Limit and X-Offset.",
    )
    offset: int = Field(default=0, ge=0, le=MAX_INTEGER, description="Number of items to skip.")


class MarketplaceSkillCreate(RequestModel):
    """A skill at an address."""

    example = {"source_url": "https://github.com/owner/name/tree/main/skills/reports"}

    source_url: Url
    name: Name | None = None
    description: Description | None = None


class SkillPackCreate(RequestModel):
    """A pack. On a change all fields are replaced: a missing name is that of the address."""

    example = {"source_url": "https://github.com/owner/name", "branch": "main"}

    source_url: Url = Field(
        description="A repository https://github.com/owner/name, or an https address that ends "
        "with .zip or .tar.gz."
    )
    name: Name | None = None
    description: Description | None = None
    branch: ShortText | None = Field(
        default="main", description="A branch, a tag or a commit; `main` if it is not valid."
    )
    metadata: Metadata


def build_skill_fields(skill: Skill) -> dict[str, Any]:
    """Return the fields of MarketplaceSkillRead."""
    names = ("name", "description", "category", "risk", "source", "source_url", "revision")
    return {
        "id": json_id(skill.id),
        "organization_id": json_id(skill.organization_id),
        "pack_id": json_id(skill.pack_id),
        **{name: getattr(skill, name) for name in (*names, "digest")},
        "metadata": skill.extra,
        "removed_at": json_time(skill.removed_at),
        "created_at": json_time(skill.created_at),
        "updated_at": json_time(skill.updated_at),
    }


def build_card_fields(card: SkillCard) -> dict[str, Any]:
    """Return the fields of MarketplaceSkillCardRead."""
    skill, found = card.skill, card.installation
    is_wanted = found is not None and found.is_wanted
    return {
        **build_skill_fields(skill),
        "source": skill.source_url or skill.source,
        "installed": is_wanted,
        "installed_at": json_time(found.row.requested_at) if found and is_wanted else None,
        "state": found.state if found else None,
        "installed_digest": found.known_digest if found else None,
        "error": found.error if found else None,
    }


def build_pack_fields(summary: PackSummary) -> dict[str, Any]:
    """Return the fields of SkillPackRead."""
    pack = summary.pack
    names = ("name", "description", "source_url", "branch", "revision", "archive_digest")
    return {
        "id": json_id(pack.id),
        "organization_id": json_id(pack.organization_id),
        **{name: getattr(pack, name) for name in names},
        "metadata": pack.extra,
        "skill_count": summary.skill_count,
        "fetched_at": json_time(pack.fetched_at),
        "created_at": json_time(pack.created_at),
        "updated_at": json_time(pack.updated_at),
    }

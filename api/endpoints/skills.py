"""Skills, their packs, and the skills of gateways. For admins."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from api.framework.agent_operations import declare_agent
from api.framework.dependencies import admin_membership, loads
from api.framework.fields import (
    CursorQuery,
    JsonObject,
    Ok,
    ResponseModel,
    Timestamp,
)
from api.framework.operation import (
    USER,
    Operation,
    error_responses,
    reads_only,
    without_transaction,
)
from api.framework.request_context import RequestContext
from core.fields import ShortText
from core.json_responses import Encoded, build_encoder, json_time
from core.paging import Paging
from models import Member
from services import gateways, skills
from services.skills import (
    NO_LIMIT,
    Installation,
    PackSummary,
    SkillCard,
    SkillCreate,
    SkillFilter,
    SkillPackCreate,
    SkillState,
)


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


class MarketplaceQuery(CursorQuery, GatewayQuery):
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


encode_skill = build_encoder(MarketplaceSkillRead, metadata="extra")
encode_pack = build_encoder(SkillPackRead, "pack", metadata="pack.extra", skill_count="skill_count")


def _build_card_fields(card: SkillCard) -> dict[str, Any]:
    """Return the fields of MarketplaceSkillCardRead."""
    skill, found = card.skill, card.installation
    is_wanted = found is not None and found.is_wanted
    return {
        **encode_skill(skill),
        "source": skill.source_url or skill.source,
        "installed": is_wanted,
        "installed_at": json_time(found.row.requested_at) if found and is_wanted else None,
        "state": found.state if found else None,
        "installed_digest": found.known_digest if found else None,
        "error": found.error if found else None,
    }


Digest = Annotated[
    str,
    Field(
        pattern="^[0-9a-f]{64}$",
        max_length=64,
        description="The digest of the files.",
        examples=["0" * 64],
    ),
]


@reads_only
@error_responses(403, 404)
async def list_marketplace_skills(
    context: RequestContext, member: Member, query: MarketplaceQuery
) -> Encoded[list[MarketplaceSkillCardRead]]:
    """List the skills of the active organization with their state on a gateway, newest first."""
    gateway = await gateways.get_gateway(context.source, member, query.gateway_id)
    chosen = SkillFilter(query.search.strip(), query.category, query.risk, query.pack_id)
    paging = Paging(query.limit or NO_LIMIT.limit, query.offset, query.cursor)
    page = await skills.list_gateway_skills(context.source, member, gateway, chosen, paging)
    headers = dict(page.headers)
    if query.limit is not None:
        headers |= {
            "X-Total-Count": str(page.total),
            "X-Limit": str(query.limit),
            "X-Offset": str(query.offset),
        }
    return Encoded([_build_card_fields(one) for one in page.items], headers=headers)


@error_responses(403, 409)
async def create_marketplace_skill(
    context: RequestContext, member: Member, body: SkillCreate
) -> Encoded[MarketplaceSkillRead]:
    """Add a skill by its address, or change the one of the same address.

    Its files are not stored: the agent that installs it takes them from the address.
    """
    return Encoded(encode_skill(await skills.save_skill(context.session, member, body)))


@error_responses(403, 404)
async def delete_marketplace_skill(context: RequestContext, member: Member, skill_id: UUID) -> Ok:
    """Delete a skill. Gateways that have it keep it."""
    await skills.delete_skill(context.session, member, skill_id)
    return Ok()


@error_responses(403, 404, 409)
async def install_marketplace_skill(
    context: RequestContext, member: Member, skill_id: UUID, query: GatewayQuery
) -> Encoded[MarketplaceSkillActionResponse]:
    """Ask the agent of a gateway to install a skill, or to update it.

    The message is stored and delivered when the gateway is connected. Repeating it changes nothing.
    """
    gateway = await gateways.get_gateway(context.source, member, query.gateway_id)
    found = await skills.request_install(
        context.session, member, gateway, skill_id, base_url=context.settings.base_url
    )
    return _build_action(skill_id, query, found)


@error_responses(403, 404, 409)
async def uninstall_marketplace_skill(
    context: RequestContext, member: Member, skill_id: UUID, query: GatewayQuery
) -> Encoded[MarketplaceSkillActionResponse]:
    """Ask the agent of a gateway to remove a skill. Repeating it changes nothing."""
    gateway = await gateways.get_gateway(context.source, member, query.gateway_id)
    found = await skills.request_removal(
        context.session, member, gateway, skill_id, base_url=context.settings.base_url
    )
    return _build_action(skill_id, query, found)


def _build_action(
    skill_id: UUID, query: GatewayQuery, found: Installation | None
) -> Encoded[MarketplaceSkillActionResponse]:
    fields: dict[str, Any] = {"ok": True, "skill_id": skill_id, "gateway_id": query.gateway_id}
    is_wanted = found is not None and found.is_wanted
    return Encoded({**fields, "installed": is_wanted, "state": found.state if found else None})


@reads_only
@error_responses(403)
async def list_skill_packs(context: RequestContext, member: Member) -> Encoded[list[SkillPackRead]]:
    """List the packs of the active organization, newest first."""
    return Encoded([encode_pack(one) for one in await skills.list_packs(context.source, member)])


@reads_only
@error_responses(403, 404)
async def get_skill_pack(context: RequestContext, found: PackSummary) -> Encoded[SkillPackRead]:
    """Return a pack."""
    return Encoded(encode_pack(found))


@error_responses(400, 403, 409)
async def create_skill_pack(
    context: RequestContext, member: Member, body: SkillPackCreate
) -> Encoded[SkillPackRead]:
    """Add a pack, or change the one of the same address. Its skills are fetched by `sync`."""
    pack = await skills.save_pack(context.session, member, body)
    return await _read_pack(context, member, pack.id)


@error_responses(400, 403, 404, 409)
async def update_skill_pack(
    context: RequestContext, member: Member, pack_id: UUID, body: SkillPackCreate
) -> Encoded[SkillPackRead]:
    """Replace the fields of a pack: a missing name is that of the address."""
    await skills.update_pack(context.session, member, pack_id, body)
    return await _read_pack(context, member, pack_id)


@error_responses(403, 404)
async def delete_skill_pack(context: RequestContext, member: Member, pack_id: UUID) -> Ok:
    """Delete a pack. Its skills stay."""
    await skills.delete_pack(context.session, member, pack_id)
    return Ok()


@error_responses(403, 404, 409, 502)
@without_transaction
async def sync_skill_pack(
    context: RequestContext, member: Member, pack_id: UUID
) -> SkillPackSyncResponse:
    """Fetch the archive of a pack, and add, change and remove its skills.

    Nothing is installed on gateways. Skills that a gateway has are kept when they disappear.
    """
    result = await skills.sync_pack(context.transaction, context.archive_client, member, pack_id)
    return SkillPackSyncResponse(
        pack_id=pack_id,
        synced=result.found,
        created=result.created,
        updated=result.updated,
        removed=result.removed,
        warnings=result.describe_warnings(),
    )


@reads_only
@error_responses(404)
async def get_skill_files(
    context: RequestContext, skill_id: UUID, digest: Digest
) -> Encoded[SkillFiles]:
    """Return the files of a skill that you were asked to install on your gateway."""
    skill, version, folder = await skills.get_requested_files(
        context.source, context.agent, skill_id, digest
    )
    files = [
        {
            "path": file["path"],
            "encoding": "utf-8" if "text" in file else "base64",
            "content": file.get("text", file.get("base64")),
        }
        for file in version.files
    ]
    return Encoded(
        {
            "skill_id": skill.id,
            "name": skill.name,
            "folder": folder,
            "revision": version.revision,
            "digest": version.digest,
            "files": files,
        }
    )


async def _read_pack(
    context: RequestContext, member: Member, pack_id: UUID
) -> Encoded[SkillPackRead]:
    return Encoded(encode_pack(await skills.get_pack(context.source, member, pack_id)))


MARKETPLACE = "/skills/marketplace"
SKILL = "/skills/marketplace/{skill_id}"
PACK = "/skills/packs/{pack_id}"

skill_for_admin = loads(skills.get_skill, "skill_id", (403, 404))
skill_pack_for_admin = loads(skills.get_pack, "pack_id", (403, 404))

OPERATIONS = [
    Operation("GET", MARKETPLACE, list_marketplace_skills, USER, ["skills"], admin_membership),
    Operation("POST", MARKETPLACE, create_marketplace_skill, USER, ["skills"], admin_membership),
    Operation("DELETE", SKILL, delete_marketplace_skill, USER, ["skills"], skill_for_admin),
    Operation(
        "POST", SKILL + "/install", install_marketplace_skill, USER, ["skills"], skill_for_admin
    ),
    Operation(
        "POST", SKILL + "/uninstall", uninstall_marketplace_skill, USER, ["skills"], skill_for_admin
    ),
    Operation("GET", "/skills/packs", list_skill_packs, USER, ["skills"], admin_membership),
    Operation("POST", "/skills/packs", create_skill_pack, USER, ["skills"], admin_membership),
    Operation("GET", PACK, get_skill_pack, USER, ["skills"], skill_pack_for_admin),
    Operation("PATCH", PACK, update_skill_pack, USER, ["skills"], skill_pack_for_admin),
    Operation("DELETE", PACK, delete_skill_pack, USER, ["skills"], skill_pack_for_admin),
    Operation("POST", PACK + "/sync", sync_skill_pack, USER, ["skills"], skill_pack_for_admin),
    declare_agent(
        "GET", "/skills/{skill_id}/versions/{digest}", get_skill_files, "agent_skill_files"
    ),
]
